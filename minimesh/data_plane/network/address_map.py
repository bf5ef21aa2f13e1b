"""Which addresses of this machine stand for the addresses that configuration names.

A pod here has no network namespace of its own: its wildcard address, its localhost and sometimes its port
numbers are others than those written in the configuration. This module only computes; it opens no socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
LOCALHOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class BindAddress(NamedTuple):
    """One socket to open. `original_port` is set where the socket plays the part of a redirect (capture)."""

    host: str
    port: int
    original_port: int | None = None


@dataclass(frozen=True, slots=True)
class AddressMap:
    """Configured address -> real addresses. The default maps nothing."""

    pod_ip: str = ""
    """Stands for the wildcard address; empty: the wildcard stays what it is."""
    app_address: str = ""
    """Stands for localhost: the loopback address that this pod alone uses."""
    also_bind: tuple[str, ...] = ()
    """More addresses for wildcard listeners (a gateway's 127.0.0.1)."""
    port_map: Mapping[int, int] = field(default_factory=dict)
    """Configured port -> real port, where the configured one cannot be had."""
    capture: bool = False
    """Open `virtualInbound`'s destination ports on the pod's address, as the redirect of a cluster would."""

    def real_port(self, port: int) -> int:
        """The port to bind in place of `port`."""
        return self.port_map.get(port, port)

    def bind_addresses(self, host: str, port: int) -> tuple[BindAddress, ...]:
        """The sockets to open for a listener configured on `host:port`."""
        real = self.real_port(port)
        if host in WILDCARDS and self.pod_ip:
            hosts = dict.fromkeys((self.pod_ip, *self.also_bind))
            return tuple(BindAddress(each, real) for each in hosts)
        if host in LOCALHOSTS and self.app_address:
            return (BindAddress(self.app_address, real),)
        return (BindAddress(host, real),)

    def capture_addresses(self, destination_ports: Iterable[int]) -> tuple[BindAddress, ...]:
        """The sockets that stand for connections redirected to an inbound listener, one per port.

        Empty unless `capture` is on. Each carries the port that the caller meant, for choosing the chain.
        """
        if not self.capture or not self.pod_ip:
            return ()
        ports = dict.fromkeys(destination_ports)
        return tuple(BindAddress(self.pod_ip, self.real_port(port), port) for port in ports)


def parse_port_map(text: str) -> dict[int, int]:
    """Read `80=20080,443=20443`. Empty text is an empty map.

    Raises:
        ValueError: an entry is not two port numbers joined by `=`; the message names the entry.
    """
    ports: dict[int, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        configured, _, real = entry.partition("=")
        if not _is_port(configured) or not _is_port(real):
            raise ValueError(f"port map entry {entry!r} is not CONFIGURED=REAL with ports from 1 to 65535")
        ports[int(configured)] = int(real)
    return ports


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536
