"""Writes back what became of Ingresses and of the Gateway API's objects, as istiod does.

Once for each change of what they mean. An object that was changed meanwhile is left to the next push.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from minimesh.config.timestamps import timestamp

if TYPE_CHECKING:
    from minimesh.config.store import Store
    from minimesh.control_plane.converted import Converted
    from minimesh.control_plane.push_context import PushContext


class StatusWriter:
    """Of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: Converted | None = None

    def write(self, context: PushContext) -> None:
        """Bring the statuses up to what this context was made from."""
        meant = context.converted
        if meant is None or meant is self._written:
            return
        self._written = meant
        snapshot = self._store.snapshot()
        for told in meant.with_statuses(timestamp(datetime.now(UTC))):
            current = snapshot.get(told.key)
            if current is not None and current.spec is told.spec and current.status != told.status:
                self._store.put(replace(current, status=told.status))
