"""HTTPFault, of a filter chain or of a route -> `http.filters.fault`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.fault import FaultAbort, FaultDelay, FaultFilter, FaultSettings
from minimesh.data_plane.routing.actions import Fraction
from minimesh.data_plane.xds_client.compile_context import CompileContext
from minimesh.data_plane.xds_client.compile_error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile_match import compile_fraction, compile_header_matchers
from minimesh.data_plane.xds_client.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.route_environment import seconds
from minimesh.xds import messages as m

# There is no runtime layer that could override the values written here, and no statistics by downstream.
_WITHOUT_EFFECT = {
    "delay_percent_runtime",
    "abort_percent_runtime",
    "delay_duration_runtime",
    "abort_http_status_runtime",
    "abort_grpc_status_runtime",
    "disable_downstream_cluster_stats",
}
_FAULT = frozenset({"delay", "abort", "headers", "upstream_cluster"} | _WITHOUT_EFFECT)
_BY_HEADER = "faults that request headers ask for are not supported"


def _compile(message: Any, site: FilterSite) -> FaultFilter:
    settings = compile_fault(message, site.path, site.context)
    return FaultFilter(site.name, settings, site.stats, site.stat_prefix)


def compile_fault(message: Any, path: str, context: CompileContext) -> FaultSettings:
    """An HTTPFault; CompileError names the field that is refused."""
    refuse_unsupported(message, path, _FAULT)
    return FaultSettings(
        delay=_delay(message.delay, join(path, "delay")) if message.HasField("delay") else None,
        abort=_abort(message.abort, join(path, "abort")) if message.HasField("abort") else None,
        headers=tuple(compile_header_matchers(message.headers, join(path, "headers"))),
        cluster=message.upstream_cluster,
    )


def _delay(message: Any, path: str) -> FaultDelay:
    if message.HasField("header_delay"):
        raise CompileError(join(path, "header_delay"), _BY_HEADER)
    refuse_unsupported(message, path, frozenset({"fixed_delay", "percentage"}))
    delay_s = seconds(message.fixed_delay)
    if delay_s <= 0:
        raise CompileError(join(path, "fixed_delay"), "must be greater than 0s")
    return FaultDelay(delay_s, _share(message, path))


def _abort(message: Any, path: str) -> FaultAbort:
    kind = message.WhichOneof("error_type")
    if kind == "header_abort":
        raise CompileError(join(path, kind), _BY_HEADER)
    if kind == "grpc_status":
        # Whoever is no gRPC client gets the text with the status that gRPC has for everything.
        return FaultAbort(200, _share(message, path), message.grpc_status)
    if kind != "http_status":
        raise CompileError(path, "no error: one of http_status, grpc_status")
    if not 200 <= message.http_status < 600:
        raise CompileError(join(path, kind), f"{message.http_status} is not between 200 and 599")
    return FaultAbort(message.http_status, _share(message, path))


def _share(message: Any, path: str) -> Fraction:
    """How often; not at all where nothing is written."""
    return Fraction(*compile_fraction(message.percentage, join(path, "percentage")))


FAULT = FilterKind(m.fault_pb2.HTTPFault, _compile, m.fault_pb2.HTTPFault, compile_fault)
