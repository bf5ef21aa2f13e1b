"""What `kubectl logs` needs of the platform that runs the containers."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

LogLine = tuple[datetime, str]
"""When a line was written, and its text without the line's end."""


class LogReader(Protocol):
    """The log of one process of a container, from its first line on."""

    def lines(self) -> list[LogLine]:
        """The whole lines that came since this was asked before; at first, all that are there."""

    def unfinished(self) -> list[LogLine]:
        """The last line, while it has no end yet; nothing when it has."""

    @property
    def is_over(self) -> bool:
        """Whether no more lines come."""


class ContainerLogs(Protocol):
    """The logs of the containers of pods."""

    def open(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> LogReader | None:
        """The log of the present process, or of the one before it; None when there was none before it."""


class NoLogs:
    """For a control plane that runs no pods itself."""

    def open(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> LogReader | None:
        return None
