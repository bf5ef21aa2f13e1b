"""One address and port that leads to others: TCP connections passed on whole, as kube-proxy's rules would.

It is a process in the way, not a rule of the kernel: a connection is accepted first and led on then. So that
"connection refused" means the same as in a cluster, its owner opens it only while something listens behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Sequence

_BLOCK_BYTES = 64 * 1024
_BACKLOG = 128
_CONNECT_LIMIT_S = 5.0

Target = tuple[str, int]


class Forwarder:
    """Listens at an address once opened. `targets` may be changed at any time; new connections heed it."""

    def __init__(self, address: str, port: int, targets: Sequence[Target]) -> None:
        self.address = address
        self.port = port
        self.targets = targets
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Forwarder {self.address}:{self.port} to {list(self.targets)}>"

    async def open(self) -> None:
        """Listen. OSError when the address is not to be had."""
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.address, self.port))
            listener.listen(_BACKLOG)
            self._server = await asyncio.start_server(self._accepted, sock=listener, limit=_BLOCK_BYTES)
        except OSError:
            listener.close()
            raise

    def close(self) -> None:
        """Listen no more; connections go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def abort(self) -> None:
        """Listen no more, and end all connections."""
        self.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            connected = await self._connect()
            if connected is not None:
                await _join(reader, writer, *connected)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to one of the targets, by chance; to another one when that does not answer."""
        for host, port in random.sample(list(self.targets), len(self.targets)):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_LIMIT_S):
                    return await asyncio.open_connection(host, port, limit=_BLOCK_BYTES)
        return None


def listens(address: str, port: int) -> bool:
    """Whether something listens there, found out without connecting to it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True  # taken, or not for this user to know
    return False


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes on both ways until both have ended, each end of one way on its own."""
    try:
        await asyncio.gather(_pass_on(reader, other_writer), _pass_on(other_reader, writer))
        writer.close()
        await writer.wait_closed()
    finally:
        other_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BLOCK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
