"""Label and field selectors of the query string: parsed once, then asked about objects. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.resource_types import ResourceType

Predicate = Callable[[Mapping[str, Any]], bool]

_SELECTABLE = {
    "Event": (
        *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
        *("involvedObject.resourceVersion", "involvedObject.fieldPath"),
        *("reason", "reportingComponent", "type"),
    ),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Pod": (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        *("spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
    ),
    "ReplicaSet": ("status.replicas",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP", "spec.type"),
}
"""By which fields beside name and namespace Kubernetes' own types are selected."""

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*$")
_EXISTS = re.compile(r"^\s*(!?)\s*([^\s!=,()]+)\s*$")
_COMPARE = re.compile(r"^\s*([^\s!=,()<>]+)\s*([<>])\s*(-?\d+)\s*$")
_COMMA = re.compile(r",(?![^(]*\))")


def label_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """What `-l` says, to be asked about an object's labels. ApiError for what is no selector."""
    tests = [_label_test(part, text) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def field_selector(text: str, type_: ResourceType) -> Predicate:
    """What `--field-selector` says, to be asked about an object: `a.b=x`, `a.b!=x`, joined by commas.

    ApiError (400) for what is no selector, and for fields by which objects of this type cannot be selected.
    """
    known = _field_labels(type_)
    tests = []
    for part in text.split(","):
        if not part.strip():
            continue
        found = _EQUAL.match(part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if found[1] not in known:
            raise bad_request(f"field label not supported: {found[1]}")
        tests.append((known[found[1]], found[2] != "!=", found[3]))
    return lambda shown: all((_text_at(shown, path) == value) == equal for path, equal, value in tests)


def _field_labels(type_: ResourceType) -> Mapping[str, str]:
    """The fields by which a type can be selected, each with where it is in an object."""
    names = ("metadata.name", "metadata.namespace") if type_.namespaced else ("metadata.name",)
    if type_.custom:
        return {path: path for path in (*names, *type_.selectable)}
    found = {path: path for path in (*names, *_SELECTABLE.get(type_.kind, ()))}
    return found | {"source": "source.component"} if type_.kind == "Event" else found


def value_at(shown: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = shown
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _text_at(shown: Mapping[str, Any], path: str) -> str:
    value = value_at(shown, path)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label_test(part: str, text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, values = found[1], {each.strip() for each in found[3].split(",")}
        if found[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(part):
        key, value = found[1], found[3]
        if found[2] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _COMPARE.match(part):
        return _comparison(found[1], found[2], int(found[3]))
    if found := _EXISTS.match(part):
        key, absent = found[2], bool(found[1])
        return lambda labels: (key in labels) != absent
    raise bad_request(f"unable to parse requirement: found '{part.strip()}' in selector '{text}'")


def _comparison(key: str, sign: str, bound: int) -> Callable[[Mapping[str, str]], bool]:
    def test(labels: Mapping[str, str]) -> bool:
        try:
            number = int(labels[key])
        except (KeyError, ValueError):
            return False
        return number > bound if sign == ">" else number < bound

    return test
