"""What the page needs of the mesh around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from minimesh.control_plane.server import ControlPlane

LAB_FILE = "lab.yaml"
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

    @property
    def lab_files(self) -> Sequence[str]:
        """The labs of the folders that the mesh was started over."""


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """The mesh of `minimesh up`."""

    control_plane: ControlPlane
    pods: Callable[[], Sequence[Mapping[str, Any]]]
    ingress: tuple[str, int]
    lab_files: Sequence[str]


def lab_files(paths: Sequence[str]) -> list[str]:
    """The `lab.yaml` files of folders and of the folders in them."""
    found: dict[str, None] = {}
    for path in paths:
        folder = Path(path)
        if folder.is_dir():
            for file in sorted({*folder.glob(LAB_FILE), *folder.glob(f"*/{LAB_FILE}")}):
                found[str(file)] = None
    return list(found)
