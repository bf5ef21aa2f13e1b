"""What is served, as clients ask for it: aggregated discovery, and the older lists. Pure."""

from __future__ import annotations

from typing import Any

from minimesh.kubernetes.resource_types import ResourceType, ResourceTypes
from minimesh.kubernetes.reviews import REVIEWS

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_SUBRESOURCE_VERBS = {
    "log": ("get",),
    "exec": ("create", "get"),
    "attach": ("create", "get"),
    "portforward": ("create", "get"),
    "finalize": ("update",),
    "token": ("create",),
    "eviction": ("create",),
}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "eviction": ("policy", "v1", "Eviction"),
}


def aggregated(types: ResourceTypes, *, core: bool) -> dict[str, Any]:
    """The `APIGroupDiscoveryList` of `/api` (core) or `/apis`."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for group, version in _group_versions(types):
        if core == (not group):
            resources = [_aggregated_resource(each, version) for each in types.in_version(group, version)]
            resources += _aggregated_reviews(group, version)
            versions.setdefault(group, []).append(
                {"version": version, "resources": resources, "freshness": "Current"}
            )
    items = [
        {"metadata": {"name": group} if group else {}, "versions": found} for group, found in versions.items()
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def core_versions(address: str) -> dict[str, Any]:
    """The older answer of `/api`."""
    served_at = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": served_at}


def group_list(types: ResourceTypes) -> dict[str, Any]:
    """The older answer of `/apis`."""
    names = dict.fromkeys(group for group, _ in _group_versions(types) if group)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(types, each) for each in names]}


def one_group(types: ResourceTypes, group: str) -> dict[str, Any] | None:
    """The answer of `/apis/GROUP`, or None when there is no such group."""
    if not any(group == each for each, _ in _group_versions(types)):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(types, group)}


def resource_list(types: ResourceTypes, group: str, version: str) -> dict[str, Any] | None:
    """The answer of `/api/VERSION` and `/apis/GROUP/VERSION`, or None when there is no such version."""
    found = types.in_version(group, version)
    reviews = REVIEWS.get((group, version), ())
    if not found and not reviews:
        return None
    resources = [entry for each in found for entry in _entries(each)]
    for kind, plural in reviews:
        entry = {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind}
        resources.append({**entry, "verbs": ["create"]})
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}


def _group_versions(types: ResourceTypes) -> list[tuple[str, str]]:
    return [*types.group_versions(), *REVIEWS]


def _group(types: ResourceTypes, group: str) -> dict[str, Any]:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for each, version in _group_versions(types)
        if each == group
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _entries(type_: ResourceType) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": type_.plural,
        "singularName": type_.singular,
        "namespaced": type_.namespaced,
        "kind": type_.kind,
        "verbs": list(type_.verbs),
    }
    if type_.short_names:
        entry["shortNames"] = list(type_.short_names)
    if type_.categories:
        entry["categories"] = list(type_.categories)
    entries = [entry]
    for name in type_.subresources:
        group, version, kind = _SUBRESOURCE_KINDS.get(name, ("", "", type_.kind))
        entries.append(
            {
                "name": f"{type_.plural}/{name}",
                "singularName": "",
                "namespaced": type_.namespaced,
                "kind": kind,
                "verbs": list(_SUBRESOURCE_VERBS.get(name, ("get", "patch", "update"))),
                **({"group": group, "version": version} if group else {}),
            }
        )
    return entries


def _aggregated_resource(type_: ResourceType, version: str) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resource": type_.plural,
        "responseKind": {"group": type_.group, "version": version, "kind": type_.kind},
        "scope": "Namespaced" if type_.namespaced else "Cluster",
        "singularResource": type_.singular,
        "verbs": list(type_.verbs),
    }
    if type_.short_names:
        resource["shortNames"] = list(type_.short_names)
    if type_.categories:
        resource["categories"] = list(type_.categories)
    if type_.subresources:
        resource["subresources"] = [_aggregated_part(type_, version, name) for name in type_.subresources]
    return resource


def _aggregated_part(type_: ResourceType, version: str, name: str) -> dict[str, Any]:
    own = (type_.group, version, type_.kind)
    group, version, kind = _SUBRESOURCE_KINDS.get(name, own)
    return {
        "subresource": name,
        "responseKind": {"group": group, "version": version, "kind": kind},
        "verbs": list(_SUBRESOURCE_VERBS.get(name, ("get", "patch", "update"))),
    }


def _aggregated_reviews(group: str, version: str) -> list[dict[str, Any]]:
    return [
        {
            "resource": plural,
            "responseKind": {"group": group, "version": version, "kind": kind},
            "scope": "Cluster",
            "singularResource": kind.lower(),
            "verbs": ["create"],
        }
        for kind, plural in REVIEWS.get((group, version), ())
    ]
