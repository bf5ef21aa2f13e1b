"""DELETE: preconditions, and how an object goes: at once, or marked until what holds it back is gone.

What an object owned is the garbage collector's to remove. What has no owner reference to tell, the content of
a namespace and the objects of a CRD, goes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.resources import Resource, ResourceKey
from minimesh.kubernetes import api_errors
from minimesh.kubernetes.controllers.garbage import FOREGROUND, ORPHAN
from minimesh.kubernetes.controllers.manager import remove
from minimesh.kubernetes.objects import Object, to_object
from minimesh.kubernetes.registry import Registry
from minimesh.kubernetes.request_info import RequestInfo
from minimesh.kubernetes.resource_types import CRD_KIND

_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def delete(registry: Registry, info: RequestInfo, options: Mapping[str, Any], *, dry_run: bool) -> Object:
    """Delete the object that a request names; `options` is the `DeleteOptions` of the body.

    Returns the object while something holds it back, else a `Status`.
    """
    stored = registry.stored(info)
    _check_preconditions(info, stored, options.get("preconditions") or {})
    done = api_errors.success(info.type, info.name, stored.metadata.uid)
    if dry_run or options.get("dryRun"):
        return done
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
        registry.store.delete(key)
        _remove_content(registry, stored)


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
    """What lived in a namespace that is gone, or was of a kind that is."""
    everything = registry.store.snapshot().resources
    found: list[Resource] = []
    if gone.kind == "Namespace":
        found = [each for each in everything if each.namespace == gone.name]
    elif gone.kind == CRD_KIND:
        spec = gone.raw.get("spec", {})
        kind = f"{spec.get('names', {}).get('kind')}.{spec.get('group')}"
        found = [each for each in everything if each.kind == kind]
    for each in found:
        if _goes_at_once(each, None):
            registry.store.delete(each.key)
        else:
            remove(registry.store, each.key, registry.clock())
