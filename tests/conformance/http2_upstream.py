"""An upstream that speaks HTTP/2: says to each request what the case says, and notes what came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hyperframe.frame import HeadersFrame

from tests.conformance.case import OK_IN_FRAMES
from tests.conformance.frames import PREFACE, AtHead, FramedConnection, Step, Transcript


class Http2Upstream:
    """One listening socket; `note` is called for each request, `complete` with what comes of it."""

    def __init__(self, note: Callable[[str], int], complete: Callable[[int, str], None]) -> None:
        #: What is said to the requests to come; the last one stays.
        self.answers: list[Sequence[Step]] = [OK_IN_FRAMES]
        self.port = 0
        self._note = note
        self._complete = complete
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(len(PREFACE))
            await _Peer(self, FramedConnection(reader, writer)).serve()
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # the proxy or the suite is done with it
        finally:
            writer.close()

    def next_answer(self) -> Sequence[Step]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def note(self, head: str) -> int:
        """Returns where `complete` adds to."""
        return self._note(head)

    def complete(self, at: int, more: str) -> None:
        self._complete(at, more)


class _Peer:
    """One connection."""

    def __init__(self, upstream: Http2Upstream, connection: FramedConnection) -> None:
        self._upstream = upstream
        self._connection = connection
        #: By stream: where it was noted, what it was sent, what is to be said.
        self._streams: dict[int, tuple[int, Transcript, Sequence[Step]]] = {}

    async def serve(self) -> None:
        self._connection.announce()
        async with asyncio.TaskGroup() as answering:
            async for frame, fields in self._connection.frames():
                if not frame.stream_id:
                    continue
                began = isinstance(frame, HeadersFrame) and frame.stream_id not in self._streams
                if began:
                    self._streams[frame.stream_id] = (
                        self._upstream.note(""),
                        Transcript(),
                        self._upstream.next_answer(),
                    )
                at, transcript, steps = self._streams[frame.stream_id]
                before = len(transcript.text)
                transcript.add(frame, fields)
                self._upstream.complete(at, transcript.text[before:])
                early = bool(steps) and isinstance(steps[0], AtHead)
                if (began and early) or (not early and "END_STREAM" in frame.flags):
                    answering.create_task(self._answer(steps, frame.stream_id))

    async def _answer(self, steps: Sequence[Step], stream: int) -> None:
        for step in steps:
            await self._connection.say(step, stream)
