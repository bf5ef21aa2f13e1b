"""How SPDY's bytes come and go: an upgraded connection, or binary messages of a WebSocket.

Since 1.31 kubectl forwards ports through a WebSocket that carries SPDY. It, and every older kubectl, falls
back to asking for an upgrade to SPDY itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol, cast

from aiohttp import WSMsgType, web

from minimesh.kubernetes.api_errors import bad_request

UPGRADE = "SPDY/3.1"
_VERSION_HEADER = "X-Stream-Protocol-Version"
_WAITING_LIMIT = 64
"""Pieces that may wait to be read before the client is told to wait."""


class Transport(Protocol):
    """Bytes both ways."""

    async def send(self, data: bytes) -> None:
        """Send; nothing happens when the client has gone."""

    async def receive(self) -> bytes:
        """The next bytes; empty when no more come."""

    async def close(self) -> None:
        """Close the connection."""


def asks_for_spdy(request: web.Request) -> bool:
    """Whether the client wants the connection itself to become SPDY."""
    return request.headers.get("Upgrade", "").upper() == UPGRADE


class UpgradedConnection:
    """The connection of a request that asked for SPDY, taken from HTTP."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.response = web.StreamResponse(status=101)

    async def open(self, *protocols: str) -> str:
        """Switch protocols; returns one of `protocols`, best first. ApiError (400) without a common one."""
        offered = [
            each.strip()
            for value in self._request.headers.getall(_VERSION_HEADER, [])
            for each in value.split(",")
        ]
        chosen = next((each for each in protocols if each in offered), None)
        if chosen is None:
            raise bad_request(f"unable to negotiate protocol: client supports {offered}, server {protocols}")
        # Before the answer, for what the client sends after it is no HTTP.
        self._request.protocol.set_parser(cast(Any, self))
        headers = {"Connection": "Upgrade", "Upgrade": UPGRADE, _VERSION_HEADER: chosen}
        self.response.headers.update(headers)
        self.response.force_close()
        await self.response.prepare(self._request)
        self.response.headers["Connection"] = "Upgrade"
        return chosen

    # -- What aiohttp calls

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the client."""
        self._pieces.put_nowait(bytes(data))
        transport = self._request.transport
        if transport is not None and self._pieces.qsize() > _WAITING_LIMIT:
            cast(asyncio.ReadTransport, transport).pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """The client sends no more."""
        self._pieces.put_nowait(b"")

    def set_exception(self, exception: BaseException, cause: BaseException | None = None) -> None:
        """The connection was lost."""
        self._pieces.put_nowait(b"")

    # -- What the session calls

    async def send(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)
            with contextlib.suppress(ConnectionError):
                await self._request.protocol._drain_helper()

    async def receive(self) -> bytes:
        data = await self._pieces.get()
        transport = self._request.transport
        if transport is not None and self._pieces.empty():
            cast(asyncio.ReadTransport, transport).resume_reading()
        return data

    async def close(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()


class Tunnel:
    """SPDY in the binary messages of a WebSocket."""

    def __init__(self, request: web.Request, protocol: str) -> None:
        self._request = request
        self.response = web.WebSocketResponse(protocols=[protocol], max_msg_size=0)

    async def open(self) -> None:
        """Switch protocols. ApiError (400) when the client asks for no WebSocket."""
        if not self.response.can_prepare(self._request).ok:
            raise bad_request("this is served over WebSocket or SPDY: upgrade the connection")
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self.response.send_bytes(data)

    async def receive(self) -> bytes:
        while True:
            message = await self.response.receive()
            if message.type is not WSMsgType.BINARY:
                return b""
            if message.data:
                return cast(bytes, message.data)

    async def close(self) -> None:
        await self.response.close()
