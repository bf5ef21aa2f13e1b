"""Objects as JSON has them, from and to the resources of the store."""

from __future__ import annotations

import dataclasses
from typing import Any

from minimesh.config.diagnostics import Diagnostic
from minimesh.config.encoding import encoded, encoded_resource
from minimesh.config.json_nodes import read_json
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.resources import Resource
from minimesh.config.source_map import SourceMap
from minimesh.kubernetes.resource_types import ResourceType

Object = dict[str, Any]
"""An object of the API: apiVersion, kind, metadata, and the content of its kind."""

_ENVELOPE = ("apiVersion", "kind", "metadata", "status")
_WITHOUT_GENERATION = frozenset(
    {"Namespace", "Node", "Service", "Endpoints", "ServiceAccount", "Secret", "ConfigMap", "Event"}
)
"""Kinds whose objects carry no `metadata.generation`."""


_COUNTS = ("availableReplicas", "readyReplicas")
_OMITTED_ZEROS = {
    "Deployment": (*_COUNTS, "replicas", "unavailableReplicas", "updatedReplicas"),
    "ReplicaSet": (*_COUNTS, "fullyLabeledReplicas"),
}
"""Counts that a status leaves out while they are zero, as the API's own types do."""
_LOAD_BALANCED = frozenset({"Service", "Ingress"})
"""Kinds whose status always has a `loadBalancer`, an empty one at least."""


def to_object(resource: Resource, type_: ResourceType, version: str = "") -> Object:
    """The object that clients see, in `version` (the type's preferred one when empty).

    Content is what was written (`raw`); what the mesh itself made has no text, and is shown from its fields.
    """
    metadata = encoded(resource.metadata)
    if type_.kind in _WITHOUT_GENERATION:
        metadata.pop("generation", None)
    if not type_.namespaced:
        metadata.pop("namespace", None)
    shown: Object = {
        "kind": type_.kind,
        "apiVersion": type_.api_version(version or type_.versions[0]),
        "metadata": metadata,
        **_content(resource),
    }
    status = {} if resource.status is None else encoded(resource.status)
    for name in _OMITTED_ZEROS.get(type_.kind, ()):
        if status.get(name) == 0:
            del status[name]
    if type_.kind in _LOAD_BALANCED:
        status.setdefault("loadBalancer", {})
    if resource.status is not None or status:
        shown["status"] = status
    return shown


def to_resource(given: Object, type_: ResourceType) -> tuple[Resource | None, tuple[Diagnostic, ...]]:
    """The resource that an object says, and what is wrong with it; None when it cannot be read at all."""
    if type_.is_decoded:
        resources, diagnostics = read_json(given, "")
        if not resources:
            return None, diagnostics
        # The places are of no use: nobody sees this text.
        return dataclasses.replace(resources[0], source=SourceMap(), raw=given), diagnostics
    return _undecoded(given, type_), ()


def metadata_of(given: Object) -> ObjectMeta:
    """The typed metadata of an object."""
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": given.get("metadata") or {}}
    resources, _ = read_json(probe, "")
    return resources[0].metadata if resources else ObjectMeta()


def _undecoded(given: Object, type_: ResourceType) -> Resource:
    metadata = metadata_of(given)
    if not type_.namespaced:
        metadata = dataclasses.replace(metadata, namespace="")
    content = {key: value for key, value in given.items() if key not in _ENVELOPE}
    return Resource(
        api_version=given["apiVersion"],
        kind=type_.store_kind,
        metadata=metadata,
        spec=content["spec"] if content.keys() == {"spec"} else content,
        status=given.get("status"),
        raw=given,
    )


def _content(resource: Resource) -> Object:
    written = resource.raw or encoded_resource(resource)
    return {key: value for key, value in written.items() if key not in _ENVELOPE}
