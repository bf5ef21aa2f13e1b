"""Cluster and ClusterLoadAssignment messages -> `upstream.cluster` settings and hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, Discovery, TcpKeepalive
from minimesh.data_plane.upstream.ejection_log import EjectionFile
from minimesh.data_plane.upstream.host import Health, HostSpec, Locality, is_unix_path
from minimesh.data_plane.upstream.lb_settings import LoadBalancerPolicy
from minimesh.data_plane.upstream.outlier_detection import EjectionLog
from minimesh.data_plane.upstream.priority_load import OVERPROVISIONING_FACTOR_PERCENT
from minimesh.data_plane.xds_client.compile.circuit_breakers import compile_circuit_breakers
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import metadata_to_plain
from minimesh.data_plane.xds_client.compile.health import compile_health_check, compile_outlier_detection
from minimesh.data_plane.xds_client.compile.load_balancing import compile_load_balancing
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds
from minimesh.data_plane.xds_client.compile.tls import compile_transport_sockets
from minimesh.data_plane.xds_client.compile.upstream_http import with_http_options
from minimesh.xds import messages as m

_CLUSTER = frozenset(
    {
        "alt_stat_name",
        "circuit_breakers",
        "close_connections_on_host_health_failure",
        "cleanup_interval",
        "common_http_protocol_options",
        "common_lb_config",
        "connect_timeout",
        "dns_lookup_family",
        "dns_refresh_rate",
        "dns_failure_refresh_rate",
        "eds_cluster_config",
        "health_checks",
        "http2_protocol_options",
        "http_protocol_options",
        "ignore_health_on_host_removal",
        "lb_policy",
        "lb_subset_config",
        "least_request_lb_config",
        "load_assignment",
        "load_balancing_policy",
        "maglev_lb_config",
        "max_requests_per_connection",
        "metadata",
        "name",
        "original_dst_lb_config",
        "outlier_detection",
        "per_connection_buffer_limit_bytes",
        "respect_dns_ttl",
        "ring_hash_lb_config",
        "round_robin_lb_config",
        "transport_socket",
        "transport_socket_matches",
        "type",
        "typed_extension_protocol_options",
        "upstream_bind_config",
        "upstream_connection_options",
        "wait_for_warm_on_init",
    }
)
#: Settings of policies that change which host is chosen, or when one is left out; see `not_simulated`.
_NOT_SIMULATED = frozenset(
    {
        "preconnect_policy",
        "track_cluster_stats",
    }
)
#: Of a load assignment. How old endpoints may grow has no answer while the stream to the control plane is
#: down: as with Envoy without a timer, the last ones stay.
_POLICY = frozenset({"overprovisioning_factor", "endpoint_stale_after"})
_DISCOVERIES = {each.value: each for each in Discovery}


@dataclass(frozen=True, slots=True)
class DnsTarget:
    """A host to resolve; `spec` is the endpoint with its name in place of an address."""

    hostname: str
    port: int
    spec: HostSpec


@dataclass(frozen=True, slots=True)
class CompiledCluster:
    """A cluster ready to be applied."""

    message: Any
    settings: ClusterSettings
    hosts: tuple[HostSpec, ...] = ()
    """STATIC: the endpoints."""
    dns_targets: tuple[DnsTarget, ...] = ()
    """STRICT_DNS and LOGICAL_DNS: what to resolve."""

    @property
    def eds_name(self) -> str:
        """EDS: the load assignment to ask for; empty for other clusters."""
        settings = self.settings
        return (settings.service_name or settings.name) if settings.discovery is Discovery.EDS else ""


def compile_cluster(message: Any, context: CompileContext, path: str = "") -> CompiledCluster:
    """One Cluster. Raises CompileError."""
    refuse_unsupported(message, path, _CLUSTER | _NOT_SIMULATED)
    for field in _NOT_SIMULATED:
        if field in {descriptor.name for descriptor, _ in message.ListFields()}:
            context.not_simulated(join(path, field), f"{field} of cluster {message.name!r}")
    if not message.name:
        raise CompileError(join(path, "name"), "must not be empty")
    discovery = _discovery(message, path)
    settings = _settings(message, discovery, path, context)
    assignment, where = message.load_assignment, join(path, "load_assignment")
    if discovery is Discovery.STATIC:
        return CompiledCluster(message, settings, hosts=compile_load_assignment(assignment, where))
    if discovery in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS):
        return CompiledCluster(message, settings, dns_targets=_dns_targets(assignment, where, discovery))
    return CompiledCluster(message, settings)


def compile_load_assignment(message: Any, path: str = "") -> tuple[HostSpec, ...]:
    """The endpoints of a ClusterLoadAssignment whose addresses are IP addresses. Raises CompileError."""
    specs = tuple(_endpoints(message, path))
    for spec in specs:
        if not (is_unix_path(spec.address) or _is_ip(spec.address)):
            raise CompileError(
                path,
                f"malformed IP address: {spec.address}. Consider setting cluster type to 'STRICT_DNS' "
                "or 'LOGICAL_DNS'",
            )
    return specs


def _discovery(message: Any, path: str) -> Discovery:
    name = message.DiscoveryType.Name(message.type)
    return _DISCOVERIES[name]


def _settings(message: Any, discovery: Discovery, path: str, context: CompileContext) -> ClusterSettings:
    connect_timeout_s = optional_seconds(message, "connect_timeout", path)
    settings = ClusterSettings(
        name=message.name,
        alt_stat_name=message.alt_stat_name,
        discovery=discovery,
        load_balancing=compile_load_balancing(message, path, context),
        connect_timeout_s=5.0 if connect_timeout_s is None else connect_timeout_s,
        circuit_breakers=compile_circuit_breakers(message, m.base_pb2.RoutingPriority.DEFAULT),
        high_circuit_breakers=compile_circuit_breakers(message, m.base_pb2.RoutingPriority.HIGH),
        outlier_detection=compile_outlier_detection(message, path),
        ejection_log=_ejection_log(message, context),
        health_check=compile_health_check(message, path, context),
        ignore_new_hosts_until_first_hc=message.common_lb_config.ignore_new_hosts_until_first_hc,
        ignore_health_on_host_removal=message.ignore_health_on_host_removal,
        close_connections_on_host_health_failure=message.close_connections_on_host_health_failure,
        cleanup_interval_s=optional_seconds(message, "cleanup_interval", path) or 5.0,
        tcp_keepalive=_tcp_keepalive(message, path),
        source_address=_source_address(message, path),
        loopback_source_address=context.address_map.pod_ip,
        per_connection_buffer_limit_bytes=_value_or(
            message, "per_connection_buffer_limit_bytes", 1024 * 1024
        ),
        max_requests_per_connection=message.max_requests_per_connection.value,
        service_name=message.eds_cluster_config.service_name,
        dns_refresh_rate_s=optional_seconds(message, "dns_refresh_rate", path) or 5.0,
        metadata=metadata_to_plain(message.metadata),
        transport_sockets=compile_transport_sockets(message, path, context),
        connect=connect_http1,
    )
    _check_original_destination(settings, path)
    return with_http_options(settings, message, path)


def _source_address(message: Any, path: str) -> str:
    if not message.HasField("upstream_bind_config"):
        return ""
    bind, where = message.upstream_bind_config, join(path, "upstream_bind_config")
    refuse_unsupported(bind, where, frozenset({"source_address", "freebind"}))
    return str(bind.source_address.address)


def _check_original_destination(settings: ClusterSettings, path: str) -> None:
    """Destinations come from requests, and from nowhere else, in clusters of this type alone."""
    provided = settings.load_balancing.policy is LoadBalancerPolicy.CLUSTER_PROVIDED
    if provided != (settings.discovery is Discovery.ORIGINAL_DST):
        policy, kind = settings.load_balancing.policy.value, settings.discovery.value
        raise CompileError(
            join(path, "lb_policy"), f"{policy} is not valid for cluster type {kind}: see CLUSTER_PROVIDED"
        )


def _ejection_log(message: Any, context: CompileContext) -> EjectionLog | None:
    path = context.outlier_event_log_path
    if not path or not message.HasField("outlier_detection"):
        return None
    return EjectionFile(message.name, context.log_files.open(path).write)


def _tcp_keepalive(message: Any, path: str) -> TcpKeepalive | None:
    options, where = message.upstream_connection_options, join(path, "upstream_connection_options")
    refuse_unsupported(options, where, frozenset({"tcp_keepalive"}))
    if not options.HasField("tcp_keepalive"):
        return None
    keepalive, where = options.tcp_keepalive, join(where, "tcp_keepalive")
    names = ("keepalive_probes", "keepalive_time", "keepalive_interval")
    refuse_unsupported(keepalive, where, frozenset(names))
    return TcpKeepalive(*(getattr(keepalive, name).value for name in names))


# --- endpoints ------------------------------------------------------------------------------------

_HEALTH = {"UNHEALTHY": Health.UNHEALTHY, "TIMEOUT": Health.UNHEALTHY, "DEGRADED": Health.DEGRADED}


def overprovisioning_factor(assignment: Any) -> int:
    """By how much a level's health may be overestimated, in percent; 140 unless the assignment says."""
    policy = assignment.policy
    return _value_or(policy, "overprovisioning_factor", OVERPROVISIONING_FACTOR_PERCENT)


