"""The channels of `kubectl exec` and `attach`: a program's streams, side by side on one connection.

Over a WebSocket (version 5 of Kubernetes' protocol) each binary message begins with its channel's number; 255
followed by a channel says that no more comes there. Over SPDY, which kubectl spoke alone until 1.30, each
channel is a stream (version 4).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Protocol

from aiohttp import WSMsgType, web

from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.pods.spdy import DataReceived, Pinged, SpdyConnection, SpdyError, StreamOpened
from minimesh.kubernetes.pods.spdy_transport import UpgradedConnection, asks_for_spdy

WEBSOCKET_PROTOCOL = "v5.channel.k8s.io"
SPDY_PROTOCOL = "v4.channel.k8s.io"
_OPENING_LIMIT_S = 30.0


class Channel(IntEnum):
    """What a channel carries. ERROR is how the program ended: a `Status`."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


_CLOSED = 255


class Channels(Protocol):
    """The channels of one client."""

    @property
    def response(self) -> web.StreamResponse:
        """What the request is answered with."""

    async def send(self, channel: Channel, data: bytes) -> None:
        """Send; nothing happens when the client has gone."""

    def received(self) -> AsyncIterator[tuple[Channel, bytes | None]]:
        """What the client sends; None for the end of a channel."""

    async def close(self) -> None:
        """End all channels and the connection."""


async def open_channels(request: web.Request) -> Channels:
    """Switch to the protocol that the client asks for. ApiError (400) when that is none of these."""
    if asks_for_spdy(request):
        connection = UpgradedConnection(request)
        await connection.open(SPDY_PROTOCOL)
        spdy = _SpdyChannels(connection)
        async with asyncio.timeout(_OPENING_LIMIT_S):
            await spdy.open(_asked_for(request))
        return spdy
    channels = _WebSocketChannels()
    if not channels.response.can_prepare(request).ok:
        raise bad_request(f"exec and attach are served over WebSocket, as {WEBSOCKET_PROTOCOL}, or SPDY")
    await channels.response.prepare(request)
    return channels


def _asked_for(request: web.Request) -> set[Channel]:
    """The channels that the client is going to open."""
    query = request.query
    has_terminal = query.get("tty") in ("true", "1")
    names = {"stdin": Channel.STDIN, "stdout": Channel.STDOUT, "stderr": Channel.STDERR}
    found = {channel for name, channel in names.items() if query.get(name) in ("true", "1")}
    if has_terminal:
        return (found - {Channel.STDERR}) | {Channel.ERROR, Channel.RESIZE}
    return found | {Channel.ERROR}


class _WebSocketChannels:
    def __init__(self) -> None:
        self.response = web.WebSocketResponse(protocols=[WEBSOCKET_PROTOCOL], max_msg_size=0)

    async def send(self, channel: Channel, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self.response.send_bytes(bytes([channel]) + data)

    async def received(self) -> AsyncIterator[tuple[Channel, bytes | None]]:
        async for message in self.response:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            number, data = message.data[0], message.data[1:]
            if number == _CLOSED and data:
                yield Channel(data[0]), None
            elif number in (Channel.STDIN, Channel.RESIZE):
                yield Channel(number), data

    async def close(self) -> None:
        await self.response.close()


class _SpdyChannels:
    def __init__(self, connection: UpgradedConnection) -> None:
        self._connection = connection
        self._spdy = SpdyConnection()
        self._streams: dict[Channel, int] = {}
        self._waiting: list[DataReceived] = []

    @property
    def response(self) -> web.StreamResponse:
        return self._connection.response

    async def open(self, wanted: set[Channel]) -> None:
        """Wait until the client has opened the streams that it asked for. SpdyError when that is no SPDY."""
        while not wanted <= self._streams.keys():
            data = await self._connection.receive()
            if not data:
                return
            self._waiting += await self._arrived(data)

    async def send(self, channel: Channel, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None:
            await self._connection.send(self._spdy.data(stream, data))

    async def received(self) -> AsyncIterator[tuple[Channel, bytes | None]]:
        arrived, self._waiting = self._waiting, []
        while True:
            channels = {stream: channel for channel, stream in self._streams.items()}
            for each in arrived:
                channel = channels.get(each.stream)
                if channel is None:
                    continue
                if each.data:
                    yield channel, each.data
                if each.ended:
                    yield channel, None
            data = await self._connection.receive()
            if not data:
                return
            try:
                arrived = await self._arrived(data)
            except SpdyError:
                return

    async def close(self) -> None:
        for stream in self._streams.values():
            await self._connection.send(self._spdy.data(stream, b"", ended=True))
        await self._connection.close()

    async def _arrived(self, data: bytes) -> list[DataReceived]:
        found = []
        for event in self._spdy.receive(data):
            match event:
                case StreamOpened(stream, headers):
                    name = headers.get("streamtype", "").upper()
                    if name in Channel.__members__:
                        self._streams[Channel[name]] = stream
                    await self._connection.send(self._spdy.reply(stream))
                case DataReceived():
                    found.append(event)
                case Pinged(answer):
                    await self._connection.send(answer)
        return found
