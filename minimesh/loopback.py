"""Which names mean this machine itself: what servers for its own user ask of the Host header."""

from __future__ import annotations

import ipaddress


def is_loopback_name(host: str) -> bool:
    """Whether a Host header (`name`, `name:port`, `[v6]:port`) names this machine's loopback."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
