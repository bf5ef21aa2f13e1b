"""One endpoint of a cluster.

`HostSpec` is what configuration says; `Host` is the live object, kept when a new configuration names the same
address, so that its pool, its active requests and its counters go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.connection_pool import ConnectionPool


class Health(Enum):
    """Envoy's coarse health of a host."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Locality(NamedTuple):
    """Where a host runs; each part empty when not said."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


NO_LOCALITY = Locality()


@dataclass(frozen=True, slots=True)
class HostSpec:
    """An endpoint as configured. `metadata` is filter metadata as plain values, by namespace."""

    address: str
    port: int
    weight: int = 1
    health: Health = Health.HEALTHY
    locality: Locality = NO_LOCALITY
    priority: int = 0
    hostname: str = ""
    metadata: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class Host:
    """A live endpoint: its specification, which updates replace, and what is going on at it."""

    __slots__ = (
        "active_connections",
        "active_requests",
        "address",
        "connect_failures",
        "connections_total",
        "health",
        "metadata",
        "name",
        "pool",
        "port",
        "requests_error",
        "requests_success",
        "requests_timeout",
        "requests_total",
        "spec",
        "weight",
    )

    def __init__(self, spec: HostSpec) -> None:
        self.address = spec.address
        self.port = spec.port
        #: "ip:port", as the access log and the admin API print it.
        self.name = f"[{spec.address}]:{spec.port}" if ":" in spec.address else f"{spec.address}:{spec.port}"
        self.pool: ConnectionPool | None = None
        self.active_requests = 0
        self.active_connections = 0
        self.connections_total = 0
        self.connect_failures = 0
        self.requests_total = 0
        self.requests_success = 0
        self.requests_error = 0
        self.requests_timeout = 0
        self.update(spec)

    def update(self, spec: HostSpec) -> None:
        """Take over a new specification of the same address."""
        self.spec = spec
        self.weight = max(1, spec.weight)
        self.health = spec.health
        self.metadata = spec.metadata

    def __repr__(self) -> str:
        return f"Host({self.name}, {self.health.value}, {self.active_requests} active)"
