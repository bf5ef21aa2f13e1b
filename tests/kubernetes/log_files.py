"""Logs of containers that tests write by hand."""

from __future__ import annotations

from collections.abc import Iterable


class LogFiles:
    """The lines of each container; followers see what is written after they began."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], list[str]] = {}
        self.followers = 0

    def write(self, namespace: str, pod: str, container: str, *lines: str) -> None:
        self._of(namespace, pod, container).extend(lines)

    def last_lines(self, namespace: str, pod: str, container: str, count: int | None) -> Iterable[str]:
        lines = self._of(namespace, pod, container)
        return list(lines) if count is None else lines[max(0, len(lines) - count) :]

    def follow(self, namespace: str, pod: str, container: str) -> Follower:
        self.followers += 1
        return Follower(self._of(namespace, pod, container))

    def _of(self, *where: str) -> list[str]:
        namespace, pod, container = where
        return self._lines.setdefault((namespace, pod, container), [])


class Follower:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._seen = len(lines)

    def lines(self) -> list[str]:
        new, self._seen = self._lines[self._seen :], len(self._lines)
        return new
