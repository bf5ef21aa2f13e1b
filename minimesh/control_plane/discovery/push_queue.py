"""When to push: changes that come close together become one push, and pushes never overlap.

Owns only time. A push starts once nothing changed for a quiet period, or a limit after the first change if
changes keep coming, or at once where that is asked for. Changes that arrive while a push runs are merged into
the next one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from minimesh.control_plane.discovery.debounce import Debounce

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class PushQueue:
    """Calls `push(reasons)` for merged requests. `push` must not raise; whatever escapes it ends `run`."""

    def __init__(
        self, push: Callable[[frozenset[str]], Awaitable[None]], debounce: Debounce | None = None
    ) -> None:
        self._push = push
        self._debounce = debounce or Debounce()
        self._reasons: set[str] = set()
        self._requested = asyncio.Event()
        self._is_urgent = False

    def request(self, reason: str, *, of_endpoints: bool = False) -> None:
        """Ask for a push; returns at once. `of_endpoints`: which pods there are has changed, and no more."""
        if of_endpoints and not self._debounce.endpoints_wait:
            self._is_urgent = True
        self._reasons.add(reason)
        self._requested.set()

    async def run(self) -> None:
        """Push whenever asked, for ever."""
        while True:
            await self._requested.wait()
            await self._until_quiet()
            reasons = frozenset(self._reasons)
            self._reasons.clear()
            self._requested.clear()
            self._is_urgent = False
            await self._push(reasons)

    async def _until_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._debounce.limit_s
        while self._requested.is_set() and not self._is_urgent:
            self._requested.clear()
            quiet_s = min(self._debounce.quiet_s, limit - loop.time())
            if quiet_s <= 0:
                return
            try:
                # Not `wait_for`: that of Python 3.11 loses a cancellation that comes together with the event.
                async with asyncio.timeout(quiet_s):
                    await self._requested.wait()
            except TimeoutError:
                return
