"""The schemas of Istio's kinds as OpenAPI v3 has them, made of the message classes.

What `kubectl explain` shows and what CRDs publish. Rules between fields are code here and CEL in Istio's own
CRDs; of them only the messages are told, in descriptions.
"""

from __future__ import annotations

import functools
import inspect
from datetime import timedelta
from typing import Any

from minimesh.config.kinds import DECODED
from minimesh.config.schema import (
    ALSO_SPELLED,
    FieldType,
    IntOrString,
    Length,
    Message,
    Pattern,
    Rule,
    schema_of,
)

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number", "format": "double"},
    bytes: {"type": "string", "format": "byte"},
    timedelta: {"type": "string"},
    object: _ANYTHING,
}
_LENGTHS = {"list": ("minItems", "maxItems"), "map": ("minProperties", "maxProperties")}


@functools.cache
def published_schema(api_version: str, kind: str) -> dict[str, Any] | None:
    """The schema of a whole object of the kind, with spec and status; None for what is not Istio's."""
    known = DECODED.get((api_version, kind))
    if known is None or not known.is_crd:
        return None
    spec = message_schema(known.spec_class)
    return {
        "type": "object",
        "description": _first_lines(known.spec_class),
        "properties": {"spec": spec, "status": _ANYTHING},
        **({"required": ["spec"]} if schema_of(known.spec_class).required else {}),
    }


def message_schema(cls: type[Message]) -> dict[str, Any]:
    """The schema of one message class; its docstring is the description. Made once."""
    found = _MESSAGES.get(cls)
    if found is None:
        found = _MESSAGES[cls] = _message_schema(cls)
    return found


_MESSAGES: dict[type[Message], dict[str, Any]] = {}


def _message_schema(cls: type[Message]) -> dict[str, Any]:
    schema = schema_of(cls)
    properties = {name: _typed(field.type) for name, field in schema.fields.items()}
    for other, name in ALSO_SPELLED.items():
        if name in properties:
            properties[other] = properties[name]
    required = [field.name for field in schema.required]
    return {
        "type": "object",
        "description": _described(_first_lines(cls), [each.message for each in cls.schema_rules]),
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _typed(type_: FieldType) -> dict[str, Any]:
    if type_.shape == "list":
        assert type_.element is not None
        found: dict[str, Any] = {"type": "array", "items": _typed(type_.element)}
    elif type_.shape == "map":
        assert type_.element is not None
        found = {"type": "object", "additionalProperties": _typed(type_.element)}
    else:
        found = _scalar(type_)
    return _limited(found, type_)


def _scalar(type_: FieldType) -> dict[str, Any]:
    if type_.is_message:
        return dict(message_schema(type_.python))
    if type_.is_enum:
        words = [each.value for each in type_.python]
        return {"type": "string", "enum": words, "description": _first_lines(type_.python)}
    if type_.python == IntOrString:
        return {"x-kubernetes-int-or-string": True}
    found = dict(_SCALARS[type_.python])
    if type_.one_of:
        found["enum"] = list(type_.one_of)
    if type_.number_range is not None:
        bounds = {"minimum": type_.number_range.minimum, "maximum": type_.number_range.maximum}
        found |= {word: bound for word, bound in bounds.items() if abs(bound) != float("inf")}
    return found


def _limited(found: dict[str, Any], type_: FieldType) -> dict[str, Any]:
    """The schema with what the marks beside the type say."""
    least, most = _LENGTHS.get(type_.shape, ("minLength", "maxLength"))
    for limit in type_.limits:
        if isinstance(limit, Length):
            if limit.minimum:
                found[least] = limit.minimum
            if limit.maximum is not None:
                found[most] = limit.maximum
        elif isinstance(limit, Pattern):
            found["pattern"] = limit.expression
    rules = [each.message for each in type_.limits if isinstance(each, Rule)]
    text = _described(str(found.get("description", "")), rules)
    return {**found, "description": text} if text else found


def _described(text: str, rules: list[str]) -> str:
    return " ".join([*([text] if text else []), *(f"Rule: {each}." for each in rules)])


def _first_lines(cls: type[Any]) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())
