"""The active health check by TCP: a connection that can be opened, or bytes sent and bytes expected back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.upstream.dial import dial
from minimesh.data_plane.upstream.health_check import ProbeResult, Verdict

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.host import Host

#: More than this without a match is no answer to a health check.
_MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """What is sent, and the pieces that have to come back in this order, whatever is between them."""

    send: bytes = b""
    receive: tuple[bytes, ...] = ()


def contains_in_order(data: bytes, pieces: Sequence[bytes]) -> bool:
    """Whether all pieces occur, each behind the one before."""
    at = 0
    for piece in pieces:
        at = data.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


class TcpProber:
    """`Prober`: keeps its connection from one probe to the next."""

    __slots__ = ("_check", "_connection", "_host", "_settings")

    def __init__(self, check: TcpCheck, host: Host, settings: ClusterSettings) -> None:
        self._check = check
        self._host = host
        self._settings = settings
        self._connection: _Connection | None = None

    async def probe(self) -> ProbeResult:
        """One probe: see `Prober`. Without anything to expect, being connected is enough."""
        if not self._check.receive:
            self.close()
        connection = self._connection
        if connection is None or connection.closed:
            connection = await dial(lambda _: _Connection(), self._host, self._settings)
            self._connection = connection
        if self._check.receive:
            await connection.exchange(self._check)
        return ProbeResult(Verdict.HEALTHY, keep_connection=bool(self._check.receive))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None


class _Connection(asyncio.Protocol):
    __slots__ = ("_answer", "_check", "_matched", "closed", "transport")

    def __init__(self) -> None:
        self.closed = False
        self.transport: asyncio.Transport
        self._check = TcpCheck()
        self._answer = b""
        self._matched: asyncio.Future[None] | None = None

    async def exchange(self, check: TcpCheck) -> None:
        """Returns when the answer matches. Raises ConnectionError when none will come any more."""
        self._check, self._answer = check, b""
        self._matched = asyncio.get_running_loop().create_future()
        if check.send:
            self.transport.write(check.send)
        await self._matched

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._answer += data
        matched = self._matched
        if matched is None or matched.done():
            return
        if contains_in_order(self._answer, self._check.receive):
            matched.set_result(None)
        elif len(self._answer) > _MAX_ANSWER_BYTES:
            matched.set_exception(ConnectionError("too much, and not what was expected"))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._matched is not None and not self._matched.done():
            self._matched.set_exception(ConnectionError("closed before the answer"))
