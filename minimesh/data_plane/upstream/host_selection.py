"""What one request asks of the choice of a host, beyond "any": made only for requests that ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.priority_load import PriorityLoad


class HostSelection:
    """`hash_key` is None when no hash policy applied, `priority_load` when the cluster's own holds."""

    __slots__ = ("attempt", "hash_key", "priority_load")

    def __init__(self, hash_key: int | None = None, priority_load: PriorityLoad | None = None) -> None:
        self.hash_key = hash_key
        self.priority_load = priority_load
        #: Counts the hosts that were drawn for this try and not taken.
        self.attempt = 0
