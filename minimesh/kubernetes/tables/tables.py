"""Lists as tables, with the columns and cells that the API server prints for `kubectl get`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.resource_types import AGE, PrinterColumn, ResourceType
from minimesh.kubernetes.tables import printers
from minimesh.kubernetes.tables.ages import age


def wants_table(accept: str) -> bool:
    """Whether the Accept header asks for a table before anything else."""
    return "as=Table" in accept.split(",")[0]


def table(
    type_: ResourceType,
    objects: Iterable[Object],
    now: datetime,
    *,
    metadata: Mapping[str, Any],
    include: str = "Metadata",
    columns: bool = True,
) -> Object:
    """A `Table` of the objects; `include` is None, Metadata or Object: what a row carries."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": _definitions(type_) if columns else None,
        "rows": [_row(type_, each, now, include) for each in objects],
    }


def _definitions(type_: ResourceType) -> list[dict[str, Any]]:
    columns = printers.COLUMNS.get(type_.kind) if not type_.custom else None
    if columns is None:
        custom = type_.columns or (AGE,)
        columns = tuple(printers.Column(each.name, each.priority, each.type) for each in custom)
    if type_.kind != "Event":
        columns = (printers.Column("Name"), *columns)
    return [
        {
            "name": each.name,
            "type": each.type,
            "format": "name" if each.name == "Name" else "",
            "description": "",
            "priority": each.priority,
        }
        for each in columns
    ]


def _row(type_: ResourceType, shown: Object, now: datetime, include: str) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": _cells(type_, shown, now)}
    if include == "Object":
        row["object"] = shown
    elif include == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": shown["metadata"],
        }
    return row


def _cells(type_: ResourceType, shown: Object, now: datetime) -> list[Any]:
    name = shown["metadata"].get("name", "")
    printer = None if type_.custom else printers.PRINTERS.get(type_.kind)
    if printer is not None:
        cells = printer(shown, now)
        return list(cells) if type_.kind == "Event" else [name, *cells]
    return [name, *(_custom_cell(each, shown, now) for each in type_.columns or (AGE,))]


def _custom_cell(column: PrinterColumn, shown: Object, now: datetime) -> Any:
    found = _at_json_path(shown, column.json_path)
    if found is None:
        return None
    if column.type == "date":
        return age(str(found), now)
    if column.type in ("integer", "number") and isinstance(found, int | float):
        return found
    if isinstance(found, str):
        return found
    return json.dumps(found, separators=(",", ":"))


_CONDITION = re.compile(r"\[\?\(@\.(\w+)\s*==\s*['\"]([^'\"]*)['\"]\)\]")


def _at_json_path(shown: Object, path: str) -> Any:
    """The first value at a simple JSON path: names, indexes, and `[?(@.type=="Ready")]`."""
    values: Sequence[Any] = [shown]
    for step in re.findall(r"\.?(?:[\w-]+(?:\\\.[\w-]+)*|\[[^\]]*\])", path):
        condition = _CONDITION.fullmatch(step)
        found: list[Any] = []
        for value in values:
            if condition is not None and isinstance(value, list):
                found += [each for each in value if str(each.get(condition[1])) == condition[2]]
            elif step.startswith("[") and isinstance(value, list):
                index = step.strip("[]")
                found += value if index == "*" else value[int(index) : int(index) + 1]
            elif isinstance(value, Mapping):
                name = step.lstrip(".").strip("[]'\"").replace("\\.", ".")
                found += [value[name]] if value.get(name) is not None else []
        values = found
    return values[0] if values else None
