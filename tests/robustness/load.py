"""Clients that keep a proxy busy and count what came back."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType

_WAIT_S = 10.0


class Load:
    """So many keep-alive clients, each asking again as soon as it is answered. Use it as a context.

    `outcomes` counts statuses; what is no complete answer counts under the name of what came instead.
    """

    def __init__(self, port: int, path: str, clients: int = 8) -> None:
        self.outcomes: Counter[str] = Counter()
        #: The proxy is about to end: a connection that it never accepted is no failure.
        self.ending = False
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()
        self._clients = clients
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
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

    async def _client(self) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                if self._stopping or self.ending:
                    return
                self.outcomes[type(error).__name__] += 1
                await asyncio.sleep(0.01)
                continue
            try:
                await self._converse(reader, writer)
            finally:
                writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests on one connection, until it or the load ends."""
        accepted = False
        while not self._stopping:
            writer.write(self._request)
            try:
                async with asyncio.timeout(_WAIT_S):
                    status, closes = await answer(reader)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                if self.ending and not accepted:
                    return
                self.outcomes[type(error).__name__] += 1
                return
            accepted = True
            self.outcomes[status] += 1
            if closes:
                return


async def answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Status of the next answer (which has a content-length), and whether the connection ends with it.

    Raises IncompleteReadError when it is cut off.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return head[9:12].decode(), b"\r\nconnection: close\r\n" in head
