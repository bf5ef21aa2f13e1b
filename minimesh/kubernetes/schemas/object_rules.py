"""Rules of built-in kinds that no schema says: what the API server checks of Ingresses and CRDs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.resource_types import CRD_KIND, ResourceType
from minimesh.kubernetes.schemas.structural import Cause

_CLASS = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")


def broken_rules(shown: Object, type_: ResourceType) -> Iterator[Cause]:
    """What is wrong with an object of a built-in kind, its types being right."""
    rules = _RULES.get(type_.kind) if not type_.custom else None
    if rules is not None:
        yield from rules(shown)


def deprecated_uses(shown: Object, type_: ResourceType) -> Iterator[str]:
    """What the API server warns of who writes this object."""
    annotations = shown["metadata"].get("annotations") or {}
    if type_.kind == "Ingress" and not type_.custom and _CLASS in annotations:
        yield f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def _required(path: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", path)


def _invalid(path: str, value: Any, why: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else value
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", path)


def _ingress(shown: Object) -> Iterator[Cause]:
    spec = shown.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield _invalid("spec", "", "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend"):
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for number, rule in enumerate(spec.get("rules") or ()):
        path = f"spec.rules[{number}]"
        host = rule.get("host", "")
        if host and not _is_host(host):
            yield _invalid(f"{path}.host", host, _HOST)
        if rule.get("http") is not None:
            paths = rule["http"].get("paths") or ()
            if not paths:
                yield _required(f"{path}.http.paths")
            for index, each in enumerate(paths):
                yield from _ingress_path(each, f"{path}.http.paths[{index}]")


_HOST = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def _is_host(host: str) -> bool:
    return all(_LABEL.fullmatch(each) for each in host.removeprefix("*.").split("."))


def _ingress_path(given: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kind, text = given.get("pathType"), given.get("path", "")
    if kind is None:
        yield _required(f"{path}.pathType", "pathType must be specified")
    elif kind not in _PATH_TYPES:
        listed = ", ".join(f'"{each}"' for each in sorted(_PATH_TYPES))
        message = f'Unsupported value: "{kind}": supported values: {listed}'
        yield Cause("FieldValueNotSupported", message, f"{path}.pathType")
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield _invalid(f"{path}.path", text, "must be an absolute path")
        for wrong in ("//", "/./", "/../", "%2f", "%2F"):
            if wrong in text:
                yield _invalid(f"{path}.path", text, f"must not contain '{wrong}'")
    yield from _backend(given.get("backend") or {}, f"{path}.backend")


def _backend(backend: Mapping[str, Any], path: str) -> Iterator[Cause]:
    service = backend.get("service")
    if service is None and backend.get("resource") is None:
        yield _required(path)
        return
    if service is None:
        return
    if not service.get("name"):
        yield _required(f"{path}.service.name")
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        yield _invalid(path, "", "cannot set both port name & port number")
    if not port.get("name") and not port.get("number"):
        yield _required(path, "port name or number is required")
    if port.get("number") and not 0 < port["number"] < 65536:
        yield _invalid(
            f"{path}.service.port.number", port["number"], "must be between 1 and 65535, inclusive"
        )


def _definition(shown: Object) -> Iterator[Cause]:
    spec = shown.get("spec") or {}
    names: Mapping[str, Any] = spec.get("names") or {}
    versions: Sequence[Mapping[str, Any]] = spec.get("versions") or ()
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    name = shown["metadata"].get("name", "")
    if name != expected:
        yield _invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    for field in ("plural", "kind"):
        if not names.get(field):
            yield _required(f"spec.names.{field}")
    if not spec.get("group"):
        yield _required("spec.group")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield _required("spec.scope")
    if sum(bool(each.get("storage")) for each in versions) != 1:
        why = "must have exactly one version marked as storage version"
        yield Cause("FieldValueInvalid", f"Invalid value: {why}", "spec.versions")
    for number, each in enumerate(versions):
        if not (each.get("schema") or {}).get("openAPIV3Schema"):
            yield _required(f"spec.versions[{number}].schema.openAPIV3Schema", "schemas are required")


_RULES: Mapping[str, Callable[[Object], Iterator[Cause]]] = {"Ingress": _ingress, CRD_KIND: _definition}
