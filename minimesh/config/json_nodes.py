"""Plain JSON data as nodes of a document, so that what came as JSON is read by the same rules as YAML.

JSON has no places to tell: every node stands at line 1, column 1; findings name the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minimesh.config.diagnostics import Diagnostic
from minimesh.config.document import read_document
from minimesh.config.resources import Resource
from minimesh.config.yaml_nodes import Mark

_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True, eq=False)
class _Start:
    line: int = 0
    column: int = 0


_START = _Start()


@dataclass(slots=True)
class _JsonNode:
    id: str
    tag: str
    value: Any
    start_mark: Mark = _START


def read_json(document: Mapping[str, Any], file: str) -> tuple[tuple[Resource, ...], tuple[Diagnostic, ...]]:
    """The resources that a JSON document declares, and all findings. `file` is what findings call it."""
    resources: list[Resource] = []
    diagnostics: list[Diagnostic] = []
    read_document(node(document), file, 0, diagnostics, resources)
    return tuple(resources), tuple(diagnostics)


def node(value: Any) -> _JsonNode:
    """One JSON value as a node."""
    if isinstance(value, Mapping):
        return _JsonNode("mapping", f"{_TAG}map", [(node(str(key)), node(one)) for key, one in value.items()])
    if isinstance(value, list | tuple):
        return _JsonNode("sequence", f"{_TAG}seq", [node(one) for one in value])
    kind, text = _scalar(value)
    return _JsonNode("scalar", _TAG + kind, text)


def _scalar(value: Any) -> tuple[str, str]:
    if value is None:
        return "null", "null"
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return "int", str(value)
    if isinstance(value, float):
        return "float", repr(value)
    return "str", str(value)
