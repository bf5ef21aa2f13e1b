"""What a controller wants done, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.timestamps import moment


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell about an object; it becomes an Event."""

    about: Resource
    reason: str
    message: str
    component: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Objects to put, objects to remove, what to tell, and when to look again without a change."""

    put: tuple[Resource, ...] = ()
    delete: tuple[ResourceKey, ...] = ()
    notes: tuple[Note, ...] = ()
    look_again_at: datetime | None = None

    @classmethod
    def joined(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """All of them in one; looks again at the earliest of their times."""
        every = list(outcomes)
        times = [each.look_again_at for each in every if each.look_again_at is not None]
        return cls(
            tuple(one for each in every for one in each.put),
            tuple(one for each in every for one in each.delete),
            tuple(one for each in every for one in each.notes),
            min(times, default=None),
        )


def later(written: str, seconds: float) -> datetime | None:
    """The moment so long after a written one; None when that is no moment, or never comes."""
    start = moment(written)
    try:
        return None if start is None else start + timedelta(seconds=seconds)
    except OverflowError:
        return None
