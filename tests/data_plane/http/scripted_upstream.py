"""An upstream that does what the path says, byte by byte, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import re
import socket
import struct


class ScriptedUpstream:
    """Answers `{"tag": ..., "target": ...}` unless the path names one of the scripts below."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.port = 0
        #: Every request as it came in: head and body.
        self.requests: list[str] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._stopped = False
        self._changed = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._stopped = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request_came(self) -> None:
        """Wait until at least one request has come in."""
        async with asyncio.timeout(2):
            while not self.requests:
                self._changed.clear()
                await self._changed.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopped:
            writer.transport.abort()
            return
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the proxy or the test is done with it
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        at = len(self.requests)
        self.requests.append(head)
        self._changed.set()
        method, target, _ = head.split(" ", 2)
        path = target.partition("?")[0]
        if path == "/expect":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, head)
        self.requests[at] = head + body
        if path == "/ws" or path == "/ws-echo":
            return await self._websocket(reader, writer)
        wait = re.match(r"/delay/([0-9.]+)", path)
        if wait:
            await asyncio.sleep(float(wait[1]))
        canned = _CANNED.get(path)
        if canned is not None:
            raw, then = canned
            writer.write(raw)
            await writer.drain()
            if then == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif then == "hang":
                await reader.read()
            return then == "keep"
        status = re.match(r"/status/(\d+)", path)
        text = f'{{"tag": "{self.tag}", "target": "{target}"}}'
        writer.write(
            (
                f"HTTP/1.1 {status[1] if status else 200} Whatever\r\nContent-Type: application/json\r\n"
                f"Server: up/1\r\nContent-Length: {len(text)}\r\n\r\n" + ("" if method == "HEAD" else text)
            ).encode("latin-1")
        )
        return True

    async def _websocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: x\r\n\r\n"
        )
        writer.write(b"echo:" + await reader.readexactly(4))
        return False


async def _read_body(reader: asyncio.StreamReader, head: str) -> str:
    length = re.search(r"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    if length:
        return (await reader.readexactly(int(length[1]))).decode("latin-1")
    if re.search(r"\r\ntransfer-encoding: chunked", head, re.IGNORECASE):
        return (await reader.readuntil(b"0\r\n\r\n")).decode("latin-1")
    return ""


_CANNED: dict[str, tuple[bytes, str]] = {
    "/close": (b"", "close"),
    "/reset": (b"", "reset"),
    "/partial": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "close"),
    "/stall": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "hang"),
    "/badresp": (b"HELLO THERE\r\n\r\n", "hang"),
    "/until-close": (b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nuntil close", "close"),
    "/nobody": (b"HTTP/1.1 204 No Content\r\n\r\n", "keep"),
    "/chunked": (
        b"HTTP/1.1 200 OK\r\nX-MiXed-Case: Yes\r\nTrailer: x-t\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
        "keep",
    ),
    "/hop": (
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nServer: up/1\r\n"
        b"Date: Mon, 01 Jan 2001 00:00:00 GMT\r\nVia: 1.1 up\r\nX-Dup: a\r\nX-Dup: b\r\nSet-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
        "keep",
    ),
    "/connclose": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "close"),
    "/lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "hang"),
    "/length-and-chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "hang",
    ),
    "/bad-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", "hang"),
    "/early-hints": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "keep"),
    "/echo-100": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "keep"),
    "/grpc": (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"7\r\n\0\0\0\0\2yo\r\n0\r\nGrpc-Status: 0\r\nGrpc-Message: ok\r\n\r\n",
        "keep",
    ),
    "/stall-after-hello": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "hang",
    ),
}
