"""The context of each snapshot, made from the one before where only Pods came, went or changed.

That is the change that happens all the time, and nearly nothing depends on it: the endpoints of the services
that select the pod, and the configuration of the pod's own proxy. Anything else is built anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.control_plane.converted import same_objects
from minimesh.control_plane.push_context import PushContext
from minimesh.control_plane.service_registry import REGISTRY_KINDS, ServiceRegistry
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.service_registry.workloads import workload_of_pod

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.push_context import MeshConfig
    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload

KINDS_WITHOUT_EFFECT = frozenset({"Event", "ReplicaSet", "Deployment", "Endpoints", "EndpointSlice", "Node"})
"""What no context is made from: services lead to Pods, whoever made these."""


@dataclass(frozen=True, slots=True)
class PodChanges:
    """How a context differs from the one before: in nothing but the endpoints of some services."""

    before: weakref.ref[PushContext]
    hostnames: frozenset[str]
    workloads: frozenset[tuple[str, str]]
    """Namespace and name of the pods: their own proxies may have to have something else."""


class ContextBuilder:
    """Builds contexts one after another. `settings` gives the mesh's settings as of a snapshot."""

    def __init__(self, settings: Callable[[Snapshot], MeshConfig]) -> None:
        self._settings = settings
        self._snapshot: Snapshot | None = None
        self._registered: tuple[RegisteredWorkload, ...] = ()
        self._context: PushContext | None = None
        self.changes: PodChanges | None = None
        """Of the context built last; None when it differs in more."""

    def build(self, snapshot: Snapshot, registered: Sequence[RegisteredWorkload]) -> PushContext:
        """The context of this snapshot."""
        before, self.changes = self._context, None
        context = self._with_pods(snapshot, tuple(registered))
        if context is None:
            settings = self._settings(snapshot)
            registry = self._known_registry(snapshot, tuple(registered), settings)
            context = PushContext.build(snapshot, registered, settings, before, registry)
        elif before is not None and self.changes is None:
            return before
        self._snapshot, self._registered, self._context = snapshot, tuple(registered), context
        return context

    def _with_pods(
        self, snapshot: Snapshot, registered: tuple[RegisteredWorkload, ...]
    ) -> PushContext | None:
        """The context before with other pods in it; None when it is not as simple as that."""
        before, old = self._context, self._snapshot
        if before is None or old is None or registered or self._registered:
            return None
        if not _same_but_pods(old, snapshot):
            return None
        gone, come = _difference(old.by_kind("Pod"), snapshot.by_kind("Pod"))
        out = [workload for pod in gone if (workload := workload_of_pod(pod)) is not None]
        into = [workload for pod in come if (workload := workload_of_pod(pod)) is not None]
        changed = [*(w for w in out if w not in into), *(w for w in into if w not in out)]
        services = [service for each in changed for service in before.registry.selecting(each)]
        # Names for DNS are part of the cluster, and the addresses of headless services are listeners.
        if any(service.resolution is not Resolution.ENDPOINTS for service in services):
            return None
        if not changed:
            return before
        hostnames = frozenset(service.hostname for service in services)
        context = before.with_registry(before.registry.with_workloads(out, into), hostnames)
        self.changes = PodChanges(
            weakref.ref(before),
            hostnames,
            frozenset((each.namespace, each.name) for each in changed),
        )
        return context

    def _known_registry(
        self, snapshot: Snapshot, registered: tuple[RegisteredWorkload, ...], settings: MeshConfig
    ) -> ServiceRegistry | None:
        before, old = self._context, self._snapshot
        if before is None or old is None or before.mesh is not settings or registered != self._registered:
            return None
        same = all(old.by_kind(kind) is snapshot.by_kind(kind) for kind in REGISTRY_KINDS)
        return before.registry if same else None


def _same_but_pods(old: Snapshot, new: Snapshot) -> bool:
    """Whether all objects that count, Pods apart, are the very same, but for statuses written back."""
    kinds = {*old.kinds, *new.kinds} - KINDS_WITHOUT_EFFECT - {"Pod"}
    return all(same_objects(old.by_kind(kind), new.by_kind(kind)) for kind in kinds)


def _difference(
    old: Sequence[Resource], new: Sequence[Resource]
) -> tuple[Sequence[Resource], Sequence[Resource]]:
    """What is only in the one, and only in the other."""
    known, now = set(map(id, old)), set(map(id, new))
    return [each for each in old if id(each) not in now], [each for each in new if id(each) not in known]
