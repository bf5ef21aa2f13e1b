"""HTTP/2 as the suite speaks it, at either end: frame by frame, so that a case can be as wrong as it likes.

Steps are what a case says; a `FramedConnection` says them, heeds the other side's windows, opens its own as
it reads, and hands every frame on. Only hpack and hyperframe are used: a whole library would mend or refuse
what the cases are about.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from hpack import Decoder, Encoder
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_BYTES = 16384
_WINDOW_BYTES = 65535
#: Shown behind all others: minimesh sends last what it keeps out of HPACK's table.
_LAST = ("cookie", "x-request-id")

Fields: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A header block: a head, an interim one, or trailers."""

    fields: Fields
    end: bool = True
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Data:
    """As the other side's window lets it through."""

    data: bytes
    end: bool = True
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Reset:
    code: int
    stream: int = 1


@dataclass(frozen=True, slots=True)
class GoAway:
    """`below`: the stream itself was not looked at."""

    code: int = 0
    below: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame of any kind, on any stream. An upstream's is on the stream of the request."""

    kind: int
    flags: int = 0
    payload: bytes = b""
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Await:
    """A client waits until the stream has ended, or `"head"`: until something has come on it."""

    stream: int = 1
    what: str = "end"


@dataclass(frozen=True, slots=True)
class Pause:
    time_s: float


@dataclass(frozen=True, slots=True)
class Reached:
    """A client waits until an upstream has a request."""


@dataclass(frozen=True, slots=True)
class AtHead:
    """An upstream begins here, without waiting for the request's end. The first step, if any."""


@dataclass(frozen=True, slots=True)
class Close:
    pass


Step: TypeAlias = Head | Data | Reset | GoAway | Raw | Await | Pause | Reached | AtHead | Close


class Transcript:
    """What came on one stream, as text: blocks of fields, data joined, and how it ended."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False

    def add(self, frame: Frame, fields: Fields) -> None:
        """Note a frame of this stream. A block's fields come decoded."""
        if isinstance(frame, HeadersFrame):
            # The order of what stands for a request line says nothing (RFC 9113, 8.3).
            pseudo = sorted(field for field in fields if field[0].startswith(":"))
            rest = sorted(
                (field for field in fields if not field[0].startswith(":")),
                key=lambda field: field[0] in _LAST,
            )
            self.text += "".join(f"{name}: {value}\r\n" for name, value in (*pseudo, *rest)) + "\r\n"
        elif isinstance(frame, DataFrame):
            self.text += frame.data.decode("latin-1")
        elif isinstance(frame, RstStreamFrame):
            self.text += f"<reset {frame.error_code}>"
            self.ended = True
        if "END_STREAM" in frame.flags:
            self.text += "<end>"
            self.ended = True


