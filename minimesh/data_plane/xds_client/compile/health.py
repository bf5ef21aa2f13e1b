"""OutlierDetection and HealthCheck of a Cluster -> `upstream.outlier_detection`, `upstream.health_check`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from minimesh.data_plane.http.health_probe import GrpcCheck, GrpcProber, HttpCheck, HttpProber
from minimesh.data_plane.routing.header_mutation import HeaderMutation, MutationStep
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
from minimesh.data_plane.upstream.health_check import HealthCheck, Prober
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.outlier_detection import OutlierDetection
from minimesh.data_plane.upstream.tcp_probe import TcpCheck, TcpProber
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.headers import compile_addition, compile_mutation_step
from minimesh.data_plane.xds_client.compile.match import compile_string_matcher
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds
from minimesh.xds import messages as m

_MakeProber = Callable[[Host, ClusterSettings], Prober]

#: Fields with the same name in the settings, by their kind.
_OUTLIER_NUMBERS = (
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "max_ejection_percent",
    "enforcing_consecutive_5xx",
    "enforcing_consecutive_gateway_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_success_rate",
    "enforcing_local_origin_success_rate",
    "enforcing_failure_percentage",
    "enforcing_failure_percentage_local_origin",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
    "success_rate_stdev_factor",
    "failure_percentage_threshold",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
)
_OUTLIER_TIMES = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
_OUTLIER_SWITCHES = ("always_eject_one_host", "successful_active_health_check_uneject_host")
_PERCENTAGES = tuple(name for name in _OUTLIER_NUMBERS if "enforcing" in name or "percent" in name)


def compile_outlier_detection(message: Any, path: str) -> OutlierDetection | None:
    """Of a Cluster; None where it has none. Raises CompileError."""
    if not message.HasField("outlier_detection"):
        return None
    outlier, path = message.outlier_detection, join(path, "outlier_detection")
    supported = {*_OUTLIER_NUMBERS, *_OUTLIER_TIMES, *_OUTLIER_SWITCHES, "split_external_local_origin_errors"}
    refuse_unsupported(outlier, path, frozenset(supported))
    values: dict[str, Any] = {
        name: getattr(outlier, name).value
        for name in (*_OUTLIER_NUMBERS, *_OUTLIER_SWITCHES)
        if outlier.HasField(name)
    }
    for name in _PERCENTAGES:
        if name in values and "volume" not in name and "hosts" not in name and values[name] > 100:
            raise CompileError(join(path, name), f"must not be greater than 100, not {values[name]}")
    for name in _OUTLIER_TIMES:
        seconds = optional_seconds(outlier, name, path)
        if seconds is not None:
            values[f"{name}_s"] = seconds
    found = OutlierDetection(
        **values, split_external_local_origin_errors=outlier.split_external_local_origin_errors
    )
    if found.max_ejection_time_s < found.base_ejection_time_s:
        if "max_ejection_time_s" in values:
            raise CompileError(join(path, "max_ejection_time"), "must not be less than base_ejection_time")
        found = replace(found, max_ejection_time_s=found.base_ejection_time_s)
    return found


# --- active checks --------------------------------------------------------------------------------

_HEALTH_CHECK = frozenset(
    {
        "timeout",
        "interval",
        "initial_jitter",
        "interval_jitter",
        "interval_jitter_percent",
        "unhealthy_threshold",
        "healthy_threshold",
        "alt_port",
        "reuse_connection",
        "http_health_check",
        "tcp_health_check",
        "grpc_health_check",
        "no_traffic_interval",
        "no_traffic_healthy_interval",
        "unhealthy_interval",
        "unhealthy_edge_interval",
        "healthy_edge_interval",
        # Say how much is logged, where there is an event log.
        "always_log_health_check_failures",
        "always_log_health_check_success",
    }
)
_HTTP = frozenset(
    {
        "host",
        "path",
        "receive",
        "response_buffer_size",
        "request_headers_to_add",
        "request_headers_to_remove",
        "expected_statuses",
        "retriable_statuses",
        "codec_client_type",
        "service_name_matcher",
        "method",
    }
)


def compile_health_check(message: Any, path: str, context: CompileContext) -> HealthCheck | None:
    """Of a Cluster; None where it has none. Raises CompileError."""
    if not message.health_checks:
        return None
    if len(message.health_checks) > 1:
        raise CompileError(join(path, "health_checks"), "Multiple health checks not supported")
    check, path = message.health_checks[0], join(path, "health_checks") + "[0]"
    for name in ("event_log_path", "event_logger", "event_service"):
        if name in {descriptor.name for descriptor, _ in check.ListFields()}:
            context.not_simulated(join(path, name), f"{name} of the health check of {message.name!r}")
    refuse_unsupported(check, path, _HEALTH_CHECK | {"event_log_path", "event_logger", "event_service"})

    def seconds(name: str, default: float) -> float:
        found = optional_seconds(check, name, path)
        return default if found is None else found

    for name in ("timeout", "interval", "unhealthy_threshold", "healthy_threshold"):
        if not check.HasField(name):
            raise CompileError(join(path, name), "must be set")
    no_traffic_s = seconds("no_traffic_interval", 60.0)
    unhealthy_s = seconds("unhealthy_interval", 0.0)
    return HealthCheck(
        make_prober=_at_port(_make_prober(check, path), check.alt_port.value),
        timeout_s=seconds("timeout", 0.0),
        interval_s=seconds("interval", 0.0),
        unhealthy_threshold=check.unhealthy_threshold.value,
        healthy_threshold=check.healthy_threshold.value,
        initial_jitter_s=seconds("initial_jitter", 0.0),
        interval_jitter_s=seconds("interval_jitter", 0.0),
        interval_jitter_percent=check.interval_jitter_percent,
        reuse_connection=not check.HasField("reuse_connection") or check.reuse_connection.value,
        no_traffic_interval_s=no_traffic_s,
        no_traffic_healthy_interval_s=seconds("no_traffic_healthy_interval", no_traffic_s),
        unhealthy_interval_s=unhealthy_s,
        unhealthy_edge_interval_s=seconds("unhealthy_edge_interval", unhealthy_s),
        healthy_edge_interval_s=seconds("healthy_edge_interval", 0.0),
    )


def _at_port(make: _MakeProber, port: int) -> _MakeProber:
    """`alt_port`: where health is asked for on every host that does not say otherwise for itself."""
    if not port:
        return make

    def make_at_port(host: Host, settings: ClusterSettings) -> Prober:
        if not host.spec.health_check_port:
            host = Host(replace(host.spec, health_check_port=port))
        return make(host, settings)

    return make_at_port


def _make_prober(message: Any, path: str) -> _MakeProber:
    kind = message.WhichOneof("health_checker")
    if kind == "http_health_check":
        return partial(HttpProber, _http_check(message.http_health_check, join(path, kind)))
    if kind == "tcp_health_check":
        return partial(TcpProber, _tcp_check(message.tcp_health_check, join(path, kind)))
    if kind == "grpc_health_check":
        return partial(GrpcProber, _grpc_check(message.grpc_health_check, join(path, kind)))
    raise CompileError(path, "one of http_health_check, tcp_health_check, grpc_health_check must be set")


def _http_check(message: Any, path: str) -> HttpCheck:
    refuse_unsupported(message, path, _HTTP)
    if not message.path:
        raise CompileError(join(path, "path"), "must not be empty")
    codec = m.http_pb2.CodecClientType.Name(message.codec_client_type)
    if codec == "HTTP3":
        raise CompileError(join(path, "codec_client_type"), "HTTP3: not supported")
    method = m.base_pb2.RequestMethod.Name(message.method)
    if method == "CONNECT":
        raise CompileError(join(path, "method"), "CONNECT: not supported")
    headers = compile_mutation_step(message, "request", path, value_formatter)
    service = message.service_name_matcher
    return HttpCheck(
        path=message.path,
        host=message.host,
        method="GET" if method == "METHOD_UNSPECIFIED" else method,
        expected_statuses=_ranges(message.expected_statuses, join(path, "expected_statuses"))
        or (range(200, 201),),
        retriable_statuses=_ranges(message.retriable_statuses, join(path, "retriable_statuses")),
        receive=tuple(
            _payload(payload, f"{path}.receive[{number}]") for number, payload in enumerate(message.receive)
        ),
        http2=codec == "HTTP2",
        headers=HeaderMutation((headers,)) if headers else None,
        matches_service=compile_string_matcher(service, join(path, "service_name_matcher"))
        if message.HasField("service_name_matcher")
        else None,
    )


def _ranges(messages: Any, path: str) -> tuple[range, ...]:
    for number, each in enumerate(messages):
        if not 100 <= each.start < each.end <= 600:
            raise CompileError(f"{path}[{number}]", "must be a range of statuses from 100 up to 600")
    return tuple(range(each.start, each.end) for each in messages)


def _tcp_check(message: Any, path: str) -> TcpCheck:
    refuse_unsupported(message, path, frozenset({"send", "receive"}))
    return TcpCheck(
        send=_payload(message.send, join(path, "send")) if message.HasField("send") else b"",
        receive=tuple(
            _payload(payload, f"{path}.receive[{number}]") for number, payload in enumerate(message.receive)
        ),
    )


def _payload(message: Any, path: str) -> bytes:
    """`text` is hexadecimal, `binary` is what it is."""
    if message.WhichOneof("payload") == "binary":
        return bytes(message.binary)
    try:
        return bytes.fromhex(message.text)
    except ValueError:
        raise CompileError(join(path, "text"), f"invalid hex string {message.text!r}") from None


def _grpc_check(message: Any, path: str) -> GrpcCheck:
    refuse_unsupported(message, path, frozenset({"service_name", "authority", "initial_metadata"}))
    metadata = tuple(
        compile_addition(option, f"{path}.initial_metadata[{number}]", value_formatter)
        for number, option in enumerate(message.initial_metadata)
    )
    headers = HeaderMutation((MutationStep(metadata),)) if metadata else None
    return GrpcCheck(message.service_name, message.authority, headers)
