"""CorsPolicy of a route -> `http.filters.cors`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.cors import CorsFilter, CorsPolicy
from minimesh.data_plane.routing.actions import ALWAYS, NEVER
from minimesh.data_plane.runtime import AnyFraction, Runtime
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.match import compile_runtime_fraction, compile_string_matcher
from minimesh.data_plane.xds_client.compile.route_environment import wire_text
from minimesh.xds import messages as m

_CORS = frozenset(
    {
        "allow_origin_string_match",
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "max_age",
        "allow_credentials",
        "filter_enabled",
        "shadow_enabled",
        "allow_private_network_access",
        "forward_not_matching_preflights",
    }
)


def _compile(message: Any, site: FilterSite) -> CorsFilter:
    return CorsFilter(site.name, site.stats, site.stat_prefix)


def compile_cors(message: Any, path: str, context: CompileContext) -> CorsPolicy:
    """A CorsPolicy; CompileError names the field that is refused."""
    refuse_unsupported(message, path, _CORS)
    origins = join(path, "allow_origin_string_match")
    return CorsPolicy(
        origins=tuple(
            compile_string_matcher(each, f"{origins}[{number}]")
            for number, each in enumerate(message.allow_origin_string_match)
        ),
        allow_methods=wire_text(message.allow_methods),
        allow_headers=wire_text(message.allow_headers),
        expose_headers=wire_text(message.expose_headers),
        max_age=wire_text(message.max_age),
        allow_credentials=_wanted(message, "allow_credentials"),
        allow_private_network_access=_wanted(message, "allow_private_network_access"),
        forward_not_matching_preflights=_wanted(message, "forward_not_matching_preflights"),
        enabled=_share(message, "filter_enabled", path, context.runtime, ALWAYS),
        shadow_enabled=_share(message, "shadow_enabled", path, context.runtime, NEVER),
    )


def _wanted(message: Any, field: str) -> bool | None:
    return bool(getattr(message, field).value) if message.HasField(field) else None


def _share(message: Any, field: str, path: str, runtime: Runtime, otherwise: AnyFraction) -> AnyFraction:
    if not message.HasField(field):
        return otherwise
    return compile_runtime_fraction(getattr(message, field), join(path, field), runtime)


CORS = FilterKind(m.cors_pb2.Cors, _compile, m.cors_pb2.CorsPolicy, compile_cors)
