"""Compressor and CompressorPerRoute -> `http.filters.compressor`."""

from __future__ import annotations

import zlib
from typing import Any

from minimesh.data_plane.http.filters.compressor import (
    GZIP,
    CompressorFilter,
    CompressorOverride,
    CompressorSettings,
    CompressorStats,
    GzipSettings,
)
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.route_environment import by_number
from minimesh.xds import messages as m

_OBSOLETE = {
    "content_length",
    "content_type",
    "disable_on_etag_header",
    "remove_accept_encoding_header",
    "runtime_enabled",
}
# With one coding to choose from there is nothing to prefer.
_COMPRESSOR = frozenset({"compressor_library", "response_direction_config", "choose_first"} | _OBSOLETE)
_DIRECTION = frozenset(
    {
        "common_config",
        "disable_on_etag_header",
        "remove_accept_encoding_header",
        "uncompressible_response_codes",
    }
)
_COMMON = frozenset({"enabled", "min_content_length", "content_type"})
_GZIP = frozenset({"memory_level", "compression_level", "compression_strategy", "window_bits", "chunk_size"})
_DEFAULT_LENGTH_BYTES = 30
_DEFAULT_TYPES = (
    "text/html", "text/plain", "text/css", "application/javascript", "application/x-javascript",
    "text/javascript", "text/x-javascript", "text/ecmascript", "text/js", "text/jscript", "text/x-js",
    "application/ecmascript", "application/x-json", "application/xml", "application/json", "image/svg+xml",
    "text/xml", "application/xhtml+xml",
)  # fmt: skip
#: DEFAULT_COMPRESSION, BEST_SPEED (and level 1), levels 2 to 9; BEST_COMPRESSION is level 9.
_LEVELS = (zlib.Z_DEFAULT_COMPRESSION, *range(1, 10))
_STRATEGIES = (
    zlib.Z_DEFAULT_STRATEGY,
    zlib.Z_FILTERED,
    zlib.Z_HUFFMAN_ONLY,
    zlib.Z_RLE,
    zlib.Z_FIXED,
)


def _compile(message: Any, site: FilterSite) -> CompressorFilter:
    path = site.path
    refuse_unsupported(message, path, _COMPRESSOR)
    library_path = join(path, "compressor_library")
    gzip = _gzip(message.compressor_library, library_path)
    new_style = message.HasField("response_direction_config")
    settings = (
        _response_settings(message.response_direction_config, gzip, join(path, "response_direction_config"))
        if new_style
        else _obsolete_settings(message, gzip)
    )
    prefix = f"{site.stat_prefix}compressor.{message.compressor_library.name}.{GZIP}."
    stats = CompressorStats(site.stats, prefix, "response." if new_style else "")
    return CompressorFilter(site.name, settings, stats)


def _compile_for_route(message: Any, path: str, context: CompileContext) -> CompressorOverride:
    kind = message.WhichOneof("override")
    if kind == "disabled":
        if not message.disabled:
            raise CompileError(join(path, kind), "must be true")
        return CompressorOverride(disabled=True)
    if kind != "overrides":
        raise CompileError(path, "needs disabled or overrides")
    where = join(path, kind)
    refuse_unsupported(message.overrides, where, frozenset({"response_direction_config"}))
    direction = message.overrides.response_direction_config
    removes = direction.remove_accept_encoding_header.value
    return CompressorOverride(
        remove_accept_encoding_header=(
            removes if direction.HasField("remove_accept_encoding_header") else None
        )
    )


def _response_settings(message: Any, gzip: GzipSettings, path: str) -> CompressorSettings:
    refuse_unsupported(message, path, _DIRECTION)
    common = message.common_config
    refuse_unsupported(common, join(path, "common_config"), _COMMON)
    return CompressorSettings(
        gzip=gzip,
        enabled=common.enabled.default_value.value if common.HasField("enabled") else True,
        min_content_length_bytes=_length(common, "min_content_length"),
        content_types=_types(common.content_type),
        disable_on_etag_header=message.disable_on_etag_header,
        remove_accept_encoding_header=message.remove_accept_encoding_header,
        uncompressible_statuses=frozenset(message.uncompressible_response_codes),
    )


def _obsolete_settings(message: Any, gzip: GzipSettings) -> CompressorSettings:
    """What stood in the filter itself before there were two directions."""
    return CompressorSettings(
        gzip=gzip,
        enabled=message.runtime_enabled.default_value.value if message.HasField("runtime_enabled") else True,
        min_content_length_bytes=_length(message, "content_length"),
        content_types=_types(message.content_type),
        disable_on_etag_header=message.disable_on_etag_header,
        remove_accept_encoding_header=message.remove_accept_encoding_header,
    )


def _gzip(library: Any, path: str) -> GzipSettings:
    where = join(path, "typed_config")
    kind = library.typed_config.TypeName()
    if kind != m.gzip_pb2.Gzip.DESCRIPTOR.full_name:
        raise CompileError(where, f"{kind or 'no library'}: only gzip is supported")
    message = m.gzip_pb2.Gzip()
    library.typed_config.Unpack(message)
    refuse_unsupported(message, where, _GZIP)
    return GzipSettings(
        level=by_number(_LEVELS, message.compression_level, join(where, "compression_level")),
        window_bits=_within(message, "window_bits", 9, 15, 12, where),
        memory_level=_within(message, "memory_level", 1, 9, 5, where),
        strategy=by_number(_STRATEGIES, message.compression_strategy, join(where, "compression_strategy")),
    )


def _within(message: Any, field: str, least: int, most: int, default: int, path: str) -> int:
    value = int(getattr(message, field).value) if message.HasField(field) else default
    if not least <= value <= most:
        raise CompileError(join(path, field), f"{value} is not between {least} and {most}")
    return value


def _length(message: Any, field: str) -> int:
    return int(getattr(message, field).value) if message.HasField(field) else _DEFAULT_LENGTH_BYTES


def _types(types: Any) -> frozenset[str]:
    return frozenset(each.lower() for each in types or _DEFAULT_TYPES)


COMPRESSOR = FilterKind(
    m.compressor_pb2.Compressor, _compile, m.compressor_pb2.CompressorPerRoute, _compile_for_route
)
