"""Who looks at the mesh's traffic, and how much of it the proxies are to tell.

Proxies tell of finished requests by Envoy's access-log service. Whether they do is ruled by a key of their
runtime that this control plane delivers (RTDS): zero while nobody looks, all while there is little to tell,
and beyond `LIMIT_PER_S` the share that keeps to it. A proxy chooses by request id, so the hops of a request
are told together or not at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from minimesh.control_plane.discovery.snapshot import Contents
from minimesh.xds import messages as m
from minimesh.xds.resource_names import WATCH_LAYER, WATCH_SHARE_KEY

#: Entries that the whole mesh may tell in a second. An entry costs a proxy about as much as a request does:
#: more of them would be felt where a proxy has to share its processor (`bench.log_shipping`).
LIMIT_PER_S = 500
DENOMINATOR = 1_000_000
#: How many entries are kept for those who begin to look.
KEPT_ENTRIES = 1000
#: How many entries may wait for one who looks; older ones make way, and are counted.
WAITING_ENTRIES = 5000
_MEASURED_EVERY_S = 0.25
#: A smaller change of the share is not worth a push to every proxy.
_WORTH_A_CHANGE = 0.2


class Watcher:
    """One who looks. `entries` and `told` belong to who made it; `missed` counts what it was too slow for."""

    def __init__(self) -> None:
        self.entries: deque[Any] = deque(maxlen=WAITING_ENTRIES)
        self.missed = 0
        self.told = asyncio.Event()

    def add(self, entry: Any) -> None:
        if len(self.entries) == WAITING_ENTRIES:
            self.missed += 1
        self.entries.append(entry)
        self.told.set()


class TrafficWatch:
    """Passes entries on from proxies to those who look, and keeps their number bounded.

    An entry is whatever `tell` is given. `set_share(numerator)` is called when proxies are to tell another
    share, in millionths.
    """

    def __init__(self, set_share: Callable[[int], None]) -> None:
        self._set_share = set_share
        self._watchers: set[Watcher] = set()
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None
        self.kept: deque[Any] = deque(maxlen=KEPT_ENTRIES)
        #: Called with each entry that comes while somebody looks; to listen makes no proxy tell.
        self.listeners: list[Callable[[Any], None]] = []
        #: Of all requests, in millionths.
        self.share = 0

    def watch(self) -> Watcher:
        """Begin to look; call `leave` in the end."""
        watcher = Watcher()
        self._watchers.add(watcher)
        if self._timer is None:
            self._change(DENOMINATOR)
            self._told = 0
            self._measure_later()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            self.stop()

    def stop(self) -> None:
        """Nobody looks any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._change(0)

    def tell(self, entry: Any) -> None:
        """A proxy told of a request or connection."""
        self._told += 1
        self.kept.append(entry)
        for watcher in self._watchers:
            watcher.add(entry)
        for listener in self.listeners:
            listener(entry)

    def _measure_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_MEASURED_EVERY_S, self._measure)

    def _measure(self) -> None:
        told_per_s, self._told = self._told / _MEASURED_EVERY_S, 0
        self._change(share_within_limit(self.share, told_per_s))
        self._measure_later()

    def _change(self, share: int) -> None:
        if share != self.share:
            self.share = share
            self._set_share(share)


def share_within_limit(share: int, told_per_s: float) -> int:
    """The share, in millionths, that keeps to the limit when `share` brought `told_per_s` entries."""
    if told_per_s <= 0:
        return DENOMINATOR
    wanted = min(DENOMINATOR, max(1, int(share * LIMIT_PER_S / told_per_s)))
    return wanted if abs(wanted - share) > _WORTH_A_CHANGE * share else share


def watch_layer(share: int) -> Contents:
    """The runtime layer that makes proxies tell this share, as RTDS carries it."""
    runtime = m.rtds_pb2.Runtime(name=WATCH_LAYER)
    runtime.layer.update({WATCH_SHARE_KEY: share})
    return Contents.pack({WATCH_LAYER: runtime})
