"""The store: what is configured now. The meeting point of files, controllers, and the control plane.

Like a Kubernetes API server in miniature: `put` and `delete` objects, `watch` for changes, take immutable
snapshots. Objects get a uid, a creation time, a generation and a resource version. No I/O and no tasks:
everything happens inside the call, in the caller's thread, watchers included.

Objects also come in files. What a file declares is applied as a whole, and goes when the file no longer
declares it. Two files may declare the same object if they say the same; otherwise the second is refused.

What is put as durable is told to the recorder before anybody sees it, so that it survives the process. A file
that declares such an object hides it for as long as it does; then what was put comes back.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Any, Protocol

from minimesh.config.decimals import decimal
from minimesh.config.diagnostics import Diagnostic, Location, Severity
from minimesh.config.encoding import encoded
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.timestamps import timestamp


class ChangeType(StrEnum):
    """What happened to an object; the words are those of a Kubernetes watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `resource` is the new state, for DELETED the last; `old` is the state before, if any."""

    type: ChangeType
    resource: Resource
    old: Resource | None = None


Watcher = Callable[[Sequence[Change]], None]


class Recorder(Protocol):
    """Where durable objects are written down. Both methods return when that is done, or raise OSError; then
    the store stays as it was."""

    def record(self, stored: Resource) -> None:
        """Remember the object, in place of what was remembered under its key."""

    def forget(self, key: ResourceKey) -> None:
        """Remember nothing under this key any more."""


class _OfKind:
    """All objects of one kind, by namespace and name. Never changes: snapshots share it."""

    __slots__ = ("by_key", "resources")

    def __init__(self, objects: Mapping[ResourceKey, Resource]) -> None:
        self.by_key = {key: objects[key] for key in sorted(objects)}
        self.resources = tuple(self.by_key.values())


class Snapshot:
    """All objects at one version. Never changes; hold it as long as you like.

    Of a kind of which no object changed, two snapshots give the very same tuple.
    """

    __slots__ = ("_kinds", "version")

    def __init__(self, version: int, kinds: Mapping[str, _OfKind]) -> None:
        self.version = version
        self._kinds = {kind: kinds[kind] for kind in sorted(kinds)}

    @classmethod
    def of(cls, resources: Iterable[Resource], version: int = 1) -> Snapshot:
        """A snapshot made by hand; of two resources with one key the later counts."""
        objects: dict[str, dict[ResourceKey, Resource]] = {}
        for resource in resources:
            objects.setdefault(resource.kind, {})[resource.key] = resource
        return cls(version, {kind: _OfKind(found) for kind, found in objects.items()})

    def by_kind(self, kind: str) -> tuple[Resource, ...]:
        """All objects of a kind, by namespace and name."""
        found = self._kinds.get(kind)
        return found.resources if found is not None else ()

    @property
    def kinds(self) -> Collection[str]:
        """The kinds that there are objects of."""
        return self._kinds.keys()

    def get(self, key: ResourceKey) -> Resource | None:
        """The object with this key, or None."""
        found = self._kinds.get(key.kind)
        return found.by_key.get(key) if found is not None else None

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All objects, by kind, namespace and name."""
        return tuple(chain.from_iterable(found.resources for found in self._kinds.values()))

    def __len__(self) -> int:
        return sum(len(found.resources) for found in self._kinds.values())

    def __repr__(self) -> str:
        kinds = ", ".join(f"{kind}: {len(found.resources)}" for kind, found in self._kinds.items())
        return f"<Snapshot {self.version} {{{kinds}}}>"


