"""The nouns of the HTTP side, and what they ask of each other.

* downstream connection (`http1.downstream`, `http2.downstream`): owns the client's transport, speaks its
  protocol, runs streams.
* stream (`stream`): one request and its response, from head to log line. Does not know the protocol.
* filter (`filters/`): looks at a stream on its way to the router; may answer, change, delay.
* router (`router.router`): picks cluster and host, tries and retries, watches the route's timeouts.
* upstream connection (`http1.upstream`, `http2.upstream`): owns a transport to a host, carries exchanges.

Requests go down this list, responses up. Everything is called synchronously; an expected fault is a value
(`ResetReason`), never an exception.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Sequence

    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.timers import TimerWheel
    from minimesh.data_plane.telemetry.stream_info import StreamInfo


class FilterStatus(Enum):
    """What happens after a filter has seen a head."""

    CONTINUE = "continue"
    #: The filter has answered (`stream.send_local_reply`), or will call `stream.continue_request()` (for a
    #: response: `stream.continue_response()`) later; see `stream.wait`. What comes meanwhile is kept.
    STOP = "stop"
    #: Goes on by itself once the whole body is there. A request that is larger than
    #: `stream.request_buffer_limit_bytes` is answered with 413, a response above the connection's limit
    #: becomes a 500.
    STOP_UNTIL_COMPLETE = "stop until complete"


class BodyStage(Protocol):
    """A filter's part in one body of one stream: made in `on_request` or `on_response`, and handed to
    `stream.add_request_stage` or `stream.add_response_stage`.

    A body that nobody made a stage for costs nothing.
    """

    def on_data(self, data: bytes, end_stream: bool) -> bytes | None:
        """A piece of the body; what is returned takes its place.

        None: the stage keeps it, the end of the body too, and calls `stream.release_request` or
        `stream.release_response` later; or it has answered. With the end of the body the trailers are known
        (`stream.request_trailers`, `stream.response_trailers`), and may be replaced.
        """


class Filter(Protocol):
    """One HTTP filter, made when configuration arrives and shared by all streams: no stream's state in it.

    What it has to remember of a stream it keeps in `stream.filter_state` under its name, or in its stages.
    """

    name: str
    """The name under which routes configure it (`typed_per_filter_config`)."""

    by_route: bool
    """Acts on nothing but routes that configure it: a stream on any other route never sees the filter."""

    def on_request(self, stream: Stream) -> FilterStatus:
        """Called with a complete head and, where one matched, a chosen route, before the router.

        `stream.request_has_body` tells whether more than the head belongs to the request.
        """

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        """Called with every response head, local replies included, last filter first.

        `end_stream`: the response is no more than this head.
        """


class ResetReason(Enum):
    """How an exchange with an upstream failed: Envoy's text, response flag, status."""

    OVERFLOW = ("overflow", "UO", 503)
    REMOTE_CONNECTION_FAILURE = ("remote connection failure", "UF", 503)
    CONNECTION_TIMEOUT = ("connection timeout", "UF", 503)
    CONNECTION_TERMINATION = ("connection termination", "UC", 503)
    PROTOCOL_ERROR = ("protocol error", "UPE", 502)
    #: HTTP/2: the upstream gave up this exchange alone (RST_STREAM).
    REMOTE_RESET = ("remote reset", "UR", 503)
    #: HTTP/2: the upstream did not look at the request (REFUSED_STREAM, or GOAWAY before it).
    REMOTE_REFUSED_STREAM = ("remote refused stream reset", "UR", 503)
    #: HTTP/2: the upstream could not connect to where it should (CONNECT_ERROR).
    CONNECT_ERROR = ("remote error with CONNECT request", "UR", 503)

    def __init__(self, text: str, flag: str, status: int) -> None:
        self.text = text
        self.flag = flag
        self.status = status


class ResponseReceiver(Protocol):
    """Whoever started an exchange on an upstream connection."""

    def on_continue(self) -> None:
        """The upstream sent 100 Continue."""

    def on_response_head(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """A final response head, with the part of the body that came along with it."""

    def on_response_data(self, data: bytes, end_stream: bool) -> None: ...

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        """Trailers, and with them the end of the response. `fields` is not empty."""

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        """The exchange is over before its end."""

    def on_upstream_writable(self, writable: bool) -> None:
        """The upstream's socket takes no more bytes, or takes them again."""


class UpstreamExchange(Protocol):
    """What a router asks of the exchange that a pool has lent it, whatever the upstream's protocol.

    An HTTP/1.1 connection is its own only exchange; on an HTTP/2 connection there are many.
    """

    protocol: str
    """"HTTP/1.1" or "HTTP/2"."""
    is_multiplexed: bool

    @property
    def local_address(self) -> str: ...

    @property
    def connection_id(self) -> int: ...

    def metered(self, info: StreamInfo) -> UpstreamExchange:
        """The same exchange, its bytes counted for a stream's log; asked before `start`, if at all."""

    def start(
        self, receiver: ResponseReceiver, head: RequestHead, data: bytes, end_stream: bool, upgrade: bool
    ) -> None:
        """Send the request's head and the first bytes of its body; answers go to `receiver`."""

    def send_data(self, data: bytes, end_stream: bool) -> None: ...

    def send_trailers(self, fields: Sequence[Field]) -> None:
        """Trailers, and with them the end of the request. A protocol that sends none ends the request."""

    def pause_reading(self, paused: bool) -> None:
        """Stop taking bytes of the response, or go on."""

    def abandon(self) -> None:
        """The exchange is given up: nobody is told."""


class DownstreamConnection(Protocol):
    """What a stream asks of the connection it came in by, whatever its protocol."""

    loop: AbstractEventLoop
    manager: ConnectionManager
    info: ConnectionInfo
    timers: TimerWheel

    def send_continue(self) -> None:
        """100 Continue."""

    def send_head(self, stream: Stream, response: ResponseHead, data: bytes, end_stream: bool) -> None: ...

    def send_data(self, stream: Stream, data: bytes, end_stream: bool) -> None: ...

    def send_trailers(self, stream: Stream, fields: Sequence[Field]) -> None:
        """Trailers, and with them the end of the response. A protocol that sends none ends the response."""

    def reset_stream(self, stream: Stream) -> None:
        """Break off a response that cannot be completed."""

    def close_after_response(self, stream: Stream) -> None:
        """The request is not acceptable: where a connection serves nothing else meanwhile, it closes."""

    def pause_request(self, paused: bool) -> None:
        """Stop reading the request's body, or go on."""

    def stream_finished(self, stream: Stream) -> None:
        """The stream is over and logged."""


class Upstream(Protocol):
    """What a stream asks of its router."""

    def on_request_data(self, data: bytes, end_stream: bool) -> None:
        """More of the body. With the end of it, `stream.request_trailers` are known."""

    def on_downstream_writable(self, writable: bool) -> None: ...

    def cancel(self) -> None:
        """The stream is over: give up whatever is under way."""
