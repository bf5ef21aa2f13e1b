"""What the configuration of a cluster says. Defaults are Envoy's; times are in seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.connection_pool import PooledConnection
    from minimesh.data_plane.upstream.host import Host


class LoadBalancerPolicy(Enum):
    """How a host is chosen."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    CLUSTER_PROVIDED = "CLUSTER_PROVIDED"


class Discovery(Enum):
    """Where the hosts of a cluster come from."""

    STATIC = "STATIC"
    EDS = "EDS"
    STRICT_DNS = "STRICT_DNS"
    LOGICAL_DNS = "LOGICAL_DNS"
    ORIGINAL_DST = "ORIGINAL_DST"


@dataclass(frozen=True, slots=True)
class CircuitBreakers:
    """Limits of one cluster at default priority; the defaults are Envoy's."""

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3


Connect = Callable[["Host", "ClusterSettings"], Awaitable["PooledConnection"]]
"""Opens one connection to a host. Raises OSError when it cannot; the caller minds the connect timeout."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What a cluster's configuration says, times in seconds. Defaults are Envoy's."""

    name: str
    discovery: Discovery = Discovery.STATIC
    lb_policy: LoadBalancerPolicy = LoadBalancerPolicy.ROUND_ROBIN
    connect_timeout_s: float = 5.0
    circuit_breakers: CircuitBreakers = CircuitBreakers()
    panic_threshold_percent: float = 50.0
    choice_count: int = 2
    """LEAST_REQUEST: how many hosts are drawn."""
    active_request_bias: float = 1.0
    """LEAST_REQUEST with unequal weights: how much active requests count against weight."""
    source_address: str = ""
    """`upstream_bind_config`: the local address to dial from; empty: the system's choice."""
    loopback_source_address: str = ""
    """The pod's own address where pods live on the loopback interface: what hosts there see as the peer."""
    max_requests_per_connection: int = 0
    """0: no limit."""
    idle_timeout_s: float = 3600.0
    """0: idle connections are kept for ever."""
    max_connection_duration_s: float = 0.0
    per_connection_buffer_limit_bytes: int = 1024 * 1024
    preserve_header_case: bool = False
    http1_trailers: bool = False
    """`enable_trailers`: trailers are passed on; else they end here."""
    http2: bool = False
    alt_stat_name: str = ""
    service_name: str = ""
    """EDS: the name to ask for; empty: the cluster's."""
    dns_refresh_rate_s: float = 5.0
    use_original_dst_header: bool = False
    subset_keys: tuple[tuple[str, ...], ...] = ()
    """`lb_subset_config`: sets of metadata keys by which requests may choose subsets."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    connect: Connect | None = None
    """Opens a connection to a host (`http.upstream.connect_http1`, ...); filled in by compile_cluster."""

    def local_address_for(self, host_address: str) -> tuple[str, int] | None:
        """Where to dial a host from, any port; None leaves it to the system."""
        source = self.source_address
        if not source and host_address.startswith("127."):
            source = self.loopback_source_address
        return (source, 0) if source else None
