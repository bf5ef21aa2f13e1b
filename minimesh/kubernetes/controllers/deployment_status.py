"""The status of a Deployment: its pods in numbers, whether it is available, and whether it progresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from minimesh.config.kubernetes.apps import DeploymentCondition, DeploymentStatus
from minimesh.config.resources import Resource
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.controllers.outcome import later
from minimesh.kubernetes.controllers.rollout import limits

DEFAULT_DEADLINE_S = 600
_COMPLETE = "NewReplicaSetAvailable"
_TIMED_OUT = "ProgressDeadlineExceeded"


def status_of(
    deployment: Resource, new: Resource | None, every: Sequence[Resource], now: datetime
) -> tuple[DeploymentStatus, datetime | None]:
    """The status now, and when it will change by the clock alone. `every` includes `new`."""
    wanted = deployment.spec.replicas
    total, available = _sum(every, "replicas"), _sum(every, "available_replicas")
    counted = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=total,
        updated_replicas=_sum((new,) if new else (), "replicas"),
        ready_replicas=_sum(every, "ready_replicas"),
        available_replicas=available,
        unavailable_replicas=max(0, max(total, wanted) - available),
        terminating_replicas=_sum(every, "terminating_replicas"),
    )
    progressing = _progressing(deployment, counted, new, now)
    conditions = (_available(deployment, available, now), progressing)
    return replace(counted, conditions=conditions), _deadline(deployment, progressing)


def _sum(replica_sets: Sequence[Resource], attribute: str) -> int:
    found = (getattr(each.status, attribute) for each in replica_sets if each.status is not None)
    return sum(number or 0 for number in found)


def _available(deployment: Resource, available: int, now: datetime) -> DeploymentCondition:
    enough = available >= deployment.spec.replicas - limits(deployment.spec).unavailable
    return _condition(
        deployment,
        "Available",
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability."
        if enough
        else "Deployment does not have minimum availability.",
        now,
    )


def _progressing(
    deployment: Resource, counted: DeploymentStatus, new: Resource | None, now: datetime
) -> DeploymentCondition:
    before = _before(deployment, "Progressing")
    name = f'ReplicaSet "{new.name}"' if new is not None else "The deployment"
    if deployment.spec.paused:
        return _condition(
            deployment, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now
        )
    if _is_complete(deployment.spec.replicas, counted):
        text = f"{name} has successfully progressed."
        return _condition(deployment, "Progressing", "True", _COMPLETE, text, now)
    if before is not None and before.reason == _COMPLETE and counted.replicas == counted.updated_replicas:
        # A pod that fails after the rollout is no rollout.
        return before
    if before is None or _moved(deployment.status, counted):
        text = f"{name} is progressing."
        return _condition(deployment, "Progressing", "True", "ReplicaSetUpdated", text, now, renewed=True)
    deadline = _deadline(deployment, before)
    if deadline is not None and deadline <= now:
        text = f"{name} has timed out progressing."
        return _condition(deployment, "Progressing", "False", _TIMED_OUT, text, now)
    return before


def _is_complete(wanted: int, counted: DeploymentStatus) -> bool:
    return counted.updated_replicas == counted.replicas == counted.available_replicas == wanted


def _moved(before: DeploymentStatus | None, counted: DeploymentStatus) -> bool:
    """Whether the rollout came forward since the last look, or is a new one."""
    if before is None or before.observed_generation != counted.observed_generation:
        return True
    old_before = (before.replicas or 0) - (before.updated_replicas or 0)
    old_now = (counted.replicas or 0) - (counted.updated_replicas or 0)
    return (
        (counted.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_now < old_before
        or (counted.ready_replicas or 0) > (before.ready_replicas or 0)
        or (counted.available_replicas or 0) > (before.available_replicas or 0)
    )


def _deadline(deployment: Resource, progressing: DeploymentCondition) -> datetime | None:
    """When a rollout that does not come forward is given up as failed."""
    if progressing.status != "True" or progressing.reason == _COMPLETE:
        return None
    given = deployment.spec.progress_deadline_seconds
    return later(progressing.last_update_time, DEFAULT_DEADLINE_S if given is None else given)


def _before(deployment: Resource, kind: str) -> DeploymentCondition | None:
    conditions = deployment.status.conditions if deployment.status is not None else ()
    return next((each for each in conditions if each.type == kind), None)


def _condition(
    deployment: Resource,
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: datetime,
    *,
    renewed: bool = False,
) -> DeploymentCondition:
    """The condition; it keeps its times for as long as it says the same, unless it is `renewed`."""
    before = _before(deployment, kind)
    said = (status, reason, message)
    if before is not None and not renewed and (before.status, before.reason, before.message) == said:
        return before
    written = timestamp(now)
    since = before.last_transition_time if before is not None and before.status == status else written
    return DeploymentCondition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_update_time=written,
        last_transition_time=since,
    )
