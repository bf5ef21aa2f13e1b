"""Bytes on the wire of HTTP/2 streams, counted as Envoy counts them, for access logs that name them.

A stream counts its HEADERS and DATA frames whole, and what CONTINUATION frames carry. Streams of a manager
whose logs do not name bytes are of the plain classes, and pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
from minimesh.data_plane.http.http2.exchange import Http2Exchange
from minimesh.data_plane.http.http2.frames import HEADER_BYTES, MAX_FRAME_BYTES, FrameType
from minimesh.data_plane.http.http2.metered_frames import HEAD_FRAMES, count_frame, counted_head_bytes
from minimesh.data_plane.http.http2.server_events import Http2ServerEvents
from minimesh.data_plane.http.http2.server_stream import Http2ServerStream
from minimesh.data_plane.telemetry.bytes_meter import BytesMeter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from h2.events import RequestReceived, TrailersReceived

    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.header_block import Field, HeaderBlock
    from minimesh.data_plane.http.http2.frames import Frame
    from minimesh.data_plane.http.http2.heads import RawHeader
    from minimesh.data_plane.http.http2.upstream import Http2ClientConnection
    from minimesh.data_plane.http.interfaces import ResponseReceiver
    from minimesh.data_plane.http.messages import RequestHead, ResponseFields
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener_settings import ListenerScope

_STATUS_BYTES = len(":status200")


def _list_bytes(headers: Sequence[RawHeader]) -> int:
    return sum([len(name) + len(value) for name, value in headers])


# --- clients --------------------------------------------------------------------------------------


class MeteredHttp2ServerConnection(Http2ServerConnection):
    """A client's connection whose streams are counted."""

    __slots__ = ("arriving",)

    def __init__(self, manager: ConnectionManager, info: ConnectionInfo, scope: ListenerScope) -> None:
        super().__init__(manager, info, scope)
        self._events = _MeteredEvents(self, self._h2, self._frames, self._lifetime)
        #: Of the stream whose head is on its way: no other comes between its frames.
        self.arriving = BytesMeter()

    def new_stream(self, stream_id: int, block: HeaderBlock | None) -> Http2ServerStream:
        stream = self.streams[stream_id] = _MeteredStream(self, stream_id, block, self.arriving)
        return stream

    def send_headers(self, stream_id: int, headers: list[RawHeader], *, end: bool) -> None:
        before = self._h2.unsent_bytes
        super().send_headers(stream_id, headers, end=end)
        stream = self.streams.get(stream_id)
        if stream is not None:
            cast("_MeteredStream", stream).count_head(headers, self._h2.unsent_bytes - before)

    def send_data(self, stream_id: int, data: bytes, *, end: bool) -> None:
        before = self._h2.unsent_bytes
        super().send_data(stream_id, data, end=end)
        stream = self.streams.get(stream_id)
        if stream is not None:
            cast("_MeteredStream", stream).meter.wire_sent += self._h2.unsent_bytes - before


class _MeteredEvents(Http2ServerEvents):
    """Frames of clients: counted, then understood."""

    __slots__ = ()

    def on_frame(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is not None:
            count_frame(cast("_MeteredStream", stream).meter, frame)
        elif frame.kind in HEAD_FRAMES:
            connection = cast("MeteredHttp2ServerConnection", self._connection)
            if frame.kind == FrameType.HEADERS:
                connection.arriving = BytesMeter()
            count_frame(connection.arriving, frame)
        super().on_frame(frame)

    def _on_request(self, event: RequestReceived) -> None:
        connection = cast("MeteredHttp2ServerConnection", self._connection)
        headers = cast("Sequence[RawHeader]", event.headers)
        connection.arriving.decompressed_header_received += _list_bytes(headers)
        super()._on_request(event)

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            headers = cast("Sequence[RawHeader]", event.headers)
            cast("_MeteredStream", stream).meter.decompressed_header_received += _list_bytes(headers)
        super()._on_trailers(event)


class _MeteredStream(Http2ServerStream):
    """One request of a client."""

    __slots__ = ("meter",)

    def __init__(
        self, connection: Http2ServerConnection, stream_id: int, block: HeaderBlock | None, meter: BytesMeter
    ) -> None:
        super().__init__(connection, stream_id, block)
        self.meter = self._stream.info.downstream_bytes = meter

    def count_head(self, headers: Sequence[RawHeader], wire_bytes: int) -> None:
        """A head, or trailers, went out in so many bytes."""
        meter, stream = self.meter, self._stream
        size = _list_bytes(headers)
        counted = counted_head_bytes(wire_bytes)
        meter.wire_sent += counted
        meter.header_sent += counted
        meter.decompressed_header_sent += size
        if stream.head is not None:
            stream.info.request_headers_bytes = stream.head.byte_size()
        if headers[0][0] == b":status":
            stream.info.response_headers_bytes = size

    def send_data(self, stream: Stream, data: bytes, end_stream: bool) -> None:
        super().send_data(stream, data, end_stream)
        if end_stream:
            self._count_waiting()

    def send_trailers(self, stream: Stream, fields: Sequence[Field]) -> None:
        super().send_trailers(stream, fields)
        self._count_waiting()

    def _count_waiting(self) -> None:
        """The log is written next: what waits for the client's window is told of as sent, as the body is."""
        waiting = self._pending_bytes
        if waiting and not self._over:
            self.meter.wire_sent += waiting + HEADER_BYTES * -(-waiting // MAX_FRAME_BYTES)


# --- upstreams ------------------------------------------------------------------------------------


class MeteredHttp2Exchange(Http2Exchange):
    """An exchange with an upstream that is counted."""

    __slots__ = ("_meter", "_pumped_bytes")

    def __init__(self, connection: Http2ClientConnection, meter: BytesMeter) -> None:
        super().__init__(connection)
        self._meter = meter
        self._pumped_bytes = 0

    def start(
        self, receiver: ResponseReceiver, head: RequestHead, data: bytes, end_stream: bool, upgrade: bool
    ) -> None:
        h2 = self._connection.h2
        before = h2.unsent_bytes
        super().start(receiver, head, data, end_stream, upgrade)
        head_bytes = counted_head_bytes(h2.unsent_bytes - before - self._pumped_bytes)
        self._meter.wire_sent += head_bytes
        self._meter.header_sent += head_bytes
        self._meter.decompressed_header_sent += head.byte_size()
        self._connection.watch(self.stream_id, self._meter)

    def receive_head(self, status: int, shared: ResponseFields, content_length: int, end: bool) -> None:
        super().receive_head(status, shared, content_length, end)
        self._count_fields(shared.fields, _STATUS_BYTES)

    def receive_trailers(self, fields: Sequence[Field]) -> None:
        super().receive_trailers(fields)
        self._count_fields(fields, 0)

    def _count_fields(self, fields: Sequence[Field], more: int) -> None:
        size = sum([len(name) + len(value) for name, value in fields])
        self._meter.decompressed_header_received += size + more

    def _finish(self) -> None:
        self._connection.unwatch(self.stream_id)
        super()._finish()

    def _pump(self) -> None:
        h2 = self._connection.h2
        before = h2.unsent_bytes
        super()._pump()
        sent = h2.unsent_bytes - before
        self._pumped_bytes += sent
        self._meter.wire_sent += sent

    def _send_trailers_now(self, trailers: list[RawHeader]) -> None:
        h2 = self._connection.h2
        before = h2.unsent_bytes
        super()._send_trailers_now(trailers)
        self._meter.header_sent += h2.unsent_bytes - before
        self._meter.decompressed_header_sent += _list_bytes(trailers)
