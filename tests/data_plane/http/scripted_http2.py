"""An HTTP/2 upstream that does what the path says, frame by frame, and remembers what it was sent.

Frames that a well-behaved server would not send are written past the library (`Peer.raw`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

Headers = Iterable[tuple[str, str]]


@dataclass
class Seen:
    """One request as it came in."""

    connection: int
    stream_id: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] | None = None
    ended: bool = False
    reset: int | None = None
    pending: bytearray = field(default_factory=bytearray, repr=False)
    end_when_sent: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Peer(asyncio.Protocol):
    """One connection, at the server's end."""

    def __init__(self, upstream: ScriptedHttp2Upstream, number: int) -> None:
        self.upstream = upstream
        self.number = number
        config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.streams: dict[int, Seen] = {}
        self.pinged = 0
        self.goaway: ConnectionTerminated | None = None
        self.closed = False
        self.transport: asyncio.Transport

    # --- the protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.local_settings = Settings(client=False, initial_values=dict(self.upstream.settings))
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.upstream.answers_nothing:
            return
        for event in self.h2.receive_data(data):
            self._on_event(event)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.upstream.changed.set()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            seen = Seen(self.number, event.stream_id, _texts(event.headers))
            self.streams[event.stream_id] = seen
            self.upstream.requests.append(seen)
            self.upstream.on_request(self, seen)
        elif isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, TrailersReceived):
            self.streams[event.stream_id].trailers = _texts(event.headers)
        elif isinstance(event, StreamEnded):
            self.streams[event.stream_id].ended = True
            self.upstream.on_end(self, self.streams[event.stream_id])
        elif isinstance(event, StreamReset):
            seen = self.streams[event.stream_id]
            seen.reset, seen.end_when_sent = event.error_code, False
            seen.pending.clear()
        elif isinstance(event, ConnectionTerminated):
            self.goaway = event
        elif isinstance(event, PingReceived):
            self.pinged += 1
        elif isinstance(event, WindowUpdated):
            for seen in list(self.streams.values()):
                self._pump(seen)
        self.upstream.changed.set()

    def _on_data(self, event: DataReceived) -> None:
        seen = self.streams[event.stream_id]
        seen.body += event.data
        if event.flow_controlled_length and self.upstream.reads_bodies:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.upstream.on_data(self, seen, event.data)

    # --- words for scripts ---

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.closed:
            self.transport.write(data)

    def head(self, seen: Seen, status: str, headers: Headers = (), *, end: bool = False) -> None:
        self.h2.send_headers(seen.stream_id, [(":status", status), *headers], end_stream=end)
        self.flush()

    def data(self, seen: Seen, data: bytes, *, end: bool = False) -> None:
        """As much as the client's window lets through, the rest as it opens."""
        seen.pending += data
        seen.end_when_sent = end
        self._pump(seen)

    def trailers(self, seen: Seen, headers: Headers) -> None:
        self.h2.send_headers(seen.stream_id, list(headers), end_stream=True)
        self.flush()

    def reset(self, seen: Seen, code: int) -> None:
        self.raw(RstStreamFrame(seen.stream_id, error_code=code))

    def goaway_at(self, last_stream_id: int, code: int = ErrorCodes.NO_ERROR) -> None:
        self.raw(GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code))

    def raw_head(self, seen: Seen, headers: Headers, *flags: str) -> None:
        frame = HeadersFrame(seen.stream_id, data=self.h2.encoder.encode(list(headers)))
        frame.flags.add("END_HEADERS")
        for flag in flags:
            frame.flags.add(flag)
        self.raw(frame)

    def raw(self, frame: Frame) -> None:
        """A frame that the library would not send here."""
        self.flush()
        self.transport.write(frame.serialize())

    def _pump(self, seen: Seen) -> None:
        if not seen.pending and not seen.end_when_sent:
            return
        while seen.pending:
            room = self.h2.local_flow_control_window(seen.stream_id)
            size = min(room, self.h2.max_outbound_frame_size, len(seen.pending))
            if size <= 0:
                break
            piece = bytes(seen.pending[:size])
            del seen.pending[:size]
            self.h2.send_data(seen.stream_id, piece, end_stream=seen.end_when_sent and not seen.pending)
            if not seen.pending and seen.end_when_sent:
                seen.end_when_sent = False
        if not seen.pending and seen.end_when_sent:
            seen.end_when_sent = False
            self.h2.end_stream(seen.stream_id)
        self.flush()


def _texts(headers: Iterable[tuple[Any, Any]]) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in headers]


Script = Callable[[Peer, Seen], None]


