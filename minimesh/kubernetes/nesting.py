"""How deep an object may be nested: what is deeper would exhaust the stack of all who walk it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimesh.config.yaml_nodes import MAX_DEPTH
from minimesh.kubernetes.api_errors import bad_request


def refuse_deep(value: Any) -> None:
    """ApiError (400) for a JSON value that is nested more than `MAX_DEPTH` levels deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise bad_request(f"the object is nested more than {MAX_DEPTH} levels deep")


def _inside(value: Any) -> list[Any]:
    found = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [each for each in found if isinstance(each, Mapping | list)]