def _endpoints(message: Any, path: str) -> Iterable[HostSpec]:
    refuse_unsupported(message.policy, join(path, "policy"), _POLICY)
    for number, locality in enumerate(message.endpoints):
        where = f"{join(path, 'endpoints')}[{number}]"
        place = Locality(locality.locality.region, locality.locality.zone, locality.locality.sub_zone)
        for index, endpoint in enumerate(locality.lb_endpoints):
            spec = _endpoint(endpoint, place, locality.priority, f"{where}.lb_endpoints[{index}]")
            yield replace(spec, locality_weight=locality.load_balancing_weight.value)


def _endpoint(message: Any, locality: Locality, priority: int, path: str) -> HostSpec:
    address = message.endpoint.address
    host, port = address.socket_address.address, address.socket_address.port_value
    if address.HasField("pipe"):
        host = address.pipe.path
    elif not address.HasField("socket_address"):
        kind = address.WhichOneof("address") or "endpoint without address"
        raise CompileError(join(path, "endpoint.address"), f"{kind}: not supported")
    health = m.health_check_pb2.HealthStatus.Name(message.health_status)
    check = message.endpoint.health_check_config
    return HostSpec(
        address=host,
        port=port,
        weight=_value_or(message, "load_balancing_weight", 1),
        health=_HEALTH.get(health, Health.HEALTHY),
        draining=health == "DRAINING",
        health_check_port=check.port_value,
        health_check_address=check.address.socket_address.address,
        health_check_hostname=check.hostname,
        health_check_disabled=check.disable_active_health_check,
        locality=locality,
        priority=priority,
        hostname=message.endpoint.hostname,
        metadata=metadata_to_plain(message.metadata),  # type: ignore[arg-type]  # namespaces hold mappings
    )


def _dns_targets(assignment: Any, path: str, discovery: Discovery) -> tuple[DnsTarget, ...]:
    targets = tuple(DnsTarget(spec.address, spec.port, spec) for spec in _endpoints(assignment, path))
    if discovery is Discovery.LOGICAL_DNS and len(targets) != 1:
        raise CompileError(
            path, "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"
        )
    return targets


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _value_or(message: Any, field: str, default: int) -> int:
    """The value of a wrapper field, or `default` when it is not set."""
    return int(getattr(message, field).value) if message.HasField(field) else default
