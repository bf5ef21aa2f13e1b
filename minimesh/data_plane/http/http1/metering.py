"""Bytes on the wire of HTTP/1 streams, counted as Envoy counts them, for access logs that name them.

Connections of a manager whose logs do not are of the plain class, and pay nothing. A client's connection is
of a class of its own here; an upstream's is shared by streams that are counted and others, so between it and
its transport a meter is put by the first stream that is counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from minimesh.data_plane.http.header_block import (
    CODEC_ERROR,
    HEADERS_TOO_LARGE,
    INVALID_CHARACTERS,
    TOO_MANY_HEADERS,
    Refusal,
)
from minimesh.data_plane.http.http1.downstream import Http1ServerConnection
from minimesh.data_plane.http.http1.head import ResponseReader, head_length
from minimesh.data_plane.network.write_batch import WriteBatch
from minimesh.data_plane.telemetry.bytes_meter import NO_BYTES, BytesMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.block_memo import Values
    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.header_block import HeaderBlock
    from minimesh.data_plane.http.http1.body import BodyReader
    from minimesh.data_plane.http.http1.request_line import RequestLine
    from minimesh.data_plane.http.http1.upstream import Http1ClientConnection
    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener_settings import ListenerScope
    from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: Envoy counts so much for the colon and the line end of each header that it reads, blanks never.
_AROUND_READ_HEADER = 3
#: Refused before the headers were read; whatever else is refused has its headers counted.
_NO_HEAD = frozenset({CODEC_ERROR, INVALID_CHARACTERS, HEADERS_TOO_LARGE, TOO_MANY_HEADERS})
#: `:status` and its three digits.
_STATUS_BYTES = 10


def read_header_bytes(head: bytes) -> int:
    """What Envoy counts for the headers of a head that it has read: a head without any counts as one."""
    names_and_values = lines = 0
    for line in head.split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            lines += 1
            names_and_values += len(name) + len(value.strip(b" \t\r"))
        else:  # an obsolete fold, or the empty line at the end
            names_and_values += len(line.strip(b" \t\r"))
    return names_and_values + _AROUND_READ_HEADER * max(lines, 1)


def sent_header_lines(wire: bytes) -> bytes:
    """The header lines, with their line ends, of a head that begins what is written."""
    return wire[wire.index(b"\r\n") + 2 : wire.index(b"\r\n\r\n") + 2]


class _CountedWrites(WriteBatch):
    """Writes of one connection: counted, then handed to the event loop's batch."""

    __slots__ = ("_count", "batch")

    def __init__(self, batch: WriteBatch, count: Callable[[bytes], None]) -> None:
        self.batch = batch
        self._count = count

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        self._count(data)
        self.batch.write(transport, data)

    def close(self, transport: asyncio.Transport) -> None:
        self.batch.close(transport)


