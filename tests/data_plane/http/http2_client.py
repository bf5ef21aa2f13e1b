"""A scripted HTTP/2 client: writes any frame, well-behaved or not, and reads what comes back.

It answers nothing by itself, no SETTINGS and no PING, and gives windows only when told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.data_plane.http.lab import Lab

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Headers = list[tuple[str, str]]


def request(path: str = "/", method: str = "GET", *more: tuple[str, str], authority: str = "h") -> Headers:
    """The header list of an ordinary request."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority), *more]


@dataclass
class Response:
    """What came on one stream."""

    heads: list[Headers] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    #: Whether the last HEADERS ended the stream.
    ended_by_headers: bool = False

    @property
    def status(self) -> str:
        return dict(self.heads[0])[":status"]

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.heads[0])

    @property
    def trailers(self) -> Headers:
        return self.heads[-1] if len(self.heads) > 1 else []

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Http2Client:
    """See the module."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self._decoder = Decoder()
        self.responses: dict[int, Response] = {}
        self.settings: dict[int, int] = {}
        #: (last stream id, error code) of each GOAWAY.
        self.goaways: list[tuple[int, int]] = []
        #: What windows the proxy gave back, by stream.
        self.window_updates: list[tuple[int, int]] = []
        self.frames: list[Frame] = []
        self.closed = False
        self._next_id = 1

    def send(self, *frames: Frame) -> None:
        self.writer.write(b"".join(frame.serialize() for frame in frames))

    def headers(self, headers: Headers, *, end: bool = True, stream_id: int = 0) -> int:
        """HEADERS; on a new stream unless said otherwise. The stream's id."""
        if not stream_id:
            stream_id, self._next_id = self._next_id, self._next_id + 2
        flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
        self.send(HeadersFrame(stream_id, self.encoder.encode(headers), flags=flags))
        return stream_id

    def large_headers(self, headers: Headers) -> int:
        """HEADERS and as many CONTINUATION frames as needed."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        data = self.encoder.encode(headers)
        pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)]
        frames: list[Frame] = [HeadersFrame(stream_id, pieces[0], flags=["END_STREAM"])]
        frames += [ContinuationFrame(stream_id, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        self.send(*frames)
        return stream_id

    def data(self, stream_id: int, data: bytes, *, end: bool = True) -> None:
        self.send(DataFrame(stream_id, data, flags=["END_STREAM"] if end else []))

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.send(RstStreamFrame(stream_id, code))

    def give_window(self, size: int, stream_id: int = 0) -> None:
        self.send(WindowUpdateFrame(stream_id, size))

    def on(self, stream_id: int) -> Response:
        """What the stream has got so far."""
        return self.responses.setdefault(stream_id, Response())

    async def response(self, stream_id: int) -> Response:
        """What the stream got, once it is over."""
        made = self.on(stream_id)
        await self.until(lambda: made.over)
        return made

    async def ask(self, headers: Headers, data: bytes | None = None) -> Response:
        stream_id = self.headers(headers, end=data is None)
        if data is not None:
            self.data(stream_id, data)
        return await self.response(stream_id)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Read frames until something holds, or the connection is closed."""
        async with asyncio.timeout(5):
            while not holds() and not self.closed:
                await self._read_frame()

    async def until_closed(self) -> None:
        await self.until(lambda: False)

    async def _read_frame(self) -> None:
        try:
            head = await self.reader.readexactly(9)
            frame, length = Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(await self.reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
            return
        self.frames.append(frame)
        response = self.on(frame.stream_id)
        if isinstance(frame, HeadersFrame):
            decoded = self._decoder.decode(frame.data, raw=True)
            response.heads.append([(n.decode("latin-1"), v.decode("latin-1")) for n, v in decoded])
            response.ended_by_headers = response.ended = "END_STREAM" in frame.flags
        elif isinstance(frame, DataFrame):
            response.body += frame.data
            response.ended = "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame):
            response.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append((frame.last_stream_id, frame.error_code))
        elif isinstance(frame, WindowUpdateFrame):
            self.window_updates.append((frame.stream_id, frame.window_increment))
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings.update(frame.settings)

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def http2_client(
    running: Lab, settings: dict[int, int] | None = None, *, acknowledge: bool = False
) -> AsyncIterator[Http2Client]:
    """A connection with prior knowledge, preface and SETTINGS sent; `acknowledge` waits for the proxy's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    client = Http2Client(reader, writer)
    writer.write(PREFACE)
    client.send(SettingsFrame(0, settings or {}))
    if acknowledge:
        await client.until(lambda: bool(client.settings))
        client.send(SettingsFrame(0, flags=["ACK"]))
    try:
        yield client
    finally:
        client.close()
