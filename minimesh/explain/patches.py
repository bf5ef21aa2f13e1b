"""Changes that would mend a request, as YAML that `kubectl apply` or an editor takes, and what they come to.

A patch is one or more documents with kind and name, and only the fields that change. Maps are merged into
what there is, lists and all else stand in place of it, as in a JSON merge patch; an object that is not there
is made.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import yaml

from minimesh.config.encoding import encoded_resource

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


def document_of(resource: Resource) -> dict[str, Any]:
    """The document as it was written, or as the store has it; the caller's own to change."""
    written: Any = resource.raw or _without_defaults(encoded_resource(resource))
    found: dict[str, Any] = json.loads(json.dumps(written, default=str))
    return found


def _without_defaults(value: Any) -> Any:
    """What nobody wrote: the API says nothing of zeros and empty texts."""
    if isinstance(value, Mapping):
        return {name: _without_defaults(inner) for name, inner in value.items() if inner not in (0, "", None)}
    return [_without_defaults(each) for each in value] if isinstance(value, list) else value


def spec_patch(resource: Resource, spec: Mapping[str, Any]) -> str:
    """A change of some fields of a resource's spec; empty for one that nobody wrote."""
    if resource.made_of is not None:
        return ""
    return as_yaml(
        [
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": _names(resource),
                "spec": spec,
            }
        ]
    )


def new_object(api_version: str, kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> str:
    """A document that was missing."""
    metadata = {"name": name, "namespace": namespace}
    return as_yaml([{"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}])


def as_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents in the order of their fields."""
    return "---\n".join(yaml.safe_dump(dict(each), sort_keys=False, allow_unicode=True) for each in documents)


def patched(documents: Iterable[Mapping[str, Any]], patch: str) -> list[dict[str, Any]]:
    """Documents with a patch applied. Those without namespace are taken to be in `default`."""
    found = [copy.deepcopy(dict(each)) for each in documents]
    for change in yaml.safe_load_all(patch):
        target = next((each for each in found if _key(each) == _key(change)), None)
        if target is None:
            found.append(change)
        else:
            _merge(target, change)
    return found


def difference(before: Iterable[Mapping[str, Any]], patch: str) -> str:
    """The lines of documents that a patch changes, as a unified diff without its headings."""
    old = [dict(each) for each in before]
    found: list[str] = []
    for change in yaml.safe_load_all(patch):
        was = next((each for each in old if _key(each) == _key(change)), None)
        now = next(
            each for each in patched([was] if was else [], as_yaml([change])) if _key(each) == _key(change)
        )
        old_lines, new_lines = (as_yaml([each]).splitlines() if each else [] for each in (was, now))
        told = list(unified_diff(old_lines, new_lines, lineterm="", n=3))[2:]  # without its headings
        found += ["..." if each.startswith("@@") else each for each in told[1:]]
    return "\n".join(found)


def _merge(target: dict[str, Any], change: Mapping[str, Any]) -> None:
    for name, value in change.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value


def _key(document: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace") or "default", metadata["name"]


def _names(resource: Resource) -> dict[str, str]:
    names = {"name": resource.name}
    return {**names, "namespace": resource.namespace} if resource.namespace else names
