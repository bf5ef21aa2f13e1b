"""The way in for an application that was told to use a proxy: what redirection is in a cluster.

A client that asks for a tunnel (`CONNECT tcp-echo:9000`) says where it is going, as a redirected socket does:
it is told 200, and its connection goes on at the listener of that destination. Anything else is a request to
a proxy and goes to the connection manager. First bytes are looked at once; requests pay nothing.

    LOOKING --CONNECT--> tunnel: the listener of the destination
       `--any other--> the connection manager
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.original_destination import parse_destination
from minimesh.data_plane.network.redirection import ListenerDirectory, hand_over

if TYPE_CHECKING:
    from minimesh.data_plane.network.listener_settings import (
        ListenerScope,
        ProtocolFactory,
        ServerConnection,
    )
    from minimesh.data_plane.network.timers import Deadline

_CONNECT = b"CONNECT "
_END_OF_HEAD = b"\r\n\r\n"
_HEAD_LIMIT_BYTES = 16 * 1024
#: How long a client may say nothing: as long as a connection manager would wait for a request.
_IDLE_LIMIT_S = 3600.0
_ESTABLISHED = b"HTTP/1.1 200 OK\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_NO_WAY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class ExplicitProxy:
    """The protocol factory of such a listener's filter chain."""

    __slots__ = ("listeners", "requests")

    def __init__(self, requests: ProtocolFactory, listeners: ListenerDirectory) -> None:
        """`requests` makes the protocol for what is no tunnel."""
        self.requests = requests
        self.listeners = listeners

    def __call__(self, info: ConnectionInfo, scope: ListenerScope) -> FirstBytes:
        info.names_destinations = True
        return FirstBytes(self, info, scope)


class FirstBytes(asyncio.Protocol):
    """A connection of which it is not known yet what it wants."""

    __slots__ = ("_buffer", "_deadline", "_info", "_proxy", "_scope", "_transport", "closed")

    def __init__(self, proxy: ExplicitProxy, info: ConnectionInfo, scope: ListenerScope) -> None:
        self._proxy = proxy
        self._info = info
        self._scope = scope
        self._buffer = b""
        self._deadline: Deadline | None = None
        self._transport: asyncio.Transport
        self.closed = False

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._deadline = self._scope.timers.call_after(_IDLE_LIMIT_S, self._transport.close)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.startswith(_CONNECT):
            if not _CONNECT.startswith(self._buffer):
                self._serve_requests()
            return
        head, end, rest = self._buffer.partition(_END_OF_HEAD)
        if end:
            self._open_tunnel(head, rest)
        elif len(self._buffer) > _HEAD_LIMIT_BYTES:
            self._refuse(_BAD_REQUEST)

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()

    # --- asked by the listener ---

    def drain(self) -> None:
        """It has not begun; who takes it is told."""

    def close_if_idle(self) -> None:
        self._transport.close()

    def close_now(self) -> None:
        self._transport.abort()

    # --- within ---

    def _serve_requests(self) -> None:
        self.closed = True
        self._forget_time()
        successor = self._proxy.requests(self._info, self._scope)
        self._scope.connection_replaced(self, cast("ServerConnection", successor))
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        successor.data_received(self._buffer)

    def _open_tunnel(self, head: bytes, rest: bytes) -> None:
        parts = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        named = parse_destination(parts[1]) if len(parts) == 3 and parts[2].startswith("HTTP/1.") else None
        if named is None:
            self._refuse(_BAD_REQUEST)
            return
        listeners = self._proxy.listeners
        destination = listeners.address_of(*named) or named
        listener = listeners.find(destination) or listeners.entrance
        if listener is None:
            self._refuse(_NO_WAY)
            return
        info = ConnectionInfo(
            self._info.connection_id,
            f"{destination[0]}:{destination[1]}",
            self._info.remote_address,
            destination[1],
        )
        info.original_destination = destination
        self._leave()
        self._transport.write(_ESTABLISHED)
        hand_over(listener, self._transport, info, rest)

    def _refuse(self, answer: bytes) -> None:
        self._transport.write(answer)
        self._transport.close()

    def _leave(self) -> None:
        """The connection is over for the listener that accepted it."""
        if not self.closed:
            self.closed = True
            self._forget_time()
            self._scope.connection_closed(self)

    def _forget_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
