"""Handshakes on the event loop's own TLS: one place for what it leaves undone.

The loop closes a connection whose handshake failed without sending OpenSSL's last word, the alert that tells
the peer why; and it has no parameter for the session to take up again. Both are mended in the TLS object,
which the loop asks the context for: `MeshContext` is the kind of context that every transport socket uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

#: The file descriptor of the socket on which a handshake is about to begin. The loop runs the handshake in
#: the context of whoever began it, so each handshake finds its own.
handshake_socket: ContextVar[int] = ContextVar("handshake_socket", default=-1)
#: The event loop's limit where configuration has none: Envoy's idle timeout of connections, which includes
#: those that never get as far as a request.
NO_HANDSHAKE_LIMIT_S = 3600.0


#: Server names of one context whose sessions are kept.
_MOST_SESSIONS = 64


class _HandshakeObject(ssl.SSLObject):
    """A TLS object that sends its alert."""

    socket_number = -1
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            alert = self.outgoing.read()
            if alert and self.socket_number >= 0:
                with contextlib.suppress(OSError):  # a peer that does not listen misses little
                    os.write(self.socket_number, alert)
            raise


class MeshContext(ssl.SSLContext):
    """A context whose handshakes send alerts and, on the client's side, begin with an earlier session."""

    sslobject_class = _HandshakeObject

    def __init__(self, *_: Any) -> None:
        """As SSLContext."""
        #: The last connection by server name: a session goes with the name it was begun for.
        self._resumable: dict[str, ssl.SSLObject] = {}

    def remember(self, connection: ssl.SSLObject) -> None:
        """Begin later handshakes for the same server name with the session of this connection."""
        if len(self._resumable) >= _MOST_SESSIONS:
            self._resumable.pop(next(iter(self._resumable)))
        self._resumable[connection.server_hostname or ""] = connection

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        # Read late: TLS 1.3 delivers sessions after the handshake.
        last = self._resumable.get(options.get("server_hostname") or "") if self._resumable else None
        session = last.session if last is not None else None
        if session is not None:
            options["session"] = session
        made = cast(_HandshakeObject, super().wrap_bio(incoming, outgoing, *args, **options))
        made.outgoing, made.socket_number = outgoing, handshake_socket.get()
        return made


class Shaken(asyncio.Protocol):
    """Stands in during a handshake. Then `take_over` is given the transport, and makes the real protocol.

    `take_over` may raise: the connection is broken off, and `error` says why.
    """

    __slots__ = ("_take_over", "error", "protocol")

    def __init__(self, take_over: Callable[[asyncio.Transport], asyncio.Protocol | None]) -> None:
        self._take_over = take_over
        self.protocol: asyncio.Protocol | None = None
        self.error: OSError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        try:
            self.protocol = self._take_over(transport)
        except OSError as error:
            self.error = error
        if self.protocol is None:
            transport.abort()
            return
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(transport)
