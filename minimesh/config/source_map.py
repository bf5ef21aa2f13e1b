"""Where each field of a document stands in its file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from minimesh.config.diagnostics import Location

PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$-]*").fullmatch


class Place(NamedTuple):
    """Where a field stands; from 1.

    `line` and `column` are of its name, for an item of a list of its first character; `value_line` and
    `value_column` of its value when that is a scalar, else the same as of the name.
    """

    line: int
    column: int
    value_line: int
    value_column: int


def join(path: str, key: str) -> str:
    """The path of a field below `path`: `spec` + `http` -> `spec.http`; odd keys go in brackets."""
    if PLAIN_KEY(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{key}]"


def parent(path: str) -> str:
    """The path of what encloses `path`: `a.b[0]` -> `a.b` -> `a` -> empty."""
    if path.endswith("]"):
        return path[: max(path.rfind("["), 0)]
    return path[: max(path.rfind("."), 0)]


@dataclass(frozen=True, slots=True)
class SourceMap:
    """The places of one document's fields. The empty path is the document itself."""

    file: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)

    def location(self, path: str = "") -> Location:
        """Where the field's name stands, or that of the nearest enclosing field that is written."""
        place = self._place(path)
        return Location(self.file, place.line, place.column)

    def value_location(self, path: str) -> Location:
        """Where a scalar field's value starts; else as `location`."""
        place = self._place(path)
        if path in self.places:
            return Location(self.file, place.value_line, place.value_column)
        return Location(self.file, place.line, place.column)

    def _place(self, path: str) -> Place:
        while path and path not in self.places:
            path = parent(path)
        return self.places.get(path) or Place(1, 1, 1, 1)
