"""CustomResourceDefinitions: those of Istio and the Gateway API, as if applied, and what is said of any."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from minimesh.config.kinds import GATEWAY_API
from minimesh.config.published_schema import published_schema
from minimesh.config.resources import ObjectMeta, Resource
from minimesh.kubernetes.resource_types import AGE, BUILT_IN, CRD_KIND, PrinterColumn, ResourceType

_CHART = {"app": "istio-pilot", "chart": "istio", "heritage": "Tiller", "release": "istio"}
_GATEWAY_API_BUNDLE = {
    "gateway.networking.k8s.io/bundle-version": "v1.4.0",
    "gateway.networking.k8s.io/channel": "experimental",
}


def istio_definitions(now: str) -> Iterator[Resource]:
    """The CRDs of Istio and the Gateway API; the schemas of each are made when somebody looks at it."""
    for type_ in BUILT_IN:
        if type_.custom:
            yield Resource(
                api_version="apiextensions.k8s.io/v1",
                kind=CRD_KIND,
                metadata=_metadata(type_),
                spec={},
                status=definition_status(_names(type_), type_.versions[:1], now),
                raw=_Late(functools.partial(_content, type_)),
            )


def _metadata(type_: ResourceType) -> ObjectMeta:
    if type_.group == GATEWAY_API:
        return ObjectMeta(name=type_.qualified_plural, annotations=_GATEWAY_API_BUNDLE)
    return ObjectMeta(name=type_.qualified_plural, labels=_CHART)


def is_istios_definition(resource: Resource) -> bool:
    """Whether the CRD defines a kind that is served for as long as the mesh runs."""
    if resource.kind != CRD_KIND:
        return False
    return any(each.custom and each.qualified_plural == resource.name for each in BUILT_IN)


def definition_status(names: Mapping[str, Any], stored: tuple[str, ...], now: str) -> dict[str, Any]:
    """The status of a CRD whose names are accepted and whose kind is served."""
    accepted = {"reason": "NoConflicts", "message": "no conflicts found"}
    established = {"reason": "InitialNamesAccepted", "message": "the initial names have been accepted"}
    found = (("NamesAccepted", accepted), ("Established", established))
    return {
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now, **words} for kind, words in found
        ],
        "acceptedNames": dict(names),
        "storedVersions": list(stored),
    }


class _Late(Mapping[str, Any]):
    """A map that is made when it is first read."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make
        self._made: Mapping[str, Any] | None = None

    @property
    def _content(self) -> Mapping[str, Any]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def _content(type_: ResourceType) -> dict[str, Any]:
    return {
        "spec": {
            "conversion": {"strategy": "None"},
            "group": type_.group,
            "names": _names(type_),
            "scope": "Namespaced" if type_.namespaced else "Cluster",
            "versions": [_version(type_, each) for each in type_.versions],
        }
    }


def _names(type_: ResourceType) -> dict[str, Any]:
    return {
        "categories": list(type_.categories),
        "kind": type_.kind,
        "listKind": f"{type_.kind}List",
        "plural": type_.plural,
        **({"shortNames": list(type_.short_names)} if type_.short_names else {}),
        "singular": type_.singular,
    }


def _version(type_: ResourceType, version: str) -> dict[str, Any]:
    return {
        "additionalPrinterColumns": [_column(each) for each in type_.columns or (AGE,)],
        "name": version,
        "schema": {"openAPIV3Schema": published_schema(type_.api_version(version), type_.kind)},
        "served": True,
        "storage": version == type_.versions[0],
        **({"subresources": {"status": {}}} if "status" in type_.subresources else {}),
    }


def _column(column: PrinterColumn) -> dict[str, Any]:
    found = {"jsonPath": column.json_path, "name": column.name, "type": column.type}
    return {**found, **({"priority": column.priority} if column.priority else {})}
