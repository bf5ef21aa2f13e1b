"""Facts about protobuf messages as the oracles state them: {path, op, value}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

SYMBOLS = {"ISTIO_DEFAULT_RETRY_POLICY": 5}
"""Values that the oracles name instead of giving them."""


def check(subject: Any, fact: Mapping[str, Any]) -> None:
    """Assert one fact about a message or a list of messages."""
    expected = fact.get("value")
    if isinstance(expected, str):
        expected = SYMBOLS.get(expected, expected)
    steps = parse_path(fact["path"])
    holder, value = walk(subject, steps)
    match fact["op"]:
        case "eq":
            assert plain(holder, steps[-1], value) == expected
        case "len":
            assert len(value) == expected
        case "empty":
            assert len(value) == 0
        case "same_items":
            assert [as_json(item) for item in value] == expected
        case "present":
            assert holder.HasField(steps[-1])
        case "absent":
            assert not holder.HasField(steps[-1])
        case other:
            raise AssertionError(f"unknown op {other}")


def parse_path(path: str) -> list[str | int]:
    """`[0].route.hash_policy` -> [0, "route", "hash_policy"]."""
    return [int(i) if i else name for i, name in re.findall(r"\[(\d+)\]|(\w+)", path)]


def walk(subject: Any, steps: list[str | int]) -> tuple[Any, Any]:
    """(what holds the last step, the value there)."""
    holder, value = None, subject
    for step in steps:
        holder = value
        value = value[step] if isinstance(step, int) else getattr(value, step)
    return holder, value


def plain(holder: Any, step: str | int, value: Any) -> Any:
    """A value as JSON has it: enums by name, messages as objects, repeated fields as lists."""
    if isinstance(value, Message):
        return as_json(value)
    field = holder.DESCRIPTOR.fields_by_name[step] if isinstance(holder, Message) else None
    if field is not None and field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value if isinstance(value, str | int | float) else list(value)


def as_json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
