"""A clock and timers that a test turns by hand."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Clock:
    """`call_after` as `network.timers.TimerWheel` has it; `advance` lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, _Deadline]] = []

    def __call__(self) -> float:
        return self.now

    def call_after(self, delay_s: float, callback: Callable[[], None]) -> _Deadline:
        deadline = _Deadline(callback)
        heapq.heappush(self._due, (self.now + delay_s, next(self._order), deadline))
        return deadline

    def advance(self, seconds: float) -> None:
        """Whatever becomes due on the way is called at its time."""
        until = self.now + seconds
        while self._due and self._due[0][0] <= until + 1e-9:
            at, _, deadline = heapq.heappop(self._due)
            self.now = max(self.now, at)
            if not deadline.cancelled:
                deadline.callback()
        self.now = until

    @property
    def next_in_s(self) -> float | None:
        """How long until the next deadline; None when there is none."""
        waiting = [at for at, _, deadline in self._due if not deadline.cancelled]
        return min(waiting) - self.now if waiting else None


class _Deadline:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
