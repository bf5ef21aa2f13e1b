"""One HTTP/1.1 connection to a host: carries one exchange at a time, then goes back to its pool.

        IDLE --start--> HEAD --final head--> BODY --end--> IDLE (released) or closed
                          `--101 to an upgrade--> TUNNEL

A thin `asyncio.Protocol` around the codec. Whatever the upstream sends that is not a response to the request
under way closes the connection.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.http.block_memo import Values
from minimesh.data_plane.http.header_block import Field, HeaderBlock, Refusal
from minimesh.data_plane.http.http1.body import LAST_CHUNK, BodyReader, chunk, last_chunk, response_body
from minimesh.data_plane.http.http1.head import ResponseReader
from minimesh.data_plane.http.interfaces import ResetReason, ResponseReceiver, UpstreamExchange
from minimesh.data_plane.http.messages import RequestHead, ResponseFields, ResponseHead
from minimesh.data_plane.network.connection import address_text
from minimesh.data_plane.network.write_batch import write_batch_of
from minimesh.data_plane.upstream.dial import dial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.http1.metering import UpstreamMeter
    from minimesh.data_plane.network.write_batch import WriteBatch
    from minimesh.data_plane.telemetry.stream_info import StreamInfo
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.connection_pool import ConnectionPool
    from minimesh.data_plane.upstream.host import Host

_ENDS_HERE = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
#: A request with one of these methods and no body is sent without `content-length: 0`.
_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "TRACE", "CONNECT"})
_BODILESS = frozenset({204, 304})
#: So much of a tunnel may wait for the answer that opens it before the client has to.
_MAX_EARLY_BYTES = 64 * 1024
_connection_ids = itertools.count(1)


def next_connection_id() -> int:
    """The id of a new upstream connection."""
    return next(_connection_ids)


async def connect_http1(host: Host, settings: ClusterSettings) -> Http1ClientConnection:
    """Open a connection (a `Connect` for `ClusterSettings`). Raises OSError."""
    return await dial(lambda _: Http1ClientConnection(), host, settings, ("http/1.1",))


class Http1ClientConnection(asyncio.Protocol):
    """See the module."""

    __slots__ = (
        "_block_keeps_alive", "_body", "_buffer", "_chunk_request", "_early", "_keep_alive", "_meter",
        "_method", "_out", "_reader", "_reading_paused", "_receiver", "_request_done", "_shared",
        "_shared_for", "_transport", "_tunnel", "_upgrade", "closed", "connection_id", "idle_since",
        "local_address", "loop", "pool", "requests_started",
    )  # fmt: skip

    protocol = "HTTP/1.1"

    def __init__(self) -> None:
        # --- for the connection's life ---
        self.pool: ConnectionPool | None = None
        self.loop = asyncio.get_running_loop()
        self._out = write_batch_of(self.loop)
        self.closed = False
        self.local_address = ""
        self.connection_id = next_connection_id()
        self.requests_started = 0
        self.idle_since = 0.0
        self._transport: asyncio.Transport
        self._reader = ResponseReader()
        self._reading_paused = False
        self._shared_for: HeaderBlock | None = None
        self._shared: ResponseFields
        self._block_keeps_alive = True
        #: Once a stream was counted that it carried.
        self._meter: UpstreamMeter | None = None
        # --- for one exchange ---
        self._receiver: ResponseReceiver | None = None
        self._method = ""
        self._buffer = b""
        self._body: BodyReader | None = None
        self._keep_alive = True
        self._request_done = True
        self._chunk_request = False
        self._upgrade = False
        self._tunnel = False
        #: What the client sent behind a request to upgrade that has not been answered yet.
        self._early = b""

    #: Whether it carries several requests at a time: a reset then ends one of them alone, and is counted.
    is_multiplexed = False

    # --- asked by the router ---

    def metered(self, info: StreamInfo) -> UpstreamExchange:
        """The exchange that begins, its bytes counted for this stream."""
        meter = self._meter
        if meter is None:
            from minimesh.data_plane.http.http1.metering import UpstreamMeter

            meter = self._meter = UpstreamMeter(self, self._out)
            self._out = meter.out
            self._transport.set_protocol(meter)
        meter.begin(info)
        return self

    def end_metering(self, out: WriteBatch) -> None:
        """The connection is gone, and needs not know its meter any more."""
        self._meter, self._out = None, out

    def start(
        self, receiver: ResponseReceiver, head: RequestHead, data: bytes, end_stream: bool, upgrade: bool
    ) -> None:
        """Begin an exchange: head and first bytes of the body in one write."""
        self._receiver = receiver
        self._method = method = head.method
        self._request_done = end_stream
        self._upgrade = upgrade
        self.requests_started += 1
        text = f"{method} {head.path} HTTP/1.1\r\nhost: {head.authority}\r\n{head.header_text()}"
        if upgrade or head.block.content_length >= 0:
            self._chunk_request = False
        elif not end_stream or data or head.block.chunked:
            self._chunk_request = True
            text += "transfer-encoding: chunked\r\n"
        else:
            self._chunk_request = False
            if method not in _BODILESS_METHODS:
                text += "content-length: 0\r\n"
        wire = f"{text}\r\n".encode("latin-1")
        if data:
            if upgrade:
                self._early = data
            else:
                wire += self._framed(data)
        if end_stream and self._chunk_request:
            wire += LAST_CHUNK
        self._out.write(self._transport, wire)

    def send_data(self, data: bytes, end_stream: bool) -> None:
        """More of the request's body."""
        if self._upgrade and not self._tunnel:
            self._hold_back(data)
            return
        self._request_done = end_stream
        wire = self._framed(data) if data else b""
        if end_stream and self._chunk_request:
            wire += LAST_CHUNK
        if wire and not self.closed:
            self._out.write(self._transport, wire)

    def send_trailers(self, fields: Sequence[Field]) -> None:
        """The end of the request's body, with trailers where the cluster's settings want them on HTTP/1."""
        if self._chunk_request and self._passes_trailers() and not self.closed:
            self._request_done = True
            self._out.write(self._transport, last_chunk(fields))
        else:
            self.send_data(b"", True)

    def pause_reading(self, paused: bool) -> None:
        """Stop taking bytes of the response, or go on."""
        if self.closed or paused == self._reading_paused:
            return
        self._reading_paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def abandon(self) -> None:
        """The exchange is given up: nobody is told, the connection is closed."""
        self._receiver = None
        self.close(active=True)

    def close(self, *, active: bool = False) -> None:
        """`active`: an exchange was under way."""
        if not self.closed:
            self.closed = True
            self._transport.abort()
            if self.pool is not None:
                self.pool.forget(self, active=active)

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.local_address = address_text(transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.close()  # nobody asked for anything
        elif self._body is not None:
            self._feed_body(receiver, data)
        elif self._tunnel:
            receiver.on_response_data(data, False)
        else:
            self._read_head(receiver, self._buffer + data if self._buffer else data)

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.on_upstream_writable(False)

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.on_upstream_writable(True)

    def connection_lost(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        body = self._body
        complete = receiver is None or (body is not None and error is None and body.finish_at_close())
        if not self.closed:
            self.closed = True
            if self.pool is not None:
                self.pool.forget(self, remote=True, active=not complete)
        if receiver is None:
            return
        if complete:
            receiver.on_response_data(b"", True)
        elif self._body is not None or self._buffer:
            receiver.on_reset(ResetReason.PROTOCOL_ERROR, "")  # a message that is cut short
        else:
            receiver.on_reset(ResetReason.CONNECTION_TERMINATION, "")

    # --- within ---

    def _passes_trailers(self) -> bool:
        return self.pool is not None and self.pool.resources.settings.http1_trailers

    def _hold_back(self, data: bytes) -> None:
        """What follows a request to upgrade waits for 101: who declines would read another request in it."""
        self._early += data
        if len(self._early) > _MAX_EARLY_BYTES and self._receiver is not None:
            self._receiver.on_upstream_writable(False)

    def _framed(self, data: bytes) -> bytes:
        return chunk(data) if self._chunk_request else data

    def _read_head(self, receiver: ResponseReceiver, data: bytes) -> None:
        while True:
            read = self._reader.read(data)
            if read is None:
                self._buffer = data
                return
            if isinstance(read, Refusal):
                self._fail(receiver)
                return
            status, http11, block, values, length = read
            data = data[length:]
            if status == 101 or status >= 200:
                break
            if _announces_body(block):
                self._fail(receiver)
                return
            if self.pool is not None:
                self.pool.resources.stats.count_response(status)
            if status == 100:
                receiver.on_continue()
            if not data:
                self._buffer = b""
                return
        self._buffer = b""
        if status == 204:
            if _announces_body(block):
                self._fail(receiver)
                return
            if block.content_length == 0:
                block = block.without("content-length")
                block.content_length = -1
        if status == 101:
            self._begin_tunnel(receiver, block, values, data)
        else:
            shared = self._shared if block is self._shared_for else self._fields_of(block)
            self._keep_alive = self._block_keeps_alive if http11 else block.connection_says("keep-alive")
            response = ResponseHead(status, shared, block.content_length, values=values)
            self._begin_response(receiver, response, block, data)

    def _begin_response(
        self, receiver: ResponseReceiver, response: ResponseHead, block: HeaderBlock, data: bytes
    ) -> None:
        length = block.content_length
        if 0 <= length == len(data) and response.status not in _BODILESS and self._method != "HEAD":
            self._complete(b"")  # the usual response: it came in one piece
            receiver.on_response_head(response, data, True)
            return
        body = response_body(self._method, response.status, block)
        if body is None:
            self._complete(data)
            receiver.on_response_head(response, b"", True)
            return
        payload = body.feed(data) if data else b""
        if body.failed:
            self._body = body
            receiver.on_response_head(response, payload, False)
            self._fail(receiver)
        elif body.done:
            if body.trailers and self._passes_trailers():
                self._body = body
                receiver.on_response_head(response, payload, False)
                self._complete_with_trailers(receiver, body)
                return
            if not payload:
                self._pass_empty_body(receiver, response, body)
                return
            self._complete(body.rest)
            receiver.on_response_head(response, payload, True)
        else:
            self._body = body
            receiver.on_response_head(response, payload, False)

    def _pass_empty_body(self, receiver: ResponseReceiver, response: ResponseHead, body: BodyReader) -> None:
        """A chunked body of no bytes goes on as one, whether or not it came in one piece with its head."""
        self._body = body
        receiver.on_response_head(response, b"", False)
        if self._receiver is receiver:
            self._complete(body.rest)
            receiver.on_response_data(b"", True)

    def _feed_body(self, receiver: ResponseReceiver, data: bytes) -> None:
        body = self._body
        assert body is not None
        payload = body.feed(data)
        if body.failed:
            if payload:
                receiver.on_response_data(payload, False)
            self._fail(receiver)
        elif body.done:
            if body.trailers and self._passes_trailers():
                if payload:
                    receiver.on_response_data(payload, False)
                self._complete_with_trailers(receiver, body)
                return
            self._complete(body.rest)
            receiver.on_response_data(payload, True)
        elif payload:
            receiver.on_response_data(payload, False)

    def _begin_tunnel(
        self, receiver: ResponseReceiver, block: HeaderBlock, values: Values, data: bytes
    ) -> None:
        if not self._upgrade:
            self._fail(receiver)
            return
        self._tunnel = True
        early, self._early = self._early, b""
        if early:
            self._out.write(self._transport, early)
            receiver.on_upstream_writable(True)
        kept = tuple(
            field for field in block.fields if field[0] not in ("transfer-encoding", "content-length")
        )
        receiver.on_response_head(ResponseHead(101, ResponseFields(kept), -1, values=values), data, False)

    def _fields_of(self, block: HeaderBlock) -> ResponseFields:
        self._shared_for = block
        self._block_keeps_alive = not block.connection_says("close")
        self._shared = ResponseFields(tuple(field for field in block.fields if field[0] not in _ENDS_HERE))
        return self._shared

    def _complete(self, rest: bytes) -> None:
        """The response has come in whole: back to the pool, before anybody upwards learns of it."""
        self._receiver = None
        self._body = None
        if self.pool is not None and (rest or not self._keep_alive):
            fact = "close_notify" if not self._keep_alive else "protocol_error"
            self.pool.resources.stats.count(f"upstream_cx_{fact}")
        if rest or not self._keep_alive or not self._request_done or self._upgrade or self.closed:
            self.close(active=self._upgrade or not self._request_done)
            return
        if self._reading_paused:
            self.pause_reading(False)
        if self.pool is not None:
            self.pool.release(self, self.loop.time())

    def _complete_with_trailers(self, receiver: ResponseReceiver, body: BodyReader) -> None:
        if self._receiver is receiver:  # nobody gave the exchange up over what came before
            self._complete(body.rest)
            receiver.on_response_trailers(body.trailers)

    def _fail(self, receiver: ResponseReceiver) -> None:
        if self._receiver is receiver:
            self._receiver = None
            self.close(active=True)
            receiver.on_reset(ResetReason.PROTOCOL_ERROR, "")


def _announces_body(block: HeaderBlock) -> bool:
    """Of a 1xx or 204, which has no body whatever it says: what follows could be anything."""
    return block.chunked or block.content_length > 0
