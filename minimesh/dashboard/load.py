"""A steady load on the mesh, as the labs' loops make it, with its progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minimesh.dashboard.sending import Outgoing, Sender

MAX_RATE_PER_S = 2000
MAX_COUNT = 100_000
#: Requests under way at most: behind a slow application the load waits instead of piling up.
MAX_UNDER_WAY = 200
_TOLD_EVERY_S = 0.2


class Load:
    """One load at a time; `tell` gets its progress."""

    def __init__(self, sender: Sender, tell: Callable[[dict[str, Any]], None]) -> None:
        self._sender = sender
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._sent = 0
        self._count = 0
        self._rate_per_s = 0.0
        self._statuses: Counter[int] = Counter()
        self._times_ms: list[float] = []

    def start(self, request: Outgoing, *, rate_per_s: float, count: int) -> None:
        """Begin; a load that runs is stopped first. Raises ValueError for numbers out of bounds."""
        if not 0 < rate_per_s <= MAX_RATE_PER_S:
            raise ValueError(f"the rate must be more than 0 and at most {MAX_RATE_PER_S} a second")
        if not 0 < count <= MAX_COUNT:
            raise ValueError(f"the number of requests must be from 1 to {MAX_COUNT}")
        self.stop()
        self._sent, self._count, self._rate_per_s = 0, count, rate_per_s
        self._statuses, self._times_ms = Counter(), []
        self._task = asyncio.create_task(self._run(request))

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._tell(self.progress())

    def progress(self) -> dict[str, Any]:
        times = sorted(self._times_ms)
        return {
            "running": self._task is not None,
            "sent": self._sent,
            "done": sum(self._statuses.values()),
            "count": self._count,
            "rate_per_s": self._rate_per_s,
            "statuses": {str(status): number for status, number in sorted(self._statuses.items()) if status},
            "errors": self._statuses[0],
            "p50_ms": _percentile(times, 0.50),
            "p99_ms": _percentile(times, 0.99),
        }

    async def _run(self, request: Outgoing) -> None:
        telling = asyncio.create_task(self._tell_progress())
        try:
            await self._send_all(request)
            self._task = None
        finally:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            self._tell(self.progress())

    async def _send_all(self, request: Outgoing) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(MAX_UNDER_WAY)
        begun = loop.time()
        async with asyncio.TaskGroup() as under_way:
            while self._sent < self._count:
                await asyncio.sleep(max(0.0, begun + self._sent / self._rate_per_s - loop.time()))
                await room.acquire()
                self._sent += 1
                under_way.create_task(self._send_one(request, room))

    async def _send_one(self, request: Outgoing, room: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            status = await self._sender.status(request)
        finally:
            room.release()
        self._statuses[status] += 1
        self._times_ms.append((loop.time() - begun) * 1000)

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(_TOLD_EVERY_S)
            self._tell(self.progress())


def _percentile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
