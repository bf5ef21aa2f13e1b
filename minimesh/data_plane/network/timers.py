"""Deadlines for thousands of requests behind one timer of the event loop.

Deadlines are gathered into buckets of 10 ms (100 ms for those more than 2 s away): setting and clearing one
is an entry in a dict. The loop is asked to wake up once for the earliest bucket only. A deadline is never
early, and late by at most the width of its bucket.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from math import ceil

FINE_TICK_S = 0.010
COARSE_TICK_S = 0.100
COARSE_FROM_S = 2.0


class Deadline:
    """Handle of one deadline; `cancel` when it no longer matters (more than once does no harm)."""

    __slots__ = ("_bucket", "callback")

    def __init__(self, callback: Callable[[], None], bucket: dict[Deadline, None]) -> None:
        self.callback = callback
        self._bucket = bucket

    def cancel(self) -> None:
        self._bucket.pop(self, None)
        self.callback = _nothing  # so that owner and deadline do not keep each other alive


def _nothing() -> None:
    """What a cancelled deadline calls."""


class TimerWheel:
    """All deadlines of one event loop."""

    __slots__ = ("_buckets", "_loop", "_times", "_wakeup", "_wakeup_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[float, dict[Deadline, None]] = {}
        self._times: list[float] = []
        self._wakeup: asyncio.TimerHandle | None = None
        self._wakeup_at = 0.0

    def call_after(self, delay_s: float, callback: Callable[[], None]) -> Deadline:
        """Call `callback` once, `delay_s` seconds from now or a little later."""
        tick = COARSE_TICK_S if delay_s > COARSE_FROM_S else FINE_TICK_S
        at = ceil((self._loop.time() + delay_s) / tick) * tick
        bucket = self._buckets.get(at)
        if bucket is None:
            bucket = self._buckets[at] = {}
            heapq.heappush(self._times, at)
            self._set_wakeup()
        deadline = Deadline(callback, bucket)
        bucket[deadline] = None
        return deadline

    def close(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._times.clear()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None

    def _set_wakeup(self) -> None:
        at = self._times[0]
        if self._wakeup is not None:
            if self._wakeup_at <= at:
                return
            self._wakeup.cancel()
        self._wakeup_at = at
        self._wakeup = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._wakeup = None
        now = self._loop.time() + 0.001  # the loop may wake a hair early
        while self._times and self._times[0] <= now:
            bucket = self._buckets.pop(heapq.heappop(self._times))
            while bucket:
                deadline, _ = bucket.popitem()
                deadline.callback()
        if self._times and self._wakeup is None:
            self._set_wakeup()
