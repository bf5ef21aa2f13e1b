"""Logs of containers that tests write by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from minimesh.kubernetes.pods.container_logs import LogLine


class LogFiles:
    """The lines of each container; readers see what is written after they began."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], list[LogLine]] = {}
        self._previous: dict[tuple[str, str, str], list[LogLine]] = {}
        self.over: set[tuple[str, str, str]] = set()
        """Containers that write no more."""
        self.followers = 0

    def write(
        self, namespace: str, pod: str, container: str, *lines: str, at: datetime | None = None
    ) -> None:
        moment = at or datetime.now(UTC)
        self._of(namespace, pod, container).extend((moment, line) for line in lines)

    def restart(self, namespace: str, pod: str, container: str) -> None:
        """A new process: what was written is the previous one's."""
        where = (namespace, pod, container)
        self._previous[where] = self._lines.pop(where, [])

    def open(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Reader | None:
        where = (namespace, pod, container)
        if previous:
            return Reader(self._previous[where], self, where) if where in self._previous else None
        return Reader(self._of(*where), self, where)

    def _of(self, *where: str) -> list[LogLine]:
        namespace, pod, container = where
        return self._lines.setdefault((namespace, pod, container), [])


class Reader:
    def __init__(self, lines: list[LogLine], files: LogFiles, where: tuple[str, str, str]) -> None:
        self._lines = lines
        self._files = files
        self._where = where
        self._seen = 0
        self._asked = 0

    def lines(self) -> list[LogLine]:
        self._asked += 1
        if self._asked == 2:
            self._files.followers += 1
        new, self._seen = self._lines[self._seen :], len(self._lines)
        return new

    def unfinished(self) -> list[LogLine]:
        return []

    @property
    def is_over(self) -> bool:
        return self._where in self._files.over
