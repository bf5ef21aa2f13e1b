"""Addresses and ports for pods on the loopback interface.

On Linux every address in 127.0.0.0/8 is this machine's own, so each pod gets two of them: `127.10.x.y`, its
pod IP, and `127.11.x.y`, which plays its private localhost: only this pod's application and sidecar use it.
A mesh claims one or more `x`, so that two meshes on one machine do not meet.

Where only 127.0.0.1 exists (macOS), or on request, every pod lives there and tells its ports apart: each
configured port gets a real one, and the two port maps of a pod say which. The same maps serve on Linux for a
port that may not be bound (below 1024 without the privilege) or that something else holds on all addresses.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from minimesh.config.proxy_ports import (
    ADMIN_PORT,
    HEALTH_PORT,
    HTTP_PROXY_PORT,
    INBOUND_PORT,
    METRICS_PORT,
    OUTBOUND_PORT,
)

PROXY_PORTS = (ADMIN_PORT, OUTBOUND_PORT, INBOUND_PORT, HEALTH_PORT, METRICS_PORT)
"""What every proxy may listen on at its pod's address."""

# Real ports for mapped ones: above the services people run, below the kernel's ephemeral range.
_MAPPED_PORTS = range(20000, 32000)
# Bound, never listened on: whoever holds it on 127.10.x.1 owns that x.
_CLAIM_PORT = 15999
_FIRST_POD, _LAST_POD = 2, 254


LOCALHOST = "127.0.0.1"


class NoAddressLeftError(Exception):
    """No free loopback address or port was found."""


@dataclass(frozen=True, slots=True)
class PodAddress:
    """Where a pod lives.

    `port_map` says for ports that the proxy listens on, and `app_port_map` for ports of the application on
    `app_address`, which real port stands for them; a port that is absent stands for itself. `proxy_only`: no
    application listens beside the proxy, as in a gateway. `has_localhost`: `app_address` is the pod's alone,
    as in a container, so that what is for its own eyes can be there.
    """

    pod_ip: str
    app_address: str
    port_map: Mapping[int, int] = field(default_factory=dict)
    app_port_map: Mapping[int, int] = field(default_factory=dict)
    proxy_only: bool = False
    has_localhost: bool = False

    @property
    def admin_ip(self) -> str:
        """Where the proxy's admin API listens."""
        return self.app_address if self.has_localhost else self.pod_ip

    def real_port(self, port: int) -> int:
        return self.port_map.get(port, port)

    def real_app_port(self, port: int) -> int:
        return self.app_port_map.get(port, port)

    def local(self, port: int) -> tuple[str, int]:
        """Where the pod's own `localhost:port` is: the proxy's at the pod IP, others at the application."""
        if port == ADMIN_PORT:
            return self.admin_ip, self.real_port(port)
        if self.proxy_only or port in PROXY_PORTS:
            return self.pod_ip, self.real_port(port)
        return self.app_address, self.real_app_port(port)

    @property
    def http_proxy(self) -> str:
        """`HOST:PORT` of the sidecar's explicit HTTP proxy."""
        return f"{self.app_address}:{self.real_port(HTTP_PROXY_PORT)}"


class PodNetwork(Protocol):
    """Gives addresses to pods and takes them back."""

    def allocate(self, ports: Collection[int], *, fixed: Mapping[int, int] | None = None) -> PodAddress:
        """An address for a pod whose containers listen on `ports`.

        `fixed` are real ports already decided, such as the gateway's port on the laptop.
        NoAddressLeftError when there is none.
        """

    def release(self, address: PodAddress) -> None:
        """Give the address of a pod that has ended back."""

    def close(self) -> None:
        """Give up everything claimed."""


def choose_network(mode: str = "auto") -> PodNetwork:
    """`addresses`, `mapped`, or `auto`: own addresses where the machine has them."""
    if mode == "mapped" or (mode == "auto" and not _has_own_addresses()):
        return MappedNetwork()
    return AddressNetwork()


def _has_own_addresses() -> bool:
    return sys.platform == "linux" and can_bind("127.10.1.1", 0)


