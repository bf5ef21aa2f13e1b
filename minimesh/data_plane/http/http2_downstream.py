"""A client's HTTP/2 connection: frames to streams, responses to frames.

`h2` keeps the protocol's state and `http2_frames` sees floods before it does; here is the socket. Whatever
comes in by one read is told to each stream in one call, and what is to be sent in one turn goes out in one
write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from h2.connection import ConnectionState
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
from hpack import HPACKError
from hyperframe.frame import GoAwayFrame

from minimesh.data_plane.http.downstream import HTTP2_PREFACE as PREFACE
from minimesh.data_plane.http.hcm_config import ServerHeader
from minimesh.data_plane.http.header_block import HeaderBlock, Refusal
from minimesh.data_plane.http.http2 import (
    HEADERS_TOO_LARGE,
    INVALID_HEADER_FIELD,
    VIOLATION,
    RequestHeaderReader,
    read_trailers,
)
from minimesh.data_plane.http.http2_codec import begin, new_server_h2
from minimesh.data_plane.http.http2_frames import FrameReader, FrameType, Violation
from minimesh.data_plane.http.http2_lifetime import Http2Lifetime, Phase
from minimesh.data_plane.http.http2_limits import PREMATURE_RESET_LIFETIME_S, PrematureResets
from minimesh.data_plane.http.http2_server_stream import Http2ServerStream
from minimesh.data_plane.http.request_headers import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.http2 import RawHeader
    from minimesh.data_plane.http.http2_frames import Frame
    from minimesh.data_plane.http.messages import PreparedHeaders
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener import ListenerScope

#: What a client may leave unread of head and control frames; bodies wait where they come from.
_MAX_UNREAD_BYTES = 8 * 1024 * 1024
#: What Envoy logs where its codec gives up.
_CODEC_ERROR = "codec_error:The_user_callback_function_failed"
_END_HEADERS, _PADDED, _END_STREAM = 0x4, 0x8, 0x1


class Http2ServerConnection(asyncio.Protocol):
    """See the module (`ServerConnection` of a listener)."""

    __slots__ = (
        "_cut_short", "_flush_asked", "_frames", "_h2", "_in_turn", "_lifetime", "_preface", "_prepared",
        "_prepared_for", "_reader", "_requests", "_resets", "_scope", "_settings_acknowledged",
        "_settings_seen", "_streams", "_touched", "_transport", "closed", "idle_since", "info",
        "last_stream_id", "loop", "manager", "options", "overwrites_server", "server", "stats", "timers",
        "write_paused",
    )  # fmt: skip

    def __init__(self, manager: ConnectionManager, info: ConnectionInfo, scope: ListenerScope) -> None:
        config = manager.config
        self.manager = manager
        self.info = info
        self.timers = scope.timers
        self.loop = asyncio.get_running_loop()
        self.options = options = config.http2
        self.stats = manager.http2_stats
        self.server = "" if config.server_header is ServerHeader.PASS_THROUGH else config.server_name
        self.overwrites_server = config.server_header is ServerHeader.OVERWRITE
        self.closed = False
        self.write_paused = False
        self.idle_since = self.loop.time()
        self._scope = scope
        self._transport: asyncio.Transport
        self._h2 = new_server_h2(options, config.max_request_headers_bytes)
        # Between the limit and this a request is refused for itself; above it the connection has to go.
        self._frames = FrameReader(options, 2 * config.max_request_headers_bytes)
        self._reader = RequestHeaderReader(config.max_headers_count, options.allow_connect)
        self._prepared_for: HeaderBlock | None = None
        self._prepared: PreparedHeaders
        self._resets = PrematureResets()
        self._streams: dict[int, Http2ServerStream] = {}
        #: Streams that something came in for, in order; told at the end of the turn.
        self._touched: dict[Http2ServerStream, None] = {}
        self._preface = b""
        self._settings_seen = False
        self._settings_acknowledged = False
        #: It failed, with streams under way.
        self._cut_short = False
        self._requests = 0
        self.last_stream_id = 0
        self._in_turn = False
        self._flush_asked = False
        self._lifetime = Http2Lifetime(self)

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stats = self.manager.stats
        stats.cx_total.inc()
        stats.cx_active.inc()
        self.take_over(cast("asyncio.Transport", transport))  # uvloop's is no subclass

    def take_over(self, transport: asyncio.Transport) -> None:
        """Go on with a connection that is already counted: its first bytes were found to be HTTP/2."""
        self._transport = transport
        self.stats.cx_total.inc()
        self.stats.cx_active.inc()
        self._lifetime.begin()

    def data_received(self, data: bytes) -> None:
        lifetime = self._lifetime
        if self.closed or lifetime.lingering:
            return
        if len(self._preface) < len(PREFACE):
            data = self._take_preface(data)
            if not data:
                return
        if lifetime.keepalive is not None:
            lifetime.keepalive.heard()
        self._in_turn = True
        frames = self._frames
        frames.feed(data)
        frame: Frame | None = None
        try:
            while not lifetime.lingering and (frame := frames.take()) is not None:
                self._on_frame(frame)
        except ProtocolError as error:
            self._messaging_error(error, frame)
        if frames.violation is not None:
            self._violation(frames.violation)
        self._tell()
        self._in_turn = False
        self._flush()

    def eof_received(self) -> bool:
        """A client that closes its sending half is taken to be gone, as by Envoy."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        self._lifetime.end()
        stats = self.manager.stats
        stats.cx_active.dec()
        self.stats.cx_active.dec()
        active = self._cut_short or bool(self._streams)
        stats.count_closed(remote=not self._lifetime.lingering, active=active)
        self._end_streams("DC", "downstream_remote_disconnect")
        self._scope.connection_closed(self)

    def pause_writing(self) -> None:
        self._note_writable(paused=True)

    def resume_writing(self) -> None:
        self._frames.answers_taken()
        self._note_writable(paused=False)

    def _note_writable(self, *, paused: bool) -> None:
        self.write_paused = paused
        if not paused:
            self._serve_waiting()
        for stream in list(self._streams.values()):
            stream.tell_writable()

    def _serve_waiting(self) -> None:
        """Share the room that there is now among the responses that wait for it, a frame each in turn."""
        waiting = [stream for stream in self._streams.values() if stream.waits]
        served = waiting
        while waiting:
            waiting = [stream for stream in waiting if stream.send_piece()]
        for stream in served:
            stream.tell_writable()

    # --- asked by the listener ---

    def drain(self) -> None:
        """The client is told, and gets the drain timeout's time; streams under way finish."""
        if not self.closed:
            self._lifetime.drain()

    def close_if_idle(self) -> None:
        """Close unless requests are under way; then these are the last after the drain timeout."""
        if self._streams:
            self.drain()
        elif not self.closed:
            self._lifetime.go_away()

    def close_now(self) -> None:
        if not self.closed:
            self._lifetime.phase = Phase.LINGERING
            self._transport.abort()

    # --- asked by its lifetime ---

    @property
    def has_streams(self) -> bool:
        return bool(self._streams)

    def close(self) -> None:
        """What is written goes out."""
        self._transport.close()

    def send_ping(self, opaque: bytes) -> None:
        if self._speaks:
            self._h2.ping(opaque)
            self._ask_flush()

    # --- asked by streams ---

    @property
    def _speaks(self) -> bool:
        """Whether there is still anything to be said to the client, and it has said that it is one."""
        return not self.closed and len(self._preface) == len(PREFACE) and not self._lifetime.lingering

    def room(self, stream_id: int) -> int:
        """How many bytes of a body may go out at once."""
        return min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)

    def send_headers(self, stream_id: int, headers: list[RawHeader], *, end: bool) -> None:
        self._h2.send_headers(stream_id, headers, end_stream=end)
        self._ask_flush()

    def send_data(self, stream_id: int, data: bytes, *, end: bool) -> None:
        self._h2.send_data(stream_id, data, end_stream=end)
        self._frames.data_sent()
        self._ask_flush()

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        if self._speaks:
            self._h2.reset_stream(stream_id, code)
            self.stats.tx_reset.inc()
            if stream_id in self._streams:
                self.manager.stats.rq_rx_reset.inc()  # Envoy counts resets of either side
            self._ask_flush()

    def acknowledge(self, stream_id: int, size: int) -> None:
        """These bytes of a request are taken: the client may send as many more."""
        if size and self._speaks:
            self._h2.acknowledge_received_data(size, stream_id)
            self._ask_flush()

    def note_early_response(self) -> None:
        self.manager.stats.count("downstream_rq_response_before_rq_complete")

    def stream_over(self, stream: Http2ServerStream) -> None:
        """Everything is sent and told."""
        if self._streams.pop(stream.stream_id, None) is None:
            return
        self._h2.forget(stream.stream_id)
        self._resets.stream_ended(premature=False)
        self.idle_since = self.loop.time()
        if not self._streams and self._lifetime.phase is Phase.GOING_AWAY:
            self._ask_flush()

    # --- frames ---

    def _take_preface(self, data: bytes) -> bytes:
        """Look at the first bytes; what follows the preface."""
        preface = self._preface + data[: len(PREFACE) - len(self._preface)]
        if not PREFACE.startswith(preface):
            self.manager.stats.cx_protocol_error.inc()
            self.say_goaway(0, ErrorCodes.PROTOCOL_ERROR)
            self._lifetime.linger()
            return b""
        rest = data[len(preface) - len(self._preface) :]
        self._preface = preface
        if len(preface) == len(PREFACE):
            begin(self._h2, self.options)
            self._h2.receive_data(preface)
            self._flush()
        return rest

    def _on_frame(self, frame: Frame) -> None:
        kind = frame.kind
        if not self._settings_seen:
            if kind != FrameType.SETTINGS:
                raise ProtocolError("SETTINGS expected")
            self._settings_seen = True
        if kind == FrameType.GOAWAY:
            return  # The client begins nothing new; what is under way goes on.
        if kind == FrameType.DATA and not self._fits_length(frame):
            return
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
        stream_id = event.stream_id
        if self._lifetime.phase is Phase.GOING_AWAY:
            self._refuse_stream(stream_id)
            return
        if len(self._streams) >= self.options.max_concurrent_streams:
            self._too_many_streams(stream_id)
            return
        self.last_stream_id = stream_id
        self._requests += 1
        self._frames.stream_opened()
        self.stats.rq_total.inc()
        headers = cast("Sequence[RawHeader]", event.headers)
        config = self.manager.config
        if sum([len(name) + len(value) for name, value in headers]) > config.max_request_headers_bytes:
            self._refuse(self._new_stream(stream_id, None), HEADERS_TOO_LARGE)
            return
        read = self._reader.read(headers)
        if isinstance(read, Refusal):
            self._refuse(self._new_stream(stream_id, None), read)
            return
        line, block = read
        ended = event.stream_ended is not None
        if ended and block.content_length > 0:
            self._refuse(self._new_stream(stream_id, None), VIOLATION)
            return
        if block is not self._prepared_for:
            scheme = "http" if self.info.tls is None else "https"
            info = self.info
            self._prepared = prepare(block, config, info.direct_remote_address, scheme, info.tls)
            self._prepared_for = block
        stream = self._new_stream(stream_id, block)
        stream.receive_head(line, self._prepared, end=ended)
        self._touched[stream] = None
        if 0 < config.max_requests_per_connection <= self._requests:
            self.manager.stats.count("downstream_cx_max_requests_reached")
            if self._lifetime.phase is Phase.OPEN:
                self.drain()

    def _new_stream(self, stream_id: int, block: HeaderBlock | None) -> Http2ServerStream:
        stream = self._streams[stream_id] = Http2ServerStream(self, stream_id, block)
        return stream

    def _too_many_streams(self, stream_id: int) -> None:
        """A client that does not yet know the limit may try again; one that knows it breaks the rules."""
        if self._settings_acknowledged:
            self.manager.stats.cx_protocol_error.inc()
            self.fail(ErrorCodes.PROTOCOL_ERROR, "DPE", _CODEC_ERROR)
            return
        self._refuse_stream(stream_id)

    def _refuse_stream(self, stream_id: int) -> None:
        self.stats.count("stream_refused_errors")
        self.reset(stream_id, ErrorCodes.REFUSED_STREAM)
        self._h2.forget(stream_id)

    def _on_data(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        size = event.flow_controlled_length or 0
        if stream is None:
            self.acknowledge(event.stream_id, size)
            return
        stream.receive_data(event.data or b"", size, end=event.stream_ended is not None)
        self._touched[stream] = None

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        limit = self.manager.config.max_headers_count
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
        stream = self._streams.get(event.stream_id)
        if event.remote_reset:
            self.stats.rx_reset.inc()
        if stream is None:
            return
        self.manager.stats.rq_rx_reset.inc()
        if not event.remote_reset:
            stream.fail("DPE", "http2.remote_reset")
            return
        lived_s = self.loop.time() - stream.started_at
        premature = not stream.response_code and lived_s <= PREMATURE_RESET_LIFETIME_S
        if event.error_code:
            stream.fail("DR", "http2.remote_reset")
        else:
            stream.fail("", "")  # Envoy takes a stream that is reset without an error for no failure
        if premature and self._resets.stream_ended(premature=True):
            self.manager.stats.count("downstream_rq_too_many_premature_resets")
            self.fail(ErrorCodes.ENHANCE_YOUR_CALM, "DC", "too_many_premature_resets")

    def _on_window(self, stream_id: int) -> None:
        """Room for more of a response; 0: of all responses together."""
        if stream_id:
            stream = self._streams.get(stream_id)
            if stream is not None:
                stream.on_room()
        elif not self.write_paused:
            self._serve_waiting()

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

    # --- what goes wrong ---

    def _refuse(self, stream: Http2ServerStream, refusal: Refusal) -> None:
        """A malformed message ends the connection, unless configured otherwise; one too large its stream."""
        if refusal.status == 431:
            self.stats.count("header_overflow")
            stream.refuse(refusal)
            return
        self.stats.count("rx_messaging_error")
        if self.options.stream_error_on_invalid_message:
            stream.refuse(refusal)
        else:
            self.manager.stats.cx_protocol_error.inc()
            self.fail(ErrorCodes.PROTOCOL_ERROR, "DPE", refusal.details)

    def _messaging_error(self, error: ProtocolError, frame: Frame | None) -> None:
        """`h2` takes no more of this connection, after this frame."""
        self.manager.stats.cx_protocol_error.inc()
        details = "codec_error:" + str(error).rstrip(".").replace(" ", "_")
        if frame is not None and frame.kind in (FrameType.HEADERS, FrameType.CONTINUATION):
            self.stats.count("rx_messaging_error")
            details = VIOLATION.details
            if frame.stream_id > self.last_stream_id and frame.stream_id % 2:
                details = INVALID_HEADER_FIELD.details
                self.stats.rq_total.inc()
                self._new_stream(frame.stream_id, None)
        code = ErrorCodes(error.error_code)
        if isinstance(error.__cause__, HPACKError):
            code, details = ErrorCodes.COMPRESSION_ERROR, _CODEC_ERROR
        self.fail(code, "DPE", details)

    def _violation(self, violation: Violation) -> None:
        self.manager.stats.cx_protocol_error.inc()
        self.stats.count(violation.value)
        unwanted = violation is Violation.UNWANTED_FRAME
        details = _CODEC_ERROR if unwanted else f"http2.{violation.value}"
        self.fail(ErrorCodes.ENHANCE_YOUR_CALM, "DPE", details)

    def fail(self, code: ErrorCodes, flag: str, details: str) -> None:
        """The connection is of no use any more: say why, end everything."""
        if self._lifetime.lingering:
            return
        self.say_goaway(self.last_stream_id, code)
        self._lifetime.linger()
        self._cut_short = bool(self._streams)
        self._end_streams(flag, details)

    def _end_streams(self, flag: str, details: str) -> None:
        self._touched.clear()
        for stream in reversed(list(self._streams.values())):  # Envoy's log has the youngest first
            self.manager.stats.rq_rx_reset.inc()
            stream.fail(flag, details)

    # --- turns ---

    def _tell(self) -> None:
        """Each stream learns what came for it."""
        while self._touched:
            stream = next(iter(self._touched))
            del self._touched[stream]
            stream.tell()

    def _ask_flush(self) -> None:
        """Write what is to be sent at the end of this turn."""
        if not self._flush_asked and not self._in_turn:
            self._flush_asked = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_asked = False
        if self.closed:
            return
        data = self._h2.data_to_send()
        if data and self._speaks:
            self._transport.write(data)
            unread_bytes = self._transport.get_write_buffer_size()
            if not unread_bytes:
                self._frames.answers_taken()
            elif unread_bytes > _MAX_UNREAD_BYTES:
                self._violation(Violation.CONTROL_FRAMES)
                self.close_now()
                return
        if self._lifetime.phase is Phase.GOING_AWAY and not self._streams:
            self._lifetime.linger()

    # --- the end ---

    def say_goaway(self, last_stream_id: int, code: ErrorCodes) -> None:
        """GOAWAY past `h2`, which would take nothing more of the connection after it."""
        data = self._h2.data_to_send()
        if self._h2.state_machine.state is not ConnectionState.CLOSED:  # else it has said so itself
            frame = GoAwayFrame(0)
            frame.last_stream_id = last_stream_id
            frame.error_code = code
            data += frame.serialize()
        self._transport.write(data)
        self.stats.count("goaway_sent")
