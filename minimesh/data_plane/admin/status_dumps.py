"""/clusters, /listeners, /server_info, /certs and /memory: live objects as Envoy's admin messages and
texts.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any

from minimesh import __version__
from minimesh.data_plane.admin.server_state import StateHolder
from minimesh.data_plane.admin.view import HOST_GAUGES, HostState, HostStates
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.runtime import Fraction, Runtime
from minimesh.data_plane.upstream.circuit_breakers import CircuitBreakers
from minimesh.data_plane.upstream.host import Health, HealthFlag, Host, is_unix_path
from minimesh.data_plane.xds_client.config_update import LiveCluster, LiveConfiguration
from minimesh.xds import messages as m

_EDS_HEALTH = {Health.HEALTHY: "HEALTHY", Health.DEGRADED: "DEGRADED", Health.UNHEALTHY: "UNHEALTHY"}
#: Fields of HostHealthStatus; what EDS says is told by its `eds_health_status`.
_HEALTH_FIELDS = {
    "failed_active_health_check": HealthFlag.FAILED_ACTIVE_HC,
    "failed_outlier_check": HealthFlag.FAILED_OUTLIER_CHECK,
    "failed_active_degraded_check": HealthFlag.DEGRADED_ACTIVE_HC,
    "pending_dynamic_removal": HealthFlag.PENDING_DYNAMIC_REMOVAL,
    "pending_active_hc": HealthFlag.PENDING_ACTIVE_HC,
    "excluded_via_immediate_hc_fail": HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
    "active_hc_timeout": HealthFlag.ACTIVE_HC_TIMEOUT,
}


def eds_health(host: Host) -> str:
    """A host's health as EDS has told it."""
    return "DRAINING" if host.spec.draining else _EDS_HEALTH[host.spec.health]


def to_dict(message: Any, *, everything: bool = False) -> Any:
    """JSON of a message with the field names of the proto, as Envoy prints it."""
    return m.json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=everything
    )


# --- clusters -------------------------------------------------------------------------------------


def clusters_json(configuration: LiveConfiguration, wanted: Callable[[str], bool], states: HostStates) -> Any:
    """`/clusters?format=json`."""
    message = m.clusters_pb2.Clusters()
    for live in _warm_clusters(configuration, wanted):
        _add_cluster_status(message.cluster_statuses.add(), live, states)
    return to_dict(message)


def clusters_text(configuration: LiveConfiguration, wanted: Callable[[str], bool], states: HostStates) -> str:
    """`/clusters`."""
    return "".join(
        f"{line}\n" for live in _warm_clusters(configuration, wanted) for line in _cluster_lines(live, states)
    )


def _warm_clusters(configuration: LiveConfiguration, wanted: Callable[[str], bool]) -> Iterator[LiveCluster]:
    return (live for name, live in sorted(configuration.clusters.items()) if live.warm and wanted(name))


def _add_cluster_status(status: Any, live: LiveCluster, states: HostStates) -> None:
    settings = live.compiled.settings
    status.name = settings.name
    status.observability_name = settings.alt_stat_name or settings.name
    status.eds_service_name = settings.service_name
    status.added_via_api = not live.static
    _add_thresholds(status.circuit_breakers.thresholds.add(), settings.circuit_breakers)
    high = status.circuit_breakers.thresholds.add(priority=m.base_pb2.RoutingPriority.HIGH)
    _add_thresholds(high, settings.high_circuit_breakers)
    for host in live.cluster.hosts:
        _add_host_status(status.host_statuses.add(), host, states(settings.name, host))


def _add_thresholds(message: Any, limits: CircuitBreakers) -> None:
    message.max_connections.value = limits.max_connections
    message.max_pending_requests.value = limits.max_pending_requests
    message.max_requests.value = limits.max_requests
    message.max_retries.value = limits.max_retries


def write_address(message: Any, host: Host) -> None:
    """A host's address as Envoy writes it: of a Unix socket the path."""
    if is_unix_path(host.address):
        message.pipe.path = host.address
    else:
        message.socket_address.address, message.socket_address.port_value = host.address, host.port


def _add_host_status(status: Any, host: Host, state: HostState) -> None:
    write_address(status.address, host)
    for name, value in state.numbers.items():
        kind = m.metrics_pb2.SimpleMetric
        status.stats.add(name=name, value=value, type=kind.GAUGE if name in HOST_GAUGES else kind.COUNTER)
    _add_health(status, host, state.flags)
    status.weight = host.weight
    if host.success_rate >= 0:
        status.success_rate.value = host.success_rate
    if host.local_origin_success_rate >= 0:
        status.local_origin_success_rate.value = host.local_origin_success_rate
    status.hostname = host.spec.hostname
    status.priority = host.spec.priority
    locality = host.spec.locality
    status.locality.region, status.locality.zone = locality.region, locality.zone
    status.locality.sub_zone = locality.sub_zone
    status.locality.SetInParent()


def _add_health(status: Any, host: Host, flags: HealthFlag) -> None:
    health = status.health_status
    health.eds_health_status = m.health_check_pb2.HealthStatus.Value(eds_health(host))
    for name, flag in _HEALTH_FIELDS.items():
        if flags & flag:
            setattr(health, name, True)


def _health_flags(flags: HealthFlag) -> str:
    """`/failed_active_hc/active_hc_timeout`, or `healthy`."""
    return "".join(f"/{flag.name}".lower() for flag in HealthFlag if flags & flag) or "healthy"


