"""Unknown and mistyped fields of an object, found by walking it beside its schema. Pure.

The words are the API server's: it decodes into Go structs, and says what these do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.kubernetes.schemas.published import reference_in, resolved

Schema = Mapping[str, Any]
_GO_NUMBERS = {"int32": "int32", "int64": "int64", "double": "float64"}
_GO_INTEGERS = {"int32": range(-(1 << 31), 1 << 31), "int64": range(-(1 << 63), 1 << 63)}


def unknown_fields(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """The paths of fields that the schema does not have, such as `spec.template.spec.containers[0].imag`."""
    schema = resolved(schema)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from unknown_fields(each, schema.get("items", {}), f"{path}[{number}]")
    if not isinstance(value, Mapping):
        return
    properties = schema.get("properties")
    others = schema.get("additionalProperties")
    for key, each in value.items():
        inner = f"{path}.{key}" if path else key
        if properties is not None and key in properties:
            yield from unknown_fields(each, properties[key], inner)
        elif isinstance(others, Mapping):
            yield from unknown_fields(each, others, inner)
        elif properties is not None and others is None:
            yield inner


def pruned(value: Any, schema: Schema) -> Any:
    """The value without the fields that the schema does not have."""
    schema = resolved(schema)
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    if isinstance(value, list):
        return [pruned(each, schema.get("items", {})) for each in value]
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    if not isinstance(value, Mapping) or (properties is None and others is None):
        return value
    known = {key: (properties or {}).get(key, others) for key in value}
    return {key: pruned(value[key], inner) for key, inner in known.items() if isinstance(inner, Mapping)}


def mistyped(value: Any, schema: Schema, kind: str) -> str | None:
    """The first field whose JSON type is wrong, as Go's decoder says it; None when all fit."""
    return next(_mistyped(value, schema, kind, ""), None)


def _mistyped(value: Any, schema: Schema, struct: str, path: str) -> Iterator[str]:
    name = reference_in(schema)
    if name:
        struct = name.rpartition(".")[2]
        schema = resolved(schema)
    expected = schema.get("type")
    if value is None:
        return
    wrong = _mismatch(value, expected, schema)
    if wrong:
        given = f"number {value}" if wrong in _GO_INTEGERS and _is_integer(value) else _json_kind(value)
        yield f"json: cannot unmarshal {given} into Go struct field {struct}.{path} of type {wrong}"
        return
    if isinstance(value, Mapping):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, each in value.items():
            inner = properties.get(key, others)
            if isinstance(inner, Mapping):
                yield from _mistyped(each, inner, struct, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            yield from _mistyped(each, schema.get("items", {}), struct, path)


def _mismatch(value: Any, expected: Any, schema: Schema) -> str:
    """The Go type that was expected, or empty when the value fits."""
    if expected == "string":
        return "" if isinstance(value, str) else "string"
    if expected == "boolean":
        return "" if isinstance(value, bool) else "bool"
    if expected == "integer":
        wanted = _GO_NUMBERS.get(str(schema.get("format")), "int64")
        fits = _is_integer(value) and value in _GO_INTEGERS.get(wanted, _GO_INTEGERS["int64"])
        return "" if fits else wanted
    if expected == "array":
        return "" if isinstance(value, list) else f"[]{_item_name(schema)}"
    if expected == "object" and "additionalProperties" in schema:
        return "" if isinstance(value, Mapping) else "map[string]string"
    if expected == "object":
        return "" if isinstance(value, Mapping) else "object"
    return ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _item_name(schema: Schema) -> str:
    items = schema.get("items", {})
    name = reference_in(items).rpartition(".")[2]
    return f"v1.{name}" if name else str(items.get("type", "string"))


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
