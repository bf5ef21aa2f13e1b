"""DELETE: preconditions, and how an object goes: at once, or marked until what holds it back is gone.

What an object owned is the garbage collector's to remove. What has no owner reference to tell, the content of
a namespace and the objects of a CRD, goes here. A namespace is marked and stays until it is empty.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minimesh.config.kubernetes.core import NamespaceStatus
from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.resources import Resource, ResourceKey
from minimesh.kubernetes import api_errors
from minimesh.kubernetes.controllers.garbage import FOREGROUND, ORPHAN
from minimesh.kubernetes.controllers.manager import remove
from minimesh.kubernetes.controllers.namespaces import finalization
from minimesh.kubernetes.definitions import is_istios_definition
from minimesh.kubernetes.objects import Object, to_object
from minimesh.kubernetes.registry import Registry
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.resource_types import CRD_KIND

_IMMORTAL = frozenset({"default", "kube-public", "kube-system"})
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def delete(registry: Registry, info: RequestInfo, options: Mapping[str, Any], *, dry_run: bool) -> Object:
    """Delete the object that a request names; `options` is the `DeleteOptions` of the body.

    Returns the object while something holds it back, else a `Status`.
    """
    stored = registry.stored(info)
    _refuse(info, stored)
    _check_preconditions(info, stored, options.get("preconditions") or {})
    done = api_errors.success(info.type, info.name, stored.metadata.uid)
    if dry_run or options.get("dryRun"):
        return done
    if stored.kind == "Namespace":
        return _delete_namespace(registry, info, stored)
    grace_s = options.get("gracePeriodSeconds")
    if _goes_at_once(stored, grace_s):
        registry.store.delete(stored.key)
        return done
    finalizer = _FINALIZERS.get(str(options.get("propagationPolicy", "")), "")
    remove(registry.store, stored.key, registry.clock(), finalizer=finalizer, grace_s=grace_s)
    waiting = registry.store.snapshot().get(stored.key)
    if waiting is not None:
        return to_object(waiting, info.type, info.version)
    _remove_content(registry, stored)
    return done


def finish(registry: Registry, shown: Object, key: ResourceKey) -> None:
    """Remove an object whose deletion only waited for the finalizer that a write took away."""
    metadata = shown["metadata"]
    stored = registry.store.snapshot().get(key)
    if stored is None or stored.kind == "Pod":
        return  # whoever runs a pod removes it when its processes have ended
    if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
        if stored.kind == "Namespace":
            _finalize(registry, stored)
            return
        registry.store.delete(key)
        _remove_content(registry, stored)


def _refuse(info: RequestInfo, stored: Resource) -> None:
    """What may not be removed, whoever asks."""
    if stored.kind == "Namespace" and stored.name in _IMMORTAL:
        raise api_errors.forbidden(info.type, stored.name, "this namespace may not be deleted")
    if is_istios_definition(stored):
        why = "the mesh serves this kind for as long as it runs"
        raise api_errors.forbidden(info.type, stored.name, why)


def _delete_namespace(registry: Registry, info: RequestInfo, stored: Resource) -> Object:
    """Mark the namespace, and begin to empty it; what takes its time is the namespace controller's."""
    metadata = stored.metadata
    going = dataclasses.replace(
        stored,
        metadata=dataclasses.replace(
            metadata, deletion_timestamp=metadata.deletion_timestamp or registry.now()
        ),
        status=dataclasses.replace(stored.status or NamespaceStatus(), phase="Terminating"),
    )
    marked = registry.store.put(going)
    _finalize(registry, marked)
    return to_object(marked, info.type, info.version)


def _finalize(registry: Registry, namespace: Resource) -> None:
    """Remove what can go at once: the content, and when that is gone the namespace."""
    for _ in range(2):
        for key in finalization(namespace, registry.store.snapshot()):
            content = registry.store.snapshot().get(key)
            if content is not None and _goes_at_once(content, None):
                registry.store.delete(key)
            else:
                remove(registry.store, key, registry.clock())


def _check_preconditions(info: RequestInfo, stored: Resource, wanted: Mapping[str, Any]) -> None:
    found = {"uid": stored.metadata.uid, "resourceVersion": stored.metadata.resource_version}
    if any(wanted.get(name) not in (None, value) for name, value in found.items()):
        raise api_errors.conflict(info.type, info.name)


def _goes_at_once(stored: Resource, grace_s: int | None) -> bool:
    """A pod that runs nowhere has no processes to end; and nobody waits for one that is given no time."""
    if not isinstance(stored.spec, PodSpec) or stored.metadata.finalizers:
        return False
    return grace_s == 0 or not stored.spec.node_name


def _remove_content(registry: Registry, gone: Resource) -> None:
    """The objects of a kind that is gone."""
    if gone.kind != CRD_KIND:
        return
    spec = gone.raw.get("spec", {})
    kind = f"{spec.get('names', {}).get('kind')}.{spec.get('group')}"
    for each in registry.store.snapshot().by_kind(kind):
        remove(registry.store, each.key, registry.clock())
