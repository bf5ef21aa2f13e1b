"""What `kubectl port-forward` needs of the platform that runs the containers."""

from __future__ import annotations

from typing import Protocol


class ContainerPorts(Protocol):
    """Where the ports of pods are."""

    def address(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """What the pod's own `localhost:port` is on this machine; None for a pod that does not run."""


class NoPorts:
    """For a control plane that runs no pods itself."""

    def address(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        return None
