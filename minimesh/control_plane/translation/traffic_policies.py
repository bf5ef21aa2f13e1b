"""A DestinationRule's traffic policy on a cluster: pools, circuit breakers, outliers, load balancing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.translation.protobuf_values import any_of, duration, uint32
from minimesh.control_plane.translation.upstream_protocol import (
    UpstreamProtocol,
    upstream_protocol,
    write_protocol,
)
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import (
        ClientTLSSettings,
        ConnectionPoolSettings,
        ConsistentHashLB,
        HTTPSettings,
        LoadBalancerSettings,
        LocalityLoadBalancerSetting,
        OutlierDetection,
        PortTrafficPolicy,
        RetryBudget,
        Subset,
        TcpKeepalive,
        TCPSettings,
        TrafficPolicy,
    )
    from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig

UNLIMITED = 4294967295
"""Istio lifts Envoy's limits of 1024 connections and 3 retries, too tight while pods come and go."""

HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_DEFAULT_RETRY_PERCENT = 20.0
_DEFAULT_RETRY_CONCURRENCY = 3


@dataclass(frozen=True, slots=True)
class ClusterPolicy:
    """The settings that apply to one cluster, after port and subset have had their say. Each may be None."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    load_balancer: LoadBalancerSettings | None = None
    tls: ClientTLSSettings | None = None
    retry_budget: RetryBudget | None = None


def policy_for_port(policy: TrafficPolicy | None, port: int) -> ClusterPolicy:
    """A rule's policy for one port: a port-level entry replaces the rule's settings as a whole."""
    if policy is None:
        return ClusterPolicy()
    return _settings(_port_level(policy, port) or policy, policy.retry_budget)


def policy_for_subset(base: ClusterPolicy, subset_policy: TrafficPolicy | None, port: int) -> ClusterPolicy:
    """A subset's policy over the rule's: what the subset sets wins, field by field.

    An entry for the port replaces all of it, as in the rule itself.
    """
    if subset_policy is None:
        return base
    budget = subset_policy.retry_budget or base.retry_budget
    own = _port_level(subset_policy, port)
    if own is not None:
        return _settings(own, budget)
    return ClusterPolicy(
        subset_policy.connection_pool or base.connection_pool,
        subset_policy.outlier_detection or base.outlier_detection,
        subset_policy.load_balancer or base.load_balancer,
        subset_policy.tls or base.tls,
        budget,
    )


def policy_of_cluster(rule: DestinationRuleConfig | None, port: int, subset: Subset | None) -> ClusterPolicy:
    """What a rule says about one port of its host, or of one of its subsets."""
    if rule is None:
        return ClusterPolicy()
    policy = policy_for_port(rule.traffic_policy, port)
    return policy_for_subset(policy, subset.traffic_policy, port) if subset is not None else policy


def apply_policy(
    cluster: Any,
    policy: ClusterPolicy,
    port: Protocol,
    locality: LocalityLoadBalancerSetting | None,
    *,
    sniffs: bool,
    upgrades: bool = False,
) -> None:
    """Write an outbound policy into a Cluster whose type is set; for the last two see `upstream_protocol`.

    `locality` is the LocalityLoadBalancerSetting in force.
    """
    apply_connection_pool(cluster, policy.connection_pool, port, sniffs=sniffs, upgrades=upgrades)
    if policy.retry_budget is not None:
        _apply_retry_budget(cluster.circuit_breakers.thresholds[0], policy.retry_budget)
    _apply_outlier_detection(cluster, policy.outlier_detection)
    if locality is not None and weighs_localities(locality, fails_over=policy.outlier_detection is not None):
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    _apply_load_balancer(cluster, policy.load_balancer)


def weighs_localities(setting: LocalityLoadBalancerSetting, *, fails_over: bool) -> bool:
    """Whether weights of localities count; they would else only spoil the choice of the least busy host."""
    return bool(setting.distribute or (fails_over and (setting.failover or setting.failover_priority)))


def apply_connection_pool(
    cluster: Any,
    pool: ConnectionPoolSettings | None,
    port: Protocol = Protocol.TCP,
    *,
    sniffs: bool = False,
    upgrades: bool = False,
) -> None:
    """Circuit breakers, timeouts and HTTP options; without settings, Istio's defaults."""
    http = pool.http if pool is not None else None
    tcp = pool.tcp if pool is not None else None
    cluster.circuit_breakers.thresholds.append(_thresholds(http, tcp))
    if tcp is not None:
        if tcp.connect_timeout is not None:
            cluster.connect_timeout.CopyFrom(duration(tcp.connect_timeout))
        if tcp.tcp_keepalive is not None:
            apply_keepalive(cluster, tcp.tcp_keepalive)
    protocol = upstream_protocol(port, http, sniffs=sniffs, upgrades=upgrades)
    options = _http_options(http, tcp, protocol)
    if options is not None:
        cluster.typed_extension_protocol_options[HTTP_PROTOCOL_OPTIONS].CopyFrom(any_of(options))


