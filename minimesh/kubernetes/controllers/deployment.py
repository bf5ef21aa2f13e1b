"""Deployments: a ReplicaSet for each template, and pods that move from the old ones to the newest."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers import revisions
from minimesh.kubernetes.controllers.deployment_status import status_of
from minimesh.kubernetes.controllers.outcome import Note, Outcome
from minimesh.kubernetes.controllers.ownership import claim, controller_of
from minimesh.kubernetes.controllers.rollout import Replicas, limits, rolling_step

COMPONENT = "deployment-controller"


@dataclass(frozen=True, slots=True)
class _Family:
    """A Deployment's ReplicaSets: that of its template, if there is one, and the others from the oldest."""

    new: Resource | None
    old: tuple[Resource, ...]

    @property
    def all(self) -> tuple[Resource, ...]:
        return (*self.old, *((self.new,) if self.new is not None else ()))


def reconcile(
    deployment: Resource, replica_sets: Collection[Resource], pods: Iterable[Resource], now: datetime
) -> Outcome:
    """ReplicaSets to add, scale or remove, and the status, for one step."""
    if deployment.spec.template is None or deployment.spec.template.spec is None:
        return Outcome()
    managed, claims = claim(deployment, replica_sets)
    found = _family(deployment, managed)
    # Also the names of those that are not its own: one with another's name would take its place.
    taken = frozenset(each.name for each in replica_sets if each.namespace == deployment.namespace)
    is_going = bool(deployment.metadata.deletion_timestamp)
    steps = Outcome() if is_going else _steps(deployment, found, pods, taken)
    after = {each.name: each for each in (*found.all, *steps.put) if each.kind == "ReplicaSet"}
    settled = _family(deployment, [one for one in after.values() if one.key not in steps.delete])
    status, look_again_at = status_of(deployment, settled.new, settled.all, now)
    updated = dataclasses.replace(deployment, status=status)
    if settled.new is not None and revisions.revision(settled.new):
        number = str(revisions.revision(settled.new))
        noted = {**deployment.metadata.annotations, revisions.REVISION: number}
        updated = revisions.with_annotations(updated, noted)
    put = (*claims, *steps.put, *((updated,) if updated != deployment else ()))
    return Outcome(put, steps.delete, steps.notes, look_again_at)


def _family(deployment: Resource, managed: Sequence[Resource]) -> _Family:
    oldest_first = sorted(managed, key=lambda each: (each.metadata.creation_timestamp, each.name))
    usable = [each for each in oldest_first if each.spec.template is not None]
    new = revisions.current(deployment, usable)
    return _Family(new, tuple(each for each in usable if new is None or each.key != new.key))


def _steps(deployment: Resource, family: _Family, pods: Iterable[Resource], taken: frozenset[str]) -> Outcome:
    if deployment.spec.paused:
        return _scaled(deployment, family, _paused_step(deployment, family))
    highest_old = max(map(revisions.revision, family.old), default=0)
    strategy = deployment.spec.strategy
    recreate = strategy is not None and strategy.type == "Recreate"
    if family.new is None:
        if recreate and (going := _recreate_step(family, pods)) is not None:
            return _scaled(deployment, family, going)
        return _created(deployment, family, highest_old + 1, taken)
    renumbered = revisions.renumbered(deployment, family.new, highest_old)
    family = dataclasses.replace(family, new=renumbered)
    if recreate:
        going = _recreate_step(family, pods)
        numbers = {renumbered.name: deployment.spec.replicas} if going is None else going
    else:
        counted = [_in_numbers(each) for each in family.old]
        numbers = rolling_step(
            deployment.spec.replicas, limits(deployment.spec), _in_numbers(renumbered), counted
        )
    outcome = _scaled(deployment, family, numbers)
    gone = revisions.outdated(deployment, family.old)
    return dataclasses.replace(outcome, delete=tuple(each.key for each in gone))


def _paused_step(deployment: Resource, family: _Family) -> dict[str, int]:
    """A paused Deployment is scaled, but goes on with no update: the ReplicaSet with pods is scaled."""
    active = [each for each in family.all if each.spec.replicas]
    if len(active) == 1:
        return {active[0].name: deployment.spec.replicas}
    if not active and family.new is not None:
        return {family.new.name: deployment.spec.replicas}
    return {}


def _recreate_step(family: _Family, pods: Iterable[Resource]) -> dict[str, int] | None:
    """What has to go before new pods may come; None when nothing has."""
    scaled = {each.name: 0 for each in family.old if each.spec.replicas}
    if scaled:
        return scaled
    old_uids = {each.metadata.uid for each in family.old}
    owners = (controller_of(pod) for pod in pods)
    still_there = any(owner is not None and owner.uid in old_uids for owner in owners)
    return {} if still_there else None


def _created(deployment: Resource, family: _Family, number: int, taken: frozenset[str]) -> Outcome:
    first = revisions.first_replica_set(deployment, taken, number, replicas=0)
    counted = [_in_numbers(each) for each in family.old]
    start = rolling_step(
        deployment.spec.replicas, limits(deployment.spec), Replicas(first.name, 0, 0), counted
    )
    replicas = start.get(first.name, 0)
    created = dataclasses.replace(first, spec=dataclasses.replace(first.spec, replicas=replicas))
    notes = (_scaling(deployment, first.name, 0, replicas),) if replicas else ()
    return Outcome((created,), notes=notes)


def _in_numbers(replica_set: Resource) -> Replicas:
    status = replica_set.status
    available = (status.available_replicas or 0) if status is not None else 0
    return Replicas(replica_set.name, replica_set.spec.replicas, available)


def _scaled(deployment: Resource, family: _Family, numbers: dict[str, int]) -> Outcome:
    """The ReplicaSets with new numbers of pods, and those whose annotations are to follow."""
    put, notes = [], []
    for each in family.all:
        wanted = numbers.get(each.name, each.spec.replicas)
        noted = {**each.metadata.annotations}
        if each.spec.replicas or wanted:
            noted |= revisions.scale_annotations(deployment)
        changed = revisions.with_annotations(each, noted)
        if wanted != each.spec.replicas:
            spec = dataclasses.replace(each.spec, replicas=wanted)
            # What a client may have written says the old number.
            changed = dataclasses.replace(changed, spec=spec, raw={})
            notes.append(_scaling(deployment, each.name, each.spec.replicas, wanted))
        put.append(changed)
    return Outcome(tuple(put), notes=tuple(notes))


def _scaling(deployment: Resource, name: str, before: int, after: int) -> Note:
    direction = "up" if after > before else "down"
    message = f"Scaled {direction} replica set {name} from {before} to {after}"
    return Note(deployment, "ScalingReplicaSet", message, COMPONENT)
