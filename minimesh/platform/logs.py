"""Container logs: files that processes append to, kept bounded, read from any place on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

LIMIT_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1 << 16


def bound(path: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """When the log has grown beyond the limit, keep its last half as `NAME.1` and start it anew.

    The writers keep their open file: they append, so they go on at the new end. What they write between the
    copy and the cut is lost, which a log of this size can bear. True when the log was cut.
    """
    try:
        with path.open("r+b") as log:
            size = os.fstat(log.fileno()).st_size
            if size <= limit_bytes:
                return False
            log.seek(size - limit_bytes // 2)
            log.readline()
            path.with_name(path.name + ".1").write_bytes(log.read())
            log.truncate(0)
    except OSError:
        return False
    return True


def last_lines(path: Path, count: int | None) -> Iterator[str]:
    """The last `count` lines (all for None), without their line ends. Nothing when there is no file."""
    text = b"".join(_tail_blocks(path, count)).decode(errors="replace")
    lines = text.splitlines()
    yield from lines if count is None else lines[max(0, len(lines) - count) :]


def _tail_blocks(path: Path, count: int | None) -> list[bytes]:
    """Blocks from the end of the file, in order, holding at least `count` whole lines."""
    try:
        with path.open("rb") as log:
            position = log.seek(0, os.SEEK_END)
            blocks: list[bytes] = []
            found = 0
            while position > 0 and (count is None or found <= count):
                start = max(0, position - _BLOCK_BYTES)
                log.seek(start)
                blocks.insert(0, log.read(position - start))
                found += blocks[0].count(b"\n")
                position = start
            return blocks
    except OSError:
        return []


class LogFollower:
    """Gives the lines appended to a file since it was last asked; begins anew when the file was cut."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self.path = path
        self._position = self._size() if from_end else 0
        self._unfinished = b""

    def lines(self) -> list[str]:
        """The whole lines that came, without their line ends."""
        size = self._size()
        if size < self._position:
            self._position, self._unfinished = 0, b""
        if size == self._position:
            return []
        try:
            with self.path.open("rb") as log:
                log.seek(self._position)
                data = log.read(size - self._position)
        except OSError:
            return []  # somebody tidied up; what is written from now on comes later
        self._position += len(data)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


class ContainerLogs:
    """The logs of all containers, by the names of pods: what `kubectl logs` shows."""

    def __init__(self, path_of: Callable[[str, str, str], Path]) -> None:
        """`path_of` gives the file of a namespace, pod and container."""
        self._path_of = path_of

    def last_lines(self, namespace: str, pod: str, container: str, count: int | None) -> Iterator[str]:
        """The last lines, all for None; nothing when the container has not written any."""
        return last_lines(self._path_of(namespace, pod, container), count)

    def follow(self, namespace: str, pod: str, container: str) -> LogFollower:
        """What is written from now on."""
        return LogFollower(self._path_of(namespace, pod, container), from_end=True)
