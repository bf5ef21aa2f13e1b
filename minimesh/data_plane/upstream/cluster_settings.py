"""What the configuration of a cluster says. Defaults are Envoy's; times are in seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from minimesh.data_plane.network.http2_options import DEFAULT_HTTP2_OPTIONS, Http2Options
from minimesh.data_plane.upstream.circuit_breakers import DEFAULT_LIMITS, CircuitBreakers
from minimesh.data_plane.upstream.health_check import HealthCheck
from minimesh.data_plane.upstream.lb_settings import DEFAULT_LOAD_BALANCING, LoadBalancing
from minimesh.data_plane.upstream.outlier_detection import EjectionLog, OutlierDetection

if TYPE_CHECKING:
    from minimesh.data_plane.network.tls.client import TransportSockets
    from minimesh.data_plane.upstream.connection_pool import PooledConnection
    from minimesh.data_plane.upstream.host import Host
    from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedConnection


class Discovery(Enum):
    """Where the hosts of a cluster come from."""

    STATIC = "STATIC"
    EDS = "EDS"
    STRICT_DNS = "STRICT_DNS"
    LOGICAL_DNS = "LOGICAL_DNS"
    ORIGINAL_DST = "ORIGINAL_DST"


ConnectHttp2 = Callable[["Host", "ClusterSettings"], Awaitable["MultiplexedConnection"]]


class UpstreamProtocol(Enum):
    """Which protocol the hosts of a cluster are spoken to in."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2"
    AS_DOWNSTREAM = "that of the request"
    BY_ALPN = "what the TLS handshake says"


Connect = Callable[["Host", "ClusterSettings"], Awaitable["PooledConnection"]]
"""Opens one connection to a host. Raises OSError when it cannot; the caller minds the connect timeout."""


@dataclass(frozen=True, slots=True)
class TcpKeepalive:
    """`upstream_connection_options.tcp_keepalive`; 0: the system's own value."""

    probes: int = 0
    time_s: int = 0
    interval_s: int = 0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What a cluster's configuration says, times in seconds. Defaults are Envoy's."""

    name: str
    discovery: Discovery = Discovery.STATIC
    load_balancing: LoadBalancing = DEFAULT_LOAD_BALANCING
    connect_timeout_s: float = 5.0
    circuit_breakers: CircuitBreakers = DEFAULT_LIMITS
    high_circuit_breakers: CircuitBreakers = DEFAULT_LIMITS
    """For requests of routes with priority HIGH."""
    outlier_detection: OutlierDetection | None = None
    ejection_log: EjectionLog | None = None
    """Where ejections are written down; None: nowhere."""
    health_check: HealthCheck | None = None
    ignore_new_hosts_until_first_hc: bool = False
    """A host that has not been checked yet counts neither as healthy nor as failing."""
    ignore_health_on_host_removal: bool = False
    """A host that configuration no longer names goes at once, even while checks find it healthy."""
    close_connections_on_host_health_failure: bool = False
    """TCP connections to a host that fails are closed."""
    cleanup_interval_s: float = 5.0
    """ORIGINAL_DST: a destination unused for this long is forgotten."""
    tcp_keepalive: TcpKeepalive | None = None
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
    http1_trailers: bool = False
    """`enable_trailers`: trailers are passed on; else they end here."""
    protocol: UpstreamProtocol = UpstreamProtocol.HTTP1
    http2_options: Http2Options = DEFAULT_HTTP2_OPTIONS
    alt_stat_name: str = ""
    service_name: str = ""
    """EDS: the name to ask for; empty: the cluster's."""
    dns_refresh_rate_s: float = 5.0
    metadata: Mapping[str, object] = field(default_factory=dict)
    transport_sockets: TransportSockets | None = None
    """TLS to the hosts; None: plain text to all of them."""
    auto_sni: bool = False
    """SNI is the host that a request asks for."""
    auto_san_validation: bool = False
    """A certificate has to be for the server name that was sent."""
    connect: Connect | None = None
    """Opens an HTTP/1.1 connection (`http.upstream.connect_http1`, ...); filled in by compile_cluster."""
    connect_http2: ConnectHttp2 | None = None
    """The same for HTTP/2 (`http.http2_upstream.connect_http2`, ...)."""

    def local_address_for(self, host_address: str) -> tuple[str, int] | None:
        """Where to dial a host from, any port; None leaves it to the system."""
        source = self.source_address
        if not source and host_address.startswith("127."):
            source = self.loopback_source_address
        return (source, 0) if source else None
