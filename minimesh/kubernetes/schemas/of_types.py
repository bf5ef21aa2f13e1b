"""The schema of each served type: published with Kubernetes, made of Istio's message classes, or a CRD's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minimesh.config.published_schema import published_schema
from minimesh.config.resources import ResourceKey
from minimesh.config.store import Store
from minimesh.kubernetes.resource_types import CRD_KIND, ResourceType
from minimesh.kubernetes.schemas.published import OBJECT_META, REFERENCE, schema_of_kind

Schema = Mapping[str, Any]
CustomSchemas = Callable[[ResourceType, str], Schema | None]
"""The schema of a custom type in a version; None when nobody wrote one."""


class TypeSchemas:
    """Schemas by type and version, as the store's CRDs have them now."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, type_: ResourceType, version: str) -> Schema:
        """The schema of a whole object; where nobody wrote one, of one that may hold anything."""
        if not type_.custom:
            return schema_of_kind(type_.group, version, type_.kind) or {}
        return with_metadata(self.custom(type_, version) or {})

    def custom(self, type_: ResourceType, version: str) -> Schema | None:
        """The schema that the CRD of a custom type has for a version; None when it has none."""
        if type_.is_decoded:
            return published_schema(type_.api_version(version), type_.kind)
        key = ResourceKey(CRD_KIND, "", f"{type_.plural}.{type_.group}")
        definition = self._store.snapshot().get(key)
        versions = definition.raw.get("spec", {}).get("versions", ()) if definition is not None else ()
        for each in versions:
            if each.get("name") == version:
                found: Schema | None = (each.get("schema") or {}).get("openAPIV3Schema")
                return found
        return None


def with_metadata(schema: Schema) -> dict[str, Any]:
    """A CRD's schema with what every object has, of which a CRD says nothing."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    given = dict(schema or {"type": "object", "properties": {"spec": anything, "status": anything}})
    metadata = {"allOf": [{"$ref": REFERENCE + OBJECT_META}], "description": "Standard object's metadata."}
    properties = {
        "apiVersion": {"type": "string", "description": "Which version of the API the object is written in."},
        "kind": {"type": "string", "description": "Which kind of object this is."},
        **given.get("properties", {}),
        "metadata": metadata,
    }
    return {**given, "type": "object", "properties": properties}
