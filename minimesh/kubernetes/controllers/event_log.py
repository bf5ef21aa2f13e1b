"""Events: what happened, kept in the store for people to read.

The same thing about the same object, again, is the same event with a higher count. The oldest go when there
are more than `LIMIT`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import datetime

from minimesh.config.kubernetes.events import Event, EventSource
from minimesh.config.kubernetes.references import ObjectReference
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.controllers.outcome import Note

LIMIT = 1000


class EventLog:
    """Writes events to a store, in the order in which they happen."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[ResourceKey, Resource] = {}

    def write(self, note: Note) -> None:
        """Tell of something that happened."""
        now = timestamp(self._clock())
        key = event_key(note)
        before = self._written.pop(key, None)
        resource = _event(note, key, now) if before is None else _again(before, now)
        self._written[key] = self._store.put(resource)
        if len(self._written) > LIMIT:
            oldest = next(iter(self._written))
            del self._written[oldest]
            self._store.delete(oldest)


def event_key(note: Note) -> ResourceKey:
    """The name of the event: the object's, and sixteen digits that stand for what is said of it."""
    said = f"{note.about.metadata.uid} {note.about.kind} {note.reason} {note.message} {note.component}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return ResourceKey("Event", note.about.namespace or "default", f"{note.about.name}.{digest}")


def _event(note: Note, key: ResourceKey, now: str) -> Resource:
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
    metadata = ObjectMeta(name=key.name, namespace=key.namespace)
    return Resource(api_version="v1", kind="Event", metadata=metadata, spec=event)


def _again(before: Resource, now: str) -> Resource:
    event: Event = before.spec
    more = dataclasses.replace(event, count=(event.count or 1) + 1, last_timestamp=now)
    return dataclasses.replace(before, spec=more)
