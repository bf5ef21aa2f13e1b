"""What `kubectl logs` needs of the platform that runs the containers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class LogReader(Protocol):
    """The lines that a log has got since it was last asked."""

    def lines(self) -> list[str]:
        """Whole lines, without their line ends."""


class ContainerLogs(Protocol):
    """The logs of the containers of pods."""

    def last_lines(self, namespace: str, pod: str, container: str, count: int | None) -> Iterable[str]:
        """The last lines, all for None; nothing when the container has not written any."""

    def follow(self, namespace: str, pod: str, container: str) -> LogReader:
        """What is written from now on."""


class NoLogs:
    """For a control plane that runs no pods itself."""

    def last_lines(self, namespace: str, pod: str, container: str, count: int | None) -> Iterable[str]:
        return ()

    def follow(self, namespace: str, pod: str, container: str) -> LogReader:
        return _Silence()


class _Silence:
    def lines(self) -> list[str]:
        return []
