"""The OpenAPI schemas of the built-in kinds: the closure of what is served, out of `kubernetes-validate`.

Read when a client first asks for a schema or sends an object, and then kept; the definitions of kinds that
are not served are dropped.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from minimesh.kubernetes.resource_types import BUILT_IN

REFERENCE = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = _META + "ObjectMeta"
DELETE_OPTIONS = _META + "DeleteOptions"
_SCALARS: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "oneOf": [{"type": "string"}, {"type": "number"}],
    },
    _META + "Time": {"type": "string", "format": "date-time"},
    _META + "MicroTime": {"type": "string", "format": "date-time"},
}
"""Types that are one JSON value, as the API server publishes them."""


@functools.cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    """Schema by definition name, with references as OpenAPI 3 has them."""
    everything = _read()
    wanted = [OBJECT_META, DELETE_OPTIONS, *_roots(everything)]
    found: dict[str, Mapping[str, Any]] = {}
    while wanted:
        name = wanted.pop()
        if name in found or name not in everything:
            continue
        found[name] = _SCALARS.get(name) or _published(everything[name])
        wanted.extend(each.removeprefix(REFERENCE) for each in references(found[name]))
    return found


@functools.cache
def definition_names() -> Mapping[tuple[str, str, str], str]:
    """The name of a kind's definition, by group, version and kind."""
    return {
        (entry["group"], entry["version"], entry["kind"]): name
        for name, schema in definitions().items()
        for entry in schema.get("x-kubernetes-group-version-kind", ())
    }


def schema_of_kind(group: str, version: str, kind: str) -> Mapping[str, Any] | None:
    """The schema of a built-in kind, or None for what is not built in."""
    name = definition_names().get((group, version, kind))
    return definitions()[name] if name is not None else None


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference leads to; what is no reference is itself."""
    reference = reference_in(schema)
    return definitions()[reference] if reference else schema


def reference_in(schema: Mapping[str, Any]) -> str:
    """The name that a property's schema refers to, or empty; one with a description stands in allOf."""
    target = schema.get("$ref", "")
    if not target and "allOf" in schema:
        target = schema["allOf"][0].get("$ref", "")
    return str(target).removeprefix(REFERENCE)


def references(schema: Any) -> Iterator[str]:
    """All references inside a schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def _read() -> dict[str, Any]:
    package = resources.files("kubernetes_validate").joinpath("kubernetes-json-schema")
    folders = [each for each in package.iterdir() if each.name.endswith("-local")]
    newest = max(folders, key=lambda each: [int(part) for part in re.findall(r"\d+", each.name)])
    text = newest.joinpath("_definitions.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["$defs"]
    return found


def _roots(everything: Mapping[str, Any]) -> Iterator[str]:
    served = {
        (each.group, version, kind)
        for each in BUILT_IN
        for version in each.versions
        for kind in (each.kind, f"{each.kind}List")
    }
    for name, schema in everything.items():
        for entry in schema.get("x-kubernetes-group-version-kind", ()):
            if (entry["group"], entry["version"], entry["kind"]) in served:
                yield name


def _published(schema: Any) -> Any:
    """A schema of JSON Schema's dialect as the API server publishes it: one type, no null, our references."""
    if isinstance(schema, list):
        return [_published(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _published(value) for key, value in schema.items()}
    kind = found.get("type")
    if isinstance(kind, list) and "null" in kind:
        found["type"] = next(each for each in kind if each != "null")
    reference = found.get("$ref")
    if isinstance(reference, str):
        found["$ref"] = REFERENCE + reference.removeprefix("#/$defs/")
        if len(found) > 1:
            found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found
