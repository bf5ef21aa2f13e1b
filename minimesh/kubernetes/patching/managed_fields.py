"""Who manages which field of an object: what updates and server-side apply make of `managedFields`. Pure.

An update takes what it changes away from other managers. An apply may not, unless it is forced: what another
manager set to something else is a conflict. What its manager applied before, and says no more, is removed
when nobody else manages it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.patching.field_paths import (
    EMPTY,
    FieldSet,
    Path,
    path_text,
    read_fields,
    written_fields,
)
from minimesh.kubernetes.patching.structured_merge import Schema, compared, fields_of, merged, without

APPLY, UPDATE = "Apply", "Update"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_UNMANAGED_METADATA = (
    "name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion "
    "deletionTimestamp deletionGracePeriodSeconds"
)
_UNMANAGED: FieldSet = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {("f:metadata", f"f:{name}") for name in _UNMANAGED_METADATA.split()}
)


@dataclass(frozen=True, slots=True)
class Manager:
    """One manager, as an entry of `managedFields` names it."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def text(self) -> str:
        """How a conflict names it."""
        found = json.dumps(self.name)
        if self.subresource:
            found += f' with subresource "{self.subresource}"'
        return f"{found} using {self.api_version}" if self.operation == UPDATE else found


@dataclass(frozen=True, slots=True)
class Managed:
    """The fields of one manager, and when it last changed them."""

    fields: FieldSet
    time: str = ""


Managers = dict[Manager, Managed]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else manages, with another value."""

    manager: Manager
    path: Path


class ApplyConflictError(Exception):
    """An apply that would change what others manage."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        super().__init__(_message(conflicts))
        self.conflicts = tuple(conflicts)


def read_managers(entries: Iterable[Mapping[str, Any]] | None) -> Managers:
    """The managers that an object's `managedFields` list."""
    found: Managers = {}
    for each in entries or ():
        manager = Manager(
            str(each.get("manager", "")),
            str(each.get("operation", UPDATE)),
            str(each.get("apiVersion", "")),
            str(each.get("subresource", "")),
        )
        found[manager] = Managed(read_fields(each.get("fieldsV1") or {}), str(each.get("time", "")))
    return found


def written_managers(managers: Managers) -> list[dict[str, Any]]:
    """The `managedFields` of an object: who applies first, then by time."""
    order = sorted(
        managers.items(), key=lambda item: (item[0].operation != APPLY, item[1].time, item[0].name)
    )
    return [_entry(manager, managed) for manager, managed in order if managed.fields]


def _entry(manager: Manager, managed: Managed) -> dict[str, Any]:
    found = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": managed.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": written_fields(managed.fields),
        "subresource": manager.subresource,
    }
    return {name: value for name, value in found.items() if value != ""}


def updated(
    old: Object, new: Object, managers: Managers, manager: Manager, schema: Schema, now: str
) -> Managers:
    """The managers after `manager` made `new` of `old`."""
    change = compared(old, new, schema)
    gone, set_by_it = frozenset(change.removed), frozenset(change.modified | change.added)
    found = {
        each: replace(managed, fields=managed.fields - gone - set_by_it)
        for each, managed in managers.items()
        if each != manager
    }
    before = managers.get(manager, Managed(EMPTY))
    fields = (before.fields | set_by_it) - gone - _UNMANAGED
    found[manager] = before if fields == before.fields else Managed(fields, now)
    return {each: managed for each, managed in found.items() if managed.fields}


def applied(
    live: Object,
    config: Object,
    managers: Managers,
    manager: Manager,
    schema: Schema,
    now: str,
    *,
    force: bool,
) -> tuple[Object, Managers]:
    """The object and its managers after `manager` applied `config`. ApplyConflictError without `force`."""
    fields = fields_of(config, schema) - _UNMANAGED
    before = managers.get(manager, Managed(EMPTY))
    others = {each: managed for each, managed in managers.items() if each != manager}
    found = merged(live, config, schema)
    dropped = _dropped(before.fields, (fields, *(each.fields for each in others.values())))
    found = without(found, dropped, schema)
    change = compared(live, found, schema)
    set_by_it = frozenset(change.modified | change.added)
    if not force:
        _refuse_conflicts(live, others, set_by_it, manager, schema)
    gone = frozenset(change.removed) | set_by_it
    left = {each: replace(managed, fields=managed.fields - gone) for each, managed in others.items()}
    own = before if fields == before.fields else Managed(fields, now)
    return found, {each: managed for each, managed in {**left, manager: own}.items() if managed.fields}


def before_first_apply(live: Object, schema: Schema, api_version: str, now: str) -> Managers:
    """The manager of all that an object says which nobody was told to manage."""
    manager = Manager("before-first-apply", UPDATE, api_version)
    return {manager: Managed(fields_of(live, schema) - _UNMANAGED, now)}


def _dropped(before: FieldSet, kept: Iterable[FieldSet]) -> FieldSet:
    """What was applied before and is nobody's now; an entry stays while somebody manages a part of it."""
    prefixes = {path[:length] for fields in kept for path in fields for length in range(1, len(path) + 1)}
    return frozenset(path for path in before if path not in prefixes)


def _refuse_conflicts(
    live: Object, others: Managers, set_by_it: FieldSet, manager: Manager, schema: Schema
) -> None:
    conflicts = [
        Conflict(each, path)
        for each, managed in others.items()
        for path in sorted(managed.fields & set_by_it)
    ]
    if conflicts and manager.name == _KUBECTL:
        own = _unchanged_since_last_applied(live, schema)
        conflicts = [each for each in conflicts if each.path not in own]
    if conflicts:
        raise ApplyConflictError(conflicts)


def _unchanged_since_last_applied(live: Object, schema: Schema) -> FieldSet:
    """The fields that are as `kubectl apply` without --server-side left them: these are kubectl's already."""
    annotations = live.get("metadata", {}).get("annotations") or {}
    try:
        last = json.loads(annotations.get(LAST_APPLIED, ""))
    except ValueError:
        return EMPTY
    if not isinstance(last, dict):
        return EMPTY
    changed = compared(last, live, schema)
    return fields_of(last, schema) - changed.modified - changed.removed


def _message(conflicts: Sequence[Conflict]) -> str:
    if len(conflicts) == 1:
        (one,) = conflicts
        return f"Apply failed with 1 conflict: conflict with {one.manager.text()}: {path_text(one.path)}"
    by_manager: dict[str, list[str]] = {}
    for each in conflicts:
        by_manager.setdefault(each.manager.text(), []).append(path_text(each.path))
    lines: list[str] = []
    for name, paths in sorted(by_manager.items()):
        lines += [f"conflicts with {name}:", *(f"- {path}" for path in paths)]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