class ScriptedHttp2Upstream:
    """Answers 200 and the path unless the path names one of `scripts` or of the canned ones below.

    `settings` are what it announces; `reads_bodies` False keeps the client's window shut;
    `answers_nothing` leaves everything unread but for the announcement.
    """

    def __init__(self, settings: dict[SettingCodes, int] | None = None) -> None:
        self.settings = settings or {}
        self.reads_bodies = True
        self.answers_nothing = False
        self.port = 0
        self.requests: list[Seen] = []
        self.peers: list[Peer] = []
        self.scripts: dict[str, Script] = {}
        #: Called for each piece of a body.
        self.on_data: Callable[[Peer, Seen, bytes], None] = lambda peer, seen, data: None
        self.changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.transport.abort()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that this upstream sees."""
        async with asyncio.timeout(2):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def _accept(self) -> Peer:
        self.peers.append(Peer(self, len(self.peers)))
        return self.peers[-1]

    def on_request(self, peer: Peer, seen: Seen) -> None:
        """At the sight of the head: scripts that begin with `!`."""
        script = self.scripts.get("!" + (seen.header(":path") or ""))
        if script is not None:
            script(peer, seen)

    def on_end(self, peer: Peer, seen: Seen) -> None:
        """At the end of a request."""
        path = seen.header(":path") or ""
        if "!" + path in self.scripts:
            return
        word, _, argument = path.strip("/").partition("/")
        script = self.scripts.get(path)
        if script is not None:
            script(peer, seen)
        elif word in _CANNED:
            _CANNED[word](peer, seen, argument)
        else:
            text = path.encode() if seen.header(":method") != "HEAD" else b""
            peer.head(seen, "200", [("content-type", "text/plain"), ("server", "up/2")], end=not text)
            if text:
                peer.data(seen, text, end=True)


def _status(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, argument, end=True)


def _reset(peer: Peer, seen: Seen, argument: str) -> None:
    peer.reset(seen, int(argument))


def _reset_after(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, "200")
    peer.data(seen, b"half")
    peer.reset(seen, int(argument))


def _close(peer: Peer, seen: Seen, argument: str) -> None:
    peer.transport.close()


def _close_after(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, "200")
    peer.data(seen, b"half")
    peer.transport.close()


def _grpc(peer: Peer, seen: Seen, argument: str) -> None:
    """Trailers only."""
    peer.head(seen, "200", [("content-type", "application/grpc"), ("grpc-status", argument)], end=True)


def _trailers(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, "200", [("content-type", "application/grpc")])
    peer.data(seen, b"payload")
    peer.trailers(seen, [("grpc-status", argument or "0"), ("x-trailer", "1")])


def _informational(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, argument, [("link", "x")])
    peer.head(seen, "200")
    peer.data(seen, b"ok", end=True)


def _big(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, "200", [("content-length", argument)])
    peer.data(seen, b"x" * int(argument), end=True)


def _hang(peer: Peer, seen: Seen, argument: str) -> None:
    """No answer."""


def _malformed(peer: Peer, seen: Seen, argument: str) -> None:
    headers = {
        "no-status": [("x-a", "b")],
        "bad-status": [(":status", "abc")],
        "status-99": [(":status", "99")],
        "status-600": [(":status", "600")],
        "status-1000": [(":status", "1000")],
        "two-statuses": [(":status", "200"), (":status", "201")],
        "late-status": [("x-a", "b"), (":status", "200")],
        "request-pseudo": [(":status", "200"), (":path", "/")],
        "upper-case": [(":status", "200"), ("X-Upper", "1")],
        "connection": [(":status", "200"), ("connection", "close")],
        "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
        "line-break": [(":status", "200"), ("x-a", "b\r\nx-c: d")],
        "nul": [(":status", "200"), ("x-a", "b\0c")],
        "empty-name": [(":status", "200"), ("", "b")],
        "blank-name": [(":status", "200"), ("x a", "b")],
        "blank-value": [(":status", "200"), ("x-a", " b ")],
        "lengths": [(":status", "200"), ("content-length", "2"), ("content-length", "3")],
        "bad-length": [(":status", "200"), ("content-length", "abc")],
        "101": [(":status", "101")],
        "te": [(":status", "200"), ("te", "trailers")],
        "upgrade": [(":status", "200"), ("upgrade", "websocket")],
        "huge": [(":status", "200"), ("x-huge", "a" * 70000)],
        "many": [(":status", "200"), *((f"x-{number}", "1") for number in range(101))],
    }[argument]
    peer.raw_head(seen, headers, "END_STREAM")


def _short(peer: Peer, seen: Seen, argument: str) -> None:
    """Less than its content-length says."""
    peer.head(seen, "200", [("content-length", "10")])
    peer.data(seen, b"half", end=True)


def _long(peer: Peer, seen: Seen, argument: str) -> None:
    peer.head(seen, "200", [("content-length", "2")])
    peer.data(seen, b"too long", end=True)


def _goaway_below(peer: Peer, seen: Seen, argument: str) -> None:
    """Going away, and this request was not looked at."""
    peer.goaway_at(seen.stream_id - 2 if seen.stream_id > 1 else 0, int(argument or "0"))


def _goaway_and_answer(peer: Peer, seen: Seen, argument: str) -> None:
    """Going away, but this request is answered yet."""
    peer.goaway_at(seen.stream_id, int(argument or "0"))
    peer.raw_head(seen, [(":status", "200"), ("content-length", "0")], "END_STREAM")


_CANNED: dict[str, Callable[[Peer, Seen, str], None]] = {
    "status": _status,
    "rst": _reset,
    "rst-after": _reset_after,
    "close": _close,
    "close-after": _close_after,
    "grpc": _grpc,
    "trailers": _trailers,
    "informational": _informational,
    "big": _big,
    "hang": _hang,
    "malformed": _malformed,
    "short": _short,
    "long": _long,
    "goaway-below": _goaway_below,
    "goaway-and-answer": _goaway_and_answer,
}
