"""Objects against the structural schemas of CRDs: values that do not fit, in the API server's words. Pure.

Rules in CEL (`x-kubernetes-validations`) are not evaluated; `has_cel_rules` tells where there are some.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from minimesh.kubernetes.schemas.published import resolved

Schema = Mapping[str, Any]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (Mapping,),
}


class Cause(NamedTuple):
    """What is wrong with one field, as a cause of a `Status`."""

    reason: str
    message: str
    field: str


def violations(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    """All that does not fit; a value of the wrong type is not looked into."""
    schema = resolved(schema)
    if value is None and schema.get("nullable"):
        return
    kind = _type_of(schema)
    if kind and not _is_of_type(value, kind):
        shown = json.dumps(_json_type(value))
        yield Cause(
            "FieldValueTypeInvalid",
            f"Invalid value: {shown}: {path} in body must be of type {kind}: {shown}",
            path,
        )
        return
    yield from _wrong_word(value, schema, path)
    if isinstance(value, str):
        yield from _wrong_text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _wrong_number(value, schema, path)
    elif isinstance(value, list):
        yield from _wrong_list(value, schema, path)
    elif isinstance(value, Mapping):
        yield from _wrong_map(value, schema, path)
    yield from _wrong_choice(value, schema, path)


def defaulted(value: Any, schema: Schema) -> Any:
    """The value with the schema's defaults where it is silent."""
    schema = resolved(schema)
    if isinstance(value, list):
        return [defaulted(each, schema.get("items", {})) for each in value]
    if not isinstance(value, Mapping):
        return value
    properties = schema.get("properties") or {}
    missing = {
        name: copy.deepcopy(inner["default"])
        for name, inner in properties.items()
        if name not in value and "default" in inner
    }
    others = schema.get("additionalProperties")
    return {
        name: defaulted(inner, properties.get(name) or (others if isinstance(others, Mapping) else {}))
        for name, inner in {**value, **missing}.items()
    }


def has_cel_rules(schema: Any) -> bool:
    """Whether a rule in CEL stands anywhere in the schema."""
    if isinstance(schema, Mapping):
        return "x-kubernetes-validations" in schema or any(map(has_cel_rules, schema.values()))
    return isinstance(schema, list) and any(map(has_cel_rules, schema))


def _type_of(schema: Schema) -> str:
    return "" if schema.get("x-kubernetes-int-or-string") else str(schema.get("type", ""))


def _is_of_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    return next(kind for kind in _TYPES if _is_of_type(value, kind))


def _wrong_word(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    words = schema.get("enum")
    if words is not None and value not in words:
        listed = ", ".join(json.dumps(each) for each in words)
        message = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
        yield Cause("FieldValueNotSupported", message, path)


def _wrong_text(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    most, least, pattern = (schema.get(word) for word in ("maxLength", "minLength", "pattern"))
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {most} bytes", path)
    if least is not None and len(value) < least:
        yield _invalid(value, f"{path} in body should be at least {least} chars long", path)
    if pattern is not None and not _matches(pattern, value):
        yield _invalid(value, f"{path} in body should match '{pattern}'", path)


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # an expression that only Go's engine knows refuses nothing


def _wrong_number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    least, most, step = (schema.get(word) for word in ("minimum", "maximum", "multipleOf"))
    strictly_more, strictly_less = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is not None and (value < least or (strictly_more and value == least)):
        words = "greater than" if strictly_more else "greater than or equal to"
        yield _invalid(value, f"{path} in body should be {words} {least}", path)
    if most is not None and (value > most or (strictly_less and value == most)):
        words = "less than" if strictly_less else "less than or equal to"
        yield _invalid(value, f"{path} in body should be {words} {most}", path)
    if step and value % step:
        yield _invalid(value, f"{path} in body should be a multiple of {step}", path)


def _wrong_count(count: int, least: int | None, most: int | None, noun: str, path: str) -> Iterator[Cause]:
    if most is not None and count > most:
        yield Cause("FieldValueTooMany", f"Too many: {count}: must have at most {most} items", path)
    if least is not None and count < least:
        yield _invalid(count, f"{path} in body should have at least {least} {noun}", path)


def _wrong_list(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    yield from _wrong_count(len(value), schema.get("minItems"), schema.get("maxItems"), "items", path)
    for number, each in enumerate(value):
        yield from violations(each, schema.get("items", {}), f"{path}[{number}]")


def _wrong_map(value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    yield from _wrong_count(len(value), least, most, "properties", path)
    for name in schema.get("required", ()):
        if name not in value:
            yield Cause("FieldValueRequired", "Required value", f"{path}.{name}" if path else name)
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, each in value.items():
        inner = properties.get(name, others)
        silent = each is None and name in properties and name not in schema.get("required", ())
        if isinstance(inner, Mapping) and not silent:
            yield from violations(each, inner, f"{path}.{name}" if path else name)


def _wrong_choice(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    """What `oneOf`, `anyOf`, `allOf` and `not` say beside the types."""
    for word, amount in (("oneOf", "one and only one schema"), ("anyOf", "at least one schema")):
        choices = schema.get(word)
        if not choices:
            continue
        fitting = sum(not any(violations(value, each, path)) for each in choices)
        if fitting == 0 or (word == "oneOf" and fitting > 1):
            found = f" Found {fitting or 'none'} valid" if word == "oneOf" else ""
            dot = "." if found else ""
            yield _invalid(value, f'"{path}" must validate {amount} ({word}){dot}{found}', path)
    for each in schema.get("allOf", ()):
        if "$ref" not in each:
            yield from violations(value, each, path)
    if "not" in schema and not any(violations(value, schema["not"], path)):
        yield _invalid(value, f'"{path}" must not validate the schema (not)', path)


def _invalid(value: Any, why: str, path: str) -> Cause:
    shown = json.dumps(value) if not isinstance(value, Mapping | list) else json.dumps(_json_type(value))
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", path)
