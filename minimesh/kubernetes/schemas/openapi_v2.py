"""The OpenAPI 2 document as protobuf: what kubectl before 1.24 checks manifests against and explains from.

Such a kubectl asks for no other format. The numbers of the fields are those of gnostic's `OpenAPIv2.proto`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from minimesh.kubernetes.resource_types import ResourceType, ResourceTypes
from minimesh.kubernetes.schemas.of_types import CustomSchemas
from minimesh.kubernetes.schemas.openapi import schemas_of
from minimesh.kubernetes.schemas.published import REFERENCE

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
Schema = Mapping[str, Any]
_DEFINITIONS = "#/definitions/"
_KINDS = "x-kubernetes-group-version-kind"

# Document
_SWAGGER, _INFO, _PATHS, _ALL_DEFINITIONS = 1, 2, 8, 9
# NamedSchema, NamedPathItem, NamedAny
_NAME, _VALUE = 1, 2
# Schema
_REF, _FORMAT, _DESCRIPTION, _REQUIRED = 1, 2, 4, 19
_ADDITIONAL, _TYPE, _ITEMS, _PROPERTIES, _EXTENSION = 21, 22, 23, 25, 31


def document(types: ResourceTypes, custom: CustomSchemas) -> bytes:
    """The document of everything that is served."""
    definitions: dict[str, Schema] = {}
    paths: list[bytes] = []
    for group, version in types.group_versions():
        served = types.in_version(group, version)
        _, found = schemas_of(served, version, custom)
        definitions |= found
        paths += [_path(each, version) for each in served]
    return b"".join(
        (
            _text(_SWAGGER, "2.0"),
            _field(_INFO, _text(1, "Kubernetes") + _text(2, "v1.37.0")),
            _field(_PATHS, b"".join(_field(2, each) for each in paths)),
            _field(_ALL_DEFINITIONS, _named_schemas(definitions.items())),
        )
    )


def _path(type_: ResourceType, version: str) -> bytes:
    """A path whose PATCH takes `dryRun`: by this kubectl knows that it may ask for a dry run."""
    root = f"/apis/{type_.group}/{version}" if type_.group else f"/api/{version}"
    scope = "/namespaces/{namespace}" if type_.namespaced else ""
    query = _text(2, "query") + _text(4, "dryRun") + _text(6, "string")
    parameter = _field(1, _field(2, _field(3, query)))
    kind = {"group": type_.group, "version": version, "kind": type_.kind}
    operation = _field(8, parameter) + _field(13, _extension(_KINDS, kind))
    return _text(_NAME, f"{root}{scope}/{type_.plural}/{{name}}") + _field(_VALUE, _field(8, operation))


def _named_schemas(schemas: Iterable[tuple[str, Schema]]) -> bytes:
    named = (_text(_NAME, name) + _field(_VALUE, _schema(schema)) for name, schema in schemas)
    return b"".join(_field(1, each) for each in named)


def _schema(schema: Schema) -> bytes:
    found = [_text(_DESCRIPTION, str(schema["description"]))] if schema.get("description") else []
    reference = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", ())), "")
    if reference:
        found.append(_text(_REF, _DEFINITIONS + reference.removeprefix(REFERENCE)))
    kind = schema.get("type") or ("string" if _is_scalar_choice(schema) else "")
    if kind:
        found.append(_field(_TYPE, _text(1, kind)))
    if schema.get("format"):
        found.append(_text(_FORMAT, schema["format"]))
    found += [_text(_REQUIRED, each) for each in schema.get("required", ())]
    if isinstance(schema.get("items"), Mapping):
        found.append(_field(_ITEMS, _field(1, _schema(schema["items"]))))
    if isinstance(schema.get("additionalProperties"), Mapping):
        found.append(_field(_ADDITIONAL, _field(1, _schema(schema["additionalProperties"]))))
    if schema.get("properties"):
        found.append(_field(_PROPERTIES, _named_schemas(schema["properties"].items())))
    found += [
        _field(_EXTENSION, _extension(name, value)) for name, value in schema.items() if name[:2] == "x-"
    ]
    return b"".join(found)


def _is_scalar_choice(schema: Schema) -> bool:
    """A number or a string: OpenAPI 2 has no word for it, and Kubernetes calls it a string."""
    return "oneOf" in schema or bool(schema.get("x-kubernetes-int-or-string"))


def _extension(name: str, value: Any) -> bytes:
    return _text(_NAME, name) + _field(_VALUE, _text(2, json.dumps(value)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
