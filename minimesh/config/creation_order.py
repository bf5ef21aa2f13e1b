"""Which of two objects that contradict each other counts: in Istio the older."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


def creation_order(resource: Resource) -> tuple[str, str]:
    """Istio's order for conflicts: the oldest first, and among equals by name."""
    return (resource.metadata.creation_timestamp, f"{resource.name}.{resource.namespace}")
