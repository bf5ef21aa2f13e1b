"""HTTP filters of a connection manager, and their per-route configurations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.http.filters.cors import CorsFilter
from minimesh.data_plane.http.filters.fault import FaultFilter
from minimesh.data_plane.http.interfaces import Filter
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile_context import CompileContext
from minimesh.data_plane.xds_client.compile_cors import compile_cors
from minimesh.data_plane.xds_client.compile_error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile_fault import compile_fault
from minimesh.xds import messages as m

ROUTER = "envoy.filters.http.router"
_ROUTER_TYPE = m.router_pb2.Router.DESCRIPTOR.full_name
#: Filters that only count.
_INERT_TYPES = {m.grpc_stats_pb2.FilterConfig.DESCRIPTOR.full_name}


@dataclass(frozen=True, slots=True)
class CompiledFilters:
    """A filter chain in front of the router, and what the router was told."""

    filters: tuple[Filter, ...] = ()
    suppress_envoy_headers: bool = False


def compile_http_filters(
    messages: Sequence[Any], path: str, stats: StatsStore, stat_prefix: str
) -> CompiledFilters:
    """The filters of a connection manager; the last must be the router. Raises CompileError.

    `stat_prefix` is the connection manager's; the filters count below it.
    """
    if not messages:
        raise CompileError(path, "must end with the router filter")
    filters: list[Filter] = []
    last = len(messages) - 1
    for index, message in enumerate(messages):
        where = f"{path}[{index}]"
        refuse_unsupported(message, where, frozenset({"name", "typed_config", "is_optional", "disabled"}))
        if _is_router(message) != (index == last):
            raise CompileError(where, "the router must be the last filter, and only the last")
        if index < last and not message.disabled:
            filters += _compile(message, where, _Counting(stats, f"http.{stat_prefix}."))
    return CompiledFilters(tuple(filters), _suppresses_envoy_headers(messages[last], f"{path}[{last}]"))


def route_filter_compiler(context: CompileContext) -> Callable[[str, Any], object]:
    """The hook of `compile_route_configuration` for configurations of filters on single routes."""

    def compile_config(name: str, config: Any) -> object:
        kind = config.TypeName()
        known = _ROUTE_TYPES.get(kind)
        if known is not None:
            message = known[0]()
            config.Unpack(message)
            return known[1](message, "")
        if kind not in _INERT_TYPES:
            raise CompileError("", f"filter {name!r} ({kind}): not supported")
        context.not_simulated("", f"filter {name!r} on a route")
        return None

    return compile_config


def _is_router(message: Any) -> bool:
    kind = message.typed_config.TypeName()
    # Before Envoy 1.22 the name alone was enough, and published samples still have it so.
    return kind == _ROUTER_TYPE or (not kind and message.name in (ROUTER, "envoy.router"))


@dataclass(frozen=True, slots=True)
class _Counting:
    """Where filters count."""

    stats: StatsStore
    prefix: str


def _compile(message: Any, path: str, counting: _Counting) -> list[Filter]:
    kind = message.typed_config.TypeName()
    if kind in _INERT_TYPES:
        return []
    known = _FILTER_TYPES.get(kind)
    if known is not None:
        config = known[0]()
        message.typed_config.Unpack(config)
        return [known[1](message.name, config, join(path, "typed_config"), counting)]
    if message.is_optional:
        return []
    raise CompileError(path, f"HTTP filter {message.name or kind!r}: not supported")


def _suppresses_envoy_headers(message: Any, path: str) -> bool:
    router = m.router_pb2.Router()
    if message.HasField("typed_config"):
        message.typed_config.Unpack(router)
    where = join(path, "typed_config")
    refuse_unsupported(
        router, where, frozenset({"suppress_envoy_headers", "dynamic_stats", "start_child_span"})
    )
    return bool(router.suppress_envoy_headers)


def _fault(name: str, message: Any, path: str, counting: _Counting) -> Filter:
    return FaultFilter(name, compile_fault(message, path), counting.stats, counting.prefix)


def _cors(name: str, message: Any, path: str, counting: _Counting) -> Filter:
    return CorsFilter(name, counting.stats, counting.prefix)


def _by_type(*entries: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    return {entry[0].DESCRIPTOR.full_name: entry for entry in entries}


#: Type of a filter's configuration -> its message class, and what makes the filter of it.
_FILTER_TYPES = _by_type((m.fault_pb2.HTTPFault, _fault), (m.cors_pb2.Cors, _cors))
#: The same for configurations of single routes.
_ROUTE_TYPES = _by_type((m.fault_pb2.HTTPFault, compile_fault), (m.cors_pb2.CorsPolicy, compile_cors))
