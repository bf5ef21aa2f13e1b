"""Configuration from files and folders: what is in them is in the store, soon after each save.

Owns when a file is read and whether its resources come into force. Decoding and storing belong to `config`.

Files are found by looking at them: every 25 ms one `stat` for each file. Change notification of the operating
system would spare these looks, but it differs on every system, needs a dependency or foreign calls, does not
reach through shared folders of virtual machines (Docker on macOS), and still needs a look at the whole tree
for folders that come later. A look at 20 files costs about 0.1 ms, less than half a percent of one core;
the interval grows with the cost of a look, so that it never takes more than 2%.

A save is several steps, and in between the file is empty, cut short, or missing (editors rename the old file
away before the new one is in place). Therefore a changed file is taken only once it stayed the same for a few
milliseconds, and an emptied or missing one only after a tenth of a second.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from minimesh.config.decoding import Decoded, decode
from minimesh.config.diagnostics import Diagnostic, Severity, has_errors
from minimesh.config.mesh_config import config_map, decode_mesh_config
from minimesh.config.references import check_references
from minimesh.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from minimesh.config.store import Store

SUFFIXES = (".yaml", ".yml", ".json")
LOOK_INTERVAL_S = 0.025
SETTLING_LOOK_INTERVAL_S = 0.004
COST_LIMIT = 0.02
"""The share of one core that looking may take."""

MAX_FILE_BYTES = 16 * 1024 * 1024
"""No more is read of one file: what is larger is no manifest, and would fill the memory."""

SETTLED_AFTER_S = 0.006
EMPTY_AFTER_S = 0.1
GONE_AFTER_S = 0.1

_log = get_logger("file source")


class Fingerprint(NamedTuple):
    """What tells that a file is not the one it was. Renames change the inode, permissions the status."""

    modified_ns: int
    size_bytes: int
    inode: int
    status_changed_ns: int = 0


def fingerprint(status: os.stat_result) -> Fingerprint:
    return Fingerprint(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)


def look(paths: Iterable[str]) -> dict[str, Fingerprint]:
    """The configuration files at or below `paths` as they are now, by the path as it was given.

    A file named outright counts whatever its suffix. Hidden files and folders are editors' and tools'
    business.
    """
    seen: dict[str, Fingerprint] = {}
    for path in paths:
        try:
            if os.path.isdir(path):
                seen.update(_look_below(path))
            else:
                seen[path] = fingerprint(os.stat(path))
        except OSError:
            continue  # it may come later
    return seen


def _look_below(
    folder: str, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, Fingerprint]]:
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return  # a link that leads back up
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    yield from _look_below(entry.path, above | {identity})
                elif entry.name.endswith(SUFFIXES) and entry.is_file():  # reading a pipe would never end
                    yield entry.path, fingerprint(entry.stat())
            except OSError:
                continue  # gone between the listing and the look


@dataclass(frozen=True, slots=True)
class Changes:
    """Files that are to be read again, and files that are no more."""

    changed: Mapping[str, Fingerprint]
    gone: tuple[str, ...]


def pause_after_look_s(cost_s: float, *, settling: bool) -> float:
    """How long to wait after a look that took `cost_s`; `settling`: something changed, and may go on to."""
    interval_s = SETTLING_LOOK_INTERVAL_S if settling else LOOK_INTERVAL_S
    return max(interval_s, cost_s / COST_LIMIT)


class ChangeDetector:
    """Turns looks into changes that have settled. Knows no files and no clock: both are handed in."""

    def __init__(self) -> None:
        self._known: dict[str, Fingerprint] = {}
        self._settling: dict[str, tuple[Fingerprint | None, float]] = {}

    @property
    def settling(self) -> bool:
        """Whether something changed that is not reported yet."""
        return bool(self._settling)

    def first(self, seen: Mapping[str, Fingerprint]) -> Changes:
        """The first look: everything there is, at once."""
        self._known = dict(seen)
        return Changes(dict(seen), ())

    def changes(self, seen: Mapping[str, Fingerprint], now_s: float) -> Changes:
        """What changed since, and has stayed so long enough at `now_s` (any steady clock)."""
        changed: dict[str, Fingerprint] = {}
        gone: list[str] = []
        for path in {**self._known, **seen}:
            current = seen.get(path)
            if not self._has_settled(path, current, now_s):
                continue
            if current is None:
                del self._known[path]
                gone.append(path)
            else:
                self._known[path] = changed[path] = current
        for path in self._settling.keys() - self._known.keys() - seen.keys():
            del self._settling[path]  # came and went between two looks
        return Changes(changed, tuple(gone))

    def took(self, path: str, current: Fingerprint) -> Changes:
        """The file is known to have changed, and to be whole."""
        self._known[path] = current
        self._settling.pop(path, None)
        return Changes({path: current}, ())

    def mistrust(self, path: str) -> None:
        """The file changed while it was read: report it once more."""
        self._known[path] = Fingerprint(0, 0, 0)

    def _has_settled(self, path: str, current: Fingerprint | None, now_s: float) -> bool:
        if current == self._known.get(path):
            self._settling.pop(path, None)
            return False
        before, since_s = self._settling.get(path, (None, 0.0))
        if path not in self._settling or before != current:
            self._settling[path] = (current, now_s)
            return False
        if now_s - since_s < _settle_time_s(current):
            return False
        del self._settling[path]
        return True


def _settle_time_s(current: Fingerprint | None) -> float:
    if current is None:
        return GONE_AFTER_S
    return SETTLED_AFTER_S if current.size_bytes else EMPTY_AFTER_S


@dataclass(slots=True)
class _File:
    """One file as it is now.

    `conflicts` are objects that another file declares differently, `references` names that lead nowhere.
    """

    decoded: Decoded
    conflicts: tuple[Diagnostic, ...] = ()
    references: tuple[Diagnostic, ...] = ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return (*self.decoded.diagnostics, *self.conflicts, *self.references)


class FileSet:
    """The decoded files, and which of them are applied to the store. Does no I/O.

    A file with an error is not applied at all; what it held before stays in force. The file `mesh_config`
    holds a MeshConfig, and stands for the ConfigMap that has it in a cluster.
    """

    def __init__(self, store: Store, mesh_config: str = "") -> None:
        self._store = store
        self._mesh_config = mesh_config
        self._files: dict[str, _File] = {}

    def update(
        self,
        texts: Mapping[str, str],
        gone: Iterable[str] = (),
        unreadable: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Take in new texts of files, the files that are no more, and why others cannot be read."""
        for path in gone:
            if self._files.pop(path, None) is not None:
                self._store.remove_file(path)
        for path, reason in unreadable.items():
            self._files[path] = _File(Decoded((), (_unreadable(path, reason),)))
        for path, text in texts.items():
            self._files[path] = _File(self._decoded(path, text))
            self._apply(path, self._files[path])
        # What one file no longer says, another may now say: go on until nothing moves.
        while self._apply_refused():
            pass
        self._apply_refused_together()
        self._check_references()

    def diagnostics(self) -> dict[str, tuple[Diagnostic, ...]]:
        """Everything there is to say about each file now; files without a diagnostic are listed too."""
        return {path: file.diagnostics for path, file in self._files.items()}

    def _decoded(self, path: str, text: str) -> Decoded:
        if path != self._mesh_config:
            return decode(text, path)
        settings = decode_mesh_config(text, path)
        return Decoded((config_map(settings.text, path),), settings.diagnostics)

    def _apply_refused(self) -> bool:
        refused = [(path, file) for path, file in self._files.items() if file.conflicts]
        return any(self._apply(path, file) for path, file in refused)

    def _apply_refused_together(self) -> None:
        """What two files declare alike is changed in one after the other: only both together may change."""
        refused = {path: file.decoded.resources for path, file in self._files.items() if file.conflicts}
        if refused:
            conflicts = self._store.apply_files(refused)
            for path in refused:
                self._files[path].conflicts = conflicts.get(path, ())

    def _check_references(self) -> None:
        found: dict[str, list[Diagnostic]] = {}
        for each in check_references(self._store.snapshot().resources):
            found.setdefault(each.file, []).append(each)
        for path, file in self._files.items():
            # What is in force of a broken file is not what it says now: places in it would be wrong.
            broken = has_errors(file.decoded.diagnostics) or file.conflicts
            file.references = () if broken else tuple(found.get(path, ()))

    def _apply(self, path: str, file: _File) -> bool:
        """Bring the file's resources into force if nothing speaks against it; True when it did."""
        if has_errors(file.decoded.diagnostics):
            return False
        file.conflicts = self._store.apply_file(path, file.decoded.resources)
        return not file.conflicts


