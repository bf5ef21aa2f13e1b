"""ReplicaSets: as many pods of one template as are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from minimesh.config.kubernetes.apps import ReplicaSetStatus
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers.outcome import Note, Outcome
from minimesh.kubernetes.controllers.ownership import claim, reference_to
from minimesh.kubernetes.controllers.pod_state import available_at, is_active, is_ready, ready_since

COMPONENT = "replicaset-controller"


def reconcile(
    replica_set: Resource, pods: Iterable[Resource], suffix: Callable[[], str], now: datetime
) -> Outcome:
    """Pods to add or remove, and the status. `suffix` gives the random end of a new pod's name."""
    if replica_set.spec.template is None or replica_set.spec.template.spec is None:
        return Outcome()
    managed, claims = claim(replica_set, pods)
    active = [pod for pod in managed if is_active(pod)]
    status, look_again_at = _status(replica_set, managed, active, now)
    updated = dataclasses.replace(replica_set, status=status)
    put = (*claims, *((updated,) if status != replica_set.status else ()))
    if replica_set.metadata.deletion_timestamp:
        return Outcome(put, look_again_at=look_again_at)
    missing = replica_set.spec.replicas - len(active)
    created = [_pod(replica_set, suffix()) for _ in range(missing)]
    surplus = _first_to_go(active)[: max(0, -missing)]
    return Outcome(
        (*put, *created),
        tuple(pod.key for pod in surplus),
        (
            *(_note(replica_set, "SuccessfulCreate", f"Created pod: {pod.name}") for pod in created),
            *(_note(replica_set, "SuccessfulDelete", f"Deleted pod: {pod.name}") for pod in surplus),
        ),
        look_again_at,
    )


def _first_to_go(pods: Sequence[Resource]) -> list[Resource]:
    """The pods in the order in which they are given up: unready ones, then those that became so last."""
    youngest = sorted(pods, key=lambda pod: (ready_since(pod), pod.metadata.creation_timestamp), reverse=True)
    return sorted(youngest, key=is_ready)


def _pod(replica_set: Resource, suffix: str) -> Resource:
    template = replica_set.spec.template
    given = template.metadata or ObjectMeta()
    metadata = ObjectMeta(
        name=f"{replica_set.name}-{suffix}",
        generate_name=f"{replica_set.name}-",
        namespace=replica_set.namespace,
        labels=given.labels,
        annotations=given.annotations,
        finalizers=given.finalizers,
        owner_references=(reference_to(replica_set),),
    )
    return Resource(api_version="v1", kind="Pod", metadata=metadata, spec=template.spec)


def _status(
    replica_set: Resource, managed: Sequence[Resource], active: Sequence[Resource], now: datetime
) -> tuple[ReplicaSetStatus, datetime | None]:
    """The status, and when a pod that is ready will have been so for long enough."""
    template = replica_set.spec.template.metadata or ObjectMeta()
    moments = [at for pod in active if (at := available_at(pod, replica_set.spec.min_ready_seconds or 0))]
    waiting = [at for at in moments if at > now]
    status = ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(template.labels.items() <= pod.metadata.labels.items() for pod in active),
        ready_replicas=sum(is_ready(pod) for pod in active),
        available_replicas=len(moments) - len(waiting),
        terminating_replicas=sum(bool(pod.metadata.deletion_timestamp) for pod in managed),
        observed_generation=replica_set.metadata.generation,
    )
    return status, min(waiting, default=None)


def _note(replica_set: Resource, reason: str, message: str) -> Note:
    return Note(replica_set, reason, message, COMPONENT)
