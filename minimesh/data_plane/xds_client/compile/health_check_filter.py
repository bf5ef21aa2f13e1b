"""HealthCheck, the HTTP filter -> `http.filters.health_check`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.health_check import HealthCheckFilter
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.match import compile_header_matchers
from minimesh.xds import messages as m


def _compile(message: Any, site: FilterSite) -> HealthCheckFilter:
    refuse_unsupported(message, site.path, frozenset({"pass_through_mode", "headers"}))
    if not message.HasField("pass_through_mode"):
        raise CompileError(join(site.path, "pass_through_mode"), "must be set")
    if message.pass_through_mode.value:
        raise CompileError(join(site.path, "pass_through_mode"), "only false is supported")
    context = site.context
    return HealthCheckFilter(
        site.name,
        tuple(compile_header_matchers(message.headers, join(site.path, "headers"))),
        context.fails_health_checks,
        context.node_cluster,
        site.stats,
        site.stat_prefix,
    )


HEALTH_CHECK = FilterKind(m.health_check_filter_pb2.HealthCheck, _compile)
