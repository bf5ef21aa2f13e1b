"""HTTPFault, of a filter chain or of a route -> `http.filters.fault`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minimesh.data_plane.http.filters.fault import (
    FaultAbort,
    FaultDelay,
    FaultFilter,
    FaultRateLimit,
    FaultSettings,
    Share,
)
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.match import compile_fraction, compile_header_matchers
from minimesh.data_plane.xds_client.compile.route_environment import seconds, wire_text
from minimesh.xds import messages as m

_FAULT = frozenset(
    {
        "delay",
        "abort",
        "response_rate_limit",
        "headers",
        "upstream_cluster",
        "downstream_nodes",
        "max_active_faults",
        "delay_percent_runtime",
        "abort_percent_runtime",
        "response_rate_limit_percent_runtime",
        "delay_duration_runtime",
        "abort_http_status_runtime",
        "abort_grpc_status_runtime",
        "max_active_faults_runtime",
        "disable_downstream_cluster_stats",  # there are none
    }
)
_DELAY_KEY = "fault.http.delay.fixed_delay_percent"
_ABORT_KEY = "fault.http.abort.abort_percent"
_RATE_LIMIT_KEY = "fault.http.rate_limit.response_percent"
_DURATION_KEY = "fault.http.delay.fixed_duration_ms"
_STATUS_KEY = "fault.http.abort.http_status"
_GRPC_STATUS_KEY = "fault.http.abort.grpc_status"
_MAX_ACTIVE_KEY = "fault.http.max_active_faults"
"""The keys of the runtime that rule every fault which names no key of its own."""


def _compile(message: Any, site: FilterSite) -> FaultFilter:
    settings = compile_fault(message, site.path, site.context)
    return FaultFilter(site.name, settings, site.stats, site.stat_prefix)


def compile_fault(message: Any, path: str, context: CompileContext) -> FaultSettings:
    """An HTTPFault; CompileError names the field that is refused."""
    refuse_unsupported(message, path, _FAULT)
    ruled = context.runtime.integer
    delay = _Shares(message.delay_percent_runtime or _DELAY_KEY, context.runtime)
    abort = _Shares(message.abort_percent_runtime or _ABORT_KEY, context.runtime)
    limit = _Shares(message.response_rate_limit_percent_runtime or _RATE_LIMIT_KEY, context.runtime)
    return FaultSettings(
        delay=(
            replace(
                _delay(message.delay, join(path, "delay"), delay),
                ruled_ms=ruled(message.delay_duration_runtime or _DURATION_KEY),
            )
            if message.HasField("delay")
            else None
        ),
        abort=(
            replace(
                _abort(message.abort, join(path, "abort"), abort),
                ruled_status=ruled(message.abort_http_status_runtime or _STATUS_KEY),
                ruled_grpc_status=ruled(message.abort_grpc_status_runtime or _GRPC_STATUS_KEY),
            )
            if message.HasField("abort")
            else None
        ),
        rate_limit=(
            _rate_limit(message.response_rate_limit, join(path, "response_rate_limit"), limit)
            if message.HasField("response_rate_limit")
            else None
        ),
        headers=tuple(compile_header_matchers(message.headers, join(path, "headers"))),
        cluster=message.upstream_cluster,
        downstream_nodes=frozenset(wire_text(node) for node in message.downstream_nodes),
        max_active_faults=message.max_active_faults.value if message.HasField("max_active_faults") else None,
        ruled_max_active_faults=ruled(message.max_active_faults_runtime or _MAX_ACTIVE_KEY),
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """How often a kind of fault strikes: the key that rules it, and where that is looked up."""

    key: str
    runtime: Runtime

    def of(self, message: Any, path: str, header: str = "") -> Share:
        """Not at all where nothing is written."""
        numerator, denominator = compile_fraction(message.percentage, join(path, "percentage"))
        return Share(self.runtime.fraction(self.key, numerator, denominator), header)


def _delay(message: Any, path: str, shares: _Shares) -> FaultDelay:
    refuse_unsupported(message, path, frozenset({"fixed_delay", "header_delay", "percentage"}))
    if message.HasField("header_delay"):
        return FaultDelay(None, shares.of(message, path, "x-envoy-fault-delay-request-percentage"))
    delay_s = seconds(message.fixed_delay)
    if delay_s <= 0:
        raise CompileError(join(path, "fixed_delay"), "must be greater than 0s")
    return FaultDelay(delay_s, shares.of(message, path))


def _abort(message: Any, path: str, shares: _Shares) -> FaultAbort:
    kind = message.WhichOneof("error_type")
    if kind == "header_abort":
        return FaultAbort(None, shares.of(message, path, "x-envoy-fault-abort-request-percentage"))
    if kind == "grpc_status":
        # Whoever is no gRPC client gets the text with the status that gRPC has for everything.
        return FaultAbort(200, shares.of(message, path), message.grpc_status)
    if kind != "http_status":
        raise CompileError(path, "no error: one of http_status, grpc_status, header_abort")
    if not 200 <= message.http_status < 600:
        raise CompileError(join(path, kind), f"{message.http_status} is not between 200 and 599")
    return FaultAbort(message.http_status, shares.of(message, path))


def _rate_limit(message: Any, path: str, shares: _Shares) -> FaultRateLimit:
    kind = message.WhichOneof("limit_type")
    if kind == "header_limit":
        return FaultRateLimit(None, shares.of(message, path, "x-envoy-fault-throughput-response-percentage"))
    if kind != "fixed_limit":
        raise CompileError(path, "no limit: one of fixed_limit, header_limit")
    if not message.fixed_limit.limit_kbps:
        raise CompileError(join(path, "fixed_limit.limit_kbps"), "must be greater than 0")
    return FaultRateLimit(message.fixed_limit.limit_kbps, shares.of(message, path))


FAULT = FilterKind(m.fault_pb2.HTTPFault, _compile, m.fault_pb2.HTTPFault, compile_fault)
