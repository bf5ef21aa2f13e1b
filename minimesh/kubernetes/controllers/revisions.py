"""The revisions of a Deployment: one ReplicaSet for each template that it had, numbered by annotation.

`kubectl rollout history` and `undo` read the numbers and templates; going back to an old template makes its
ReplicaSet the newest revision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.config.decimals import decimal
from minimesh.config.encoding import encoded
from minimesh.config.kubernetes.apps import ReplicaSetSpec
from minimesh.config.kubernetes.meta import LabelSelector, ObjectMeta
from minimesh.config.kubernetes.pod import PodTemplateSpec
from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers.names import template_hash
from minimesh.kubernetes.controllers.ownership import reference_to
from minimesh.kubernetes.controllers.rollout import limits
from minimesh.kubernetes.defaults import set_pod_defaults

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OF_ONE_OBJECT = frozenset({LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM})
DEFAULT_HISTORY_LIMIT = 10


def revision(resource: Resource) -> int:
    """The revision's number; 0 when it has none."""
    return decimal(resource.metadata.annotations.get(REVISION, "")) or 0


def current(deployment: Resource, replica_sets: Sequence[Resource]) -> Resource | None:
    """The ReplicaSet of the Deployment's template, the oldest if there are several; or None.

    A template from a file says less than the same one after a client wrote it back with its defaults.
    """
    wanted = without_hash(deployment.spec.template)
    same = (each for each in replica_sets if without_hash(each.spec.template) == wanted)
    found = next(same, None)
    if found is not None or not replica_sets:
        return found
    in_full = _in_full(wanted)
    return next(
        (each for each in replica_sets if _in_full(without_hash(each.spec.template)) == in_full), None
    )


def _in_full(template: PodTemplateSpec) -> dict[str, Any]:
    """The template with all defaults, as the API shows it."""
    shown: dict[str, Any] = encoded(template)
    if "spec" in shown:
        set_pod_defaults(shown["spec"])
    return shown


def without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    """The template as the user wrote it; where a template says nothing of metadata, with empty metadata."""
    metadata = template.metadata or ObjectMeta()
    labels = {key: value for key, value in metadata.labels.items() if key != HASH_LABEL}
    return dataclasses.replace(template, metadata=dataclasses.replace(metadata, labels=labels))


def first_replica_set(deployment: Resource, taken: frozenset[str], number: int, replicas: int) -> Resource:
    """A ReplicaSet for the Deployment's template; `taken` are names that it cannot have."""
    template = without_hash(deployment.spec.template)
    collisions = 0
    digest = template_hash(template)
    while f"{deployment.name}-{digest}" in taken:
        collisions += 1
        digest = template_hash(template, collisions)
    metadata = template.metadata or ObjectMeta()
    labels = {**metadata.labels, HASH_LABEL: digest}
    selector = deployment.spec.selector or LabelSelector()
    spec = ReplicaSetSpec(
        min_ready_seconds=deployment.spec.min_ready_seconds,
        replicas=replicas,
        selector=dataclasses.replace(selector, match_labels={**selector.match_labels, HASH_LABEL: digest}),
        template=dataclasses.replace(template, metadata=dataclasses.replace(metadata, labels=labels)),
    )
    return Resource(
        api_version="apps/v1",
        kind="ReplicaSet",
        metadata=ObjectMeta(
            name=f"{deployment.name}-{digest}",
            namespace=deployment.namespace,
            labels=labels,
            annotations=carried_annotations(deployment, {REVISION: str(number)}),
            owner_references=(reference_to(deployment),),
        ),
        spec=spec,
    )


def renumbered(deployment: Resource, replica_set: Resource, highest_other: int) -> Resource:
    """The ReplicaSet as the newest revision, with the Deployment's annotations of now."""
    own = replica_set.metadata.annotations
    number, history = revision(replica_set), own.get(HISTORY, "")
    if number <= highest_other:
        history = f"{history},{number}" if history else str(number)
        number = highest_other + 1
    kept = {REVISION: str(number), **({HISTORY: history} if history and number else {})}
    if not own.get(HISTORY) and number == revision(replica_set):
        kept.pop(HISTORY, None)
    return with_annotations(replica_set, carried_annotations(deployment, kept))


def carried_annotations(deployment: Resource, own: Mapping[str, str]) -> dict[str, str]:
    """What a ReplicaSet carries: the Deployment's annotations, change-cause among them, and its own."""
    shared = {k: v for k, v in deployment.metadata.annotations.items() if k not in _OF_ONE_OBJECT}
    return {**shared, **scale_annotations(deployment), **own}


def scale_annotations(deployment: Resource) -> dict[str, str]:
    """What the Deployment asked for when the ReplicaSet was last looked at."""
    replicas = deployment.spec.replicas
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + limits(deployment.spec).surge)}


def with_annotations(resource: Resource, wanted: Mapping[str, str]) -> Resource:
    """The object with exactly these annotations."""
    return dataclasses.replace(
        resource, metadata=dataclasses.replace(resource.metadata, annotations=dict(wanted))
    )


def outdated(deployment: Resource, old: Sequence[Resource]) -> list[Resource]:
    """Old ReplicaSets beyond the history's limit: the lowest revisions, none that still has pods."""
    limit = deployment.spec.revision_history_limit
    surplus = len(old) - (DEFAULT_HISTORY_LIMIT if limit is None else limit)
    if surplus <= 0:
        return []
    lowest_first = sorted(old, key=revision)[:surplus]
    return [each for each in lowest_first if not each.spec.replicas and not _has_pods(each)]


def _has_pods(replica_set: Resource) -> bool:
    status = replica_set.status
    unseen = status is None or status.observed_generation != replica_set.metadata.generation
    return unseen or bool(status.replicas)
