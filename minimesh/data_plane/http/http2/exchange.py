"""One request and its response on an HTTP/2 connection to an upstream: what the router holds.

        RESERVED --start--> OPEN --both sides ended--> FINISHED
                              `--reset by either side, response ended before the request--> FINISHED

What the connection receives for it is kept until the end of the turn (`receive_...`), then told to the
receiver at once (`tell`). The request's body waits here while the peer's windows are shut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minimesh.data_plane.http.header_block import Field
from minimesh.data_plane.http.http2.heads import RawHeader, raw_fields, request_headers
from minimesh.data_plane.http.messages import RequestHead, ResponseFields, ResponseHead

if TYPE_CHECKING:
    from minimesh.data_plane.http.http2.upstream import Http2ClientConnection
    from minimesh.data_plane.http.interfaces import ResetReason, ResponseReceiver, UpstreamExchange
    from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: More of a request's body than this waits for the peer: the client is asked to pause.
HIGH_WATER_BYTES = 256 * 1024
_LOW_WATER_BYTES = HIGH_WATER_BYTES // 2
#: In the list of `request_headers`: method, scheme, path, authority.
_METHOD, _SCHEME, _AUTHORITY = 0, 1, 3


class Http2Exchange:
    """See the module (`UpstreamExchange`)."""

    __slots__ = (
        "_connection", "_data", "_ended", "_finished", "_has_body", "_head", "_paused",
        "_pending", "_pending_bytes", "_receiver", "_request_ended", "_request_sent", "_reset",
        "_trailers", "_trailers_to_send", "_unacknowledged_bytes", "_upgrade", "_writable", "body_missing",
        "stream_id",
    )  # fmt: skip

    protocol = "HTTP/2"
    is_multiplexed = True

    def __init__(self, connection: Http2ClientConnection) -> None:
        self._connection = connection
        self._receiver: ResponseReceiver | None = None
        self.stream_id = 0
        #: Bytes of the response's body that `content-length` still wants; below 0: it is not there.
        self.body_missing = -1
        self._has_body = True
        self._finished = False
        self._upgrade = ""
        # --- the request ---
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._trailers_to_send: list[RawHeader] | None = None
        self._request_ended = False
        self._request_sent = False
        self._writable = True
        # --- the response, as far as it is not told yet ---
        self._head: ResponseHead | None = None
        self._data: list[bytes] = []
        self._trailers: Sequence[Field] = ()
        self._ended = False
        self._reset: ResetReason | None = None
        self._paused = False
        self._unacknowledged_bytes = 0

    @property
    def local_address(self) -> str:
        return self._connection.local_address

    @property
    def connection_id(self) -> int:
        return self._connection.connection_id

    # --- asked by the router ---

    def metered(self, info: StreamInfo) -> UpstreamExchange:
        """This exchange, its bytes counted for a stream; not yet started."""
        from minimesh.data_plane.http.http2.metering import MeteredHttp2Exchange

        return MeteredHttp2Exchange(self._connection, info.upstream_meter())

    def start(
        self, receiver: ResponseReceiver, head: RequestHead, data: bytes, end_stream: bool, upgrade: bool
    ) -> None:
        """Begin: head and first bytes of the body go out in one write at the end of this turn."""
        self._receiver = receiver
        self._has_body = head.method != "HEAD"
        headers = request_headers(head)
        if upgrade:
            self._upgrade = head.block.kept.get("upgrade", "")
            headers = _extended_connect(headers, self._upgrade)
        elif head.method == "CONNECT":
            headers = [headers[_METHOD], headers[_AUTHORITY], *headers[_AUTHORITY + 1 :]]
        self._request_ended = end_stream
        self._request_sent = end_stream and not data
        self.stream_id = self._connection.begin(self, headers, self._request_sent)
        if data:
            self._queue(data)
            self._pump()

    def send_data(self, data: bytes, end_stream: bool) -> None:
        """More of the request's body."""
        if self._finished:
            return
        self._request_ended = end_stream
        if data:
            self._queue(data)
        self._pump()

    def send_trailers(self, fields: Sequence[Field]) -> None:
        """The end of the request, behind what waits of its body."""
        if self._finished:
            return
        self._request_ended = True
        self._trailers_to_send = raw_fields(fields) or None
        self._pump()

    def pause_reading(self, paused: bool) -> None:
        """Hold back the upstream by its window, or let it go on."""
        self._paused = paused
        if not paused and self._unacknowledged_bytes:
            size, self._unacknowledged_bytes = self._unacknowledged_bytes, 0
            self._connection.acknowledge(self.stream_id, size)

    def abandon(self) -> None:
        """Given up: nobody is told, the upstream gets RST_STREAM."""
        self._receiver = None
        if not self._finished:
            if self.stream_id:
                self._connection.reset(self.stream_id)
            self._finish()

    # --- told by the connection ---

    def on_room(self, connection: Http2ClientConnection) -> None:
        """The window or the socket may take more, or the socket takes no more."""
        if not self._finished:
            if not connection.write_paused:
                self._pump()
            self._tell_writable()

    def receive_continue(self) -> None:
        if self._receiver is not None and not self._finished:
            self._receiver.on_continue()

    def receive_head(self, status: int, shared: ResponseFields, content_length: int, end: bool) -> None:
        """The final head."""
        if self._upgrade and status == 200:
            status, shared = 101, _with_upgrade(shared, self._upgrade)
            content_length = -1
        self._head = ResponseHead(status, shared, content_length)
        if self._has_body:
            self.body_missing = content_length
        self._ended = end

    def receive_data(self, data: bytes, size: int, end: bool) -> None:
        """A piece of the body; `size` is what it takes of the window (padding included)."""
        if data:
            self._data.append(data)
        self._unacknowledged_bytes += size
        self._ended = end

    def receive_trailers(self, fields: Sequence[Field]) -> None:
        self._trailers = fields
        self._ended = True

    def receive_reset(self, reason: ResetReason) -> None:
        """It is over, unless the response was complete before."""
        if not self._ended and self._reset is None:
            self._reset = reason

    def tell(self) -> None:
        """Pass on what came in. The receiver may call back in here."""
        receiver = self._receiver
        if receiver is None or self._finished:
            return
        ended, trailers = self._ended, self._trailers
        if ended or self._reset is not None:
            self._complete()
        head, self._head = self._head, None
        pieces, self._data = self._data, []
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        last = ended and not trailers
        if head is not None:
            receiver.on_response_head(head, data, last)
        elif data or last:
            receiver.on_response_data(data, last)
        if not self._paused and not self._finished:
            self.pause_reading(False)
        # Whoever was told of the head may have given up.
        if self._receiver is None:
            return
        if trailers:
            receiver.on_response_trailers(trailers)
        elif self._reset is not None:
            receiver.on_reset(self._reset, "")

    # --- within ---

    def _queue(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)

    def _pump(self) -> None:
        """Send as much of the request as the windows and the socket take."""
        connection = self._connection
        if self._request_sent or connection.write_paused or connection.closed:
            self._tell_writable()
            return
        h2, stream_id, pending = connection.h2, self.stream_id, self._pending
        while pending:
            room = min(h2.local_flow_control_window(stream_id), h2.max_outbound_frame_size)
            if room <= 0:
                break
            data = pending.popleft()
            if len(data) > room:
                pending.appendleft(data[room:])
                data = data[:room]
            self._pending_bytes -= len(data)
            last = self._request_ended and not pending and self._trailers_to_send is None
            connection.send_data(stream_id, data, last)
            self._request_sent = last
        if self._request_ended and not pending and not self._request_sent:
            self._request_sent = True
            if self._trailers_to_send is None:
                connection.send_data(stream_id, b"", True)
            else:
                self._send_trailers_now(self._trailers_to_send)
        self._tell_writable()

    def _send_trailers_now(self, trailers: list[RawHeader]) -> None:
        self._connection.send_trailers(self.stream_id, trailers)

    def _tell_writable(self) -> None:
        """Ask the client to pause when too much waits, and to go on when most of it is gone."""
        limit = HIGH_WATER_BYTES if self._writable else _LOW_WATER_BYTES
        writable = not self._connection.write_paused and self._pending_bytes <= limit
        if writable != self._writable and self._receiver is not None:
            self._writable = writable
            self._receiver.on_upstream_writable(writable)

    def _complete(self) -> None:
        """The response is in, or none will come: the stream's place is free before anybody learns of it."""
        if self._reset is None and not self._request_sent:
            self._connection.reset(self.stream_id, early=True)
        self._finish()

    def _finish(self) -> None:
        self._finished = True
        self._pending.clear()
        size, self._unacknowledged_bytes = self._unacknowledged_bytes, 0
        self._connection.acknowledge(self.stream_id, size)  # of the connection's window
        self._connection.finished(self)


def _extended_connect(headers: list[RawHeader], upgrade: str) -> list[RawHeader]:
    """A request to change protocols in HTTP/2's words (RFC 8441)."""
    pseudo, fields = headers[: _AUTHORITY + 1], headers[_AUTHORITY + 1 :]
    pseudo[_METHOD] = (b":method", b"CONNECT")
    return [*pseudo, (b":protocol", upgrade.encode("latin-1")), *fields]


def _with_upgrade(shared: ResponseFields, upgrade: str) -> ResponseFields:
    """Back in HTTP/1's words: what a 101 says."""
    kept = tuple(field for field in shared.fields if field[0] != "content-length")
    return ResponseFields((*kept, ("upgrade", upgrade), ("connection", "upgrade")))
