"""When to push: changes that come close together become one push, and pushes never overlap.

Owns only time. A push starts once nothing changed for `quiet_s`, or `limit_s` after the first change if
changes keep coming. Changes that arrive while a push runs are merged into the next one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUIET_S = 0.006
"""Long enough for the several events of one save, short beside the 100 ms in which a save must arrive."""

LIMIT_S = 0.05


class PushQueue:
    """Calls `push(reasons)` for merged requests. `push` must not raise; whatever escapes it ends `run`."""

    def __init__(
        self,
        push: Callable[[frozenset[str]], Awaitable[None]],
        *,
        quiet_s: float = QUIET_S,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._push = push
        self._quiet_s = quiet_s
        self._limit_s = limit_s
        self._reasons: set[str] = set()
        self._requested = asyncio.Event()

    def request(self, reason: str) -> None:
        """Ask for a push; returns at once."""
        self._reasons.add(reason)
        self._requested.set()

    async def run(self) -> None:
        """Push whenever asked, for ever."""
        while True:
            await self._requested.wait()
            await self._until_quiet()
            reasons = frozenset(self._reasons)
            self._reasons.clear()
            await self._push(reasons)

    async def _until_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._limit_s
        while self._requested.is_set():
            self._requested.clear()
            quiet_s = min(self._quiet_s, limit - loop.time())
            if quiet_s <= 0:
                return
            try:
                # Not `wait_for`: that of Python 3.11 loses a cancellation that comes together with the event.
                async with asyncio.timeout(quiet_s):
                    await self._requested.wait()
            except TimeoutError:
                return
