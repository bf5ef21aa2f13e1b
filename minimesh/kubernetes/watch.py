"""Changes of the store as watch events: a bounded memory of them, and a queue for each watcher."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from minimesh.config.decimals import decimal
from minimesh.config.resources import Resource
from minimesh.config.store import Change, ChangeType, Store
from minimesh.kubernetes.api_errors import bad_request, expired
from minimesh.kubernetes.objects import Object, to_object
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.selectors import Predicate

REMEMBERED_CHANGES = 1000
"""A client that listed longer ago than this many changes has to list again."""

QUEUED_CHANGES = 4096
"""A watcher that is this far behind is cut off, and has to list again."""


@dataclass(frozen=True, slots=True)
class _Versioned:
    version: int
    change: Change


class WatchCache:
    """The last changes of a store, in order, for those who watch and those who are about to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since = store.snapshot().version
        self._changes: deque[_Versioned] = deque()
        self._queues: set[asyncio.Queue[_Versioned | None]] = set()
        self._unwatch = store.watch(self._store_changed)

    def close(self) -> None:
        """End every watch."""
        self._unwatch()
        for queue in self._queues:
            _end(queue)

    async def follow(
        self, info: RequestInfo, matches: Predicate, since: int, pause_s: float | None = None
    ) -> AsyncIterator[tuple[ChangeType, Object] | None]:
        """The events after version `since`, without end; None when nothing was told for `pause_s` seconds.

        An object that begins or ceases to match is added or deleted, for this watcher. ApiError (410) when
        what came after that version is not remembered, or never was: another run of the mesh has counted it.
        """
        if not self._since <= since <= self._store.snapshot().version:
            raise expired(f"too old resource version: {since} ({self._since})")
        queue: asyncio.Queue[_Versioned | None] = asyncio.Queue(QUEUED_CHANGES + 1)
        missed = [each for each in self._changes if each.version > since]
        self._queues.add(queue)
        try:
            for each in missed:
                for event in _events(each, info, matches):
                    yield event
            while True:
                try:
                    async with asyncio.timeout(pause_s):
                        next_one = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if next_one is None:
                    return
                for event in _events(next_one, info, matches):
                    yield event
        finally:
            self._queues.discard(queue)

    def _store_changed(self, changes: Sequence[Change]) -> None:
        # Each change counted the version up by one; only a deletion does not carry its own.
        last = self._store.snapshot().version
        for number, change in enumerate(changes):
            if change.type is ChangeType.DELETED:
                version = last - (len(changes) - 1 - number)
            else:
                version = int(change.resource.metadata.resource_version)
            self._add(_Versioned(version, change))

    def _add(self, versioned: _Versioned) -> None:
        self._changes.append(versioned)
        if len(self._changes) > REMEMBERED_CHANGES:
            self._since = max(self._since, self._changes.popleft().version)
        for queue in tuple(self._queues):
            if queue.qsize() >= QUEUED_CHANGES:
                _end(queue)
                self._queues.discard(queue)
            else:
                queue.put_nowait(versioned)


def version_of(text: str) -> int:
    """The number of a resource version; 0 for none. ApiError (400) for what is no version of ours."""
    found = decimal(text or "0")
    if found is None:
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return found


def _end(queue: asyncio.Queue[_Versioned | None]) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(None)


def _events(each: _Versioned, info: RequestInfo, matches: Predicate) -> list[tuple[ChangeType, Object]]:
    change = each.change
    resource = change.resource
    if resource.kind != info.type.store_kind or (info.namespace and resource.namespace != info.namespace):
        return []

    def shown(one: Resource) -> Object:
        return to_object(one, info.type, info.version)

    new = shown(resource)
    if change.type is ChangeType.DELETED:
        new["metadata"]["resourceVersion"] = str(each.version)
        return [(ChangeType.DELETED, new)] if matches(new) else []
    before = change.old is not None and matches(shown(change.old))
    after = matches(new)
    if after:
        return [(ChangeType.MODIFIED if before else ChangeType.ADDED, new)]
    return [(ChangeType.DELETED, new)] if before else []
