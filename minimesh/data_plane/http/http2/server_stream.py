"""One request on an HTTP/2 connection of a client: what its `Stream` calls its connection.

        RECEIVING --told at the end of the turn--> RUNNING --stream finished--> FLUSHING --all sent--> over
                 `--RST_STREAM by either side, connection lost----------------------------------------'

What a read brings for it is kept until the end of the turn, so that head and body go to the upstream in one
write. What a response has more than the client's windows take waits here, and the upstream with it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from minimesh.data_plane.http.http2.heads import raw_fields, response_headers
from minimesh.data_plane.http.stream import Stream
from minimesh.data_plane.telemetry.stream_info import StreamInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field, HeaderBlock, Refusal
    from minimesh.data_plane.http.http1.request_line import RequestLine
    from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
    from minimesh.data_plane.http.http2.heads import RawHeader
    from minimesh.data_plane.http.messages import PreparedHeaders, ResponseHead
    from minimesh.data_plane.network.timers import Deadline

#: More of a response than this waits for the client: the upstream is asked to pause.
_HIGH_WATER_BYTES = 256 * 1024
_LOW_WATER_BYTES = _HIGH_WATER_BYTES // 2
_CONTINUE: list[tuple[bytes, bytes]] = [(b":status", b"100")]


class Http2ServerStream:
    """See the module (`DownstreamConnection`)."""

    __slots__ = (
        "_body_missing", "_connection", "_data", "_deadline", "_end_sent", "_ended", "_finished", "_is_head",
        "_line", "_over", "_paused", "_pending", "_pending_bytes", "_prepared", "_request_complete",
        "_response_ended", "_running", "_size", "_stream", "_trailers", "_trailers_to_send",
        "_unacknowledged_bytes", "_writable", "info", "loop", "manager", "started_at", "stream_id", "timers",
    )  # fmt: skip

    def __init__(self, connection: Http2ServerConnection, stream_id: int, block: HeaderBlock | None) -> None:
        self.loop = connection.loop
        self.manager = connection.manager
        self.info = connection.info
        self.timers = connection.timers
        self.stream_id = stream_id
        self.started_at = now = self.loop.time()
        self._connection = connection
        info = StreamInfo(time.time(), now)
        info.protocol = "HTTP/2"
        connection.info.describe(info)
        # --- the request, as far as it is not told yet ---
        self._line: RequestLine | None = None
        self._prepared: PreparedHeaders
        self._data: list[bytes] = []
        self._size = 0
        self._ended = False
        self._trailers: Sequence[Field] = ()
        #: Bytes of the body that `content-length` still wants; -1: it is not there.
        self._body_missing = -1 if block is None else block.content_length
        self._request_complete = False
        self._running = False
        self._paused = False
        self._unacknowledged_bytes = 0
        self._deadline: Deadline | None = None
        # --- the response ---
        self._is_head = False
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._trailers_to_send: list[RawHeader] | None = None
        self._response_ended = False
        self._end_sent = False
        self._writable = True
        self._finished = False
        #: Nothing is sent or told any more.
        self._over = False
        self._stream = Stream(self, info, block)

    @property
    def response_code(self) -> int:
        """0 as long as no response has begun."""
        return self._stream.info.response_code

    # --- told by the connection: the request ---

    def receive_head(self, line: RequestLine, prepared: PreparedHeaders, *, end: bool) -> None:
        self._line = line
        self._prepared = prepared
        self._is_head = line.method == "HEAD"
        self._note_end(end)
        limit_s = self.manager.config.request_timeout_s
        if limit_s and not end:
            self._deadline = self.timers.call_after(limit_s, self._request_too_slow)

    def fits_length(self, size: int, *, end: bool) -> bool:
        """Whether so many bytes more of the body, perhaps the last, are what `content-length` said."""
        if self._body_missing < 0:
            return True
        self._body_missing -= size
        return self._body_missing == 0 if end else self._body_missing >= 0

    def receive_data(self, data: bytes, size: int, *, end: bool) -> None:
        """A piece of the body; `size` is what it takes of the window (padding included)."""
        if data:
            self._data.append(data)
        self._size += size
        self._note_end(end)

    def receive_trailers(self, fields: Sequence[Field]) -> None:
        self._trailers = fields
        self._note_end(end=True)

    def tell(self) -> None:
        """Give the stream what has come in this turn."""
        if self._over:
            return
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        size, ended = self._size, self._ended
        self._data.clear()
        self._size, self._ended = 0, False
        stream = self._stream
        if self._finished:
            self._unacknowledged_bytes = 0
            self._connection.acknowledge(self.stream_id, size)
            return
        if self._trailers:
            stream.request_trailers, self._trailers = self._trailers, ()
        self._unacknowledged_bytes += size
        if self._running:
            stream.on_request_data(data, ended)
        else:
            self._running = True
            assert self._line is not None
            stream.on_request(self._line, self._prepared, data, ended)
        if not self._paused:
            self._acknowledge()

    def fail(self, flag: str, details: str) -> None:
        """Over without (the rest of) a response: the client gave it up or is gone, or broke the rules."""
        if not self._over:
            self._over = True
            self._pending.clear()
            if self._finished:
                self._end()
                return
            line, info = self._line, self._stream.info
            if line is not None and not self._running:
                info.method, info.path, info.authority = line.method, line.path, line.authority
            self._stream.on_reset(flag, details)

    def refuse(self, refusal: Refusal) -> None:
        """A request that is none: logged without a word of what it may have said."""
        if refusal.status == 431:
            self.reject(ErrorCodes.INTERNAL_ERROR, "DR", refusal.details)
        else:
            self.reject(ErrorCodes.PROTOCOL_ERROR, "DPE", refusal.details)

    def reject(self, code: ErrorCodes, flag: str, details: str) -> None:
        """Over by our own decision."""
        if not self._over:
            self._connection.reset(self.stream_id, code)
            self.fail(flag, details)

    # --- told by the connection: room ---

    @property
    def waits(self) -> bool:
        """Whether a part of the response waits for room."""
        return not self._over and (bool(self._pending) or (self._response_ended and not self._end_sent))

    def on_room(self) -> None:
        """The window may take more."""
        if not self._over:
            if not self._connection.write_paused:
                self._pump()
            self.tell_writable()

    # --- asked by the stream ---

    def send_continue(self) -> None:
        if not self._over:
            self._connection.send_headers(self.stream_id, _CONTINUE, end=False)

    def send_head(self, stream: Stream, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        if self._over:
            return
        connection = self._connection
        headers = response_headers(
            response, connection.server, self.manager.date(), overwrite_server=connection.overwrites_server
        )
        if self.manager.marks_responses:
            headers = self.manager.marked_fields(headers, stream.info.request_id)
        if self._is_head:
            data = b""
        self._response_ended = end_stream
        self._end_sent = end_stream and not data
        connection.send_headers(self.stream_id, headers, end=self._end_sent)
        if data:
            self._queue(data)

    def send_data(self, stream: Stream, data: bytes, end_stream: bool) -> None:
        if self._over:
            return
        self._response_ended = end_stream
        self._queue(b"" if self._is_head else data)

    def send_trailers(self, stream: Stream, fields: Sequence[Field]) -> None:
        if self._over:
            return
        self._response_ended = True
        self._trailers_to_send = raw_fields(fields)
        self._queue(b"")

    def reset_stream(self, stream: Stream) -> None:
        self.manager.stats.count("downstream_rq_tx_reset")
        # A tunnel whose other end is gone (RFC 8441, 5), else Envoy's word for whatever went wrong upstream.
        tunnel = self.response_code == 101
        if tunnel and not self._request_complete:
            self._connection.note_early_response()
        self.reset(ErrorCodes.CONNECT_ERROR if tunnel else ErrorCodes.INTERNAL_ERROR)

    def close_after_response(self, stream: Stream) -> None:
        """Other streams go on."""

    def pause_request(self, paused: bool) -> None:
        """Leave the client's window as it is, or give back what has been taken meanwhile."""
        self._paused = paused
        if not paused and not self._over:
            self._acknowledge()

    def stream_finished(self, stream: Stream) -> None:
        """The response is complete, as far as the stream is concerned, or given up."""
        self._finished = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._over and self._response_ended and not self._end_sent:
            self._acknowledge()
            limit_s = self.manager.config.stream_idle_timeout_s
            if limit_s:
                self._deadline = self.timers.call_after(limit_s, self._flush_too_slow)
        else:
            self._end()

    def reset(self, code: ErrorCodes) -> None:
        """Send RST_STREAM; nothing follows it."""
        if not self._over:
            self._over = True
            self._pending.clear()
            self._connection.reset(self.stream_id, code)

    # --- within ---

    def _note_end(self, end: bool) -> None:
        if end:
            self._ended = self._request_complete = True
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    def _acknowledge(self) -> None:
        size, self._unacknowledged_bytes = self._unacknowledged_bytes, 0
        self._connection.acknowledge(self.stream_id, size)

    def _queue(self, data: bytes) -> None:
        if data:
            self._pending.append(data)
            self._pending_bytes += len(data)
        if not self._connection.write_paused:
            self._pump()
        self.tell_writable()

    def _pump(self) -> None:
        """Send what the windows take."""
        while self.send_piece():
            pass

    def send_piece(self) -> bool:
        """Send a frame of what waits, if there is room for it; whether more could go."""
        pending = self._pending
        if pending:
            room = self._connection.room(self.stream_id)
            if room <= 0:
                return False
            data = pending[0]
            if len(data) > room:
                pending[0] = data[room:]
                data = data[:room]
            else:
                pending.popleft()
            self._pending_bytes -= len(data)
            last = self._response_ended and not pending and self._trailers_to_send is None
            self._connection.send_data(self.stream_id, data, end=last)
            if last:
                self._all_sent()
                return False
            if pending:
                return True
        if self._response_ended and not self._end_sent:
            self._send_end()
        return False

    def _send_end(self) -> None:
        if self._trailers_to_send:
            self._connection.send_headers(self.stream_id, self._trailers_to_send, end=True)
        else:
            self._connection.send_data(self.stream_id, b"", end=True)
        self._all_sent()

    def _all_sent(self) -> None:
        self._end_sent = True
        if self._finished:
            self._end()

    def tell_writable(self) -> None:
        """Let the upstream go on, or have it wait."""
        limit = _HIGH_WATER_BYTES if self._writable else _LOW_WATER_BYTES
        writable = not self._connection.write_paused and self._pending_bytes <= limit
        if writable != self._writable:
            self._writable = writable
            if not self._finished:
                self._stream.on_downstream_writable(writable)

    def _end(self) -> None:
        """Over, in every respect."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._over and not self._request_complete:
            # The rest of the request is of no interest (RFC 9113, 8.1).
            self._connection.note_early_response()
            self.reset(ErrorCodes.NO_ERROR)
        self._over = True
        size, self._size = self._size + self._unacknowledged_bytes, 0
        self._unacknowledged_bytes = 0
        self._connection.acknowledge(self.stream_id, size)
        self._connection.stream_over(self)

    def _request_too_slow(self) -> None:
        self._deadline = None
        self._stream.on_request_timeout()

    def _flush_too_slow(self) -> None:
        """The client does not take the rest of its response."""
        self._deadline = None
        self._connection.stats.count("tx_flush_timeout")
        self.reset(ErrorCodes.INTERNAL_ERROR)
        self._end()
