"""DestinationRule: subsets of a service, and how its clients connect and balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from minimesh.config.istio.selection import WorkloadLabelSelector
from minimesh.config.istio.traffic import PortSelector
from minimesh.config.schema import (
    Duration,
    Int32,
    Length,
    Message,
    Percentage,
    Range,
    Req,
    UInt32,
    UInt64,
    message,
)

HTTPErrorCode = Annotated[int, Range(100, 599)]
Aggression = Annotated[float, Range(0, float("inf"))]
ClusterSize = Annotated[int, Range(1, 2**32 - 1)]


class SimpleLB(StrEnum):
    """Load balancing without further settings. LEAST_CONN is the old name of LEAST_REQUEST."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


@message
class HTTPCookieAttribute(Message):
    """One attribute of a cookie."""

    name: Req[str] = ""
    value: str = ""


@message
class HTTPCookie(Message):
    """A cookie to hash; made for clients that lack it when it has a time to live."""

    name: Req[str] = ""
    path: str = ""
    ttl: Duration | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()


@message
class RingHash(Message):
    """Ring hashing."""

    minimum_ring_size: UInt64 = 0


@message
class MagLev(Message):
    """Maglev hashing."""

    table_size: UInt64 = 0


@message
class ConsistentHashLB(Message):
    """Send requests that hash alike to the same host."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 = 0


@message
class BackendUtilization(Message):
    """Balance by the load that hosts report."""

    error_utilization_penalty_percent: UInt32 = 0
    metric_names_for_computing_utilization: tuple[str, ...] = ()
    weight_expiration_period: Duration | None = None
    weight_stabilization_period: Duration | None = None
    weight_update_period: Duration | None = None


@message
class Distribute(Message):
    """How the traffic of one locality is spread over others, in percent."""

    from_: str = ""
    to: Mapping[str, UInt32] = field(default_factory=dict)


@message
class Failover(Message):
    """Where the traffic of one locality goes when its hosts fail."""

    from_: str = ""
    to: str = ""


@message
class LocalityLoadBalancerSetting(Message):
    """Preference for near hosts."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


@message
class ZoneAwareLoadBalancerSetting(Message):
    """Preference for hosts of the same zone."""

    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: ClusterSize | None = None


@message
class WarmupConfiguration(Message):
    """How slowly a new host gets its full share."""

    duration: Req[Duration | None] = None
    minimum_percent: Percentage | None = None
    aggression: Aggression | None = None


@message
class LoadBalancerSettings(Message):
    """How a host is chosen; at most one of simple, consistent_hash, backend_utilization."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHashLB | None = None
    backend_utilization: BackendUtilization | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None


@message
class TcpKeepalive(Message):
    """TCP keep-alive probes."""

    probes: UInt32 = 0
    time: Duration | None = None
    interval: Duration | None = None


@message
class TCPSettings(Message):
    """Limits of the connections to a service; 0 means the default."""

    max_connections: Int32 = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class H2UpgradePolicy(StrEnum):
    """Whether HTTP/1.1 connections to a service become HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@message
class ConnectionKeepalive(Message):
    """HTTP/2 pings."""

    interval: Duration | None = None
    timeout: Duration | None = None


@message
class HTTPSettings(Message):
    """Limits of the requests to a service; 0 means the default."""

    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: H2UpgradePolicy | None = None
    use_client_protocol: bool = False
    max_concurrent_streams: Int32 = 0
    http2_keep_alive: ConnectionKeepalive | None = None


@message
class ConnectionPoolSettings(Message):
    """Limits of connections and requests."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


@message
class OutlierDetection(Message):
    """When a host that fails is left out, and for how long."""

    consecutive_errors: Int32 = 0
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0
    outlier_detection_http_error_codes: tuple[HTTPErrorCode, ...] = ()


class ClientTLSMode(StrEnum):
    """How clients secure connections to a service."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@message
class ClientTLSSettings(Message):
    """TLS as a client speaks it."""

    mode: ClientTLSMode | None = None
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None


@message
class TunnelSettings(Message):
    """Tunnel TCP through HTTP CONNECT or POST."""

    protocol: str = ""
    target_host: Req[str] = ""
    target_port: Req[UInt32] = 0


class ProxyProtocolVersion(StrEnum):
    """Versions of the PROXY protocol."""

    V1 = "V1"
    V2 = "V2"


@message
class ProxyProtocol(Message):
    """Tell the service the client's address by the PROXY protocol."""

    version: ProxyProtocolVersion | None = None


@message
class RetryBudget(Message):
    """Retries allowed as a share of the active requests."""

    percent: Percentage | None = None
    min_retry_concurrency: UInt32 = 0
    budget_interval: Duration | None = None


@message
class PortTrafficPolicy(Message):
    """The traffic policy of one port; replaces the one above it."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


@message
class TrafficPolicy(Message):
    """How clients connect to a service and choose its hosts."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: Annotated[tuple[PortTrafficPolicy, ...], Length(0, 4096)] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


@message
class Subset(Message):
    """Some of a service's pods, by labels, with a name that routes use."""

    name: Req[str] = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


@message
class DestinationRule(Message):
    """Policy for the traffic to one host, after routing."""

    host: Req[str] = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadLabelSelector | None = None
