"""Where a redirected connection was going: what iptables' REDIRECT and TPROXY leave to be asked for."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Any

#: linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h; the socket module has no names for them.
_SO_ORIGINAL_DST = 80
_ADDRESS_BYTES, _ADDRESS6_BYTES = 16, 28

Address = tuple[str, int]


def original_destination(transport: Any) -> Address | None:
    """The destination that the caller meant, when it is another than the socket's own; else None."""
    return destination_of_socket(transport.get_extra_info("socket"), transport.get_extra_info("sockname"))


def destination_of_socket(sock: Any, local: Any) -> Address | None:
    """The same for a socket without a transport; `local` is its own address."""
    if sock is None or not sys.platform.startswith("linux") or not isinstance(local, tuple):
        return None
    try:
        found = _ask(sock)
    except OSError:  # nothing was redirected
        return None
    return None if found == (local[0], local[1]) else found


def _ask(sock: Any) -> Address:
    if sock.family == socket.AF_INET6:
        data = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _ADDRESS6_BYTES)
        return str(ipaddress.IPv6Address(data[8:24])), int(struct.unpack("!H", data[2:4])[0])
    data = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _ADDRESS_BYTES)
    return str(ipaddress.IPv4Address(data[4:8])), int(struct.unpack("!H", data[2:4])[0])


def parse_destination(text: str, default_port: int = 0) -> Address | None:
    """`example.com:443` or an address with its port; None for what is neither. Names are lower case."""
    host, separator, port = text.strip().rpartition(":")
    if not separator or port.endswith("]"):
        host, port = text.strip(), str(default_port)
    host = host.removeprefix("[").removesuffix("]").removesuffix(".").lower()
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return None
    return (host, int(port))


def parse_address(text: str) -> Address | None:
    """`1.2.3.4:80` or `[::1]:80`; None for anything else."""
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        return None
