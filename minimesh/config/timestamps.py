"""Points in time as objects carry them: RFC 3339, in whole seconds, of UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(moment: datetime) -> str:
    """A point in time as the API writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def moment(timestamp: str) -> datetime | None:
    """The point in time that a timestamp says, of UTC where it names no zone; None when it says none."""
    try:
        found = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
