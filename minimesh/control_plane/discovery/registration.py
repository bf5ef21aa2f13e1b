"""Workloads that register themselves by connecting: no Pod says that they exist, their proxy's stream does.

Owns which of them are there now. A workload stays for `grace_s` after its last stream ended, so that a proxy
which only reconnects never leaves the endpoints of its services.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload

GRACE_S = 2.0
"""A proxy that lost its stream tries again within about a second."""


class WorkloadRegistrations:
    """The workloads announced by connected proxies; `on_change` is called whenever `workloads()` changed."""

    def __init__(self, on_change: Callable[[], None], *, grace_s: float = GRACE_S) -> None:
        self._on_change = on_change
        self._grace_s = grace_s
        self._workloads: dict[str, RegisteredWorkload] = {}
        self._streams: dict[str, int] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}

    def workloads(self) -> tuple[RegisteredWorkload, ...]:
        """Those here now, those in their grace time among them."""
        return tuple(self._workloads.values())

    def connected(self, proxy_id: str, workload: RegisteredWorkload) -> bool:
        """A stream of this proxy began; True when this changed the workloads."""
        self._streams[proxy_id] = self._streams.get(proxy_id, 0) + 1
        if (timer := self._leaving.pop(proxy_id, None)) is not None:
            timer.cancel()
        if self._workloads.get(proxy_id) == workload:
            return False
        self._workloads[proxy_id] = workload
        self._on_change()
        return True

    def disconnected(self, proxy_id: str) -> None:
        """A stream of this proxy ended. A proxy that never registered is none of our business."""
        if proxy_id not in self._streams:
            return
        self._streams[proxy_id] -= 1
        if self._streams[proxy_id] == 0:
            del self._streams[proxy_id]
            loop = asyncio.get_running_loop()
            self._leaving[proxy_id] = loop.call_later(self._grace_s, self._leave, proxy_id)

    def stop(self) -> None:
        """Forget the timers; nobody leaves any more."""
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()

    def _leave(self, proxy_id: str) -> None:
        del self._leaving[proxy_id]
        del self._workloads[proxy_id]
        self._on_change()
