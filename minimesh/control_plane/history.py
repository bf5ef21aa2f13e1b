"""What was in force when: the last snapshots that were pushed, and one of them told as plain data.

A request that has happened was decided by the configuration of its time. Snapshots share their resources, so
that one more costs little; the oldest goes when there are enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.encoding import encoded_resource

if TYPE_CHECKING:
    from minimesh.config.diagnostics import Diagnostic
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.push_context import MeshConfig
    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
    from minimesh.control_plane.translation.proxy import Proxy

KEPT_PUSHES = 128
_UNTOLD_KINDS = frozenset({"Event", "Endpoints", "EndpointSlice", "Node", "CustomResourceDefinition"})


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed at one moment; `at` in seconds since the epoch."""

    at: float
    snapshot: Snapshot
    registered: tuple[RegisteredWorkload, ...]


class History:
    """The last pushes, oldest first."""

    def __init__(self, limit: int = KEPT_PUSHES) -> None:
        self._pushes: deque[Pushed] = deque(maxlen=limit)

    def record(self, at: float, snapshot: Snapshot, registered: Sequence[RegisteredWorkload]) -> None:
        """A push without a fault is done. One that says the same as the last is no news."""
        last = self._pushes[-1] if self._pushes else None
        if last is None or last.snapshot.version != snapshot.version or last.registered != tuple(registered):
            self._pushes.append(Pushed(at, snapshot, tuple(registered)))

    def at(self, moment: float) -> Pushed | None:
        """What was in force at a moment; None when that is forgotten, or nothing was pushed yet."""
        found = [each for each in self._pushes if each.at <= moment]
        return found[-1] if found else None

    @property
    def latest(self) -> Pushed | None:
        """What is in force."""
        return self._pushes[-1] if self._pushes else None


def told(
    pushed: Pushed, proxies: Sequence[Proxy], mesh: MeshConfig, diagnostics: Sequence[Diagnostic]
) -> dict[str, Any]:
    """A push as JSON can have it: each resource with its place, and the proxies that are connected now."""
    return {
        "at": pushed.at,
        "version": pushed.snapshot.version,
        "resources": [
            _resource(each) for each in pushed.snapshot.resources if each.kind not in _UNTOLD_KINDS
        ],
        "registered": [asdict(each) for each in pushed.registered],
        "proxies": [asdict(each) for each in proxies],
        "mesh": asdict(mesh),
        "diagnostics": [asdict(each) for each in diagnostics],
    }


def _resource(resource: Resource) -> dict[str, Any]:
    return {
        "document": encoded_resource(resource),
        "written": resource.raw,
        "file": resource.source.file,
        "places": {path: list(place) for path, place in resource.source.places.items()},
    }
