"""Upstreams: one that behaves, and some that do not. All in the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Origin:
    """An upstream that answers every GET (a head without a body) with `OK`, at once, until it is stopped."""

    def __init__(self) -> None:
        self._server: asyncio.Server
        self._transports: set[asyncio.Transport] = set()

    @classmethod
    async def start(cls, host: str = "127.0.0.1", port: int = 0) -> Origin:
        made = cls()
        loop = asyncio.get_running_loop()
        made._server = await loop.create_server(lambda: _Good(made._transports), host, port, backlog=4096)
        return made

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Refuse connections, and close those that there are."""
        self._server.close()
        for transport in tuple(self._transports):
            transport.close()


class _Good(asyncio.Protocol):
    def __init__(self, transports: set[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._transports.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(OK * data.count(b"\r\n\r\n"))


@asynccontextmanager
async def good(port: int = 0) -> AsyncIterator[int]:
    """An upstream that answers every GET with `OK`; its port."""
    made = await Origin.start(port=port)
    try:
        yield made.port
    finally:
        made.stop()


@asynccontextmanager
async def origin(handler: Handler) -> AsyncIterator[int]:
    """An upstream whose connections are handled like that; its port. Connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def head(reader: asyncio.StreamReader) -> bytes:
    """The next request's head. Raises IncompleteReadError at the end."""
    return await reader.readuntil(b"\r\n\r\n")


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def big(length_bytes: int) -> Handler:
    """Answers with so many bytes, as fast as they are taken."""
    piece = b"x" * 65536

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length_bytes)
            for at in range(0, length_bytes, len(piece)):
                writer.write(piece[: length_bytes - at])
                await writer.drain()

    return handler


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads and never answers."""
    while await reader.read(65536):
        pass


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Does not even read, for as long as it is there."""
    await asyncio.Event().wait()


async def vanishes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up at the sight of a request."""
    await head(reader)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A TCP reset in the middle of the body."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it")
    await writer.drain()
    await asyncio.sleep(0.02)  # let it arrive: a reset overtakes what is unread
    reset(writer)


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says what is no HTTP."""
    await head(reader)
    writer.write(b"\x00\x01garbage\r\n\r\n" * 100)
    await writer.drain()
    await reader.read()


async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stops in the middle of the body."""
    await head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it")
    await reader.read()
