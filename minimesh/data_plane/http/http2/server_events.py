"""What a client's HTTP/2 frames mean for its streams: frame to `h2`, its events to requests, bodies, resets.

Each stream learns what came for it at the end of the turn; here it is noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from minimesh.data_plane.http.header_block import HeaderBlock, Refusal
from minimesh.data_plane.http.http2.frames import FrameType
from minimesh.data_plane.http.http2.heads import (
    HEADERS_TOO_LARGE,
    VIOLATION,
    RequestHeaderReader,
    read_trailers,
)
from minimesh.data_plane.http.http2.lifetime import Phase
from minimesh.data_plane.http.http2.limits import PREMATURE_RESET_LIFETIME_S, PrematureResets
from minimesh.data_plane.http.request_headers import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
    from minimesh.data_plane.http.http2.frames import Frame, FrameReader
    from minimesh.data_plane.http.http2.heads import RawHeader
    from minimesh.data_plane.http.http2.lifetime import Http2Lifetime
    from minimesh.data_plane.http.http2.server_codec import ServerH2
    from minimesh.data_plane.http.http2.server_stream import Http2ServerStream
    from minimesh.data_plane.http.messages import PreparedHeaders

#: What Envoy logs where its codec gives up.
CODEC_ERROR = "codec_error:The_user_callback_function_failed"
_END_HEADERS, _PADDED, _END_STREAM = 0x4, 0x8, 0x1


class Http2ServerEvents:
    """See the module."""

    __slots__ = (
        "_connection", "_frames", "_h2", "_lifetime", "_options", "_prepared", "_prepared_for", "_reader",
        "_requests", "_settings_acknowledged", "_settings_seen", "_stats", "_streams", "_touched", "resets",
    )  # fmt: skip

    def __init__(
        self, connection: Http2ServerConnection, h2: ServerH2, frames: FrameReader, lifetime: Http2Lifetime
    ) -> None:
        self._connection = connection
        self._h2 = h2
        self._frames = frames
        self._lifetime = lifetime
        self._options = options = connection.options
        self._stats = connection.stats
        self._streams = connection.streams
        self._touched = connection.touched
        self._reader = RequestHeaderReader(connection.manager.config.max_headers_count, options.allow_connect)
        self._prepared_for: HeaderBlock | None = None
        self._prepared: PreparedHeaders
        self.resets = PrematureResets()
        self._settings_seen = False
        self._settings_acknowledged = False
        self._requests = 0

    def on_frame(self, frame: Frame) -> None:
        """A whole frame. Raises ProtocolError when `h2` takes no more of this connection."""
        kind = frame.kind
        if not self._settings_seen:
            if kind != FrameType.SETTINGS:
                raise ProtocolError("SETTINGS expected")
            self._settings_seen = True
        if kind == FrameType.GOAWAY:
            return  # The client begins nothing new; what is under way goes on.
        if kind == FrameType.DATA and not self._fits_length(frame):
            return
        if kind == FrameType.HEADERS:
            self._connection.head_stream_id = frame.stream_id
        if kind in (FrameType.HEADERS, FrameType.CONTINUATION):
            self._lifetime.watch_head(complete=bool(frame.flags & _END_HEADERS))
        for event in self._h2.receive_data(frame.raw):
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._on_request(event)
        elif isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, WindowUpdated):
            self._on_window(event.stream_id or 0)
        elif isinstance(event, StreamReset):
            self._on_reset(event)
        elif isinstance(event, TrailersReceived):
            self._on_trailers(event)
        elif isinstance(event, RemoteSettingsChanged):
            self._on_window(0)
        elif isinstance(event, SettingsAcknowledged):
            self._settings_acknowledged = True
        elif isinstance(event, PingAckReceived) and self._lifetime.keepalive is not None:
            self._lifetime.keepalive.answered(event.ping_data)

    def _on_request(self, event: RequestReceived) -> None:
        stream_id, connection = event.stream_id, self._connection
        if self._lifetime.phase is Phase.GOING_AWAY:
            self._refuse_stream(stream_id)
            return
        if len(self._streams) >= self._options.max_concurrent_streams:
            self._too_many_streams(stream_id)
            return
        connection.last_stream_id = stream_id
        self._requests += 1
        self._frames.stream_opened()
        self._stats.rq_total.inc()
        headers = cast("Sequence[RawHeader]", event.headers)
        config = connection.manager.config
        if sum([len(name) + len(value) for name, value in headers]) > config.max_request_headers_bytes:
            self._refuse(connection.new_stream(stream_id, None), HEADERS_TOO_LARGE)
            return
        read = self._reader.read(headers)
        if isinstance(read, Refusal):
            self._refuse(connection.new_stream(stream_id, None), read)
            return
        line, block = read
        ended = event.stream_ended is not None
        if ended and block.content_length > 0:
            self._refuse(connection.new_stream(stream_id, None), VIOLATION)
            return
        if block is not self._prepared_for:
            info = connection.info
            scheme = "http" if info.tls is None else "https"
            self._prepared = prepare(block, config, info.direct_remote_address, scheme, info.tls)
            self._prepared_for = block
        stream = connection.new_stream(stream_id, block)
        stream.receive_head(line, self._prepared, end=ended)
        self._touched[stream] = None
        if 0 < config.max_requests_per_connection <= self._requests:
            connection.manager.stats.count("downstream_cx_max_requests_reached")
            if self._lifetime.phase is Phase.OPEN:
                connection.drain()

    def _too_many_streams(self, stream_id: int) -> None:
        """A client that does not yet know the limit may try again; one that knows it breaks the rules."""
        if self._settings_acknowledged:
            self._connection.manager.stats.cx_protocol_error.inc()
            self._connection.fail(ErrorCodes.PROTOCOL_ERROR, "DPE", CODEC_ERROR)
            return
        self._refuse_stream(stream_id)

    def _refuse_stream(self, stream_id: int) -> None:
        self._stats.count("stream_refused_errors")
        self._connection.reset(stream_id, ErrorCodes.REFUSED_STREAM)
        self._h2.forget(stream_id)

    def _on_data(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        size = event.flow_controlled_length or 0
        if stream is None:
            self._connection.acknowledge(event.stream_id, size)
            return
        stream.receive_data(event.data or b"", size, end=event.stream_ended is not None)
        self._touched[stream] = None

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        limit = self._connection.manager.config.max_headers_count
        fields = read_trailers(cast("Sequence[RawHeader]", event.headers), limit)
        if isinstance(fields, Refusal):
            self._refuse(stream, fields)
            return
        if not stream.fits_length(0, end=True):
            self._refuse_length(stream)
            return
        stream.receive_trailers(fields)
        self._touched[stream] = None

    def _on_reset(self, event: StreamReset) -> None:
        stream, connection = self._streams.get(event.stream_id), self._connection
        if event.remote_reset:
            self._stats.rx_reset.inc()
        if stream is None:
            return
        connection.manager.stats.rq_rx_reset.inc()
        if not event.remote_reset:
            stream.fail("DPE", "http2.remote_reset")
            return
        lived_s = connection.loop.time() - stream.started_at
        premature = not stream.response_code and lived_s <= PREMATURE_RESET_LIFETIME_S
        if event.error_code:
            stream.fail("DR", "http2.remote_reset")
        else:
            stream.fail("", "")  # Envoy takes a stream that is reset without an error for no failure
        if premature and self.resets.stream_ended(premature=True):
            connection.manager.stats.count("downstream_rq_too_many_premature_resets")
            connection.fail(ErrorCodes.ENHANCE_YOUR_CALM, "DC", "too_many_premature_resets")

    def _on_window(self, stream_id: int) -> None:
        """Room for more of a response; 0: of all responses together."""
        if stream_id:
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.on_room()
        elif not self._connection.write_paused:
            self._connection.serve_waiting()

    def _fits_length(self, frame: Frame) -> bool:
        """Whether DATA is what `content-length` announced. If not, that stream ends; `h2` would end all."""
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return True
        size = len(frame.raw) - 9
        padding = 1 + frame.raw[9] if frame.flags & _PADDED and size else 0
        if stream.fits_length(size - padding, end=bool(frame.flags & _END_STREAM)):
            return True
        # `h2` does not see this frame, so that it cannot give back what it took of the connection's window.
        if size:
            self._h2.increment_flow_control_window(size)
        self._refuse_length(stream)
        return False

    def _refuse_length(self, stream: Http2ServerStream) -> None:
        stream.reject(ErrorCodes.PROTOCOL_ERROR, "DPE", "http2.remote_reset")

    def _refuse(self, stream: Http2ServerStream, refusal: Refusal) -> None:
        """A malformed message ends the connection, unless configured otherwise; one too large its stream."""
        if refusal.status == 431:
            self._stats.count("header_overflow")
            stream.refuse(refusal)
            return
        self._stats.count("rx_messaging_error")
        if self._options.stream_error_on_invalid_message:
            stream.refuse(refusal)
        else:
            self._connection.manager.stats.cx_protocol_error.inc()
            self._connection.fail(ErrorCodes.PROTOCOL_ERROR, "DPE", refusal.details)
