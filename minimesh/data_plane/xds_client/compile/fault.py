"""HTTPFault, of a filter chain or of a route -> `http.filters.fault`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.fault import (
    FaultAbort,
    FaultDelay,
    FaultFilter,
    FaultRateLimit,
    FaultSettings,
    Share,
)
from minimesh.data_plane.runtime import Fraction
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.match import compile_fraction, compile_header_matchers
from minimesh.data_plane.xds_client.compile.route_environment import seconds, wire_text
from minimesh.xds import messages as m

# There is no runtime layer that could override the values written here, and no statistics by downstream.
_WITHOUT_EFFECT = {
    "delay_percent_runtime",
    "abort_percent_runtime",
    "delay_duration_runtime",
    "abort_http_status_runtime",
    "abort_grpc_status_runtime",
    "max_active_faults_runtime",
    "response_rate_limit_percent_runtime",
    "disable_downstream_cluster_stats",
}
_FAULT = frozenset(
    {
        "delay",
        "abort",
        "response_rate_limit",
        "headers",
        "upstream_cluster",
        "downstream_nodes",
        "max_active_faults",
    }
    | _WITHOUT_EFFECT
)


def _compile(message: Any, site: FilterSite) -> FaultFilter:
    settings = compile_fault(message, site.path, site.context)
    return FaultFilter(site.name, settings, site.stats, site.stat_prefix)


def compile_fault(message: Any, path: str, context: CompileContext) -> FaultSettings:
    """An HTTPFault; CompileError names the field that is refused."""
    refuse_unsupported(message, path, _FAULT)
    return FaultSettings(
        delay=_delay(message.delay, join(path, "delay")) if message.HasField("delay") else None,
        abort=_abort(message.abort, join(path, "abort")) if message.HasField("abort") else None,
        rate_limit=(
            _rate_limit(message.response_rate_limit, join(path, "response_rate_limit"))
            if message.HasField("response_rate_limit")
            else None
        ),
        headers=tuple(compile_header_matchers(message.headers, join(path, "headers"))),
        cluster=message.upstream_cluster,
        downstream_nodes=frozenset(wire_text(node) for node in message.downstream_nodes),
        max_active_faults=message.max_active_faults.value if message.HasField("max_active_faults") else None,
    )


def _delay(message: Any, path: str) -> FaultDelay:
    refuse_unsupported(message, path, frozenset({"fixed_delay", "header_delay", "percentage"}))
    if message.HasField("header_delay"):
        return FaultDelay(None, _share(message, path, "x-envoy-fault-delay-request-percentage"))
    delay_s = seconds(message.fixed_delay)
    if delay_s <= 0:
        raise CompileError(join(path, "fixed_delay"), "must be greater than 0s")
    return FaultDelay(delay_s, _share(message, path))


def _abort(message: Any, path: str) -> FaultAbort:
    kind = message.WhichOneof("error_type")
    if kind == "header_abort":
        return FaultAbort(None, _share(message, path, "x-envoy-fault-abort-request-percentage"))
    if kind == "grpc_status":
        # Whoever is no gRPC client gets the text with the status that gRPC has for everything.
        return FaultAbort(200, _share(message, path), message.grpc_status)
    if kind != "http_status":
        raise CompileError(path, "no error: one of http_status, grpc_status, header_abort")
    if not 200 <= message.http_status < 600:
        raise CompileError(join(path, kind), f"{message.http_status} is not between 200 and 599")
    return FaultAbort(message.http_status, _share(message, path))


def _rate_limit(message: Any, path: str) -> FaultRateLimit:
    kind = message.WhichOneof("limit_type")
    if kind == "header_limit":
        return FaultRateLimit(None, _share(message, path, "x-envoy-fault-throughput-response-percentage"))
    if kind != "fixed_limit":
        raise CompileError(path, "no limit: one of fixed_limit, header_limit")
    if not message.fixed_limit.limit_kbps:
        raise CompileError(join(path, "fixed_limit.limit_kbps"), "must be greater than 0")
    return FaultRateLimit(message.fixed_limit.limit_kbps, _share(message, path))


def _share(message: Any, path: str, header: str = "") -> Share:
    """How often; not at all where nothing is written."""
    return Share(Fraction(*compile_fraction(message.percentage, join(path, "percentage"))), header)


FAULT = FilterKind(m.fault_pb2.HTTPFault, _compile, m.fault_pb2.HTTPFault, compile_fault)
