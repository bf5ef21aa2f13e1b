"""CorsPolicy of a route -> `http.filters.cors`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.cors import CorsFilter, CorsPolicy
from minimesh.data_plane.routing.actions import ALWAYS, Fraction
from minimesh.data_plane.xds_client.compile_context import CompileContext
from minimesh.data_plane.xds_client.compile_error import join, refuse_unsupported
from minimesh.data_plane.xds_client.compile_match import compile_fraction, compile_string_matcher
from minimesh.data_plane.xds_client.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.route_environment import wire_text
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
    forward = message.forward_not_matching_preflights
    return CorsPolicy(
        origins=tuple(
            compile_string_matcher(each, f"{origins}[{number}]")
            for number, each in enumerate(message.allow_origin_string_match)
        ),
        allow_methods=wire_text(message.allow_methods),
        allow_headers=wire_text(message.allow_headers),
        expose_headers=wire_text(message.expose_headers),
        max_age=wire_text(message.max_age),
        allow_credentials=message.allow_credentials.value,
        allow_private_network_access=message.allow_private_network_access.value,
        forward_not_matching_preflights=(
            forward.value if message.HasField("forward_not_matching_preflights") else True
        ),
        enabled=_enabled(message, path),
    )


def _enabled(message: Any, path: str) -> Fraction:
    if not message.HasField("filter_enabled"):
        return ALWAYS
    where = join(path, "filter_enabled.default_value")
    return Fraction(*compile_fraction(message.filter_enabled.default_value, where))


CORS = FilterKind(m.cors_pb2.Cors, _compile, m.cors_pb2.CorsPolicy, compile_cors)
