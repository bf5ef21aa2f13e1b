"""HTTP filters of a connection manager, and their per-route configurations.

A new filter is a module in `http/filters`, a module here that compiles its messages, and a line in `_KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.http.filter_choice import DisabledFilter, RouteSwitch
from minimesh.data_plane.http.interfaces import Filter
from minimesh.data_plane.xds_client.compile.buffer import BUFFER
from minimesh.data_plane.xds_client.compile.compressor import COMPRESSOR
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.cors import CORS
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.fault import FAULT
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.grpc_web import GRPC_WEB
from minimesh.data_plane.xds_client.compile.header_mutation import HEADER_MUTATION
from minimesh.data_plane.xds_client.compile.health_check_filter import HEALTH_CHECK
from minimesh.data_plane.xds_client.compile.local_rate_limit import LOCAL_RATE_LIMIT
from minimesh.xds import messages as m

ROUTER = "envoy.filters.http.router"
#: Every filter that acts.
_KINDS: tuple[FilterKind, ...] = (
    BUFFER,
    COMPRESSOR,
    CORS,
    FAULT,
    GRPC_WEB,
    HEADER_MUTATION,
    HEALTH_CHECK,
    LOCAL_RATE_LIMIT,
)
#: What only counts what the proxy counts anyway.
_COUNTING_TYPES = frozenset({"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"})
#: Istio's own, which only Istio's build of Envoy has: who the peer is, and metrics by it.
_INERT_TYPES = frozenset(
    {
        "io.istio.http.peer_metadata.Config",
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        "istio.envoy.config.filter.http.alpn.v2.FilterConfig",
        "stats.PluginConfig",
    }
)


def _type_name(message_class: Any) -> str:
    name: str = message_class.DESCRIPTOR.full_name
    return name


_FILTER_TYPES = {_type_name(kind.message): kind for kind in _KINDS}
_ROUTE_TYPES = {_type_name(kind.route_message): kind for kind in _KINDS if kind.route_message is not None}
_ROUTER_TYPE = _type_name(m.router_pb2.Router)
_WRAPPER_TYPE = _type_name(m.route_components_pb2.FilterConfig)


@dataclass(frozen=True, slots=True)
class CompiledFilters:
    """A filter chain in front of the router, and what the router was told."""

    filters: tuple[Filter, ...] = ()
    suppress_envoy_headers: bool = False


def compile_http_filters(
    messages: Sequence[Any], path: str, context: CompileContext, stat_prefix: str
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
        if index < last:
            site = FilterSite(message.name, join(where, "typed_config"), f"http.{stat_prefix}.", context)
            filters += _compile(message, where, site)
    return CompiledFilters(tuple(filters), _suppresses_envoy_headers(messages[last], f"{path}[{last}]"))


def route_filter_compiler(context: CompileContext) -> Callable[[str, Any], object]:
    """The hook of `compile_route_configuration` for configurations of filters on single routes."""

    def compile_config(name: str, config: Any) -> object:
        if config.TypeName() == _WRAPPER_TYPE:
            wrapper = m.route_components_pb2.FilterConfig()
            config.Unpack(wrapper)
            return _unwrapped(name, wrapper, context)
        return _compile_for_route(name, config, context)

    return compile_config


def _unwrapped(name: str, wrapper: Any, context: CompileContext) -> object:
    """What a FilterConfig says of the filter of this name."""
    if wrapper.disabled:
        return RouteSwitch.OFF
    if not wrapper.HasField("config"):
        raise CompileError("config", f"filter {name!r}: must be there unless disabled is set")
    if not wrapper.config.type_url:
        return RouteSwitch.ON
    if wrapper.is_optional and wrapper.config.TypeName() not in _ROUTE_TYPES:
        return None
    return _compile_for_route(name, wrapper.config, context)


def _compile_for_route(name: str, config: Any, context: CompileContext) -> object:
    type_name = config.TypeName()
    kind = _ROUTE_TYPES.get(type_name)
    if kind is not None and kind.compile_for_route is not None:
        message = kind.route_message()
        config.Unpack(message)
        return kind.compile_for_route(message, "", context)
    if type_name not in _INERT_TYPES | _COUNTING_TYPES:
        raise CompileError("", f"filter {name!r} ({type_name}): not supported")
    context.not_simulated("", f"filter {name!r} on a route")
    return None


def _is_router(message: Any) -> bool:
    kind = message.typed_config.TypeName()
    # Before Envoy 1.22 the name alone was enough, and published samples still have it so.
    return kind == _ROUTER_TYPE or (not kind and message.name in (ROUTER, "envoy.router"))


def _compile(message: Any, path: str, site: FilterSite) -> list[Filter]:
    """The filter of one message, if it does anything here."""
    type_name = message.typed_config.TypeName()
    kind = _FILTER_TYPES.get(type_name)
    if kind is not None:
        config = kind.message()
        message.typed_config.Unpack(config)
        made = kind.compile(config, site)
        return [DisabledFilter(made) if message.disabled else made]
    if type_name in _INERT_TYPES:
        site.context.note(f"HTTP filter {message.name!r}")
        return []
    if type_name in _COUNTING_TYPES or message.is_optional:
        return []
    raise CompileError(path, f"HTTP filter {message.name or type_name!r}: not supported")


def _suppresses_envoy_headers(message: Any, path: str) -> bool:
    router = m.router_pb2.Router()
    if message.HasField("typed_config"):
        message.typed_config.Unpack(router)
    where = join(path, "typed_config")
    refuse_unsupported(
        router, where, frozenset({"suppress_envoy_headers", "dynamic_stats", "start_child_span"})
    )
    return bool(router.suppress_envoy_headers)