def _outlier_lines(name: str, live: LiveCluster) -> Iterator[str]:
    detector = live.cluster.health.detector
    if detector is not None:
        for kind, (average, limit) in zip(("", "local_origin_"), detector.averages, strict=True):
            yield f"{name}::outlier::{kind}success_rate_average::{average:g}"
            yield f"{name}::outlier::{kind}success_rate_ejection_threshold::{limit:g}"


def _cluster_lines(live: LiveCluster, states: HostStates) -> Iterator[str]:
    settings = live.compiled.settings
    name = settings.name
    yield f"{name}::observability_name::{settings.alt_stat_name or name}"
    yield from _outlier_lines(name, live)
    both = (("default", settings.circuit_breakers), ("high", settings.high_circuit_breakers))
    for priority, limits in both:
        yield f"{name}::{priority}_priority::max_connections::{limits.max_connections}"
        yield f"{name}::{priority}_priority::max_pending_requests::{limits.max_pending_requests}"
        yield f"{name}::{priority}_priority::max_requests::{limits.max_requests}"
        yield f"{name}::{priority}_priority::max_retries::{limits.max_retries}"
    yield f"{name}::added_via_api::{str(not live.static).lower()}"
    if settings.service_name:
        yield f"{name}::eds_service_name::{settings.service_name}"
    for host in live.cluster.hosts:
        for key, value in _host_facts(host, states(name, host)):
            yield f"{name}::{host.name}::{key}::{value}"


def _host_facts(host: Host, state: HostState) -> Iterator[tuple[str, object]]:
    yield from sorted(state.numbers.items())
    spec = host.spec
    yield "hostname", spec.hostname
    yield "health_flags", _health_flags(state.flags)
    yield "weight", host.weight
    yield "region", spec.locality.region
    yield "zone", spec.locality.zone
    yield "sub_zone", spec.locality.sub_zone
    yield "canary", "false"
    yield "priority", spec.priority
    yield "success_rate", f"{host.success_rate:g}"
    yield "local_origin_success_rate", f"{host.local_origin_success_rate:g}"


# --- listeners ------------------------------------------------------------------------------------


def listeners_json(configuration: LiveConfiguration) -> Any:
    """`/listeners?format=json`."""
    message = m.listeners_pb2.Listeners()
    for listener in _open_listeners(configuration):
        status = message.listener_statuses.add(name=listener.name)
        addresses = _addresses(listener)
        first = status.local_address.socket_address
        first.address, first.port_value = addresses[0]
        for host, port in addresses[1:]:
            extra = status.additional_local_addresses.add().socket_address
            extra.address, extra.port_value = host, port
    return to_dict(message)


def listeners_text(configuration: LiveConfiguration) -> str:
    """`/listeners`."""
    return "".join(
        f"{listener.name}::{','.join(f'{host}:{port}' for host, port in _addresses(listener))}\n"
        for listener in _open_listeners(configuration)
    )


def _open_listeners(configuration: LiveConfiguration) -> list[Listener]:
    return [live.listener for live in configuration.listeners.values() if live.listener is not None]


def _addresses(listener: Listener) -> list[tuple[str, int]]:
    """The sockets; for a listener without any, the address it is known by."""
    return listener.bound_addresses or [listener.settings.configured_address]


# --- the server -----------------------------------------------------------------------------------


def server_info(bootstrap: Any, state: StateHolder, concurrency: int) -> Any:
    """`/server_info`: Envoy's keys; options that a proxy of one small process does not have keep their
    default.
    """
    message = m.server_info_pb2.ServerInfo(
        version=f"minimesh/{__version__}/Clean/RELEASE/Python",
        state=state.reported.value,
        hot_restart_version="disabled",
    )
    message.uptime_current_epoch.seconds = message.uptime_all_epochs.seconds = state.uptime_s
    message.node.CopyFrom(bootstrap.node)
    options = message.command_line_options
    options.concurrency = concurrency
    options.mode = options.Serve
    options.disable_hot_restart = True
    options.service_node, options.service_cluster = bootstrap.node.id, bootstrap.node.cluster
    for duration in (options.file_flush_interval, options.drain_time, options.parent_shutdown_time):
        duration.SetInParent()
    info = to_dict(message, everything=True)
    # Fields that are newer than the generated messages.
    info["hot_restart_initializing"] = False
    info["command_line_options"].update(file_flush_min_size=0, log_stacktrace_single_entry=False)
    return info


def memory() -> Any:
    """`/memory`: what the operating system says; there is no heap of Envoy's kind to tell apart."""
    size_bytes = _resident_bytes()
    return {
        "allocated": str(size_bytes),
        "heap_size": str(size_bytes),
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": str(size_bytes),
    }


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # macOS: the peak, in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def runtime(values: Runtime) -> dict[str, Any]:
    """/runtime: what each layer says of each key, and what holds."""
    keys = sorted({key for layer in values.layers for key in layer.values})
    return {
        "layers": [layer.name for layer in values.layers],
        "entries": {
            key: {
                "layer_values": [_runtime_text(layer.values.get(key)) for layer in values.layers],
                "final_value": _runtime_text(values.value(key)),
            }
            for key in keys
        },
    }


def _runtime_text(value: object | None) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case Fraction():
            return f"{value.numerator}/{value.denominator}"
        case _:
            return str(value)
