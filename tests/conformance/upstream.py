"""The application behind a proxy: it follows the current case's script, and notes what came."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable

from tests.conformance.bootstraps.shapes import HEALTH
from tests.conformance.case import OK, Answer

#: Long enough for a piece to arrive by itself.
_BETWEEN_PIECES_S = 0.002


class Upstream:
    """One listening socket; `note` is called with head and (unchunked) body of each request."""

    def __init__(self, note: Callable[[str], int], complete: Callable[[int, str], None]) -> None:
        #: What is done with the requests to come; the last answer stays.
        self.answers: list[Answer] = [OK]
        self.port = 0
        self._note = note
        self._complete = complete
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: Connections of health checks, which no case ends; and how many checks came, by path.
        self._checking: set[asyncio.Task[None]] = set()
        self._checks: Counter[str] = Counter()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._tasks |= self._checking
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
            while await self._request(reader, writer):
                pass
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # the proxy or the suite is done with it
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if head.startswith(f"GET {HEALTH}"):
            self._check(head.split()[1], writer)
            return True
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        at = self._note(head)
        writer.write(answer.before_body)
        if answer.reads_after_s:
            await asyncio.sleep(answer.reads_after_s)
        body = await _body(reader, head)
        self._complete(at, body)
        if answer.after_s:
            await asyncio.sleep(answer.after_s)
        answered_head, end, answered_body = answer.raw.partition(b"\r\n\r\n")
        await _send(
            writer, answered_head + end + (b"" if head.startswith("HEAD ") else answered_body), answer.cut
        )
        return await _then(answer, reader, writer)

    def _check(self, path: str, writer: asyncio.StreamWriter) -> None:
        """Answer a health check, by the number in its path."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.discard(task)
        self._checking.add(task)
        self._checks[path] += 1
        fails = self._checks[path] <= int(path.removeprefix(HEALTH).partition("/")[0])
        status = "503 Service Unavailable" if fails else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


async def _send(writer: asyncio.StreamWriter, data: bytes, cut: int) -> None:
    size = cut or len(data) or 1
    for at in range(0, len(data), size):
        writer.write(data[at : at + size])
        await writer.drain()
        if cut:
            await asyncio.sleep(_BETWEEN_PIECES_S)


async def _then(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    if answer.then == "reset":
        if answer.raw:
            await asyncio.sleep(0.05)  # a reset could overtake what was sent
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    elif answer.then == "hang":
        await reader.read()
    elif answer.then == "half-close":
        writer.write_eof()
        await reader.read()
    elif answer.then == "tunnel":
        writer.write(b"echo:" + await reader.readexactly(4))
    return answer.then == "keep"


async def _body(reader: asyncio.StreamReader, head: str) -> str:
    length = re.search(r"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if length:
        return (await reader.readexactly(int(length[1]))).decode("latin-1")
    if not re.search(r"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        return ""
    body = ""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2].decode("latin-1")
    while (line := await reader.readline()) != b"\r\n":
        body += f"<trailer {line.decode('latin-1').rstrip()}>"
    return body
