"""Buffer and BufferPerRoute -> `http.filters.buffer`."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.http.filters.buffer import BufferFilter, BufferSettings
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.xds import messages as m


def _compile(message: Any, site: FilterSite) -> BufferFilter:
    return BufferFilter(site.name, _settings(message, site.path))


def _compile_for_route(message: Any, path: str, context: CompileContext) -> BufferSettings:
    kind = message.WhichOneof("override")
    if kind == "disabled":
        if not message.disabled:
            raise CompileError(join(path, kind), "must be true")
        return BufferSettings(None)
    if kind != "buffer":
        raise CompileError(path, "needs disabled or buffer")
    return _settings(message.buffer, join(path, kind))


def _settings(message: Any, path: str) -> BufferSettings:
    refuse_unsupported(message, path, frozenset({"max_request_bytes"}))
    limit_bytes = message.max_request_bytes.value
    if limit_bytes <= 0:
        raise CompileError(join(path, "max_request_bytes"), "must be greater than 0")
    return BufferSettings(limit_bytes)


BUFFER = FilterKind(m.buffer_pb2.Buffer, _compile, m.buffer_pb2.BufferPerRoute, _compile_for_route)
