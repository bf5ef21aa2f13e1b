"""Watches one try for signs of life (`per_try_idle_timeout`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.network.timers import Deadline, TimerWheel


class TryIdleness:
    """Calls back once nothing has happened for `limit_s`. `touch` sets no timer: the deadline looks again."""

    __slots__ = ("_clock", "_deadline", "_limit_s", "_on_idle", "_seen_at", "_timers")

    def __init__(
        self, timers: TimerWheel, clock: Callable[[], float], limit_s: float, on_idle: Callable[[], None]
    ) -> None:
        self._timers = timers
        self._clock = clock
        self._limit_s = limit_s
        self._on_idle = on_idle
        self._seen_at = clock()
        self._deadline: Deadline | None = timers.call_after(limit_s, self._look)

    def touch(self) -> None:
        """Something has happened."""
        self._seen_at = self._clock()

    def cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _look(self) -> None:
        left_s = self._seen_at + self._limit_s - self._clock()
        if left_s > 0:
            self._deadline = self._timers.call_after(left_s, self._look)
        else:
            self._deadline = None
            self._on_idle()
