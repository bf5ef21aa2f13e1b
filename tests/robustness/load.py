"""Clients that keep a proxy busy and count what came back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from types import TracebackType

_WAIT_S = 20.0
_FAILURES_KEPT = 10


class Load:
    """So many keep-alive clients, each asking again as soon as it is answered. Use it as a context.

    `outcomes` counts statuses; what is no complete answer counts under the name of what came instead.
    """

    def __init__(
        self,
        port: int,
        path: str = "/",
        clients: int = 8,
        *,
        host: str = "127.0.0.1",
        requests: Sequence[bytes] = (),
        pause_s: float = 0.0,
    ) -> None:
        """`requests`: heads to send in turn, in place of that for `path`. `pause_s`: between an answer and
        the next request of a client."""
        self.outcomes: Counter[str] = Counter()
        #: From a request to the end of its answer, of the slowest one.
        self.slowest_s = 0.0
        #: The first requests that failed, each with what came instead.
        self.failures: list[str] = []
        #: The proxy is about to end: a connection that it never accepted is no failure.
        self.ending = False
        self._address = (host, port)
        self._requests = requests or [f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()]
        self._pause_s = pause_s
        self._clients = clients
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """No new requests; those under way are waited for."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def until(self, requests: int) -> None:
        """Until so many were answered from now on."""
        wanted = self.outcomes.total() + requests
        async with asyncio.timeout(30):
            while self.outcomes.total() < wanted:  # noqa: ASYNC110 - nobody announces every answer
                await asyncio.sleep(0.01)

    @property
    def failed(self) -> dict[str, int]:
        return {name: count for name, count in self.outcomes.items() if name != "200"}

    async def _client(self, number: int) -> None:
        requests = islice(cycle(self._requests), number, None)
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
            except OSError as error:
                if self._stopping or self.ending:
                    return
                self._failed(type(error).__name__, b"connecting")
                await asyncio.sleep(0.01)
                continue
            try:
                await self._converse(requests, reader, writer)
            finally:
                writer.transport.abort()

    async def _converse(
        self, requests: Iterator[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Requests on one connection, until it or the load ends."""
        accepted = False
        while not self._stopping:
            request = next(requests)
            writer.write(request)
            started = time.monotonic()
            try:
                async with asyncio.timeout(_WAIT_S):
                    status, closes, body = await answer(reader)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                if self.ending and not accepted:
                    return
                self._failed(type(error).__name__, request)
                return
            accepted = True
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            if status == "200":
                self.outcomes[status] += 1
            else:
                self._failed(status, request, body)
            if closes:
                return
            if self._pause_s:
                await asyncio.sleep(self._pause_s)

    def _failed(self, outcome: str, request: bytes, body: bytes = b"") -> None:
        self.outcomes[outcome] += 1
        if len(self.failures) < _FAILURES_KEPT:
            self.failures.append(f"{outcome} at {time.time():.3f}: {request!r} {body!r}")


async def answer(reader: asyncio.StreamReader) -> tuple[str, bool, bytes]:
    """Status of the next answer (which has a content-length), whether the connection ends with it, its body.

    Raises IncompleteReadError when it is cut off.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length or 0))
    return head[9:12].decode(), b"\r\nconnection: close\r\n" in head, body