class FramedConnection:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder, self._decoder = Encoder(), Decoder(max_header_list_size=1 << 20)
        self._initial_window = _WINDOW_BYTES
        #: What may still be sent, by stream; 0 is the connection. Streams count from their first byte.
        self._sent: defaultdict[int, int] = defaultdict(int)
        self._opened: defaultdict[int, int] = defaultdict(int)
        self._window_changed = asyncio.Event()

    async def frames(self) -> AsyncIterator[tuple[Frame, Fields]]:
        """All that comes, but for what keeps the connection going, until it ends."""
        while True:
            try:
                frame = await self._frame()
            except (EOFError, ConnectionError, HyperframeError):
                return
            if frame is None or self._kept_going(frame):
                continue
            yield frame, await self._fields(frame) if isinstance(frame, HeadersFrame) else ()

    async def say(self, step: Step, stream: int) -> None:
        """Send what a step says on this stream."""
        if isinstance(step, Head):
            self.block(stream, step.fields, end=step.end)
        elif isinstance(step, Data):
            await self._data(stream, step)
        elif isinstance(step, Reset):
            self._write(RstStreamFrame(stream, error_code=step.code))
        elif isinstance(step, GoAway):
            last = max(stream - 2, 0) if step.below else stream
            self._write(GoAwayFrame(0, last_stream_id=last, error_code=step.code))
        elif isinstance(step, Raw):
            head = len(step.payload).to_bytes(3, "big") + bytes((step.kind, step.flags))
            self._writer.write(head + stream.to_bytes(4, "big") + step.payload)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.time_s)
        elif isinstance(step, Close):
            self._writer.close()

    def announce(self) -> None:
        """Our settings: all as the protocol has them."""
        self._write(SettingsFrame(0))

    def block(self, stream: int, fields: Iterable[tuple[str, str]], *, end: bool) -> None:
        """A header block, in as many frames as it needs."""
        encoded = self._encoder.encode(
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        )
        pieces = [encoded[at : at + _FRAME_BYTES] for at in range(0, len(encoded), _FRAME_BYTES)] or [b""]
        for number, piece in enumerate(pieces):
            frame = ContinuationFrame(stream, data=piece) if number else HeadersFrame(stream, data=piece)
            if number == len(pieces) - 1:
                frame.flags.add("END_HEADERS")
            if end and not number:
                frame.flags.add("END_STREAM")
            self._write(frame)

    async def _data(self, stream: int, step: Data) -> None:
        rest = step.data
        while True:
            piece = rest[: min(_FRAME_BYTES, self._room(stream))]
            rest = rest[len(piece) :]
            if piece or not step.data:
                self._sent[stream] += len(piece)
                self._sent[0] += len(piece)
                flags = ["END_STREAM"] if step.end and not rest else []
                self._write(DataFrame(stream, data=piece, flags=flags))
                await self._writer.drain()
            if not rest:
                return
            if self._room(stream) <= 0:
                self._window_changed.clear()
                await self._window_changed.wait()

    def _room(self, stream: int) -> int:
        of_stream = self._initial_window + self._opened[stream] - self._sent[stream]
        return max(min(of_stream, _WINDOW_BYTES + self._opened[0] - self._sent[0]), 0)

    async def _frame(self) -> Frame | None:
        """None for one of a kind that hyperframe does not know."""
        frame, length = Frame.parse_frame_header(memoryview(await self._reader.readexactly(9)))
        frame.parse_body(memoryview(await self._reader.readexactly(length)))
        return frame

    def _kept_going(self, frame: Frame) -> bool:
        """Does what every end of a connection does; True: it is nobody else's business."""
        if isinstance(frame, SettingsFrame):
            if "ACK" not in frame.flags:
                self._initial_window = frame.settings.get(
                    SettingsFrame.INITIAL_WINDOW_SIZE, self._initial_window
                )
                self._write(SettingsFrame(0, flags=["ACK"]))
                self._window_changed.set()
            return True
        if isinstance(frame, WindowUpdateFrame):
            self._opened[frame.stream_id] += frame.window_increment
            self._window_changed.set()
            return True
        if isinstance(frame, PingFrame):
            if "ACK" not in frame.flags:
                self._write(PingFrame(0, frame.opaque_data, flags=["ACK"]))
            return True
        if isinstance(frame, DataFrame) and frame.flow_controlled_length:
            self._write(WindowUpdateFrame(0, window_increment=frame.flow_controlled_length))
            if "END_STREAM" not in frame.flags:
                self._write(WindowUpdateFrame(frame.stream_id, window_increment=frame.flow_controlled_length))
        return False

    async def _fields(self, frame: HeadersFrame) -> Fields:
        block, last = frame.data, frame.flags
        while "END_HEADERS" not in last:
            more = await self._frame()
            assert isinstance(more, ContinuationFrame)
            block, last = block + more.data, more.flags
        decoded = self._decoder.decode(block, raw=True)
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in decoded)

    def _write(self, frame: Frame) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame.serialize())
