"""An effect: a field with a value that makes a difference, and what must stand beside it.

`[]` in a path stands for the one item of a list, `*` for the one entry `x-a` of a map.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """A field with a value, what is given beside it, and the documents that it all stands among."""

    kind: str
    path: str
    value: Any
    given: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, kind: str, path: str, entry: Any, default: Mapping[str, Any], documents: tuple[str, ...]
    ) -> Effect:
        """The effect of one entry of a `Table`; what is given by `default` unless the entry says it."""
        if isinstance(entry, With):
            return cls(kind, path, entry.value, entry.given, documents)
        return cls(kind, path, entry, default, documents)

    @property
    def id(self) -> str:
        return f"{self.kind}.{self.path}"

    def spec(self, *, with_field: bool) -> dict[str, Any]:
        """The object's `spec`, with the field or without it."""
        spec: dict[str, Any] = {}
        for path, value in self.given.items():
            put(spec, path, value)
        if with_field:
            put(spec, self.path, self.value)
        return spec


def put(spec: dict[str, Any], path: str, value: Any) -> None:
    """Set the field at `spec.a.b[].*.c`, making what encloses it; on what is there already it wins."""
    steps = re.findall(r"[^.\[\]]+|\[\]", path)[1:]
    holder: Any = spec
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        key: Any = 0 if step == "[]" else ("x-a" if step == "*" else step)
        if after is None:
            holder[key] = copy.deepcopy(value)
            return
        empty: Any = [{}] if after == "[]" else {}
        if isinstance(holder, list):
            holder = holder[0]
            continue
        holder = holder.setdefault(key, empty)
    # A path that ends in `[]` names a list of messages, whose one item is the value.
    holder[0] = copy.deepcopy(value)


Table = Mapping[str, Any]
"""Path -> a value, or `given(value, what else)`."""


@dataclass(frozen=True, slots=True)
class With:
    value: Any
    given: Mapping[str, Any]


def given(value: Any, given_: Mapping[str, Any]) -> With:
    return With(value, given_)
