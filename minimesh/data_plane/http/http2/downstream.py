"""A client's HTTP/2 connection: frames to streams, responses to frames.

`h2` keeps the protocol's state, `frames` sees floods before it does, `server_events` says what
frames mean for streams; here is the socket. Whatever comes in by one read is told to each stream in one call,
and what is to be sent in one turn goes out in one write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import HPACKError
from hyperframe.frame import GoAwayFrame

from minimesh.data_plane.http.hcm_config import ServerHeader
from minimesh.data_plane.http.header_block import HeaderBlock
from minimesh.data_plane.http.http1.downstream import HTTP2_PREFACE as PREFACE
from minimesh.data_plane.http.http2.frames import FrameReader, FrameType, Violation
from minimesh.data_plane.http.http2.heads import INVALID_HEADER_FIELD, VIOLATION
from minimesh.data_plane.http.http2.lifetime import Http2Lifetime, Phase
from minimesh.data_plane.http.http2.server_codec import begin, new_server_h2
from minimesh.data_plane.http.http2.server_events import CODEC_ERROR, Http2ServerEvents
from minimesh.data_plane.http.http2.server_stream import Http2ServerStream

if TYPE_CHECKING:
    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.http2.frames import Frame
    from minimesh.data_plane.http.http2.heads import RawHeader
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener_settings import ListenerScope

#: What a client may leave unread of head and control frames; bodies wait where they come from.
_MAX_UNREAD_BYTES = 8 * 1024 * 1024


class Http2ServerConnection(asyncio.Protocol):
    """See the module (`ServerConnection` of a listener)."""

    __slots__ = (
        "_cut_short", "_events", "_flush_asked", "_frames", "_h2", "_in_turn", "_lifetime", "_preface",
        "_scope", "_transport", "closed", "head_stream_id", "idle_since", "info", "last_stream_id", "loop",
        "manager", "options", "overwrites_server", "server", "stats", "streams", "timers", "touched",
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
        self.streams: dict[int, Http2ServerStream] = {}
        #: Streams that something came in for, in order; told at the end of the turn.
        self.touched: dict[Http2ServerStream, None] = {}
        self._preface = b""
        #: It failed, with streams under way.
        self._cut_short = False
        #: The stream of the last HEADERS frame; of the last one that is a request's.
        self.head_stream_id = self.last_stream_id = 0
        self._in_turn = False
        self._flush_asked = False
        self._lifetime = Http2Lifetime(self)
        self._events = Http2ServerEvents(self, self._h2, self._frames, self._lifetime)

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
                self._events.on_frame(frame)
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
        active = self._cut_short or bool(self.streams)
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
            self.serve_waiting()
        for stream in list(self.streams.values()):
            stream.tell_writable()

    # --- its first bytes ---

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

    # --- turns ---

    def _tell(self) -> None:
        """Each stream learns what came for it."""
        while self.touched:
            stream = next(iter(self.touched))
            del self.touched[stream]
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
        if self._lifetime.phase is Phase.GOING_AWAY and not self.streams:
            self._lifetime.linger()

    # --- asked by what reads its frames ---

    def new_stream(self, stream_id: int, block: HeaderBlock | None) -> Http2ServerStream:
        """`block` is None for a request that is refused."""
        stream = self.streams[stream_id] = Http2ServerStream(self, stream_id, block)
        return stream

    def serve_waiting(self) -> None:
        """Share the room that there is now among the responses that wait for it, a frame each in turn."""
        waiting = [stream for stream in self.streams.values() if stream.waits]
        served = waiting
        while waiting:
            waiting = [stream for stream in waiting if stream.send_piece()]
        for stream in served:
            stream.tell_writable()

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
            if stream_id in self.streams:
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
        if self.streams.pop(stream.stream_id, None) is None:
            return
        self._h2.forget(stream.stream_id)
        self._events.resets.stream_ended(premature=False)
        self.idle_since = self.loop.time()
        if not self.streams and self._lifetime.phase is Phase.GOING_AWAY:
            self._ask_flush()

    # --- asked by the listener ---

    def drain(self) -> None:
        """The client is told, and gets the drain timeout's time; streams under way finish."""
        if not self.closed:
            self._lifetime.drain()

    def close_if_idle(self) -> None:
        """Close unless requests are under way; then these are the last after the drain timeout."""
        if self.streams:
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
        return bool(self.streams)

    def close(self) -> None:
        """What is written goes out."""
        self._transport.close()

    def send_ping(self, opaque: bytes) -> None:
        if self._speaks:
            self._h2.ping(opaque)
            self._ask_flush()

    # --- what goes wrong ---

    def _messaging_error(self, error: ProtocolError, frame: Frame | None) -> None:
        """`h2` takes no more of this connection, after this frame."""
        self.manager.stats.cx_protocol_error.inc()
        details = "codec_error:" + str(error).rstrip(".").replace(" ", "_")
        if frame is not None and frame.kind in (FrameType.HEADERS, FrameType.CONTINUATION):
            self.stats.count("rx_messaging_error")
            details = VIOLATION.details
            begun = frame.stream_id == self.head_stream_id
            if begun and frame.stream_id > self.last_stream_id and frame.stream_id % 2:
                details = INVALID_HEADER_FIELD.details
                self.stats.rq_total.inc()
                self.new_stream(frame.stream_id, None)
        code = ErrorCodes(error.error_code)
        if isinstance(error.__cause__, HPACKError):
            code, details = ErrorCodes.COMPRESSION_ERROR, CODEC_ERROR
        self.fail(code, "DPE", details)

    def _violation(self, violation: Violation) -> None:
        self.manager.stats.cx_protocol_error.inc()
        self.stats.count(violation.value)
        unwanted = violation is Violation.UNWANTED_FRAME
        details = CODEC_ERROR if unwanted else f"http2.{violation.value}"
        self.fail(ErrorCodes.ENHANCE_YOUR_CALM, "DPE", details)

    def fail(self, code: ErrorCodes, flag: str, details: str) -> None:
        """The connection is of no use any more: say why, end everything."""
        if self._lifetime.lingering:
            return
        self.say_goaway(self.last_stream_id, code)
        self._lifetime.linger()
        self._cut_short = bool(self.streams)
        self._end_streams(flag, details)

    def _end_streams(self, flag: str, details: str) -> None:
        self.touched.clear()
        for stream in reversed(list(self.streams.values())):  # Envoy's log has the youngest first
            self.manager.stats.rq_rx_reset.inc()
            stream.fail(flag, details)

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
