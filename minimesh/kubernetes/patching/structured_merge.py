"""Structured merge: objects compared and merged field by field, lists by the keys that schemas name. Pure.

The rules of server-side apply. A list is merged by its `x-kubernetes-list-map-keys`, or as a set; one that
says neither is atomic, as are maps that say so. The same schemas serve strategic merge, which reads its own
marks beside these.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from minimesh.kubernetes.patching.field_paths import FieldSet, Path, field_step, key_step, value_step
from minimesh.kubernetes.schemas.published import resolved

Schema = Mapping[str, Any]
_NO_SCHEMA: Schema = {}
_ABSENT: Any = object()
_KEY_DEFAULTS = {"protocol": "TCP"}
"""What a key means that is not written; the published schemas leave defaults out."""


class Shape(Enum):
    """How a value is taken apart."""

    LEAF = "leaf"
    MAP = "map"
    KEYED_LIST = "keyed list"
    SET = "set"


@dataclass(slots=True)
class Comparison:
    """The fields in which one object differs from another."""

    added: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)


def shape_of(value: Any, schema: Schema) -> Shape:
    """How a value of this schema is merged."""
    if isinstance(value, Mapping):
        return Shape.LEAF if _mark(schema, "x-kubernetes-map-type") == "atomic" else Shape.MAP
    if not isinstance(value, list):
        return Shape.LEAF
    kind = _mark(schema, "x-kubernetes-list-type")
    if kind == "map" and all(isinstance(each, Mapping) for each in value):
        return Shape.KEYED_LIST
    return Shape.SET if kind == "set" else Shape.LEAF


def children(value: Any, schema: Schema, shape: Shape) -> Iterator[tuple[str, Any, Schema]]:
    """The parts of a value: the step that leads to each, the part, and its schema."""
    if shape is Shape.MAP:
        for name, inner in value.items():
            yield field_step(name), inner, field_schema(schema, name)
        return
    items = resolved(schema).get("items", _NO_SCHEMA)
    for each in value:
        step = _item_step(each, schema) if shape is Shape.KEYED_LIST else value_step(each)
        yield step, each, items


def field_schema(schema: Schema, name: str) -> Schema:
    """The schema of a map's field; an empty one, which allows anything, where nothing is said."""
    known = resolved(schema)
    found = (known.get("properties") or {}).get(name)
    if found is None:
        found = known.get("additionalProperties")
    return found if isinstance(found, Mapping) else _NO_SCHEMA


def fields_of(value: Any, schema: Schema) -> FieldSet:
    """The fields that an object says: what who applies it thereby owns."""
    found: set[Path] = set()
    _collect(value, schema, (), found)
    return frozenset(found - {()})


def _collect(value: Any, schema: Schema, path: Path, found: set[Path]) -> None:
    shape = shape_of(value, schema)
    if shape is Shape.LEAF or not value:
        found.add(path)
        return
    for step, inner, inner_schema in children(value, schema, shape):
        if shape is not Shape.MAP:
            found.add((*path, step))
        if shape is not Shape.SET:
            _collect(inner, inner_schema, (*path, step), found)


def compared(old: Any, new: Any, schema: Schema) -> Comparison:
    """What an update from `old` to `new` adds, removes and modifies."""
    found = Comparison()
    _compare(old, new, schema, (), found)
    for each in (found.added, found.removed, found.modified):
        each.discard(())
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Comparison) -> None:
    shape = shape_of(old if new is _ABSENT or new is None else new, schema)
    is_leaf = shape is Shape.LEAF or (_is_empty(old) and _is_empty(new)) or not _fits(old, new)
    if not is_leaf:
        _compare_parts(old, new, schema, shape, path, found)
    if old is _ABSENT:
        found.added.add(path)
    elif new is _ABSENT:
        found.removed.add(path)
    elif is_leaf and old != new:
        found.modified.add(path)


def _compare_parts(old: Any, new: Any, schema: Schema, shape: Shape, path: Path, found: Comparison) -> None:
    before = _parts(old, schema, shape)
    after = _parts(new, schema, shape)
    for step in (*before, *(each for each in after if each not in before)):
        one, inner = before.get(step, (_ABSENT, _NO_SCHEMA))
        other, inner = after.get(step, (_ABSENT, inner))
        if shape is Shape.SET:
            if one is _ABSENT:
                found.added.add((*path, step))
            elif other is _ABSENT:
                found.removed.add((*path, step))
            continue
        _compare(one, other, inner, (*path, step), found)


def _parts(value: Any, schema: Schema, shape: Shape) -> dict[str, tuple[Any, Schema]]:
    if _is_empty(value):
        return {}
    return {step: (inner, below) for step, inner, below in children(value, schema, shape)}


def _is_empty(value: Any) -> bool:
    return value is _ABSENT or value is None or (isinstance(value, Mapping | list) and not value)


def _fits(old: Any, new: Any) -> bool:
    return _is_empty(old) or _is_empty(new) or isinstance(old, list) == isinstance(new, list)


def merged(live: Any, applied: Any, schema: Schema) -> Any:
    """The live object with what is applied to it: applied values count, the rest stays."""
    shape = shape_of(applied, schema)
    if shape is Shape.LEAF or not isinstance(live, Mapping | list) or not _fits(live, applied):
        return copy.deepcopy(applied)
    if shape is Shape.MAP:
        found = dict(live)
        for name, value in applied.items():
            if value is None:
                found.pop(name, None)
            elif name in found:
                found[name] = merged(found[name], value, field_schema(schema, name))
            else:
                found[name] = copy.deepcopy(value)
        return found
    return _merged_list(live, applied, schema, shape)


def _merged_list(live: Any, applied: Any, schema: Schema, shape: Shape) -> list[Any]:
    """Entries in the order applied; those that only the live list has keep their places between them."""
    items = resolved(schema).get("items", _NO_SCHEMA)
    before = {step: inner for step, inner, _ in children(live, schema, shape)}
    after = {step: inner for step, inner, _ in children(applied, schema, shape)}
    found: list[Any] = []
    waiting = list(before.items())
    for step, inner in after.items():
        if step in before:
            while waiting and waiting[0][0] != step and waiting[0][0] not in after:
                found.append(waiting.pop(0)[1])
            waiting = [each for each in waiting if each[0] != step]
            inner = merged(before[step], inner, items) if shape is Shape.KEYED_LIST else inner
        found.append(copy.deepcopy(inner))
    found.extend(inner for step, inner in waiting if step not in after)
    return found


def without(value: Any, paths: FieldSet, schema: Schema) -> Any:
    """The object without the fields at these paths; what becomes empty of them goes too."""
    return _without(value, {path for path in paths if path}, schema)


def _without(value: Any, paths: set[Path], schema: Schema) -> Any:
    shape = shape_of(value, schema)
    if shape is Shape.LEAF or not paths:
        return value
    kept: list[tuple[str, Any]] = []
    for step, inner, below in children(value, schema, shape):
        if (step,) in paths:
            continue
        deeper = {path[1:] for path in paths if path[0] == step}
        kept.append((step, _without(inner, deeper, below)))
    if shape is Shape.MAP:
        return {step[2:]: inner for step, inner in kept}
    return [inner for _, inner in kept]


def _mark(schema: Schema, name: str) -> Any:
    """A mark of the property itself, or of what it refers to."""
    return schema.get(name) or resolved(schema).get(name)


def _item_step(item: Mapping[str, Any], schema: Schema) -> str:
    keys = _mark(schema, "x-kubernetes-list-map-keys") or ()
    found = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return key_step({key: value for key, value in found.items() if value is not None})