def _port_level(policy: TrafficPolicy, port: int) -> PortTrafficPolicy | None:
    entries = (e for e in policy.port_level_settings if e.port is not None and e.port.number == port)
    return next(entries, None)


def _settings(policy: TrafficPolicy | PortTrafficPolicy, retry_budget: RetryBudget | None) -> ClusterPolicy:
    return ClusterPolicy(
        policy.connection_pool, policy.outlier_detection, policy.load_balancer, policy.tls, retry_budget
    )


def _apply_retry_budget(thresholds: Any, written: RetryBudget) -> None:
    """Retries as a share of the requests under way; it takes the place of a fixed limit."""
    budget = thresholds.retry_budget
    budget.budget_percent.value = _DEFAULT_RETRY_PERCENT if written.percent is None else written.percent
    budget.min_retry_concurrency.value = written.min_retry_concurrency or _DEFAULT_RETRY_CONCURRENCY


def _thresholds(http: HTTPSettings | None, tcp: TCPSettings | None) -> Any:
    return m.circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_limit(tcp, "max_connections"),
        max_pending_requests=_limit(http, "http1_max_pending_requests"),
        max_requests=_limit(http, "http2_max_requests"),
        max_retries=_limit(http, "max_retries"),
        track_remaining=True,
    )


def _limit(settings: HTTPSettings | TCPSettings | None, name: str) -> Any:
    """A limit as written; 0 and nothing both mean none."""
    return uint32((getattr(settings, name) if settings is not None else 0) or UNLIMITED)


def apply_keepalive(cluster: Any, keepalive: TcpKeepalive) -> None:
    """Ask idle peers whether they are there; fields that are not written stay as they are."""
    message = cluster.upstream_connection_options.tcp_keepalive
    message.SetInParent()
    if keepalive.probes:
        message.keepalive_probes.CopyFrom(uint32(keepalive.probes))
    if keepalive.time is not None:
        message.keepalive_time.CopyFrom(uint32(int(keepalive.time.total_seconds())))
    if keepalive.interval is not None:
        message.keepalive_interval.CopyFrom(uint32(int(keepalive.interval.total_seconds())))


def _http_options(
    http: HTTPSettings | None, tcp: TCPSettings | None, protocol: UpstreamProtocol
) -> Any | None:
    """HttpProtocolOptions; None when there is nothing to say beyond Envoy's defaults."""
    message = m.http_protocol_options_pb2.HttpProtocolOptions()
    common = message.common_http_protocol_options
    idle_timeout = http.idle_timeout if http is not None else None
    if idle_timeout is None and tcp is not None:
        idle_timeout = tcp.idle_timeout
    if idle_timeout is not None:
        common.idle_timeout.CopyFrom(duration(idle_timeout))
    if http is not None and http.max_requests_per_connection:
        common.max_requests_per_connection.CopyFrom(uint32(http.max_requests_per_connection))
    if tcp is not None and tcp.max_connection_duration is not None:
        common.max_connection_duration.CopyFrom(duration(tcp.max_connection_duration))
    if protocol is UpstreamProtocol.HTTP1 and not message.HasField("common_http_protocol_options"):
        return None
    write_protocol(message, protocol, http)
    return message


