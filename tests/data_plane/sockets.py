"""What a test needs of real sockets: a raw HTTP exchange, an upstream with one answer, a free port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


async def exchange(port: int, request: bytes = b"", path: str = "/", host: str = "127.0.0.1") -> bytes:
    """Send a request (by default a plain GET that asks to close) and read the response to its end."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request or f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
            return await _response(reader)
        finally:
            writer.close()
            await writer.wait_closed()


async def _response(reader: asyncio.StreamReader) -> bytes:
    """A response by its content-length: after a local reply the server leaves closing to the client."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    if status_of(head) == 204:
        return head
    body = await reader.read()
    return head + (_dechunked(body) if b"transfer-encoding: chunked" in head.lower() else body)


def _dechunked(body: bytes) -> bytes:
    parts = []
    size, _, rest = body.partition(b"\r\n")
    while length := int(size, 16):
        parts.append(rest[:length])
        size, _, rest = rest[length + 2 :].partition(b"\r\n")
    return b"".join(parts)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


class _OneAnswer(asyncio.Protocol):
    """Answers every request with the same body."""

    def __init__(self, answer: bytes, connections: set[asyncio.Transport]) -> None:
        self._response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self._response)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self._transport)


@asynccontextmanager
async def upstream(answer: bytes) -> AsyncIterator[int]:
    """A server that answers every request with this body; its port."""
    connections: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _OneAnswer(answer, connections), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in list(connections):
            transport.abort()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
