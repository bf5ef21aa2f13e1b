"""Server-Sent Events: what happens in the mesh, told to each open page as it happens.

A page that is slow, or has gone, holds nobody up: it is written to with a limit, and what it was too slow for
is counted. The stream says by itself that it lives, so that a page can tell silence from a broken line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from minimesh.control_plane.discovery.traffic_watch import DENOMINATOR, LIMIT_PER_S

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.traffic_watch import TrafficWatch, Watcher

#: At most so often is a page told of requests.
BATCH_INTERVAL_S = 0.2
HEARTBEAT_S = 5.0
#: Entries of one event; more than that in an interval and the page is told how many it missed.
ENTRIES_AN_EVENT = 300
_WRITE_LIMIT_S = 20.0

ShowEntry = Callable[[Any], dict[str, Any]]


class Topics:
    """What there is to tell beside requests: the latest of each topic, and who waits for news."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        self._number = 0
        self._news: set[asyncio.Event] = set()

    def tell(self, topic: str, data: Any) -> None:
        """Replace what was last said on a topic, and wake everybody."""
        self._number += 1
        self._latest[topic], self._numbers[topic] = data, self._number
        for event in self._news:
            event.set()

    def since(self, number: int) -> tuple[int, dict[str, Any]]:
        """What was said after `number`, topic by topic, and the number to ask with next."""
        return self._number, {
            topic: self._latest[topic] for topic, said in self._numbers.items() if said > number
        }

    def join(self, event: asyncio.Event) -> None:
        self._news.add(event)

    def leave(self, event: asyncio.Event) -> None:
        self._news.discard(event)


class EventStream:
    """Writes the events of one page until it goes."""

    def __init__(
        self, watch: TrafficWatch, topics: Topics, show: ShowEntry, begin: Callable[[], Awaitable[None]]
    ) -> None:
        """`begin` returns when what happens from then on will be told."""
        self._watch = watch
        self._begin = begin
        self._topics = topics
        self._show = show
        self._share = -1

    async def serve(self, request: web.Request, hello: Mapping[str, Any]) -> web.StreamResponse:
        """Serve one page to its end."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        watcher = self._watch.watch()
        self._topics.join(watcher.told)
        try:
            await self._begin()
            await _write(response, _event("hello", {**hello, **share_of(self._watch.share)}))
            await self._follow(response, watcher)
        except (ConnectionError, TimeoutError):
            pass  # the page has gone, or takes nothing any more
        finally:
            self._topics.leave(watcher.told)
            self._watch.leave(watcher)
        return response

    async def _follow(self, response: web.StreamResponse, watcher: Watcher) -> None:
        number, _ = self._topics.since(0)
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await watcher.told.wait()
            except TimeoutError:
                await _write(response, _event("alive", {}))
                continue
            watcher.told.clear()
            number, topics = self._topics.since(number)
            events = [_event(topic, data) for topic, data in topics.items()]
            events += self._requests(watcher)
            if events:
                await _write(response, b"".join(events))
            await asyncio.sleep(BATCH_INTERVAL_S)

    def _requests(self, watcher: Watcher) -> list[bytes]:
        events = []
        share = self._watch.share
        if share != self._share:
            self._share = share
            events.append(_event("share", share_of(share)))
        surplus = len(watcher.entries) - ENTRIES_AN_EVENT
        for _ in range(surplus):
            watcher.entries.popleft()
        missed = watcher.missed + max(0, surplus)
        watcher.missed = 0
        if watcher.entries:
            entries = [self._show(each) for each in watcher.entries]
            watcher.entries.clear()
            events.append(_event("requests", {"entries": entries, "missed": missed}))
        return events


def share_of(share: int) -> dict[str, Any]:
    """How many of the requests are told, for the page."""
    return {"share_percent": 100 * share / DENOMINATOR, "limit_per_s": LIMIT_PER_S}


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_WRITE_LIMIT_S):
        await response.write(data)