def _apply_outlier_detection(cluster: Any, outlier: OutlierDetection | None) -> None:
    if outlier is None:
        return
    message = cluster.outlier_detection
    message.enforcing_success_rate.CopyFrom(uint32(0))
    _count_errors(message, outlier)
    if outlier.interval is not None:
        message.interval.CopyFrom(duration(outlier.interval))
    if outlier.base_ejection_time is not None:
        message.base_ejection_time.CopyFrom(duration(outlier.base_ejection_time))
    if outlier.max_ejection_percent:
        message.max_ejection_percent.CopyFrom(uint32(outlier.max_ejection_percent))
    # Istio switches panic mode off unless a share of healthy hosts is asked for.
    cluster.common_lb_config.healthy_panic_threshold.value = outlier.min_health_percent


def _count_errors(message: Any, outlier: OutlierDetection) -> None:
    """How many errors in a row eject a host; zero of a kind switches that kind off."""
    if outlier.consecutive_5xx_errors is not None:
        message.consecutive_5xx.CopyFrom(uint32(outlier.consecutive_5xx_errors))
        message.enforcing_consecutive_5xx.CopyFrom(uint32(100 if outlier.consecutive_5xx_errors else 0))
    if outlier.consecutive_gateway_errors is not None:
        enforcing = uint32(100 if outlier.consecutive_gateway_errors else 0)
        message.consecutive_gateway_failure.CopyFrom(uint32(outlier.consecutive_gateway_errors))
        message.enforcing_consecutive_gateway_failure.CopyFrom(enforcing)
    if outlier.split_external_local_origin_errors:
        message.split_external_local_origin_errors = True
        if outlier.consecutive_local_origin_failures:
            failures = outlier.consecutive_local_origin_failures
            message.consecutive_local_origin_failure.CopyFrom(uint32(failures))
            message.enforcing_consecutive_local_origin_failure.CopyFrom(uint32(100))
            message.enforcing_local_origin_success_rate.CopyFrom(uint32(0))


def _apply_load_balancer(cluster: Any, balancer: LoadBalancerSettings | None) -> None:
    if cluster.type == cluster.ORIGINAL_DST:
        cluster.lb_policy = cluster.CLUSTER_PROVIDED
        return
    simple = str(balancer.simple or "") if balancer is not None else ""
    if simple == "PASSTHROUGH":
        cluster.type = cluster.ORIGINAL_DST
        cluster.lb_policy = cluster.CLUSTER_PROVIDED
        cluster.ClearField("load_assignment")
    elif simple == "RANDOM":
        cluster.lb_policy = cluster.RANDOM
    elif simple == "ROUND_ROBIN":
        cluster.lb_policy = cluster.ROUND_ROBIN
    else:
        # LEAST_CONN is the old name; undeclared means the same.
        cluster.lb_policy = cluster.LEAST_REQUEST
    if balancer is not None:
        _apply_warmup(cluster, balancer)
        if balancer.consistent_hash is not None:
            _apply_consistent_hash(cluster, balancer.consistent_hash)


def _apply_warmup(cluster: Any, balancer: LoadBalancerSettings) -> None:
    window = balancer.warmup.duration if balancer.warmup is not None else balancer.warmup_duration_secs
    if window is None:
        return
    if cluster.lb_policy == cluster.ROUND_ROBIN:
        slow_start = cluster.round_robin_lb_config.slow_start_config
    elif cluster.lb_policy == cluster.LEAST_REQUEST:
        slow_start = cluster.least_request_lb_config.slow_start_config
    else:
        return
    slow_start.slow_start_window.CopyFrom(duration(window))
    if balancer.warmup is not None and balancer.warmup.aggression is not None:
        slow_start.aggression.default_value = balancer.warmup.aggression
        slow_start.aggression.runtime_key = "slow_start.aggression"
    if balancer.warmup is not None and balancer.warmup.minimum_percent is not None:
        slow_start.min_weight_percent.value = balancer.warmup.minimum_percent


def _apply_consistent_hash(cluster: Any, consistent_hash: ConsistentHashLB) -> None:
    maglev, ring = consistent_hash.maglev, consistent_hash.ring_hash
    if maglev is not None:
        cluster.lb_policy = cluster.MAGLEV
        if maglev.table_size:
            cluster.maglev_lb_config.table_size.value = maglev.table_size
        return
    cluster.lb_policy = cluster.RING_HASH
    size = ring.minimum_ring_size if ring is not None else consistent_hash.minimum_ring_size
    cluster.ring_hash_lb_config.minimum_ring_size.value = size or 1024