class MeteredHttp1ServerConnection(Http1ServerConnection):
    """A client's connection whose streams are counted.

    A stream counts what is in hand when it begins, requests pipelined behind it included; those count it
    again when their turn comes.
    """

    __slots__ = ("_head_bytes", "_in_hand_bytes", "_plain_out", "_sends_head", "_sent_lines")

    def __init__(self, manager: ConnectionManager, info: ConnectionInfo, scope: ListenerScope) -> None:
        super().__init__(manager, info, scope)
        self._plain_out = self._out
        self._out = _CountedWrites(self._plain_out, self._count_sent)
        #: Came while there was no stream.
        self._in_hand_bytes = 0
        #: What the headers of the stream that begins count for.
        self._head_bytes = 0
        self._sends_head = False
        self._sent_lines = b""

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            self._in_hand_bytes += len(data)
        elif self._tunnel or self._body is not None:
            stream.info.downstream_bytes.wire_received += len(data)
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._out = self._plain_out  # the other knows this connection

    def _begin_stream(self, line: RequestLine, block: HeaderBlock, values: Values, rest: bytes) -> None:
        self._head_bytes = read_header_bytes(self._buffer[: len(self._buffer) - len(rest)])
        super()._begin_stream(line, block, values, rest)

    def _refuse(self, refusal: Refusal) -> None:
        data = self._buffer
        self._in_hand_bytes = max(self._in_hand_bytes, len(data))
        if refusal not in _NO_HEAD:
            self._head_bytes = read_header_bytes(data[: head_length(data)])
        super()._refuse(refusal)

    def _take_trailers(self, stream: Stream, body: BodyReader) -> None:
        super()._take_trailers(stream, body)
        around = _AROUND_READ_HEADER
        size = sum([len(name) + len(value) + around for name, value in stream.request_trailers])
        stream.info.downstream_bytes.header_received += size

    def _stream_info(self, version: str) -> StreamInfo:
        info = super()._stream_info(version)
        meter = info.downstream_bytes = BytesMeter()
        meter.wire_received = max(self._in_hand_bytes, len(self._buffer))
        meter.header_received = meter.decompressed_header_received = self._head_bytes
        self._in_hand_bytes = self._head_bytes = 0
        return info

    def send_continue(self) -> None:
        self._sends_head = True
        super().send_continue()

    def send_head(self, stream: Stream, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        self._sends_head = True
        super().send_head(stream, response, data, end_stream)
        lines = self._sent_lines
        if stream.head is not None:
            stream.info.request_headers_bytes = stream.head.byte_size()
        stream.info.response_headers_bytes = _STATUS_BYTES + _map_bytes(lines, response.content_length < 0)

    def _count_sent(self, wire: bytes) -> None:
        stream = self._stream
        if stream is None:
            return
        meter = stream.info.downstream_bytes
        meter.wire_sent += len(wire)
        if self._sends_head:
            self._sends_head = False
            lines = self._sent_lines = sent_header_lines(wire)
            meter.header_sent += len(lines)
            meter.decompressed_header_sent += len(lines)


def _map_bytes(lines: bytes, framed_here: bool) -> int:
    """Names and values. `framed_here`: the header that frames the body was no header until it was written."""
    counted = 0
    for line in lines.split(b"\r\n")[:-1]:
        if not (framed_here and line in (b"transfer-encoding: chunked", b"content-length: 0")):
            counted += len(line) - len(b": ")
    return counted


class UpstreamMeter(asyncio.Protocol):
    """Between an upstream's connection and its transport, from the first stream that is counted on."""

    __slots__ = ("_connection", "_head", "_meter", "_plain_out", "_reader", "_sends_head", "out")

    def __init__(self, connection: Http1ClientConnection, out: WriteBatch) -> None:
        self.out = _CountedWrites(out, self._count_sent)
        self._plain_out = out
        self._connection = connection
        self._reader = ResponseReader()
        self._meter = NO_BYTES
        #: So much of a head as has come; None: the head has been read.
        self._head: bytes | None = None
        self._sends_head = False

    def begin(self, info: StreamInfo) -> None:
        """The next exchange is this stream's."""
        self._meter = info.upstream_meter()
        self._head = b""
        self._sends_head = True

    # --- told by the transport ---

    def data_received(self, data: bytes) -> None:
        self._meter.wire_received += len(data)
        if self._head is not None:
            self._head = self._rest_of_heads(self._head + data)
        self._connection.data_received(data)

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.connection_lost(error)
        self._connection.end_metering(self._plain_out)

    # --- within ---

    def _rest_of_heads(self, data: bytes) -> bytes | None:
        """Count the heads at the start of `data`; what is left while there is another to come."""
        meter = self._meter
        while True:
            read = self._reader.read(data)
            if read is None:
                return data
            if isinstance(read, Refusal):
                return None
            status, length = read[0], read[-1]
            meter.header_received += read_header_bytes(data[:length])
            # Envoy adds the sum so far for each head, interim responses and tries before included.
            meter.decompressed_header_received += meter.header_received
            if status == 101 or status >= 200:
                return None
            data = data[length:]

    def _count_sent(self, wire: bytes) -> None:
        meter = self._meter
        meter.wire_sent += len(wire)
        if self._sends_head:
            self._sends_head = False
            length = len(sent_header_lines(wire))
            meter.header_sent += length
            meter.decompressed_header_sent += length
