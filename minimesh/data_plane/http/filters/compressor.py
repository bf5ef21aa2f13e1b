"""The compressor filter: responses go out in gzip to clients that like it best."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.data_plane.http.filters.accept_encoding import Answer, answer
from minimesh.data_plane.http.interfaces import FilterStatus

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.telemetry.stats import Counter, StatsStore

GZIP = "gzip"
_GZIP_HEADER = 16  # added to the window bits, it tells zlib to write one
_VARY = "Accept-Encoding"


@dataclass(frozen=True, slots=True)
class GzipSettings:
    """zlib's parameters, with Envoy's defaults."""

    level: int = zlib.Z_DEFAULT_COMPRESSION
    window_bits: int = 12
    memory_level: int = 5
    strategy: int = zlib.Z_DEFAULT_STRATEGY

    def start(self) -> zlib._Compress:
        """A new stream."""
        return zlib.compressobj(
            self.level, zlib.DEFLATED, self.window_bits + _GZIP_HEADER, self.memory_level, self.strategy
        )


@dataclass(frozen=True, slots=True)
class CompressorSettings:
    """Which responses are compressed, and how."""

    gzip: GzipSettings = GzipSettings()
    enabled: bool = True
    min_content_length_bytes: int = 30
    content_types: frozenset[str] = frozenset()
    """Lower case, without parameters. A response without a type is compressed as well."""
    disable_on_etag_header: bool = False
    remove_accept_encoding_header: bool = False
    uncompressible_statuses: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class CompressorOverride:
    """What a route says: off, or on and perhaps otherwise."""

    disabled: bool = False
    remove_accept_encoding_header: bool | None = None


class CompressorStats:
    """Counters under `http.<manager>.compressor.<library>.gzip.`."""

    __slots__ = (
        "answers", "compressed", "etag", "not_compressed", "request_not_compressed", "too_small",
        "total_compressed_bytes", "total_uncompressed_bytes",
    )  # fmt: skip

    def __init__(self, stats: StatsStore, prefix: str, direction: str) -> None:
        self.answers: dict[Answer, Counter] = {each: stats.counter(prefix + each.value) for each in Answer}
        self.too_small = stats.counter(prefix + direction + "content_length_too_small")
        self.etag = stats.counter(prefix + "not_compressed_etag")
        self.request_not_compressed = stats.counter(prefix + "request.not_compressed")
        self.compressed = stats.counter(prefix + direction + "compressed")
        self.not_compressed = stats.counter(prefix + direction + "not_compressed")
        self.total_compressed_bytes = stats.counter(prefix + direction + "total_compressed_bytes")
        self.total_uncompressed_bytes = stats.counter(prefix + direction + "total_uncompressed_bytes")


class CompressorFilter:
    """See the module."""

    __slots__ = ("_settings", "_stats", "by_route", "name")

    def __init__(self, name: str, settings: CompressorSettings, stats: CompressorStats) -> None:
        self.name = name
        self.by_route = False
        self._settings = settings
        self._stats = stats

    def on_request(self, stream: Stream) -> FilterStatus:
        head = stream.head
        assert head is not None
        self._stats.request_not_compressed.inc()
        accepted = head.header_values("accept-encoding")
        if not accepted:
            return FilterStatus.CONTINUE
        stream.filter_state = {**(stream.filter_state or {}), self.name: accepted[0]}
        own = stream.filter_config(self.name)
        removes = self._settings.remove_accept_encoding_header
        if isinstance(own, CompressorOverride) and own.remove_accept_encoding_header is not None:
            removes = own.remove_accept_encoding_header
        if removes and self._enabled(stream):
            head.remove_header("accept-encoding")
        return FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        if not self._enabled(stream) or not self._large_enough(response):
            self._stats.not_compressed.inc()
            return FilterStatus.CONTINUE
        accepted = not end_stream and self._accepted(stream, response)
        compressible = self._compressible(response)
        if accepted and compressible:
            self._compress(stream, response)
        else:
            self._stats.not_compressed.inc()
        if compressible:
            _add_vary(response)
        return FilterStatus.CONTINUE

    def _enabled(self, stream: Stream) -> bool:
        own = stream.filter_config(self.name)
        return not own.disabled if isinstance(own, CompressorOverride) else self._settings.enabled

    def _large_enough(self, response: ResponseHead) -> bool:
        length = _first(response, "content-length")
        if length.isdigit() and int(length) < self._settings.min_content_length_bytes:
            self._stats.too_small.inc()
            return False
        return True

    def _accepted(self, stream: Stream, response: ResponseHead) -> bool:
        header = stream.filter_state.get(self.name) if stream.filter_state else None
        found = answer(header if isinstance(header, str) else None, GZIP)
        if found.is_yes and not self._type_fits(response):
            found = Answer.NOT_VALID
        self._stats.answers[found].inc()
        return found.is_yes

    def _type_fits(self, response: ResponseHead) -> bool:
        kind = _first(response, "content-type").partition(";")[0].strip().lower()
        return not kind or kind in self._settings.content_types

    def _compressible(self, response: ResponseHead) -> bool:
        settings = self._settings
        if settings.disable_on_etag_header and response.header_values("etag"):
            self._stats.etag.inc()
            return False
        return (
            self._type_fits(response)
            and response.status not in settings.uncompressible_statuses
            and "no-transform" not in _first(response, "cache-control").lower()
            and not response.header_values("content-encoding")
        )

    def _compress(self, stream: Stream, response: ResponseHead) -> None:
        self._stats.compressed.inc()
        etag = _first(response, "etag")
        if etag and not etag.startswith(("W/", "w/")):
            response.remove_header("etag")  # it names these very bytes
        response.set_body_length(-1)
        response.set_header("content-encoding", GZIP)
        stream.add_response_stage(_Gzip(self._settings.gzip, self._stats))


class _Gzip:
    """Compresses a body as it comes: every piece can be read when it arrives."""

    __slots__ = ("_stats", "_stream")

    def __init__(self, settings: GzipSettings, stats: CompressorStats) -> None:
        self._stream = settings.start()
        self._stats = stats

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        compressed = self._stream.compress(data)
        if data or end_stream:
            compressed += self._stream.flush(zlib.Z_FINISH if end_stream else zlib.Z_SYNC_FLUSH)
        self._stats.total_uncompressed_bytes.inc(len(data))
        self._stats.total_compressed_bytes.inc(len(compressed))
        return compressed


def _add_vary(response: ResponseHead) -> None:
    present = _first(response, "vary")
    if _VARY.lower() not in [word.strip().lower() for word in present.split(",")]:
        response.set_header("vary", f"{present}, {_VARY}" if present else _VARY)


def _first(response: ResponseHead, name: str) -> str:
    values = response.header_values(name)
    return values[0] if values else ""