def can_bind(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # Binding may succeed beside a wildcard listener; only listening tells.
            if port:
                probe.listen(1)
        except OSError:
            return False
    return True


class AddressNetwork:
    """A pod IP and a pod-localhost for each pod."""

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []
        self._free: list[tuple[int, int]] = []

    def allocate(self, ports: Collection[int], *, fixed: Mapping[int, int] | None = None) -> PodAddress:
        third, fourth = self._next_free()
        pod_ip, app_address = f"127.10.{third}.{fourth}", f"127.11.{third}.{fourth}"
        given = dict(fixed or {})
        wanted = [port for port in (*PROXY_PORTS, *ports) if port not in given]
        given |= _mapped_where_needed(pod_ip, wanted)
        given |= _mapped_where_needed(app_address, [HTTP_PROXY_PORT])
        return PodAddress(pod_ip, app_address, given, _mapped_where_needed(app_address, ports))

    def release(self, address: PodAddress) -> None:
        third, fourth = address.pod_ip.split(".")[2:]
        # At the end of the queue: an address comes back as late as possible, so that logs stay readable.
        self._free.append((int(third), int(fourth)))

    def close(self) -> None:
        for claim in self._claims:
            claim.close()
        self._claims.clear()
        self._free.clear()

    def _next_free(self) -> tuple[int, int]:
        if not self._free:
            third = self._claim_range()
            self._free = [(third, fourth) for fourth in range(_FIRST_POD, _LAST_POD + 1)]
        return self._free.pop(0)

    def _claim_range(self) -> int:
        for third in random.sample(range(256), 256):
            claim = socket.socket()
            try:
                claim.bind((f"127.10.{third}.1", _CLAIM_PORT))
            except OSError:
                claim.close()
                continue
            self._claims.append(claim)
            return third
        raise NoAddressLeftError("every 127.10.x.0/24 is in use by another mesh")


class ContainerNetwork:
    """The network namespace of a container, which is one pod: nothing is mapped, localhost is its own."""

    def __init__(self, address: str) -> None:
        self._address = address

    def allocate(self, ports: Collection[int], *, fixed: Mapping[int, int] | None = None) -> PodAddress:
        return PodAddress(self._address, LOCALHOST, has_localhost=True)

    def release(self, address: PodAddress) -> None:
        """The container's address goes with the container."""

    def close(self) -> None:
        """Nothing was claimed."""


class MappedNetwork:
    """All pods on 127.0.0.1, each configured port on a real port of its own."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def allocate(self, ports: Collection[int], *, fixed: Mapping[int, int] | None = None) -> PodAddress:
        given = dict(fixed or {})
        for port in (*PROXY_PORTS, HTTP_PROXY_PORT, *ports):
            if port not in given:
                given[port] = self._take()
        return PodAddress(LOCALHOST, LOCALHOST, given, {port: self._take() for port in ports})

    def release(self, address: PodAddress) -> None:
        self._taken.difference_update(address.port_map.values(), address.app_port_map.values())

    def close(self) -> None:
        self._taken.clear()

    def _take(self) -> int:
        for port in _from_somewhere(_MAPPED_PORTS):
            if port not in self._taken and can_bind(LOCALHOST, port):
                self._taken.add(port)
                return port
        raise NoAddressLeftError("no free port between 20000 and 32000")


def _mapped_where_needed(address: str, ports: Collection[int]) -> dict[int, int]:
    """A real port for each port that cannot be bound at the address."""
    mapped: dict[int, int] = {}
    for port in ports:
        if not can_bind(address, port):
            mapped[port] = _free_port(address, port, mapped.values())
    return mapped


def _free_port(address: str, port: int, taken: Collection[int]) -> int:
    # 80 becomes 20080 where that is free: easier to recognise than a random number.
    resembling = _MAPPED_PORTS.start + port % 10000
    for candidate in (resembling, *_from_somewhere(_MAPPED_PORTS)):
        if candidate not in taken and can_bind(address, candidate):
            return candidate
    raise NoAddressLeftError(f"no free port for {port} at {address}")


def _from_somewhere(ports: range) -> Iterator[int]:
    """All of the ports, beginning at a random one: two meshes seldom try the same."""
    start = random.randrange(len(ports))
    yield from ports[start:]
    yield from ports[:start]
