"""Strategic merge patch: a merge patch that merges lists by key, as the schema of the kind says. Pure.

Directives: `$patch: delete|replace|merge` in a map, `$deleteFromPrimitiveList/FIELD`,
`$setElementOrder/FIELD` and `$retainKeys`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from minimesh.kubernetes.patching.json_patches import PatchError
from minimesh.kubernetes.schemas.published import resolved

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
Schema = Mapping[str, Any]
_NO_SCHEMA: Schema = {}


def strategic_merge(target: Any, patch: Any, schema: Schema) -> Any:
    """Apply a strategic merge patch to an object of the schema. PatchError when a directive does not fit."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    return _merge_map(target if isinstance(target, Mapping) else {}, patch, schema)


def _merge_map(target: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    found = dict(target)
    if "$retainKeys" in patch:
        kept = set(patch["$retainKeys"])
        found = {key: value for key, value in found.items() if key in kept}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            found[name] = [each for each in found.get(name) or [] if each not in value]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        field = _field(schema, key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            before = found.get(key)
            found[key] = _merge_map(before if isinstance(before, Mapping) else {}, value, resolved(field))
        elif isinstance(value, list):
            found[key] = _merge_list(found.get(key) or [], value, field)
        else:
            found[key] = value
    for key, value in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            if isinstance(found.get(name), list):
                found[name] = _ordered(found[name], value, _field(schema, name))
    return found


def _field(schema: Schema, name: str) -> Schema:
    properties = schema.get("properties", {})
    found: Schema = properties.get(name) or schema.get("additionalProperties") or _NO_SCHEMA
    return found if isinstance(found, Mapping) else _NO_SCHEMA


def _merge_list(target: list[Any], patch: list[Any], field: Schema) -> list[Any]:
    if "merge" not in str(field.get("x-kubernetes-patch-strategy", "")).split(","):
        return [_without_directives(each) for each in patch]
    key = field.get("x-kubernetes-patch-merge-key")
    if key is None:
        return [*target, *(each for each in patch if each not in target)]
    if any(each.get("$patch") == "replace" for each in patch if isinstance(each, Mapping)):
        return [copy.deepcopy(each) for each in patch if each.get("$patch") != "replace"]
    item_schema = resolved(field.get("items", _NO_SCHEMA))
    found = list(target)
    for each in patch:
        if not isinstance(each, Mapping) or key not in each:
            raise PatchError(f"map: {each} does not contain declared merge key: {key}")
        at = next((i for i, one in enumerate(found) if _same_item(one, each, key)), None)
        if each.get("$patch") == "delete":
            found = [one for one in found if one.get(key) != each[key]]
        elif at is None:
            found.append(_merge_map({}, each, item_schema))
        else:
            found[at] = _merge_map(found[at], each, item_schema)
    return found


def _same_item(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> bool:
    return bool(one.get(key) == other[key])


def _ordered(items: list[Any], order: list[Any], field: Schema) -> list[Any]:
    """The items in the order that the patch asks for; those it does not name keep their places behind."""
    key = field.get("x-kubernetes-patch-merge-key")
    wanted = [each.get(key) if isinstance(each, Mapping) else each for each in order]

    def rank(item: Any) -> int:
        name = item.get(key) if isinstance(item, Mapping) else item
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(items, key=rank)


def _without_directives(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_directives(each) for key, each in value.items() if not key.startswith("$")}
    if isinstance(value, list):
        return [_without_directives(each) for each in value]
    return value
