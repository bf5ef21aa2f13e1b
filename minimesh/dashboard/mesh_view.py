"""What the page needs of the mesh around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from minimesh.control_plane.server import ControlPlane

#: Where a state folder keeps which steps of labs are done.
PROGRESS_FILE = "labs.json"


class MeshView(Protocol):
    """A mesh as the page sees it."""

    @property
    def control_plane(self) -> ControlPlane: ...

    def pods(self) -> Sequence[Mapping[str, Any]]:
        """All pods as `minimesh status` shows them."""

    @property
    def ingress(self) -> tuple[str, int]:
        """Where the gateway is reached on this machine."""


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """The mesh of `minimesh up`."""

    control_plane: ControlPlane
    pods: Callable[[], Sequence[Mapping[str, Any]]]
    ingress: tuple[str, int]
