"""Changes that come together become one push; pushes never overlap; nothing asked for is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from minimesh.control_plane.discovery.push_queue import PushQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT_S = 10


class Pushes:
    """Records pushes; each waits for the gate."""

    def __init__(self, quiet_s: float = 0.001, limit_s: float = 0.05) -> None:
        self.queue = PushQueue(self._push, quiet_s=quiet_s, limit_s=limit_s)
        self.done: list[frozenset[str]] = []
        self.started = asyncio.Semaphore(0)
        self.finished = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0

    async def _push(self, reasons: frozenset[str]) -> None:
        self.running += 1
        assert self.running == 1
        self.started.release()
        await self.gate.wait()
        self.running -= 1
        self.done.append(reasons)
        self.finished.release()


@contextlib.asynccontextmanager
async def running(pushes: Pushes) -> AsyncIterator[Pushes]:
    task = asyncio.create_task(pushes.queue.run())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield pushes
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_changes_at_once_are_one_push() -> None:
    async with running(Pushes()) as pushes:
        for reason in ("a", "b", "a"):
            pushes.queue.request(reason)
        await pushes.finished.acquire()
        assert pushes.done == [{"a", "b"}]


async def test_a_change_during_a_push_is_the_next_push() -> None:
    async with running(Pushes()) as pushes:
        pushes.gate.clear()
        pushes.queue.request("first")
        await pushes.started.acquire()
        pushes.queue.request("second")
        pushes.queue.request("third")
        pushes.gate.set()
        await pushes.finished.acquire()
        await pushes.finished.acquire()
        assert pushes.done == [{"first"}, {"second", "third"}]


async def test_a_change_before_it_runs_is_not_lost() -> None:
    pushes = Pushes()
    pushes.queue.request("early")
    async with running(pushes):
        await pushes.finished.acquire()
    assert pushes.done == [{"early"}]


async def test_changes_without_end_are_pushed_all_the_same() -> None:
    async with running(Pushes(quiet_s=1.0, limit_s=0.02)) as pushes:
        while not pushes.done:
            pushes.queue.request("again")
            await asyncio.sleep(0)
        assert pushes.done == [{"again"}]
