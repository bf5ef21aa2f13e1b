"""Changes that come together become one push; pushes never overlap; nothing asked for is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from minimesh.control_plane.discovery.debounce import Debounce
from minimesh.control_plane.discovery.push_queue import PushQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMEOUT_S = 10


class Pushes:
    """Records pushes; each waits for the gate."""

    def __init__(self, debounce: Debounce | None = None) -> None:
        self.queue = PushQueue(self._push, debounce or Debounce(quiet_s=0.001))
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
    async with running(Pushes(Debounce(quiet_s=1.0, limit_s=0.02))) as pushes:
        while not pushes.done:
            pushes.queue.request("again")
            await asyncio.sleep(0)
        assert pushes.done == [{"again"}]


async def test_endpoints_wait_for_nobody_where_they_need_not() -> None:
    async with running(Pushes(Debounce(quiet_s=3600, limit_s=3600, endpoints_wait=False))) as pushes:
        pushes.queue.request("pod", of_endpoints=True)
        await pushes.finished.acquire()
        pushes.queue.request("pod", of_endpoints=True)
        await pushes.finished.acquire()
        assert pushes.done == [{"pod"}, {"pod"}]


async def test_endpoints_take_along_what_waits() -> None:
    async with running(Pushes(Debounce(quiet_s=3600, limit_s=3600, endpoints_wait=False))) as pushes:
        pushes.queue.request("rule")
        await asyncio.sleep(0)  # the queue begins to wait for more
        pushes.queue.request("pod", of_endpoints=True)
        await pushes.finished.acquire()
        assert pushes.done == [{"rule", "pod"}]


async def test_endpoints_wait_like_anything_else_unless_told_otherwise() -> None:
    async with running(Pushes(Debounce(quiet_s=3600, limit_s=0.02))) as pushes:
        pushes.queue.request("pod", of_endpoints=True)
        await asyncio.sleep(0)
        pushes.queue.request("rule")
        await pushes.finished.acquire()
        assert pushes.done == [{"pod", "rule"}]


@pytest.mark.parametrize(
    ("environment", "debounce"),
    [
        ({}, Debounce(0.006, 0.05, endpoints_wait=True)),
        ({"PILOT_DEBOUNCE_AFTER": "250ms", "PILOT_DEBOUNCE_MAX": "1m"}, Debounce(0.25, 60)),
        ({"PILOT_DEBOUNCE_AFTER": "20ms"}, Debounce(0.02, 10)),
        ({"PILOT_DEBOUNCE_MAX": "2s"}, Debounce(0.1, 2)),
        ({"PILOT_DEBOUNCE_AFTER": "3s", "PILOT_DEBOUNCE_MAX": "1s"}, Debounce(3, 3)),
        ({"PILOT_ENABLE_EDS_DEBOUNCE": "false"}, Debounce(endpoints_wait=False)),
        ({"PILOT_ENABLE_EDS_DEBOUNCE": "0"}, Debounce(endpoints_wait=False)),
        ({"PILOT_ENABLE_EDS_DEBOUNCE": "T"}, Debounce(endpoints_wait=True)),
    ],
)
def test_istiods_variables_say_how_long(environment: dict[str, str], debounce: Debounce) -> None:
    assert Debounce.of_environment(environment) == debounce


@pytest.mark.parametrize(
    ("name", "value"), [("PILOT_DEBOUNCE_AFTER", "100"), ("PILOT_ENABLE_EDS_DEBOUNCE", "no")]
)
def test_what_cannot_be_read_is_told_and_counts_as_not_given(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Debounce.of_environment({name: value}) == Debounce()
    told = capsys.readouterr()
    assert name in told.out + told.err
    assert value in told.out + told.err
