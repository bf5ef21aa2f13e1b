"""Typed resources back to what JSON can say: the inverse of `document`, by the same schemas.

What is written is what the API would show: attributes under their API names, bytes as base64, durations in
seconds; what is unset is left out. Decoding the outcome gives an equal resource.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from minimesh.config.kinds import DECODED, written_kind
from minimesh.config.resources import Resource
from minimesh.config.schema import FieldSchema, Message, schema_of


def encoded_resource(resource: Resource) -> dict[str, Any]:
    """The whole object as plain data: apiVersion, kind, metadata, its content, and its status."""
    document: dict[str, Any] = {
        "apiVersion": resource.api_version,
        "kind": written_kind(resource.kind),
        "metadata": encoded(resource.metadata),
    }
    content = encoded(resource.spec)
    known = DECODED.get((resource.api_version, written_kind(resource.kind)))
    if (known is not None and not known.has_spec) or resource.kind in _WITHOUT_SPEC:
        document.update(content)
    elif content is not None:
        document["spec"] = content
    if resource.status is not None:
        document["status"] = encoded(resource.status)
    return document


_WITHOUT_SPEC = frozenset({"Endpoints", "EndpointSlice", "Event"})
"""Kinds that controllers make and no file declares, whose own top-level fields are their content."""


def encoded(value: Any) -> Any:
    """One value as JSON has it."""
    if isinstance(value, Message):
        return _fields(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, timedelta):
        return _seconds(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {key: encoded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(inner) for inner in value]
    return value


def _fields(message: Message) -> dict[str, Any]:
    schema = schema_of(type(message))
    values = ((field, getattr(message, field.attribute)) for field in schema.fields.values())
    return {field.name: encoded(value) for field, value in values if not _is_unset(value, field)}


def _is_unset(value: Any, field: FieldSchema) -> bool:
    """None, or an empty list or map, or an empty string where None does not say "not given".

    Zero and false are values, and so is an empty message.
    """
    if value is None:
        return True
    if value == "":
        return not field.type.nullable
    return isinstance(value, str | bytes | list | tuple | Mapping) and not value


def _seconds(value: timedelta) -> str:
    whole, micros = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    return f"{'-' if value < timedelta() else ''}{whole}{fraction}s"
