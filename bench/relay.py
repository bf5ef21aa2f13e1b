"""Bytes passed on without a look at them: what the event loop and the kernel cost any proxy on this machine.

python -m bench.relay PORT BACKEND_PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast


class Upstream(asyncio.Protocol):
    """The connection to the backend."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.transport.close()


class Client(asyncio.Protocol):
    """The connection of a client; what it sends before the backend is there is kept."""

    def __init__(self, backend_port: int) -> None:
        self._backend_port = backend_port
        self._backend: asyncio.Transport | None = None
        self._early = b""
        self.transport: asyncio.Transport
        self._dial: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._dial = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        made, _ = await loop.create_connection(lambda: Upstream(self), "127.0.0.1", self._backend_port)
        self._backend = cast("asyncio.Transport", made)
        self._backend.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self._backend is None:
            self._early += data
        else:
            self._backend.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._backend is not None:
            self._backend.close()


async def serve(port: int, backend_port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Client(backend_port), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2])))
