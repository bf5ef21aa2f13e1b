"""The client of HTTP/2: says a case's steps, and tells what came on each stream, and how it ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from hyperframe.frame import GoAwayFrame

from tests.conformance.frames import (
    PREFACE,
    Await,
    Close,
    FramedConnection,
    Head,
    Reached,
    Reset,
    Step,
    Transcript,
)

_PATIENCE_S = 2.0
_PROBE = (
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "gs.xebia.com"),
    (":path", "/direct"),
    ("user-agent", "probe"),
)


class Http2Conversation:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream_reached: Callable[[], Awaitable[object]],
    ) -> None:
        self._writer = writer
        self._connection = FramedConnection(reader, writer)
        self._upstream_reached = upstream_reached
        self._streams: defaultdict[int, Transcript] = defaultdict(Transcript)
        self._goaway = ""
        self._closed = False
        self._changed = asyncio.Event()

    async def run(self, steps: Sequence[Step]) -> tuple[str, str]:
        """What was received, and how the connection ended."""
        self._writer.write(PREFACE)
        self._connection.announce()
        reading = asyncio.create_task(self._read())
        try:
            return await self._converse(steps)
        finally:
            reading.cancel()

    async def _converse(self, steps: Sequence[Step]) -> tuple[str, str]:
        opened = {step.stream for step in steps if isinstance(step, Head)}
        to_end = opened - {step.stream for step in steps if isinstance(step, Reset)}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for step in steps:
                    await self._say(step)
                    if isinstance(step, Close):
                        return self._received(), "left"
                await self._until(lambda: all(self._streams[stream].ended for stream in to_end))
        except TimeoutError:
            return self._received(), "nothing more came"
        return self._received(), await self._fate(probe=(max(opened, default=-1) | 1) + 2)

    async def _fate(self, probe: int) -> str:
        """Whether one more request, on the stream `probe`, is answered."""
        answer = self._streams[probe] = Transcript()
        if not self._closed:
            self._connection.block(probe, _PROBE, end=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._until(lambda: answer.ended)
        if "direct body" in answer.text:
            return "kept"
        return "closed" if self._closed else "open, but says no more"

    async def _say(self, step: Step) -> None:
        if self._closed:
            return
        if isinstance(step, Await):
            stream = self._streams[step.stream]
            await self._until(lambda: stream.ended if step.what == "end" else bool(stream.text))
        elif isinstance(step, Reached):
            await self._upstream_reached()
        else:
            await self._connection.say(step, getattr(step, "stream", 0))

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds() and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        async for frame, fields in self._connection.frames():
            if isinstance(frame, GoAwayFrame) and not frame.error_code:
                self._goaway += f"<goaway at {frame.last_stream_id}>"
            elif frame.stream_id:
                self._streams[frame.stream_id].add(frame, fields)
            self._changed.set()
        self._closed = True
        self._changed.set()

    def _received(self) -> str:
        found = [
            f"stream {number}\r\n{each.text}" for number, each in sorted(self._streams.items()) if each.text
        ]
        return "\r\n".join([*found, self._goaway] if self._goaway else found)
