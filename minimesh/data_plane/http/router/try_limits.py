"""The time limits of one try at a host: for its answer, and for silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.network.timers import Deadline, TimerWheel

#: RESPONSE_CODE_DETAILS of a request that failed by one.
TRY_TIMEOUT = "upstream_per_try_timeout"
TRY_IDLE = "upstream_per_try_idle_timeout"


class TryLimits:
    """Calls `on_over` with the details of the limit that is reached. Limits in seconds; 0: none.

    Silence counts from the beginning, the time for an answer from when the request is complete. `touch` sets
    no timer: the deadline looks again.
    """

    __slots__ = (
        "_answer", "_clock", "_idle_limit_s", "_limit_s", "_on_over", "_seen_at", "_silence", "_timers"
    )  # fmt: skip

    def __init__(
        self,
        timers: TimerWheel,
        clock: Callable[[], float],
        limit_s: float,
        idle_limit_s: float,
        on_over: Callable[[str], None],
    ) -> None:
        self._timers = timers
        self._clock = clock
        self._limit_s = limit_s
        self._idle_limit_s = idle_limit_s
        self._on_over = on_over
        self._seen_at = clock()
        self._answer: Deadline | None = None
        self._silence = timers.call_after(idle_limit_s, self._look) if idle_limit_s else None

    def request_complete(self) -> None:
        """The host has got all it needs for an answer."""
        if self._limit_s:
            self._answer = self._timers.call_after(self._limit_s, self._no_answer)

    def touch(self) -> None:
        """Something has happened."""
        self._seen_at = self._clock()

    def cancel(self) -> None:
        """The try is over."""
        for deadline in (self._answer, self._silence):
            if deadline is not None:
                deadline.cancel()

    def _no_answer(self) -> None:
        self._answer = None
        self._on_over(TRY_TIMEOUT)

    def _look(self) -> None:
        left_s = self._seen_at + self._idle_limit_s - self._clock()
        if left_s > 0:
            self._silence = self._timers.call_after(left_s, self._look)
        else:
            self._silence = None
            self._on_over(TRY_IDLE)
