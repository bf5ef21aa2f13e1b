"""Event of the `v1` group: what happened to an object, said for people."""

from __future__ import annotations

from minimesh.config.kubernetes.references import ObjectReference
from minimesh.config.schema import Message, Req, message


@message
class Event(Message):
    """One thing that happened, and how often. `type` is Normal or Warning."""

    action: str = ""
    count: int | None = None
    event_time: str = ""
    first_timestamp: str = ""
    involved_object: Req[ObjectReference | None] = None
    last_timestamp: str = ""
    message: str = ""
    reason: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    source: EventSource | None = None
    type: str = ""


@message
class EventSeries(Message):
    """How often an event was seen, and when last."""

    count: int | None = None
    last_observed_time: str = ""


@message
class EventSource(Message):
    """Who tells of an event."""

    component: str = ""
    host: str = ""
