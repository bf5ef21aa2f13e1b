"""TLS of which one direction can end before the other: what TCP proxies need, and the event loop lacks.

        SHAKING HANDS --done--> OPEN --close_notify or FIN of the peer--> the peer is silent, may listen
              `--failed--> closed   `--write_eof: close_notify--> we are silent, and listen

The event loop's own TLS closes both directions at the first close_notify. HTTP is served with that one all
the same: its connections end as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, cast

_READ_BYTES = 256 * 1024


class HalfClosableTls(asyncio.Protocol):
    """On a plain transport. `app` is told of its own transport when the handshake is complete."""

    __slots__ = (
        "_app",
        "_heard_end",
        "_incoming",
        "_outgoing",
        "_shaken",
        "_told_end",
        "connection",
        "network",
    )

    def __init__(
        self, app: asyncio.Protocol, context: ssl.SSLContext, *, server_side: bool, server_name: str = ""
    ) -> None:
        """Raises ValueError for a server name that cannot be sent."""
        self._app = app
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name or None
        )
        self.network: asyncio.Transport
        self._shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: The peer has ended its direction; we have ended ours.
        self._heard_end = self._told_end = False

    async def shake_hands(self, limit_s: float) -> None:
        """Returns when the handshake is complete, and `app` knows. Raises OSError; all is closed then."""
        try:
            async with asyncio.timeout(limit_s):
                await self._shaken
        except TimeoutError:
            self.network.abort()
            raise ConnectionAbortedError("TLS handshake is too slow") from None
        except asyncio.CancelledError:
            self.network.abort()
            raise

    # --- told by the network ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.network = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._go_on_shaking()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._shaken.done() or self._go_on_shaking():
            self._read()

    def eof_received(self) -> bool:
        """A FIN without close_notify ends the peer's direction too, as with Envoy."""
        if not self._shaken.done():
            return False
        self._end_heard()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if not self._shaken.done():
            self._shaken.set_exception(error or ConnectionResetError("closed amid the TLS handshake"))
        elif not self._shaken.cancelled() and self._shaken.exception() is None:
            self._app.connection_lost(error)

    def pause_writing(self) -> None:
        self._app.pause_writing()

    def resume_writing(self) -> None:
        self._app.resume_writing()

    # --- asked by its transport ---

    def set_app(self, app: asyncio.BaseProtocol) -> None:
        self._app = cast("asyncio.Protocol", app)

    @property
    def app(self) -> asyncio.Protocol:
        return self._app

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.connection.write(rest) :]
        except ssl.SSLError:  # the peer has broken TLS
            self.network.abort()
            return
        self._send()

    def tell_end(self) -> None:
        """Say close_notify: nothing more comes from here."""
        if self._told_end or not self._shaken.done():
            return
        self._told_end = True
        with contextlib.suppress(ssl.SSLError):  # the peer has not said so yet, or says something else
            self.connection.unwrap()
        self._send()

    # --- within ---

    def _go_on_shaking(self) -> bool:
        """Whether the handshake is complete."""
        if self._shaken.done():
            return False
        try:
            self.connection.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return False
        except ssl.SSLError as error:
            self._send()  # the alert that tells why
            self._shaken.set_exception(error)
            self.network.close()
            return False
        self._send()
        self._shaken.set_result(None)
        self._app.connection_made(TlsTransport(self))
        return True

    def _send(self) -> None:
        if self._outgoing.pending and not self.network.is_closing():
            self.network.write(self._outgoing.read())

    def _read(self) -> None:
        pieces: list[bytes] = []
        ended = False
        try:
            while not ended:
                data = self.connection.read(_READ_BYTES)
                pieces.append(data)
                ended = not data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError:
            self._send()
            self.network.abort()
            return
        self._send()
        received = b"".join(pieces)
        if received and not self._heard_end:
            self._app.data_received(received)
        if ended:
            self._end_heard()

    def _end_heard(self) -> None:
        if not self._heard_end:
            self._heard_end = True
            if not self._app.eof_received():
                self.tell_end()
                self.network.close()


class TlsTransport(asyncio.Transport):
    """What the protocol above TLS writes to."""

    __slots__ = ("_closing", "_tls")

    def __init__(self, tls: HalfClosableTls) -> None:
        super().__init__()
        self._tls = tls
        self._closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls.connection
        return self._tls.network.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._tls.set_app(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._tls.app

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if data and not self.is_closing():
            self._tls.write(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._tls.tell_end()

    def close(self) -> None:
        """What is written goes out, close_notify behind it."""
        if not self._closing:
            self._closing = True
            self._tls.tell_end()
            self._tls.network.close()

    def abort(self) -> None:
        self._closing = True
        self._tls.network.abort()

    def is_closing(self) -> bool:
        return self._closing or self._tls.network.is_closing()

    def is_reading(self) -> bool:
        return self._tls.network.is_reading()

    def pause_reading(self) -> None:
        if not self.is_closing():
            self._tls.network.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closing():
            self._tls.network.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._tls.network.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._tls.network.set_write_buffer_limits(high, low)
