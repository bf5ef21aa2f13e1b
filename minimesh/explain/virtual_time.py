"""An event loop whose clock runs as fast as there is anything to do.

A rehearsal waits for retries, delays and timeouts as the proxy would, and they take no time: where the loop
would sleep until its next timer, the clock is put forward to it. For loops that touch no socket.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Sleepless(selectors.DefaultSelector):
    """Selects nothing, and puts the clock forward by the time it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the rehearsal waits for something that can never come")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._sleepless = _Sleepless()
        super().__init__(self._sleepless)

    def time(self) -> float:
        return self._sleepless.now
