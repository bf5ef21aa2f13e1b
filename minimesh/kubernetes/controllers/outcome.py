"""What a controller wants done, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from minimesh.config.resources import Resource, ResourceKey


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


def timestamp(moment: datetime) -> str:
    """A moment as the API writes it, in whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def later(written: str, seconds: float) -> datetime | None:
    """The moment so long after a written one; None when that is no moment."""
    try:
        return datetime.fromisoformat(written) + timedelta(seconds=seconds)
    except ValueError:
        return None
