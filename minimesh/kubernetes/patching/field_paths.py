"""Sets of fields as `metadata.managedFields` writes them (FieldsV1), and paths as messages name them. Pure.

A path is a tuple of steps: `f:NAME` a field, `k:{...}` the entry of a list that has these keys, `v:VALUE` an
entry of a set. A set has a path as its member when the field itself is meant, not only what is inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Path = tuple[str, ...]
FieldSet = frozenset[Path]
EMPTY: FieldSet = frozenset()
_ITSELF = "."


def field_step(name: str) -> str:
    """The step to a field of a map."""
    return f"f:{name}"


def key_step(keys: Mapping[str, Any]) -> str:
    """The step to the entry of a list that is told from others by these keys."""
    return "k:" + json.dumps(keys, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def value_step(value: Any) -> str:
    """The step to an entry of a set."""
    return "v:" + json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def read_fields(tree: Mapping[str, Any]) -> FieldSet:
    """The set that a FieldsV1 tree says."""
    found: set[Path] = set()

    def walk(inner: Mapping[str, Any], path: Path) -> None:
        for step, below in inner.items():
            if step == _ITSELF:
                found.add(path)
            elif below:
                walk(below, (*path, step))
            else:
                found.add((*path, step))

    walk(tree, ())
    return frozenset(found)


def written_fields(fields: Iterable[Path]) -> dict[str, Any]:
    """The FieldsV1 tree of a set."""
    members = set(fields)
    tree: dict[str, Any] = {}
    for path in sorted(members):
        inner = tree
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
        inner.setdefault(path[-1], {})
    for path in members:
        inner = tree
        for step in path:
            inner = inner[step]
        if inner:
            inner[_ITSELF] = {}
    return _sorted(tree)


def _sorted(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {step: _sorted(tree[step]) for step in sorted(tree)}


def path_text(path: Path) -> str:
    """`.spec.template.spec.containers[name="web"].image`."""
    return "".join(map(_step_text, path))


def _step_text(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = json.loads(text)
    return f"[{','.join(f'{name}={json.dumps(value)}' for name, value in keys.items())}]"
