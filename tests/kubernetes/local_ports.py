"""Ports of pods that tests put on this machine by hand."""

from __future__ import annotations


class LocalPorts:
    """Places by namespace, pod and port."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str, int], tuple[str, int]] = {}

    def address(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        return self.places.get((namespace, pod, port))
