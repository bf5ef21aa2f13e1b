"""Events: what happened, kept in the store for people to read.

The same thing about the same object, again, is the same event with a higher count. The oldest go when there
are more than `LIMIT`. An event's name ends with the time in nanoseconds, so that the events of an object are
listed in the order in which they happened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime

from minimesh.config.kubernetes.events import Event, EventSource
from minimesh.config.kubernetes.references import ObjectReference
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.controllers.outcome import Note

LIMIT = 1000
_Said = tuple[ResourceKey, str, str, str, str]
"""What is said of which object, by whom."""


class EventLog:
    """Writes events to a store, in the order in which they happen."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[_Said, Resource] = {}
        self._last_ns = 0

    def write(self, note: Note) -> None:
        """Tell of something that happened."""
        moment = self._clock()
        said = (note.about.key, note.about.metadata.uid, note.reason, note.message, note.component)
        before = self._written.pop(said, None)
        if before is None:
            # Two of the same moment are told apart all the same.
            self._last_ns = max(self._last_ns + 1, int(moment.timestamp() * 1e6) * 1000)
            resource = _event(note, f"{note.about.name}.{self._last_ns:016x}", timestamp(moment))
        else:
            resource = _again(before, timestamp(moment))
        self._written[said] = self._store.put(resource)
        if len(self._written) > LIMIT:
            oldest = self._written.pop(next(iter(self._written)))
            self._store.delete(oldest.key)


def _event(note: Note, name: str, now: str) -> Resource:
    about = note.about
    event = Event(
        involved_object=ObjectReference(
            api_version=about.api_version,
            kind=about.kind,
            name=about.name,
            namespace=about.namespace,
            uid=about.metadata.uid,
            resource_version=about.metadata.resource_version,
        ),
        reason=note.reason,
        message=note.message,
        type="Warning" if note.warning else "Normal",
        count=1,
        first_timestamp=now,
        last_timestamp=now,
        source=EventSource(component=note.component),
        reporting_component=note.component,
    )
    metadata = ObjectMeta(name=name, namespace=about.namespace or "default")
    return Resource(api_version="v1", kind="Event", metadata=metadata, spec=event)


def _again(before: Resource, now: str) -> Resource:
    event: Event = before.spec
    more = dataclasses.replace(event, count=(event.count or 1) + 1, last_timestamp=now)
    return dataclasses.replace(before, spec=more)
