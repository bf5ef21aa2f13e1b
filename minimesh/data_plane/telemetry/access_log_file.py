"""Log files: lines gathered into batches, written as bytes, none lost at exit.

A batch is written when it holds 64 lines, or 100 ms after its first line. Everything still held is written
when the file is closed or the interpreter ends. One file is opened once, however many listeners log to it,
so that their lines come out whole and in order.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import select
import stat
from collections.abc import Iterator

BATCH_LINES = 64
FLUSH_INTERVAL_S = 0.1

#: Paths that mean a descriptor the process already has, and cannot always open again by name.
_STANDARD_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/1": 1, "/dev/fd/2": 2}


class AccessLogFile:
    """An open log file, or standard output (`/dev/stdout`).

    Raises OSError when the file cannot be opened. A write that fails later (disk full) loses its batch and is
    counted in `failed_lines`: a proxy that stopped serving because it cannot log would be worse.
    """

    __slots__ = ("_descriptor", "_lines", "_piece_bytes", "_shared", "_timer", "failed_lines", "path")

    def __init__(self, path: str, *, shared: bool = False) -> None:
        """`shared`: other processes write to it too, and every line is to come out whole."""
        self.path = path
        self.failed_lines = 0
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._shared = shared
        self._descriptor = _open(path)
        self._piece_bytes = _piece_bytes(self._descriptor) if shared else 0
        atexit.register(self.flush)

    def write(self, line: str) -> None:
        """Take one line with its line end; characters stand for bytes (latin-1)."""
        lines = self._lines
        lines.append(line)
        if len(lines) >= BATCH_LINES:
            self.flush()
        elif self._timer is None:
            self._start_timer()

    def flush(self) -> None:
        """Write every line held; returns when the operating system has them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines = self._lines
        if not lines:
            return
        self._lines = []
        data = _encode(lines)
        try:
            for piece in _pieces(data, self._piece_bytes) if self._piece_bytes else (data,):
                _write_all(self._descriptor, piece)
        except OSError:
            self.failed_lines += len(lines)

    def reopen(self) -> None:
        """Open the path anew, after something moved the file away (log rotation)."""
        self.flush()
        previous, self._descriptor = self._descriptor, _open(self.path)
        self._piece_bytes = _piece_bytes(self._descriptor) if self._shared else 0
        _close(previous)

    def close(self) -> None:
        """Flush and release the file."""
        self.flush()
        atexit.unregister(self.flush)
        _close(self._descriptor)
        self._descriptor = -1

    def _start_timer(self) -> None:
        # Without a running loop (a test, an exit path) the line waits for the batch to fill or for the end.
        with contextlib.suppress(RuntimeError):
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL_S, self.flush)


class AccessLogFiles:
    """The log files of one proxy by path."""

    def __init__(self, *, shared: bool = False) -> None:
        """`shared`: other processes log to them too."""
        self._shared = shared
        self._files: dict[str, AccessLogFile] = {}

    def open(self, path: str) -> AccessLogFile:
        """The file at this path, opened at the first call. Raises OSError."""
        found = self._files.get(path)
        if found is None:
            found = self._files[path] = AccessLogFile(path, shared=self._shared)
        return found

    def flush(self) -> None:
        for file in self._files.values():
            file.flush()

    def reopen(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(OSError):  # the old descriptor stays in use
                file.reopen()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def _open(path: str) -> int:
    standard = _STANDARD_STREAMS.get(path)
    if standard is not None:
        return standard
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _piece_bytes(descriptor: int) -> int:
    """How much may be written at once so that it stays whole among the writes of others; 0: anything.

    A file in append mode takes a write whole (Linux and macOS hold its lock meanwhile), a pipe only up to
    PIPE_BUF. A longer line is written all the same.
    """
    return 0 if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF


def _pieces(data: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Whole lines, as many at a time as `limit_bytes` holds, at least one."""
    at = 0
    while at < len(data):
        end = len(data)
        if end - at > limit_bytes:
            end = data.rfind(b"\n", at, at + limit_bytes) + 1 or data.find(b"\n", at) + 1 or end
        yield data[at:end]
        at = end


def _close(descriptor: int) -> None:
    if descriptor > 2:
        os.close(descriptor)


def _encode(lines: list[str]) -> bytes:
    text = "".join(lines)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # a configured name outside latin-1
        return b"".join(_encode_line(line) for line in lines)


def _encode_line(line: str) -> bytes:
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return line.encode()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            written = os.write(descriptor, data)
        except BlockingIOError:  # standard output shared with a process that made it non-blocking
            select.select([], [descriptor], [])
            continue
        data = data[written:]
