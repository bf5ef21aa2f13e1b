"""An append-only file that remembers values by key, and loses none that it said it had.

One line a record: the CRC-32 and the length of what follows, then the key and the value as JSON; a null value
forgets the key. `write` returns when the record is on the disk (fsync). Whatever the machine does, opening
the file again finds every record that `write` returned for:

* a record that was being written when the process died is cut off at the end of the file (nobody was told
  that it is stored), with a notice;
* a line that is damaged further up, by something other than us, costs that line only, with a notice, and the
  damaged file is kept beside the journal;
* when most records are outdated, the file is written anew beside the old one and takes its name in one step.

Knows nothing of resources.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = b"minimesh journal 1\n"
COMPACT_ABOVE = 256
"""Outdated records that are always borne; beyond, as many as there are records in force."""


class JournalError(Exception):
    """A file that is no journal, or one of a version that this program does not know."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a file says. `intact` is the length in bytes up to which the last record is whole."""

    values: dict[str, Any]
    intact: int
    records: int
    notices: tuple[str, ...]
    damaged: bool = False
    """Whether a line before the last is unreadable."""


def record(key: str, value: Any) -> bytes:
    """One line of the file; `value` None forgets the key."""
    body = json.dumps([key, value], separators=(",", ":")).encode()
    return b"%08x %d %b\n" % (zlib.crc32(body), len(body), body)


def replay(content: bytes) -> Replayed:
    """Read a journal's content: the values in force, in the order of their first writing. Pure.

    JournalError when it does not begin as a journal does.
    """
    if not content.startswith(HEADER):
        if HEADER.startswith(content):
            return Replayed({}, 0, 0, (_torn(content),) if content else ())
        raise JournalError("it does not begin like a journal of minimesh")
    values: dict[str, Any] = {}
    position, intact, records = len(HEADER), len(HEADER), 0
    bad: list[int] = []
    for line in content[len(HEADER) :].splitlines(keepends=True):
        read = _read(line)
        if read is None:
            bad.append(position)
        else:
            records += 1
            key, value = read
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
            intact = position + len(line)
        position += len(line)
    inner = [start for start in bad if start < intact]
    notices = [f"a damaged record at byte {start} is left out" for start in inner]
    if intact < len(content):
        notices.append(_torn(content[intact:]))
    return Replayed(values, intact, records, tuple(notices), bool(inner))


def _torn(tail: bytes) -> str:
    return f"the last {len(tail)} bytes, a record that was never finished, are dropped"


def _read(line: bytes) -> tuple[str, Any] | None:
    """Key and value of a line, or None when it is not what was written."""
    parts = line.removesuffix(b"\n").split(b" ", 2)
    if len(parts) != 3 or not line.endswith(b"\n"):
        return None
    checksum, length, body = parts
    if checksum != b"%08x" % zlib.crc32(body) or length != b"%d" % len(body):
        return None
    key, value = json.loads(body)
    return key, value


class Journal:
    """The open file. One process, one thread; whoever opens it holds the folder."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. JournalError when it is something else; OSError when it cannot be had."""
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        try:
            found = replay(content)
        except JournalError as error:
            raise JournalError(f"{path} cannot be read: {error}") from None
        self.notices: tuple[str, ...] = tuple(f"{path}: {notice}" for notice in found.notices)
        self._values = found.values
        self._records = found.records
        self._descriptor = -1
        if found.damaged:
            kept = _keep_damaged(path, content)
            self.notices = (*self.notices, f"{path}: what was damaged is kept in {kept}")
        if found.damaged or found.intact < len(HEADER):
            self._rewrite()
        else:
            self._reopen(found.intact)

    @property
    def values(self) -> Mapping[str, Any]:
        """What is remembered now."""
        return self._values

    def write(self, changes: Iterable[tuple[str, Any]]) -> None:
        """Remember values by key, None to forget one; when this returns they are on the disk.

        OSError when the disk refuses; then none of the changes is remembered.
        """
        entries = list(changes)
        if not entries:
            return
        if self._descriptor < 0:
            # After a failed write nobody knows what the file holds: start from what is known.
            self._rewrite()
        try:
            _write_all(self._descriptor, b"".join(record(key, value) for key, value in entries))
            _sync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        self._records += len(entries)
        _apply(self._values, entries)
        if self._records - len(self._values) > COMPACT_ABOVE + len(self._values):
            self._compact()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_back(self) -> None:
        """Cut off what a failed write left; whatever happens, the next write begins with a new file."""
        try:
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
        except OSError:
            pass
        self.close()

    def _compact(self) -> None:
        """Write only what is in force; without room for that the longer file goes on serving."""
        try:
            self._rewrite()
        except OSError:
            if self._descriptor < 0:
                self._reopen(self._size)

    def _rewrite(self) -> None:
        beside = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            lines = (record(key, value) for key, value in self._values.items())
            _write_all(descriptor, HEADER + b"".join(lines))
            _sync(descriptor)
            beside.replace(self.path)
        finally:
            os.close(descriptor)
        _sync_folder(self.path.parent)
        self.close()
        self._records = len(self._values)
        self._reopen(self.path.stat().st_size)

    def _reopen(self, size: int) -> None:
        """Open the file for writing behind its first `size` bytes; what stands there now is cut off."""
        descriptor = os.open(self.path, os.O_WRONLY)
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        os.lseek(descriptor, size, os.SEEK_SET)
        self._descriptor, self._size = descriptor, size


def _apply(values: dict[str, Any], entries: Sequence[tuple[str, Any]]) -> None:
    for key, value in entries:
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value


def _keep_damaged(path: Path, content: bytes) -> Path:
    kept = path.with_name(path.name + ".damaged")
    descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)
    return kept


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync(descriptor: int) -> None:
    """Until the disk has it; on macOS fsync alone stops at the disk's own memory."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def _sync_folder(folder: Path) -> None:
    """Make a file's new name last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
