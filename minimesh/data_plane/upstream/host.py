"""One endpoint of a cluster.

`HostSpec` is what configuration says; `Host` is the live object, kept when a new configuration names the same
address, so that its pool, its active requests and its counters go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.connection_pool import Pool
    from minimesh.data_plane.upstream.outlier_detection import OutlierMonitor


class Health(Enum):
    """Envoy's coarse health of a host."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class HealthFlag(IntFlag):
    """Why a host is not healthy, in the order and with the names of the admin API's `health_flags`."""

    FAILED_ACTIVE_HC = 0x1
    FAILED_OUTLIER_CHECK = 0x2
    FAILED_EDS_HEALTH = 0x4
    DEGRADED_ACTIVE_HC = 0x8
    DEGRADED_EDS_HEALTH = 0x10
    PENDING_DYNAMIC_REMOVAL = 0x20
    PENDING_ACTIVE_HC = 0x40
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 0x80
    ACTIVE_HC_TIMEOUT = 0x100
    EDS_STATUS_DRAINING = 0x200


_UNHEALTHY = (
    HealthFlag.FAILED_ACTIVE_HC
    | HealthFlag.FAILED_OUTLIER_CHECK
    | HealthFlag.FAILED_EDS_HEALTH
    | HealthFlag.EDS_STATUS_DRAINING
)
_DEGRADED = HealthFlag.DEGRADED_ACTIVE_HC | HealthFlag.DEGRADED_EDS_HEALTH
#: Not counted when a level's health is worked out.
_EXCLUDED = (
    HealthFlag.PENDING_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL | HealthFlag.EDS_STATUS_DRAINING
)
_FROM_CONFIGURATION = (
    HealthFlag.FAILED_EDS_HEALTH | HealthFlag.DEGRADED_EDS_HEALTH | HealthFlag.EDS_STATUS_DRAINING
)
_OF_SPEC = {Health.UNHEALTHY: HealthFlag.FAILED_EDS_HEALTH, Health.DEGRADED: HealthFlag.DEGRADED_EDS_HEALTH}


class Locality(NamedTuple):
    """Where a host runs; each part empty when not said."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


NO_LOCALITY = Locality()


@dataclass(frozen=True, slots=True)
class HostSpec:
    """An endpoint as configured. `metadata` is filter metadata as plain values, by namespace.

    The address of a Unix socket is its path, and its port 0.
    """

    address: str
    port: int
    weight: int = 1
    health: Health = Health.HEALTHY
    locality: Locality = NO_LOCALITY
    priority: int = 0
    hostname: str = ""
    metadata: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    locality_weight: int = 0
    """Weight of its locality among those of the priority; 0: the locality has none, and gets no traffic."""
    draining: bool = False
    """EDS says that the host is going."""
    health_check_port: int = 0
    """Where active health checks go; 0: to the port of the traffic."""
    health_check_address: str = ""
    health_check_hostname: str = ""
    health_check_disabled: bool = False


def is_unix_path(address: str) -> bool:
    """Whether an address is the path of a Unix socket; that of an abstract one begins with `@`."""
    return address.startswith(("/", "@"))


def _name(spec: HostSpec) -> str:
    if is_unix_path(spec.address):
        return spec.address
    host = f"[{spec.address}]" if ":" in spec.address else spec.address
    return f"{host}:{spec.port}"


class ClosableConnection(Protocol):
    """A client's connection that leads to a host."""

    def close_now(self) -> None: ...


class Host:
    """A live endpoint: its specification, which updates replace, and what is going on at it."""

    __slots__ = (
        "active_connections",
        "active_requests",
        "address",
        "connect_failures",
        "connections_total",
        "flags",
        "health",
        "healthy_since",
        "high_priority_pools",
        "http2_pool",
        "local_origin_success_rate",
        "metadata",
        "name",
        "named_pools",
        "outlier",
        "pool",
        "port",
        "requests_error",
        "requests_success",
        "requests_timeout",
        "requests_total",
        "spec",
        "success_rate",
        "tcp_connections",
        "weight",
    )  # fmt: skip

    def __init__(self, spec: HostSpec) -> None:
        self.address = spec.address
        self.port = spec.port
        #: "ip:port" or a Unix socket's path, as the access log and the admin API print it.
        self.name = _name(spec)
        self.pool: Pool | None = None
        #: For requests of routes with priority HIGH, which have limits of their own; by whether multiplexed.
        self.high_priority_pools: dict[bool, Pool] = {}
        #: Where hosts are spoken to as clients speak to us: for requests that came by HTTP/2.
        self.http2_pool: Pool | None = None
        #: Where requests choose the server name: by that name and whether it is the pool for HTTP/2.
        self.named_pools: dict[tuple[str, bool], Pool] = {}
        #: Outlier detection's view of the host; None where the cluster has none.
        self.outlier: OutlierMonitor | None = None
        self.active_requests = 0
        self.active_connections = 0
        self.connections_total = 0
        self.connect_failures = 0
        self.requests_total = 0
        self.requests_success = 0
        self.requests_error = 0
        self.requests_timeout = 0
        #: In percent, over the last interval of outlier detection; -1: too few requests to say.
        self.success_rate = -1.0
        self.local_origin_success_rate = -1.0
        #: TCP connections that close when the host fails; only where the cluster wants that.
        self.tcp_connections: set[ClosableConnection] = set()
        #: The loop's time when the host last became healthy.
        self.healthy_since = 0.0
        self.flags = HealthFlag(0)
        self.update(spec)

    def update(self, spec: HostSpec) -> None:
        """Take over a new specification of the same address."""
        self.spec = spec
        self.weight = max(1, spec.weight)
        self.metadata = spec.metadata
        flags = (self.flags & ~_FROM_CONFIGURATION) | _OF_SPEC.get(spec.health, HealthFlag(0))
        self._set_flags(flags | HealthFlag.EDS_STATUS_DRAINING if spec.draining else flags)

    def set_flag(self, flag: HealthFlag) -> None:
        self._set_flags(self.flags | flag)

    def clear_flag(self, flag: HealthFlag) -> None:
        self._set_flags(self.flags & ~flag)

    @property
    def excluded(self) -> bool:
        """Counts neither as healthy nor as unhealthy."""
        return bool(self.flags & _EXCLUDED)

    def _set_flags(self, flags: HealthFlag) -> None:
        self.flags = flags
        if flags & _UNHEALTHY:
            self.health = Health.UNHEALTHY
        elif flags & _DEGRADED:
            self.health = Health.DEGRADED
        else:
            self.health = Health.HEALTHY

    def __repr__(self) -> str:
        return f"Host({self.name}, {self.health.value}, {self.active_requests} active)"
