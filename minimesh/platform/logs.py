"""Container logs: files that processes append to, kept bounded, read from any place on."""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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


def log_size(path: str | Path) -> int:
    """How long the log is; 0 while there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


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
        return log_size(self.path)


class LogTimes:
    """When a log had grown how far: from looks at its size every now and then.

    The processes write their logs themselves, so a line's time is that of the first look that saw it.
    """

    MARKS_LIMIT = 4096

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._moments: list[datetime] = []

    def __len__(self) -> int:
        """How many marks are kept."""
        return len(self._sizes)

    def note(self, size: int, now: datetime) -> None:
        """The log is so long now."""
        if self._sizes and size < self._sizes[-1]:  # it was cut
            self._sizes.clear()
            self._moments.clear()
        if not self._sizes or size > self._sizes[-1]:
            self._sizes.append(size)
            self._moments.append(now)
        if len(self._sizes) > self.MARKS_LIMIT:
            # Of what is long ago every second mark will do.
            half = self.MARKS_LIMIT // 2
            del self._sizes[:half:2]
            del self._moments[:half:2]

    def at(self, offset: int, now: datetime) -> datetime:
        """When what stands at the offset was there; `now` for what no look has seen yet."""
        index = bisect.bisect_right(self._sizes, offset)
        return self._moments[index] if index < len(self._moments) else now


@dataclass(frozen=True, slots=True)
class LogSpan:
    """Where a process' part of its container's log is: from `start` on, to `end` if it has ended."""

    path: Path
    start: int
    end: int | None
    times: LogTimes
    is_over: Callable[[], bool]


class SpanReader:
    """The lines of one process, with their times, as they come."""

    def __init__(self, span: LogSpan) -> None:
        self._span = span
        self._position = span.start
        self._rest = b""

    @property
    def is_over(self) -> bool:
        """Whether no more lines come."""
        return self._span.end is not None or self._span.is_over()

    def lines(self) -> list[tuple[datetime, str]]:
        """The whole lines that came since this was asked before."""
        self._read()
        *lines, rest = self._rest.split(b"\n")
        begins = self._position - len(self._rest)
        self._rest = rest
        now, found = datetime.now(UTC), []
        for line in lines:
            found.append((self._span.times.at(begins, now), line.decode(errors="replace")))
            begins += len(line) + 1
        return found

    def unfinished(self) -> list[tuple[datetime, str]]:
        """The last line, while it has no end yet."""
        if not self._rest:
            return []
        return [(datetime.now(UTC), self._rest.decode(errors="replace"))]

    def _read(self) -> None:
        try:
            with self._span.path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                if size < self._position:  # it was cut
                    self._position, self._rest = 0, b""
                log.seek(self._position)
                end = size if self._span.end is None else min(size, self._span.end)
                data = log.read(max(0, end - self._position))
        except OSError:
            return  # nothing has been written yet, or somebody tidied up
        self._position += len(data)
        self._rest += data


class ContainerLogs:
    """The logs of all containers, by the names of pods: what `kubectl logs` shows."""

    def __init__(self, span_of: Callable[[str, str, str, bool], LogSpan | None]) -> None:
        """`span_of` gives the part of a container's log: the present process' or that of the one before."""
        self._span_of = span_of

    def open(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> SpanReader | None:
        """The log of the present process, or of the one before it; None when there is none."""
        span = self._span_of(namespace, pod, container, previous)
        return SpanReader(span) if span is not None else None
