"""The ServiceAccount `default` of each namespace, under which pods run that name no other."""

from __future__ import annotations

from minimesh.config.kubernetes.core import ServiceAccount
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Snapshot
from minimesh.kubernetes.controllers.outcome import Outcome

NAME = "default"


def reconcile(snapshot: Snapshot) -> Outcome:
    """The accounts that are missing; a namespace that is being removed gets none."""
    missing = (
        each.name
        for each in snapshot.by_kind("Namespace")
        if not each.metadata.deletion_timestamp
        and snapshot.get(ResourceKey("ServiceAccount", each.name, NAME)) is None
    )
    return Outcome(tuple(map(_account, missing)))


def _account(namespace: str) -> Resource:
    metadata = ObjectMeta(name=NAME, namespace=namespace)
    return Resource(api_version="v1", kind="ServiceAccount", metadata=metadata, spec=ServiceAccount())
