"""One HTTP/2 connection to a host, and the exchanges that it carries at once.

        connection: OPEN --GOAWAY, limits--> going away: no new exchange --the last one ends--> closed
        exchange:   RESERVED --start--> request under way --END_STREAM both ways, or reset--> finished

`h2` keeps the protocol's state; here are the socket, the frames on their way in and out, and what a router
asks of an exchange. Whatever comes in by one read is told to each exchange in one call, and whatever is to be
sent in one turn of the event loop goes out in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes
from hpack import HPACKError
from hyperframe.frame import RstStreamFrame

from minimesh.data_plane.http.header_block import Refusal
from minimesh.data_plane.http.http1.upstream import Http1ClientConnection, next_connection_id
from minimesh.data_plane.http.http2.client_codec import new_client_h2
from minimesh.data_plane.http.http2.exchange import Http2Exchange
from minimesh.data_plane.http.http2.frames import HEADER_BYTES, Frame, FrameReader, FrameType, Violation
from minimesh.data_plane.http.http2.heads import (
    HEADERS_TOO_LARGE,
    TOO_MANY_HEADERS,
    VIOLATION,
    RawHeader,
    read_response,
    read_trailers,
)
from minimesh.data_plane.http.http2.keepalive import Keepalive
from minimesh.data_plane.http.http2.metered_frames import MeteredFrames
from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import ResponseFields
from minimesh.data_plane.network.connection import address_text
from minimesh.data_plane.network.http2_options import Http2Options
from minimesh.data_plane.upstream.dial import dial

if TYPE_CHECKING:
    from minimesh.data_plane.telemetry.bytes_meter import BytesMeter
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.host import Host
    from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedPool

#: Envoy's defaults for responses of upstreams.
MAX_HEADER_BYTES = 60 * 1024
MAX_HEADERS = 100
_PADDED, _END_STREAM = 0x8, 0x1
#: How many exchanges to begin before the peer has said how many it takes (RFC 9113 advises no less).
_UNTOLD_CONCURRENT_STREAMS = 100
#: Ids of streams are used up after 2^30 of them.
_MAX_STREAMS = 2**30 - 1


async def connect_http2(host: Host, settings: ClusterSettings) -> Http2ClientConnection:
    """Open a connection with prior knowledge, whatever ALPN says (a `Connect`). Raises OSError."""
    return await dial(lambda _: Http2ClientConnection(settings.http2_options), host, settings, ("h2",))


async def connect_by_alpn(host: Host, settings: ClusterSettings) -> Any:
    """Open a connection that speaks what the TLS handshake agreed on, HTTP/1.1 if nothing. Raises OSError."""

    def make(alpn: str) -> asyncio.Protocol:
        return Http2ClientConnection(settings.http2_options) if alpn == "h2" else Http1ClientConnection()

    return await dial(make, host, settings, ("h2", "http/1.1"))


class Http2ClientConnection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_closing",
        "_exchanges",
        "_flush_asked",
        "_frames",
        "_in_turn",
        "_keepalive",
        "_last_head",
        "_last_read",
        "_peer_limit",
        "_touched",
        "_transport",
        "active",
        "closed",
        "connection_id",
        "going_away",
        "h2",
        "idle_since",
        "local_address",
        "loop",
        "options",
        "pool",
        "requests_started",
        "told",
        "write_paused",
    )  # fmt: skip

    protocol = "HTTP/2"

    def __init__(self, options: Http2Options) -> None:
        self.pool: MultiplexedPool | None = None
        self.loop = asyncio.get_running_loop()
        self.options = options
        self.h2 = new_client_h2(options, MAX_HEADER_BYTES)
        self.closed = False
        #: No new exchange: the peer said so, or a limit is reached.
        self.going_away = False
        self.local_address = ""
        self.connection_id = next_connection_id()
        self.requests_started = 0
        self.idle_since = self.loop.time()
        #: Exchanges lent out.
        self.active = 0
        self.write_paused = False
        self._frames = FrameReader(options, MAX_HEADER_BYTES)
        self._peer_limit = _UNTOLD_CONCURRENT_STREAMS
        #: The peer has said how many exchanges it takes.
        self.told = False
        self._exchanges: dict[int, Http2Exchange] = {}
        #: Exchanges that something came in for, in order; told at the end of the turn.
        self._touched: dict[Http2Exchange, None] = {}
        self._in_turn = False
        self._flush_asked = False
        self._closing = False
        self._keepalive: Keepalive | None = None
        self._last_head: list[RawHeader] | None = None
        self._last_read: tuple[int, ResponseFields, int]
        self._transport: asyncio.Transport

    # --- asked by the pool ---

    @property
    def capacity(self) -> int:
        """How many exchanges it takes at once."""
        return min(self._peer_limit, self.options.max_concurrent_streams)

    def open_exchange(self) -> Http2Exchange:
        """One more exchange, to be started at once."""
        self.active += 1
        self.requests_started += 1
        if self.requests_started >= _MAX_STREAMS:
            self.going_away = True
        return Http2Exchange(self)

    def close(self) -> None:
        """At once. Exchanges under way are told that the connection is gone."""
        if not self.closed:
            self._end(ResetReason.CONNECTION_TERMINATION)

    def close_gracefully(self) -> None:
        """Nothing new; closed when the last exchange is over."""
        self.going_away = True
        if not self.active:
            self.close()

    # --- asked by exchanges ---

    def begin(self, exchange: Http2Exchange, headers: list[RawHeader], end_stream: bool) -> int:
        """Send a request's head; the id of its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers, end_stream=end_stream)
        self._exchanges[stream_id] = exchange
        self._frames.stream_opened()
        self.ask_flush()
        if self.pool is not None:
            self.pool.http2_stats.streams_active.inc()
        if self._keepalive is not None:
            self._keepalive.before_request()
        return stream_id

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        self.h2.send_data(stream_id, data, end_stream=end_stream)
        self._frames.data_sent()
        self.ask_flush()

    def send_trailers(self, stream_id: int, headers: list[RawHeader]) -> None:
        self.h2.send_headers(stream_id, headers, end_stream=True)
        self.ask_flush()

    def watch(self, stream_id: int, meter: BytesMeter) -> None:
        """Count what comes for this stream, as long as it lasts."""
        if not isinstance(self._frames, MeteredFrames):
            self._frames = MeteredFrames(self._frames)
        self._frames.meters[stream_id] = meter

    def unwatch(self, stream_id: int) -> None:
        """The stream is over."""
        if isinstance(self._frames, MeteredFrames):
            self._frames.meters.pop(stream_id, None)

    def reset(
        self, stream_id: int, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR, *, early: bool = False
    ) -> None:
        """Give up a stream. Envoy's word for most reasons is INTERNAL_ERROR, so it is ours.

        `early`: the response was complete before the request.
        """
        if early and self.pool is not None:
            self.pool.resources.stats.rq_tx_reset.inc()
        if stream_id in self._exchanges and not self.closed:
            try:
                self.h2.reset_stream(stream_id, code)
            except StreamClosedError:  # both sides have ended it: still it says what was wrong
                self._transport.write(RstStreamFrame(stream_id, error_code=code).serialize())
            if self.pool is not None:
                self.pool.http2_stats.tx_reset.inc()
            self.ask_flush()

    def acknowledge(self, stream_id: int, size: int) -> None:
        """These bytes of a response are taken: the upstream may send as many more."""
        if size and not self.closed:
            self.h2.acknowledge_received_data(size, stream_id)
            self.ask_flush()

    def finished(self, exchange: Http2Exchange) -> None:
        """The exchange is over: its place is free."""
        if self._exchanges.pop(exchange.stream_id, None) is not None and self.pool is not None:
            self.pool.http2_stats.streams_active.dec()
        self.active -= 1
        if self.closed:
            return
        self.h2.forget(exchange.stream_id)
        self.idle_since = self.loop.time()
        if self.going_away and not self.active:
            self._closing = True  # what is yet to be told and sent comes first
            self.ask_flush()
        if self.pool is not None:
            self.pool.exchange_finished(self)

    def ask_flush(self) -> None:
        """Write what is to be sent at the end of this turn."""
        if not self._flush_asked and not self._in_turn:
            self._flush_asked = True
            self.loop.call_soon(self._flush)

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.local_address = address_text(transport.get_extra_info("sockname"))
        options = self.options
        if options.keepalive_timeout_s:
            self._keepalive = Keepalive(self.loop, options, self._send_ping, self._keepalive_failed)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self._in_turn = True
        frames = self._frames
        frames.feed(data)
        if self._keepalive is not None:
            self._keepalive.heard()
        frame: Frame | None = None
        try:
            while not self.closed and (frame := frames.take()) is not None:
                if frame.kind == FrameType.GOAWAY:
                    self._on_goaway(frame)
                    continue
                if frame.kind == FrameType.DATA and not self._fits_length(frame):
                    continue
                for event in self.h2.receive_data(frame.raw):
                    self._on_event(event)
        except ProtocolError as error:
            in_head = frame is not None and frame.kind in (FrameType.HEADERS, FrameType.CONTINUATION)
            malformed = in_head and not isinstance(error.__cause__, HPACKError)
            self._violation("rx_messaging_error" if malformed else "")
        if frames.violation is not None and not self.closed:
            unwanted = frames.violation is Violation.UNWANTED_FRAME
            self._violation("" if unwanted else frames.violation.value)
        self._tell()
        self._in_turn = False
        self._flush()

    def pause_writing(self) -> None:
        self.write_paused = True
        for exchange in list(self._exchanges.values()):
            exchange.on_room(self)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._frames.answers_taken()
        for exchange in list(self._exchanges.values()):
            exchange.on_room(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed:
            self._end(ResetReason.CONNECTION_TERMINATION, remote=True)

    # --- frames ---

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | InformationalResponseReceived):
            self._on_head(event)
        elif isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, TrailersReceived):
            self._on_trailers(event)
        elif isinstance(event, StreamReset):
            self._on_reset(event)
        elif isinstance(event, WindowUpdated):
            self._on_window(event.stream_id or 0)
        elif isinstance(event, RemoteSettingsChanged):
            self._on_settings()
        elif isinstance(event, PingAckReceived) and self._keepalive is not None:
            self._keepalive.answered(event.ping_data)

    def _on_head(self, event: ResponseReceived | InformationalResponseReceived) -> None:
        stream_id = event.stream_id
        exchange = self._exchanges.get(stream_id)
        if exchange is None:
            return
        read = self._read_head(event.headers)
        if isinstance(read, Refusal):
            self._refuse(exchange, read)
            return
        status, shared, content_length = read
        if isinstance(event, ResponseReceived):
            exchange.receive_head(status, shared, content_length, event.stream_ended is not None)
            self._touched[exchange] = None
            return
        if self.pool is not None:
            self.pool.resources.stats.count_response(status)
        if status == 100:
            exchange.receive_continue()

    def _read_head(self, headers: list[RawHeader]) -> tuple[int, ResponseFields, int] | Refusal:
        """Status, fields and length of a response's head; the last one is remembered."""
        if headers == self._last_head:
            return self._last_read
        if sum([len(name) + len(value) for name, value in headers]) > MAX_HEADER_BYTES:
            return HEADERS_TOO_LARGE
        read = read_response(headers, MAX_HEADERS)
        if isinstance(read, Refusal):
            return read
        status, block = read
        if status == 101 or status > 599:
            return VIOLATION  # nobody asked for an upgrade in these words; and no counter for the others
        self._last_head = headers
        self._last_read = status, ResponseFields(block.fields), block.content_length
        return self._last_read

    def _on_data(self, event: DataReceived) -> None:
        stream_id = event.stream_id
        exchange = self._exchanges.get(stream_id)
        size = event.flow_controlled_length or 0
        if exchange is None:
            self.h2.acknowledge_received_data(size, stream_id)
            return
        exchange.receive_data(event.data or b"", size, event.stream_ended is not None)
        self._touched[exchange] = None

    def _fits_length(self, frame: Frame) -> bool:
        """Whether DATA is what `content-length` announced. If not, that stream ends; `h2` would end all."""
        exchange = self._exchanges.get(frame.stream_id)
        if exchange is None or exchange.body_missing < 0:
            return True
        size = len(frame.raw) - HEADER_BYTES
        padding = 1 + frame.raw[HEADER_BYTES] if frame.flags & _PADDED and size else 0
        exchange.body_missing -= size - padding
        missing = exchange.body_missing
        if missing == 0 or (missing > 0 and not frame.flags & _END_STREAM):
            return True
        # `h2` does not see this frame, so that it cannot give back what it took of the connection's window.
        if size:
            self.h2.increment_flow_control_window(size)
        self.reset(exchange.stream_id, ErrorCodes.PROTOCOL_ERROR)
        self._count_reset(ResetReason.PROTOCOL_ERROR)
        exchange.receive_reset(ResetReason.PROTOCOL_ERROR)
        self._touched[exchange] = None
        return False

    def _on_trailers(self, event: TrailersReceived) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            return
        fields = read_trailers(event.headers, MAX_HEADERS)
        if isinstance(fields, Refusal):
            self._refuse(exchange, fields)
            return
        exchange.receive_trailers(fields)
        self._touched[exchange] = None

    def _on_reset(self, event: StreamReset) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if self.pool is not None and event.remote_reset:
            self.pool.http2_stats.rx_reset.inc()
        if exchange is None:
            return
        if not event.remote_reset or event.error_code == ErrorCodes.PROTOCOL_ERROR:
            reason = ResetReason.PROTOCOL_ERROR
        elif event.error_code == ErrorCodes.REFUSED_STREAM:
            reason = ResetReason.REMOTE_REFUSED_STREAM
        elif event.error_code == ErrorCodes.CONNECT_ERROR:
            reason = ResetReason.CONNECT_ERROR
        else:
            reason = ResetReason.REMOTE_RESET
        self._count_reset(reason)
        exchange.receive_reset(reason)
        self._touched[exchange] = None

    def _count_reset(self, reason: ResetReason) -> None:
        """Envoy counts the resets of some reasons as received, of others as sent, and of the rest not."""
        if self.pool is not None:
            stats = self.pool.resources.stats
            if reason is ResetReason.REMOTE_RESET:
                stats.rq_rx_reset.inc()
            elif reason is ResetReason.PROTOCOL_ERROR:
                stats.rq_tx_reset.inc()

    def _on_window(self, stream_id: int) -> None:
        """Room for more of a request's body; 0: of all requests together."""
        exchanges = [self._exchanges.get(stream_id)] if stream_id else list(self._exchanges.values())
        for exchange in exchanges:
            if exchange is not None:
                exchange.on_room(self)

    def _on_settings(self) -> None:
        limit = self.h2.remote_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        self.told = True
        self._peer_limit = self.options.max_concurrent_streams if limit is None else limit
        self._on_window(0)
        if self.pool is not None:
            self.pool.capacity_changed(self)

    def _on_goaway(self, frame: Frame) -> None:
        """Nothing new; streams above the last one that the peer looked at may be tried elsewhere."""
        if len(frame.raw) < HEADER_BYTES + 8 or frame.stream_id:
            self._messaging_error()
            return
        last_stream_id = int.from_bytes(frame.payload[:4], "big") & 0x7FFF_FFFF
        known, self.going_away = self.going_away, True
        if not known and self.pool is not None:
            self.pool.going_away(self)
        for stream_id, exchange in self._exchanges.items():
            if stream_id > last_stream_id:
                exchange.receive_reset(ResetReason.REMOTE_REFUSED_STREAM)
                self._touched[exchange] = None
        if not self.active:
            self._closing = True

    # --- turns ---

    def _tell(self) -> None:
        """Each exchange learns what came for it. It may do anything then: end, begin others, close."""
        while self._touched:
            exchange = next(iter(self._touched))
            del self._touched[exchange]
            exchange.tell()

    def _flush(self) -> None:
        self._flush_asked = False
        if self.closed:
            return
        data = self.h2.data_to_send()
        if data:
            self._transport.write(data)
            if not self.write_paused:
                self._frames.answers_taken()
        if self._closing:
            self._close_transport(self._transport.close)

    # --- ends ---

    def _refuse(self, exchange: Http2Exchange, refusal: Refusal) -> None:
        """A message that is none."""
        code = ErrorCodes.PROTOCOL_ERROR
        if refusal.status == 431:
            reason, code = ResetReason.REMOTE_RESET, ErrorCodes.INTERNAL_ERROR
            counter = "header_overflow" if refusal is TOO_MANY_HEADERS else "header_list_size_too_large"
        elif self.options.stream_error_on_invalid_message:
            reason, counter = ResetReason.PROTOCOL_ERROR, "rx_messaging_error"
        else:
            self._messaging_error()
            return
        if self.pool is not None:
            self.pool.http2_stats.count(counter)
        self.reset(exchange.stream_id, code)
        self._count_reset(reason)
        exchange.receive_reset(reason)
        self._touched[exchange] = None

    def _messaging_error(self) -> None:
        self._violation("rx_messaging_error")

    def _violation(self, counter: str) -> None:
        """The peer breaks the rules: nothing it says is worth listening to. `counter` empty: only that."""
        if self.pool is not None and counter:
            self.pool.http2_stats.count(counter)
        if self.pool is not None:
            self.pool.resources.stats.count("upstream_cx_protocol_error")
        self._end(ResetReason.PROTOCOL_ERROR)

    def _end(self, reason: ResetReason, *, remote: bool = False) -> None:
        """All is over. What has come in completely before is told first."""
        terminated = reason is ResetReason.CONNECTION_TERMINATION
        if terminated and self.pool is not None:
            self.pool.ejected(len(self._exchanges))
        active = terminated and bool(self._exchanges)
        # Not `close`: a peer that reads nothing would keep the socket for ever.
        self._close_transport(self._transport.abort, remote=remote, active=active)
        for exchange in list(self._exchanges.values()):
            if not terminated:
                self._count_reset(reason)
            exchange.receive_reset(reason)
            self._touched[exchange] = None
        if not self._in_turn:
            self._tell()

    def _close_transport(
        self, close: Callable[[], None], *, remote: bool = False, active: bool = False
    ) -> None:
        if self.closed:
            return
        self.closed = self.going_away = True
        if self._keepalive is not None:
            self._keepalive.stop()
        close()
        if self.pool is not None:
            self.pool.forget(self, remote=remote, active=active)

    # --- keepalive ---

    def _send_ping(self, opaque: bytes) -> None:
        self.h2.ping(opaque)
        self.ask_flush()

    def _keepalive_failed(self) -> None:
        if self.pool is not None:
            self.pool.http2_stats.count("keepalive_timeout")
        self.close()
