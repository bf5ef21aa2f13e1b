"""A client's HTTP/1 connection: bytes to streams, responses to bytes.

One stream at a time: a client that sends its next request early (pipelining) finds it read when the response
before it is complete.

        READING --head--> SERVING --response and request complete--> READING
           `--refused--> LINGERING <--last response-- '   (`lifetime`)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.http.block_memo import Values
from minimesh.data_plane.http.hcm_config import Codec, ServerHeader
from minimesh.data_plane.http.header_block import Field, HeaderBlock, Refusal
from minimesh.data_plane.http.http1.body import LAST_CHUNK, BodyReader, chunk, last_chunk, request_body
from minimesh.data_plane.http.http1.head import RequestReader
from minimesh.data_plane.http.http1.lifetime import Http1Lifetime
from minimesh.data_plane.http.http1.request_line import RequestLine
from minimesh.data_plane.http.http1.status_line import status_line
from minimesh.data_plane.http.local_reply import refusal_body
from minimesh.data_plane.http.messages import PreparedHeaders, ResponseHead
from minimesh.data_plane.http.stream import Stream
from minimesh.data_plane.network.write_batch import write_batch_of
from minimesh.data_plane.telemetry.stream_info import StreamInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener_settings import ListenerScope

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PIPELINED_LIMIT_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOTHING_PREPARED = PreparedHeaders((), -1, "")
#: Who wants reading stopped: the upstream that takes no more, the request under way, other connections.
_UPSTREAM, _PIPELINE, _OTHERS = 1, 2, 4
#: With so much of a body in one piece, others come first: libuv reads on for as long as there is more.
_TURN_BYTES = 128 * 1024


class Http1ServerConnection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_ahead", "_body", "_buffer", "_chunk_response", "_is_head", "_keep_alive", "_lifetime",
        "_out", "_paused_for", "_prepared", "_prepared_for", "_reader", "_reading", "_scope", "_server",
        "_stream", "_transport", "_tunnel", "_version", "_write_paused", "closed", "closing", "idle_since",
        "info", "loop", "manager", "requests", "timers",
    )  # fmt: skip

    def __init__(self, manager: ConnectionManager, info: ConnectionInfo, scope: ListenerScope) -> None:
        config = manager.config
        # --- for the connection's life ---
        self.manager = manager
        self.info = info
        self.timers = scope.timers
        self.loop = asyncio.get_running_loop()
        self._out = write_batch_of(self.loop)
        self.closed = False
        self.requests = 0
        self.idle_since = self.loop.time()
        self._scope = scope
        self._transport: asyncio.Transport
        #: Made for the first request, and after a long pause anew.
        self._reader: RequestReader | None = None
        self._server = "" if config.server_header is ServerHeader.PASS_THROUGH else config.server_name
        self._buffer = b""
        self._prepared_for: HeaderBlock | None = None
        self._prepared: PreparedHeaders
        self._lifetime = Http1Lifetime(self)
        #: Closed from here, not by the client.
        self.closing = False
        self._reading = False
        self._paused_for = 0
        self._write_paused = False
        #: Requests that wait until the client has taken its answers; None: nothing waits for that.
        self._ahead: bytes | None = None
        # --- for one request ---
        self._stream: Stream | None = None
        self._body: BodyReader | None = None
        self._version = "HTTP/1.1"
        self._is_head = False
        self._keep_alive = True
        self._chunk_response = False
        self._tunnel = False

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        stats = self.manager.stats
        stats.cx_total.inc()
        stats.cx_http1_total.inc()
        stats.cx_active.inc()
        stats.rq_active.touch()
        self._lifetime.begin()

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            if self._lifetime.lingering:
                return
            if self._buffer:
                self._buffer += data
            else:
                self._buffer = data
                self._lifetime.begin_request()
            self._read_requests()
        elif self._tunnel:
            stream.on_request_data(data, False)
        elif self._body is not None:
            self._feed_body(stream, data)
        else:
            self._buffer += data
            if len(self._buffer) > _PIPELINED_LIMIT_BYTES:
                self._pause(_PIPELINE, True)

    def eof_received(self) -> bool:
        """A client that closes its sending half is taken to be gone, as by Envoy."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._reader is not None:
            self.manager.block_memo = self._reader.memo
        self._lifetime.end()
        stats = self.manager.stats
        stats.cx_active.dec()
        stats.count_closed(remote=not self.closing, active=self._stream is not None)
        if self._stream is not None:
            stats.rq_rx_reset.inc()
            self._stream.on_disconnect()
        self._scope.connection_closed(self)

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._stream is not None:
            self._stream.on_downstream_writable(False)

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._stream is not None:
            self._stream.on_downstream_writable(True)
        elif self._ahead is not None:
            self._go_on_reading(self._ahead)

    # --- requests ---

    def _read_requests(self) -> None:
        """Read heads for as long as there are any and nothing is under way."""
        self._reading = True
        while self._stream is None and self._buffer and not self._lifetime.lingering and not self.closed:
            data = self._buffer
            if data[0] in b"\r\n":
                data = self._buffer = data.lstrip(b"\r\n")
                continue
            reader = self._reader
            if reader is None:
                reader = self._reader = self._new_reader()
            read = reader.read(data)
            if read is None:
                break
            if isinstance(read, Refusal):
                if not self._begins_http2(data):
                    self._refuse(read)
                break
            line, block, values, length = read
            self._begin_stream(line, block, values, data[length:] if length < len(data) else b"")
        self._reading = False

    def _begins_http2(self, data: bytes) -> bool:
        """What is no request may be HTTP/2's preface, or the beginning of it: then another goes on from here.

        Asked of what was refused only, so that HTTP/1 pays nothing for it.
        """
        if self.requests or self.manager.config.codec is not Codec.AUTO:
            return False
        if not data.startswith(HTTP2_PREFACE):
            return HTTP2_PREFACE.startswith(data)
        self.closed = True
        self._lifetime.end()
        successor = self.manager.http2_connection(self.info, self._scope)
        self.manager.stats.cx_http1_total.value -= 1
        self._scope.connection_replaced(self, successor)
        self._transport.set_protocol(successor)
        successor.take_over(self._transport)
        if self._lifetime.draining:
            successor.drain()
        successor.data_received(data)
        return True

    def _begin_stream(self, line: RequestLine, block: HeaderBlock, values: Values, rest: bytes) -> None:
        self.requests += 1
        self._version = line.version
        self._is_head = line.method == "HEAD"
        if block is not self._prepared_for:
            self._prepared = self.manager.prepare(block, self.info, line.scheme)
            self._prepared_for = block
        prepared = self._prepared
        self._keep_alive = self._wants_keep_alive(line, block, prepared)
        self._tunnel = tunnel = prepared.upgrades or line.method == "CONNECT"
        body = None
        if (block.chunked or block.content_length > 0) and not tunnel:
            config = self.manager.config
            body = (
                request_body(block, config.max_headers_count)
                if config.http1_trailers
                else request_body(block)
            )
        stream = self._stream = Stream(self, self._stream_info(line.version), block)
        self._body = body
        if body is None:
            self._buffer = b"" if tunnel else rest
            if self._lifetime.request_deadline is not None:
                self._lifetime.request_received()
            stream.on_request(line, prepared, b"", not tunnel, values)
            if tunnel and rest and self._stream is stream:
                stream.on_request_data(rest, False)
            return
        if self._lifetime.request_deadline is not None:
            self._lifetime.head_received()
        self._buffer = b""
        payload = body.feed(rest) if rest else b""
        # As long as this takes the body counts as unread, even if it came along: who answers at the sight of
        # the head alone closes the connection.
        if body.trailers:
            self._take_trailers(stream, body)
        stream.on_request(line, prepared, payload, body.done, values)
        if self._stream is not stream:
            return
        if body.done:
            self._body = None
            self._buffer = body.rest
            self._lifetime.request_received()
        elif body.failed:
            self._refuse_body(stream, body)

    def _new_reader(self) -> RequestReader:
        config = self.manager.config
        return RequestReader(
            config.max_request_headers_bytes,
            config.max_headers_count,
            config.accept_http_10,
            "http" if self.info.tls is None else "https",
            self.manager.block_memo,
        )

    def _wants_keep_alive(self, line: RequestLine, block: HeaderBlock, prepared: PreparedHeaders) -> bool:
        limit = self.manager.config.max_requests_per_connection
        if 0 < limit <= self.requests:
            self.manager.stats.count("downstream_cx_max_requests_reached")
            return False
        if self._lifetime.draining:
            return False
        return not prepared.closes if line.version == "HTTP/1.1" else block.connection_says("keep-alive")

    def _feed_body(self, stream: Stream, data: bytes) -> None:
        body = self._body
        assert body is not None
        if len(data) >= _TURN_BYTES:
            self._pause(_OTHERS, True)
            self.loop.call_soon(self._take_turn)
        payload = body.feed(data)
        if body.failed:
            self._refuse_body(stream, body)
        elif body.done:
            self._body = None
            self._buffer = body.rest
            self._lifetime.request_received()
            if body.trailers:
                self._take_trailers(stream, body)
            stream.on_request_data(payload, True)
        elif payload:
            stream.on_request_data(payload, False)

    def _take_turn(self) -> None:
        if not self._transport.is_closing():
            self._pause(_OTHERS, False)

    def _take_trailers(self, stream: Stream, body: BodyReader) -> None:
        if self.manager.config.http1_trailers:
            stream.request_trailers = body.trailers

    def _refuse_body(self, stream: Stream, body: BodyReader) -> None:
        self.manager.stats.cx_protocol_error.inc()
        stream.on_codec_error(body.refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """A head that is none: answered and logged without a word of what it may have said."""
        self.manager.stats.cx_protocol_error.inc()
        self._version = "HTTP/1.1"
        self._keep_alive = False
        self._is_head = False
        self._buffer = b""
        stream = self._stream = Stream(self, self._stream_info("HTTP/1.1"), None)
        stream.info.add_flag("DPE")
        stream.send_local_reply(refusal.status, refusal_body(refusal.status), refusal.details)

    def _stream_info(self, version: str) -> StreamInfo:
        lifetime = self._lifetime
        info = StreamInfo(lifetime.start_time, lifetime.started_at)
        info.protocol = version
        self.info.describe(info)
        return info

    # --- asked by the stream ---

    def send_continue(self) -> None:
        self._out.write(self._transport, _CONTINUE)

    def send_head(self, stream: Stream, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """Head and first bytes of the body in one write."""
        manager = self.manager
        status = response.status
        tunnel = status == 101
        if not tunnel and (self._body is not None or self._tunnel or self._lifetime.draining):
            self._keep_alive = False
        text = response.header_text(
            self._server, manager.date, manager.config.server_header is ServerHeader.OVERWRITE
        )
        if manager.marks_responses:
            text = manager.marked(text, stream.info.request_id)
        if not self._keep_alive:
            text += "" if tunnel else "connection: close\r\n"
        elif self._version == "HTTP/1.0":
            text += "connection: keep-alive\r\n"
        self._chunk_response = False
        if response.content_length < 0 and not tunnel:
            text += self._framing(status, end_stream and not data)
        wire = f"{status_line(self._version, status)}{text}\r\n".encode("latin-1")
        if tunnel:
            self._is_head = False
        elif self._is_head:
            data, self._chunk_response = b"", False
        if data:
            wire += chunk(data) if self._chunk_response else data
        if end_stream and self._chunk_response:
            wire += LAST_CHUNK
        self._out.write(self._transport, wire)

    def _framing(self, status: int, empty: bool) -> str:
        """The header that says how a response ends whose length is not known from its head."""
        if status == 204 or status < 200:
            return ""
        if empty and not self._is_head:
            return "" if status == 304 else "content-length: 0\r\n"
        if self._version == "HTTP/1.0":
            self._keep_alive = False
            return ""
        if status == 304:
            return ""
        self._chunk_response = True
        return "transfer-encoding: chunked\r\n"

    def send_data(self, stream: Stream, data: bytes, end_stream: bool) -> None:
        if self._is_head:
            return
        if self._chunk_response:
            data = chunk(data) if data else b""
            if end_stream:
                data += LAST_CHUNK
        if data:
            self._out.write(self._transport, data)

    def send_trailers(self, stream: Stream, fields: Sequence[Field]) -> None:
        if self._chunk_response:
            passed = fields if self.manager.config.http1_trailers else ()
            self._out.write(self._transport, last_chunk(passed))

    def reset_stream(self, stream: Stream) -> None:
        """The response cannot be completed: what was written goes out, then the connection closes."""
        stats = self.manager.stats
        stats.count("downstream_rq_tx_reset")
        stats.rq_rx_reset.inc()
        self._keep_alive = False

    def close_after_response(self, stream: Stream) -> None:
        self._keep_alive = False

    def pause_request(self, paused: bool) -> None:
        self._pause(_UPSTREAM, paused)

    def _pause(self, reason: int, paused: bool) -> None:
        """Reading stops while anybody wants it stopped."""
        before = self._paused_for
        self._paused_for = before | reason if paused else before & ~reason
        if self.closed or bool(before) == bool(self._paused_for):
            return
        if self._paused_for:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def stream_finished(self, stream: Stream) -> None:
        """The response is out. Read the next request, or close."""
        self._stream = None
        unread = self._body is not None
        self._body = None
        if self._lifetime.request_deadline is not None:
            self._lifetime.request_received()
        if self.closed:
            return
        if not self._keep_alive or unread or self._tunnel:
            self._buffer = b""
            if self._tunnel or (stream.response_complete and (unread or stream.info.method is None)):
                stats = self.manager.stats
                stats.count("downstream_rq_response_before_rq_complete")
                if stream.info.response_code != 101:
                    stats.rq_rx_reset.inc()
            if stream.replied_locally or unread or self._tunnel or not stream.response_complete:
                self._lifetime.linger()
            else:
                self.close()
            return
        self.idle_since = self.loop.time()
        if self._paused_for:
            self.read_on()
        if self._write_paused:
            self._wait_for_reader()
        elif self._buffer and not self._reading:
            self._lifetime.begin_request()
            self._read_requests()

    def _wait_for_reader(self) -> None:
        """The client does not take its answers: until it does, it gets no more, and asks for no more."""
        self._ahead, self._buffer = self._buffer, b""
        self._transport.pause_reading()

    def _go_on_reading(self, ahead: bytes) -> None:
        self._ahead, self._buffer = None, ahead
        if not self.closed:
            self._transport.resume_reading()
            if ahead:
                self._lifetime.begin_request()
                self._read_requests()

    # --- asked by the listener ---

    def drain(self) -> None:
        """The next response is the last."""
        self._lifetime.draining = True

    def close_if_idle(self) -> None:
        """The next response is the last; without one, close: in a moment, for a request may be on its way."""
        if not self.closed:
            self._lifetime.close_if_idle()

    def close_now(self) -> None:
        if not self.closed:
            self.closing = True
            self._transport.abort()

    # --- asked by its lifetime ---

    @property
    def serving(self) -> bool:
        """A request is under way."""
        return self._stream is not None

    @property
    def waits_for_more(self) -> bool:
        """The beginning of a request has come."""
        return bool(self._buffer)

    @property
    def unsent_bytes(self) -> int:
        """What the client has not taken yet."""
        return self._transport.get_write_buffer_size()

    def request_too_slow(self) -> None:
        """The time for a request is over before it is complete."""
        if self._stream is not None:
            self._stream.on_request_timeout()
        elif not self.closed:
            heads_only = self.manager.config.request_headers_timeout_s
            self._keep_alive = self._is_head = False
            stream = self._stream = Stream(self, self._stream_info("HTTP/1.1"), None)
            stream.on_request_timeout(heads_only=bool(heads_only))

    def forget(self) -> None:
        """Give up what only speeds up a request like the last one."""
        if not self._buffer:
            self._reader = self._prepared_for = None
            self._prepared = _NOTHING_PREPARED

    def read_on(self) -> None:
        """Whatever there was to stop reading for is over."""
        if self._paused_for:
            self._paused_for = 0
            self._transport.resume_reading()

    def close(self) -> None:
        """What is written goes out."""
        self.closing = True
        self._out.close(self._transport)
        self._lifetime.closing()
