"""The OpenAPI 3 documents: what `kubectl explain` shows and what kubectl checks manifests against.

One document a group and version. A kind from a CRD has the CRD's own schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from minimesh.kubernetes.resource_types import ResourceType, ResourceTypes
from minimesh.kubernetes.schemas.of_types import CustomSchemas, with_metadata
from minimesh.kubernetes.schemas.published import (
    DELETE_OPTIONS,
    OBJECT_META,
    REFERENCE,
    definition_names,
    definitions,
    references,
)

_FIELD_VALIDATION = {
    "name": "fieldValidation",
    "in": "query",
    "description": "What to do about unknown and repeated fields: Ignore, Warn or Strict.",
    "schema": {"type": "string", "uniqueItems": True},
}
_DRY_RUN = {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def index(types: ResourceTypes, prefix: str) -> dict[str, Any]:
    """The answer of `/openapi/v3`; `prefix` is the secret path that stands before everything."""
    paths = {}
    for group, version in types.group_versions():
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        # The hash tells a client whether what it has cached is still right.
        served = ",".join(each.plural for each in types.in_version(group, version))
        digest = hashlib.sha256(served.encode()).hexdigest()[:32]
        paths[path] = {"serverRelativeURL": f"{prefix}/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(types: ResourceTypes, group: str, version: str, custom: CustomSchemas) -> bytes | None:
    """The document of one group and version as JSON, or None when it is not served."""
    served = types.in_version(group, version)
    if not served:
        return None
    roots, wanted = schemas_of(served, version, custom)
    paths: dict[str, Any] = {}
    for each in served:
        paths |= _paths(each, version, roots[each.plural])
    whole = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": paths,
        "components": {"schemas": wanted},
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def schemas_of(
    served: Iterable[ResourceType], version: str, custom: CustomSchemas
) -> tuple[dict[str, str], dict[str, Any]]:
    """The name of each type's schema by its plural, and these schemas with all that they refer to."""
    roots: dict[str, str] = {}
    own: dict[str, Any] = {}
    for each in served:
        name = definition_names().get((each.group, version, each.kind))
        if name is None:
            name = _custom_name(each, version)
            own[name] = _custom_schema(each, version, custom(each, version))
        roots[each.plural] = name
    return roots, {**own, **_closure([*roots.values(), OBJECT_META, DELETE_OPTIONS], own)}


def _closure(names: Iterable[str], own: Mapping[str, Any]) -> dict[str, Any]:
    known = definitions()
    found: dict[str, Any] = {}
    wanted = list(names)
    for schema in own.values():
        wanted.extend(each.removeprefix(REFERENCE) for each in references(schema))
    while wanted:
        name = wanted.pop()
        if name in found or name not in known:
            continue
        found[name] = known[name]
        wanted.extend(each.removeprefix(REFERENCE) for each in references(known[name]))
    return found


def _custom_name(type_: ResourceType, version: str) -> str:
    return ".".join([*reversed(type_.group.split(".")), version, type_.kind])


def _custom_schema(type_: ResourceType, version: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    gvk = {"group": type_.group, "version": version, "kind": type_.kind}
    return {**with_metadata(schema or {}), "x-kubernetes-group-version-kind": [gvk]}


def _paths(type_: ResourceType, version: str, schema: str) -> dict[str, Any]:
    root = f"/apis/{type_.group}/{version}" if type_.group else f"/api/{version}"
    scope = "/namespaces/{namespace}" if type_.namespaced else ""
    gvk = {"group": type_.group, "version": version, "kind": type_.kind}
    content = {"application/json": {"schema": {"$ref": REFERENCE + schema}}}

    def operation(action: str, *, body: bool) -> dict[str, Any]:
        found: dict[str, Any] = {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "responses": {"200": {"description": "OK", "content": content}},
        }
        if body:
            found["parameters"] = [_DRY_RUN, _FIELD_VALIDATION]
            found["requestBody"] = {"content": _patch_content(type_) if action == "patch" else content}
        return found

    return {
        f"{root}{scope}/{type_.plural}": {
            "get": operation("list", body=False),
            "post": operation("post", body=True),
        },
        f"{root}{scope}/{type_.plural}/{{name}}": {
            "get": operation("get", body=False),
            "put": operation("put", body=True),
            "patch": operation("patch", body=True),
            "delete": operation("delete", body=False),
        },
    }


def _patch_content(type_: ResourceType) -> dict[str, Any]:
    """The media types of patches; kubectl chooses by what stands here."""
    strategic = () if type_.custom else ("application/strategic-merge-patch+json",)
    media_types = (
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
        *strategic,
    )
    return {media_type: {"schema": {"type": "object"}} for media_type in media_types}