class Store:
    """The objects, their versions, the files that declare them, and who watches."""

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        recorder: Recorder | None = None,
    ) -> None:
        self._clock = clock
        self._recorder = recorder
        self._durable: dict[ResourceKey, Resource] = {}
        self._version = 0
        self._objects: dict[str, dict[ResourceKey, Resource]] = {}
        """By kind."""
        self._shown: dict[str, _OfKind] = {}
        """The kinds as the next snapshot will show them, but for those that changed since the last."""
        self._files: dict[str, dict[ResourceKey, Resource]] = {}
        self._watchers: list[Watcher] = []
        self._snapshot: Snapshot | None = None

    def put(self, resource: Resource, *, durable: bool = False) -> Resource:
        """Add or replace one object; returns it as stored. Saying the same again changes nothing.

        An object that was put as `durable` stays so; of its later changes only those of its status alone are
        not recorded. What a file declares is never durable: it is that file's to remember. OSError when a
        durable object cannot be recorded; then nothing has changed.
        """
        changes: list[Change] = []
        stored = self._put(resource, changes, durable=durable)
        self._announce(changes)
        return stored

    def as_put(self, resource: Resource) -> Resource:
        """What `put` would return, but for the resource version that only a put gives; nothing is stored."""
        old = self._get(resource.key)
        given = self._server_metadata(resource, old, self._version)
        version = old.metadata.resource_version if old is not None else ""
        return dataclasses.replace(resource, metadata=dataclasses.replace(given, resource_version=version))

    def would_change(self, resource: Resource) -> bool:
        """Whether to put this would be news; server metadata, which a put ignores, does not count."""
        old = self._get(resource.key)
        return old is None or not _same_object(old, resource)

    def restore(self, resources: Iterable[Resource]) -> None:
        """Take back durable objects as they were recorded, with all their metadata. For a new store."""
        changes: list[Change] = []
        for resource in resources:
            self._set(resource)
            self._durable[resource.key] = resource
            version = resource.metadata.resource_version
            self._version = max(self._version, decimal(version) or 0)
            changes.append(Change(ChangeType.ADDED, resource))
        self._announce(changes)

    def is_durable(self, key: ResourceKey) -> bool:
        """Whether this object, as it is now, is there again after a restart of the mesh."""
        return key in self._durable and self.declared_at(key) is None

    def declared_at(self, key: ResourceKey) -> Location | None:
        """Where a file declares this object, which thus is not for others to change lastingly; or None."""
        declared = next((each[key] for each in self._files.values() if key in each), None)
        return declared.location("metadata.name") if declared is not None else None

    def hidden_by_files(self) -> tuple[Diagnostic, ...]:
        """Durable objects about which a file says something else: a warning at that file's place for each."""
        found = []
        for declared in self._files.values():
            for key, resource in declared.items():
                durable = self._durable.get(key)
                if durable is not None and not _same_wish(durable, resource):
                    found.append(_hidden(resource))
        return tuple(found)

    def delete(self, key: ResourceKey) -> Resource | None:
        """Remove one object; returns it, or None when there was none.

        OSError when a durable object cannot be forgotten; then it is still there.
        """
        if key in self._durable:
            if self._recorder is not None:
                self._recorder.forget(key)
            del self._durable[key]
        changes: list[Change] = []
        removed = self._delete(key, changes)
        self._announce(changes)
        return removed

    def apply_file(self, file: str, resources: Iterable[Resource]) -> tuple[Diagnostic, ...]:
        """Make `resources` what this file declares, in place of all that it declared before.

        An object that differs from what this or another file already says about it is an error naming both
        places; then nothing changes at all. What a file says about `status` is ignored, as an API server
        ignores it.
        """
        return self.apply_files({file: resources}).get(file, ())

    def apply_files(self, files: Mapping[str, Iterable[Resource]]) -> Mapping[str, tuple[Diagnostic, ...]]:
        """Apply several files together, each judged by what the others are about to say.

        Thus an object that two files declare can change: in both at once. Returns the conflicts of the files
        that are refused; those go on declaring what they did.
        """
        accepted = {file: tuple(resources) for file, resources in files.items()}
        refused: dict[str, tuple[Diagnostic, ...]] = {}
        while conflicts := self._conflicts(accepted):
            refused |= conflicts
            for file in conflicts:
                del accepted[file]
        changes: list[Change] = []
        for file, resources in accepted.items():
            self._apply(file, _by_key(resources), changes)
        self._announce(changes)
        return refused

    def remove_file(self, file: str) -> None:
        """Forget a file: what only it declared goes."""
        self.apply_file(file, ())

    def files(self) -> Mapping[str, tuple[ResourceKey, ...]]:
        """Which files are applied, and what each declares."""
        return {file: tuple(declared) for file, declared in self._files.items()}

    def snapshot(self) -> Snapshot:
        """Everything as it is now. The same object until something changes."""
        if self._snapshot is None:
            for kind, objects in self._objects.items():
                if kind not in self._shown:
                    self._shown[kind] = _OfKind(objects)
                    # In its order, so that the next one has little to sort.
                    self._objects[kind] = dict(self._shown[kind].by_key)
            self._snapshot = Snapshot(self._version, self._shown)
        return self._snapshot

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call `callback` with the changes of each call that changes something; returns the way to stop."""
        self._watchers.append(callback)

        def unsubscribe() -> None:
            if callback in self._watchers:
                self._watchers.remove(callback)

        return unsubscribe

    def _apply(self, file: str, declared: dict[ResourceKey, Resource], changes: list[Change]) -> None:
        before = self._files.pop(file, {})
        if declared:
            self._files[file] = declared
        for key in before:
            if key not in declared and self._declared_elsewhere(file, key) is None:
                hidden = self._durable.get(key)
                if hidden is not None:
                    self._put(hidden, changes)
                else:
                    self._delete(key, changes)
        for key, resource in declared.items():
            current = self._get(key)
            previous = before.get(key)
            if current is not None and previous is not None and _same_declaration(previous, resource):
                # Controllers may have added to the object since; only its place in the file is news.
                raw = resource.raw if current.spec == resource.spec else current.raw
                self._set(dataclasses.replace(current, source=resource.source, raw=raw))
                continue
            status = current.status if current is not None else None
            self._put(dataclasses.replace(resource, status=status), changes)

    def _conflicts(self, files: Mapping[str, Sequence[Resource]]) -> dict[str, tuple[Diagnostic, ...]]:
        """By file, the objects of which one of these files says something else than another place does."""
        declarations = {**self._files, **{file: _by_key(resources) for file, resources in files.items()}}
        found: dict[str, tuple[Diagnostic, ...]] = {}
        for file, resources in files.items():
            contradicted = ((each, _contradicted(each, file, declarations)) for each in resources)
            conflicts = tuple(_conflict(each, other) for each, other in contradicted if other is not None)
            if conflicts:
                found[file] = conflicts
        return found

    def _declared_elsewhere(self, file: str, key: ResourceKey) -> Resource | None:
        for other, declared in self._files.items():
            if other != file and key in declared:
                return declared[key]
        return None

    def _get(self, key: ResourceKey) -> Resource | None:
        return self._objects.get(key.kind, {}).get(key)

    def _set(self, resource: Resource) -> None:
        self._objects.setdefault(resource.kind, {})[resource.key] = resource
        self._forget_shown(resource.kind)

    def _pop(self, key: ResourceKey) -> Resource | None:
        objects = self._objects.get(key.kind, {})
        removed = objects.pop(key, None)
        if removed is not None:
            if not objects:
                del self._objects[key.kind]
            self._forget_shown(key.kind)
        return removed

    def _forget_shown(self, kind: str) -> None:
        self._shown.pop(kind, None)
        self._snapshot = None

    def _put(self, resource: Resource, changes: list[Change], *, durable: bool = False) -> Resource:
        old = self._get(resource.key)
        if old is not None and _same_object(old, resource):
            stored = dataclasses.replace(resource, metadata=old.metadata)
            self._record(stored, durable=durable)
            self._set(stored)
            return stored
        version = self._version + 1
        stored = dataclasses.replace(resource, metadata=self._server_metadata(resource, old, version))
        self._record(stored, durable=durable)
        self._version = version
        self._set(stored)
        changes.append(Change(ChangeType.MODIFIED if old else ChangeType.ADDED, stored, old))
        return stored

    def _record(self, stored: Resource, *, durable: bool) -> None:
        """Write a durable object down when more than its status is news."""
        recorded = self._durable.get(stored.key)
        if (recorded is None and not durable) or self.declared_at(stored.key) is not None:
            return
        if self._recorder is not None and (recorded is None or not _same_record(recorded, stored)):
            self._recorder.record(stored)
        self._durable[stored.key] = stored

    def _delete(self, key: ResourceKey, changes: list[Change]) -> Resource | None:
        removed = self._pop(key)
        if removed is not None:
            self._version += 1
            changes.append(Change(ChangeType.DELETED, removed, removed))
        return removed

    def _server_metadata(self, resource: Resource, old: Resource | None, version: int) -> ObjectMeta:
        given = resource.metadata
        if old is None:
            return dataclasses.replace(
                given,
                uid=given.uid or str(uuid.uuid4()),
                creation_timestamp=given.creation_timestamp or timestamp(self._clock()),
                generation=1,
                resource_version=str(version),
            )
        spec_changed = old.spec != resource.spec
        return dataclasses.replace(
            given,
            uid=old.metadata.uid,
            creation_timestamp=old.metadata.creation_timestamp,
            generation=(old.metadata.generation or 1) + spec_changed,
            resource_version=str(version),
        )

    def _announce(self, changes: list[Change]) -> None:
        if not changes:
            return
        for watcher in tuple(self._watchers):
            watcher(changes)


def _by_key(resources: Iterable[Resource]) -> dict[ResourceKey, Resource]:
    """A file's resources; of those that it repeats the first."""
    found: dict[ResourceKey, Resource] = {}
    for resource in resources:
        found.setdefault(resource.key, resource)
    return found