def _unreadable(path: str, reason: str) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code="unreadable-file",
        message=f"cannot be read: {reason}",
        file=path,
        line=1,
        column=1,
    )


class FileSource:
    """Keeps a store in step with files and folders, and with a file of mesh settings.

    `on_diagnostics` is called after each change with all diagnostics there are, by file. It must not raise.
    """

    def __init__(
        self,
        store: Store,
        paths: Sequence[str | Path],
        *,
        mesh_config: str | Path | None = None,
        on_diagnostics: Callable[[Mapping[str, tuple[Diagnostic, ...]]], None] | None = None,
    ) -> None:
        self._paths = [str(path) for path in (*paths, mesh_config) if path is not None]
        self.has_mesh_config = mesh_config is not None
        self._files = FileSet(store, str(mesh_config or ""))
        self._on_diagnostics = on_diagnostics
        self._detector = ChangeDetector()
        self._task: asyncio.Task[None] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and folders watched, as they were given."""
        return tuple(self._paths)

    @property
    def diagnostics(self) -> Mapping[str, tuple[Diagnostic, ...]]:
        """All diagnostics there are, by file."""
        return self._files.diagnostics()

    async def start(self) -> None:
        """Read everything once, then keep watching. When this returns, the store holds what the files say."""
        self._take(self._detector.first(look(self._paths)))
        self._task = asyncio.create_task(self._watch())

    def read_now(self, file: str) -> None:
        """Take in a file that was just written, without waiting for the next look. Raises OSError."""
        self._take_or_tell(self._detector.took(file, fingerprint(os.stat(file))))

    async def stop(self) -> None:
        """Stop watching; what is in the store stays there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _watch(self) -> None:
        pause_s = LOOK_INTERVAL_S
        while True:
            await asyncio.sleep(pause_s)
            started_s = time.perf_counter()
            seen = look(self._paths)
            cost_s = time.perf_counter() - started_s
            changes = self._detector.changes(seen, time.monotonic())
            if changes.changed or changes.gone:
                self._take_or_tell(changes)
            pause_s = pause_after_look_s(cost_s, settling=self._detector.settling)

    def _take_or_tell(self, changes: Changes) -> None:
        # Whatever one file brings about: the next save is to be seen.
        try:
            self._take(changes)
        except Exception:
            _log.exception("files not taken", changed=sorted(changes.changed), gone=sorted(changes.gone))

    def _take(self, changes: Changes) -> None:
        texts: dict[str, str] = {}
        unreadable: dict[str, str] = {}
        for path, expected in changes.changed.items():
            if _shown(path) != path:
                unreadable[_shown(path)] = "its name is not in UTF-8; rename it"
                continue
            try:
                _refuse_endless(path)
                data, found = read_file(path)
            except FileNotFoundError:
                self._detector.mistrust(path)
            except OSError as error:
                unreadable[path] = error.strerror or str(error)
            else:
                if found == expected:
                    texts[path] = data.decode("utf-8", errors="replace")
                else:
                    self._detector.mistrust(path)
        self._files.update(texts, map(_shown, changes.gone), unreadable)
        _log.debug("files", changed=sorted(texts), gone=sorted(changes.gone))
        if self._on_diagnostics is not None:
            self._on_diagnostics(self.diagnostics)


def _shown(path: str) -> str:
    """A path that every message can hold."""
    return os.fsencode(path).decode(errors="replace")


def _refuse_endless(path: str) -> None:
    """OSError for what a mesh would wait for while it reads."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is no file but a pipe or a device")


def read_file(path: str) -> tuple[bytes, Fingerprint]:
    """A file's content, and which file it was once it was read. Raises OSError, for too much of it too."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise OSError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        return data, fingerprint(os.fstat(file.fileno()))
