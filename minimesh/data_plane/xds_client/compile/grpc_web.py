"""GrpcWeb -> `http.filters.grpc_web`. There is nothing to configure."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.grpc_web import GrpcWebFilter
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.xds import messages as m


def _compile(message: Any, site: FilterSite) -> GrpcWebFilter:
    return GrpcWebFilter(site.name)


GRPC_WEB = FilterKind(m.grpc_web_pb2.GrpcWeb, _compile)