def _contradicted(
    resource: Resource, file: str, declarations: Mapping[str, Mapping[ResourceKey, Resource]]
) -> Resource | None:
    """What says something else about an object of the file: the file itself, before, or another one."""
    for declared in (declarations[file], *declarations.values()):
        other = declared.get(resource.key)
        if other is not None and not _same_declaration(other, resource):
            return other
    return None


def _said_by_user(metadata: ObjectMeta) -> ObjectMeta:
    """The metadata without what a server adds."""
    return dataclasses.replace(
        metadata, uid="", creation_timestamp="", generation=None, resource_version="", managed_fields=()
    )


def _same_wish(durable: Resource, declared: Resource) -> bool:
    """Whether what was stored says all that the file says; the API fills in defaults and notes of its own."""
    return (
        _says(encoded(durable.spec), encoded(declared.spec))
        and _says(durable.metadata.labels, declared.metadata.labels)
        and _says(durable.metadata.annotations, declared.metadata.annotations)
    )


def _says(whole: Any, part: Any) -> bool:
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and _says(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        same_length = isinstance(whole, list) and len(whole) == len(part)
        return same_length and all(map(_says, whole, part))
    return bool(whole == part)


def _hidden(resource: Resource) -> Diagnostic:
    here = resource.location("metadata.name")
    return Diagnostic(
        severity=Severity.WARNING,
        code="also-stored",
        message=f"{resource.key} was also stored through the API, with different content; this file counts "
        "for as long as it declares the object. Delete one of the two",
        file=here.file,
        line=here.line,
        column=here.column,
        field="metadata.name",
        resource=str(resource.key),
    )


def _same_declaration(one: Resource, other: Resource) -> bool:
    return (
        one.api_version == other.api_version
        and one.spec == other.spec
        and _said_by_user(one.metadata) == _said_by_user(other.metadata)
    )


def _same_object(one: Resource, other: Resource) -> bool:
    return _same_record(one, other) and one.status == other.status


def _same_record(one: Resource, other: Resource) -> bool:
    """Whether two say the same but for their status; who manages the fields counts."""
    same_managers = one.metadata.managed_fields == other.metadata.managed_fields
    return same_managers and _same_declaration(one, other)


def _conflict(resource: Resource, other: Resource) -> Diagnostic:
    here, there = resource.location("metadata.name"), other.location("metadata.name")
    return Diagnostic(
        severity=Severity.ERROR,
        code="duplicate-resource",
        message=f"{resource.key} is also declared at {there}, with different content; "
        "keep one of the two, or give one of them another name",
        file=here.file,
        line=here.line,
        column=here.column,
        field="metadata.name",
        resource=str(resource.key),
    )
