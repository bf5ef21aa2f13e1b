"""DELETE: preconditions, finalizers, and what goes with what is deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minimesh.config.kubernetes.core import NamespaceSpec
from minimesh.config.resources import Resource
from minimesh.kubernetes import api_errors
from minimesh.kubernetes.objects import Object, to_object
from minimesh.kubernetes.registry import Registry
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.resource_types import CRD_KIND, ResourceType


def delete(registry: Registry, info: RequestInfo, options: Mapping[str, Any], *, dry_run: bool) -> Object:
    """Delete the object that a request names; `options` is the `DeleteOptions` of the body.

    An object with finalizers is only marked; it goes when the last of them is removed.
    """
    stored = registry.stored(info)
    _check_preconditions(info, stored, options.get("preconditions") or {})
    answer = api_errors.success(info.type, info.name, stored.metadata.uid)
    if dry_run or options.get("dryRun"):
        return answer
    if _has_finalizers(stored):
        return to_object(_mark(registry, stored), info.type, info.version)
    remove(registry, stored, orphan=options.get("propagationPolicy") == "Orphan")
    return answer


def remove(registry: Registry, stored: Resource, *, orphan: bool = False) -> None:
    """Take an object out of the store, and what belongs to it: first the owner, as in the background."""
    registry.store.delete(stored.key)
    for each in _dependents(registry, stored):
        if orphan:
            owners = tuple(
                owner for owner in each.metadata.owner_references if owner.uid != stored.metadata.uid
            )
            registry.store.put(
                dataclasses.replace(
                    each, metadata=dataclasses.replace(each.metadata, owner_references=owners)
                )
            )
        elif _has_finalizers(each):
            _mark(registry, each)
        else:
            remove(registry, each)


def finish(registry: Registry, type_: ResourceType, shown: Object) -> bool:
    """Remove an object whose deletion only waited for its finalizers; whether it was so."""
    metadata = shown["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    found = [
        each
        for each in registry.store.snapshot().by_kind(type_.store_kind)
        if each.metadata.uid == metadata["uid"]
    ]
    if not found or _has_finalizers(found[0]):
        return False
    remove(registry, found[0])
    return True


def _check_preconditions(info: RequestInfo, stored: Resource, wanted: Mapping[str, Any]) -> None:
    found = {"uid": stored.metadata.uid, "resourceVersion": stored.metadata.resource_version}
    if any(wanted.get(name) not in (None, value) for name, value in found.items()):
        raise api_errors.conflict(info.type, info.name)


def _has_finalizers(stored: Resource) -> bool:
    if isinstance(stored.spec, NamespaceSpec) and stored.spec.finalizers:
        return True
    return bool(stored.metadata.finalizers)


def _mark(registry: Registry, stored: Resource) -> Resource:
    if stored.metadata.deletion_timestamp:
        return stored
    metadata = dataclasses.replace(stored.metadata, deletion_timestamp=registry.now())
    status = stored.status
    if stored.kind == "Namespace" and dataclasses.is_dataclass(status) and not isinstance(status, type):
        status = dataclasses.replace(status, phase="Terminating")
    return registry.put(dataclasses.replace(stored, metadata=metadata, status=status))


def _dependents(registry: Registry, gone: Resource) -> list[Resource]:
    """What the object owns; of a namespace its content, of a CRD its objects."""
    everything = registry.store.snapshot().resources
    if gone.kind == "Namespace":
        return [each for each in everything if each.namespace == gone.name]
    if gone.kind == CRD_KIND:
        names = gone.raw.get("spec", {})
        kind = f"{names.get('names', {}).get('kind')}.{names.get('group')}"
        return [each for each in everything if each.kind == kind]
    uid = gone.metadata.uid
    return [each for each in everything if any(owner.uid == uid for owner in each.metadata.owner_references)]
