"""What goes with what: objects whose owners are gone, and objects that wait to be removed.

Removing an object with finalizers marks it (`marked`), and the last finalizer that goes takes it along. Two
finalizers are worked off here: `foregroundDeletion` waits until the objects that block their owner's removal
are gone, `orphan` leaves them behind without an owner. Without either, what an object owned goes after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime

from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.controllers.outcome import Outcome

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
DEFAULT_GRACE_S = 30


def marked(
    resource: Resource, now: datetime, *, finalizer: str = "", grace_s: int | None = None
) -> Resource | None:
    """The object as something that is being removed; None when it can go at once.

    A pod always is marked first, because its processes have to end; whoever runs it removes it then.
    `finalizer` is FOREGROUND, ORPHAN, or none; `grace_s` overrides how long a pod's processes may take.
    """
    metadata = resource.metadata
    finalizers = metadata.finalizers
    if finalizer and finalizer not in finalizers:
        finalizers = (*finalizers, finalizer)
    if resource.kind != "Pod" and not finalizers:
        return None
    grace = metadata.deletion_grace_period_seconds
    if resource.kind == "Pod" and grace is None:
        own = resource.spec.termination_grace_period_seconds
        grace = grace_s if grace_s is not None else (DEFAULT_GRACE_S if own is None else own)
    return dataclasses.replace(
        resource,
        metadata=dataclasses.replace(
            metadata,
            deletion_timestamp=metadata.deletion_timestamp or timestamp(now),
            deletion_grace_period_seconds=grace,
            finalizers=finalizers,
        ),
    )


def reconcile(snapshot: Snapshot, now: datetime) -> Outcome:
    """What has lost its owners, and what may go now that nothing holds it back."""
    uids = {each.metadata.uid for each in snapshot.resources}
    dependents: dict[str, list[Resource]] = {}
    lost: list[Resource] = []
    for each in snapshot.resources:
        references = each.metadata.owner_references
        for reference in references:
            dependents.setdefault(reference.uid, []).append(each)
        if references and not any(reference.uid in uids for reference in references):
            lost.append(each)
    going = [each for each in snapshot.resources if each.metadata.deletion_timestamp]
    outcomes = [_finalized(each, dependents, now) for each in going]
    outcomes.append(Outcome(delete=tuple(one.key for one in lost if not one.metadata.deletion_timestamp)))
    return Outcome.joined(outcomes)


def _finalized(resource: Resource, dependents: Mapping[str, Sequence[Resource]], now: datetime) -> Outcome:
    """One step towards the end of an object that is being removed."""
    owned = dependents.get(resource.metadata.uid, ())
    finalizers = resource.metadata.finalizers
    if ORPHAN in finalizers:
        freed = tuple(_without_owner(each, resource.metadata.uid) for each in owned)
        return Outcome((*freed, _without_finalizer(resource, ORPHAN)))
    if FOREGROUND in finalizers:
        blocking = [each for each in owned if _blocks(each, resource.metadata.uid)]
        if not blocking:
            return Outcome((_without_finalizer(resource, FOREGROUND),))
        remaining = [each for each in blocking if not each.metadata.deletion_timestamp]
        return Outcome.joined(_foreground(each, dependents, now) for each in remaining)
    if finalizers or resource.kind in ("Pod", "Namespace"):
        return Outcome()
    return Outcome(delete=(resource.key,))


def _foreground(dependent: Resource, dependents: Mapping[str, Sequence[Resource]], now: datetime) -> Outcome:
    """Remove what blocks its owner's removal, itself not before what it owns."""
    has_own = bool(dependents.get(dependent.metadata.uid))
    waiting = marked(dependent, now, finalizer=FOREGROUND if has_own else "")
    return Outcome(delete=(dependent.key,)) if waiting is None else Outcome((waiting,))


def _blocks(dependent: Resource, uid: str) -> bool:
    references = dependent.metadata.owner_references
    return any(each.uid == uid and each.block_owner_deletion for each in references)


def _without_owner(resource: Resource, uid: str) -> Resource:
    kept = tuple(each for each in resource.metadata.owner_references if each.uid != uid)
    return dataclasses.replace(
        resource, metadata=dataclasses.replace(resource.metadata, owner_references=kept)
    )


def _without_finalizer(resource: Resource, finalizer: str) -> Resource:
    kept = tuple(each for each in resource.metadata.finalizers if each != finalizer)
    return dataclasses.replace(resource, metadata=dataclasses.replace(resource.metadata, finalizers=kept))
