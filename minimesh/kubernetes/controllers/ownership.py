"""Which objects belong to which: owner references and label selectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from minimesh.config.kubernetes.meta import LabelSelector, OwnerReference
from minimesh.config.resources import Resource


def controller_of(resource: Resource) -> OwnerReference | None:
    """The owner that manages the object, if one does."""
    return next((each for each in resource.metadata.owner_references if each.controller), None)


def is_controlled_by(resource: Resource, owner: Resource) -> bool:
    """Whether this very owner manages the object; one of the same name, made later, does not."""
    controller = controller_of(resource)
    return controller is not None and controller.uid == owner.metadata.uid


def reference_to(owner: Resource) -> OwnerReference:
    """The reference of an object that `owner` manages."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether the labels fulfil the selector. No selector selects nothing, an empty one everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    return all(_fulfils(each.key, each.operator, each.values, labels) for each in selector.match_expressions)


def _fulfils(key: str, operator: str, values: Iterable[str], labels: Mapping[str, str]) -> bool:
    if operator == "In":
        return labels.get(key) in tuple(values)
    if operator == "NotIn":
        return labels.get(key) not in tuple(values)
    return (key in labels) == (operator == "Exists")


def claim(
    owner: Resource, candidates: Iterable[Resource]
) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """What the owner manages, and those objects in which that has to be written down.

    It adopts objects that its selector selects and nobody manages, and releases those that it does not
    select any more: thus a pod whose label was taken away goes on running beside its replacement.
    """
    managed: list[Resource] = []
    changed: list[Resource] = []
    for each in candidates:
        if each.namespace != owner.namespace:
            continue
        selected = selects(owner.spec.selector, each.metadata.labels)
        if is_controlled_by(each, owner):
            if selected:
                managed.append(each)
            else:
                changed.append(_released(each, owner))
        elif selected and _is_free(each) and not owner.metadata.deletion_timestamp:
            adopted = _adopted(each, owner)
            managed.append(adopted)
            changed.append(adopted)
    return tuple(managed), tuple(changed)


def _is_free(resource: Resource) -> bool:
    return controller_of(resource) is None and not resource.metadata.deletion_timestamp


def _released(resource: Resource, owner: Resource) -> Resource:
    kept = tuple(each for each in resource.metadata.owner_references if each.uid != owner.metadata.uid)
    return dataclasses.replace(
        resource, metadata=dataclasses.replace(resource.metadata, owner_references=kept)
    )


def _adopted(resource: Resource, owner: Resource) -> Resource:
    references = (*resource.metadata.owner_references, reference_to(owner))
    return dataclasses.replace(
        resource, metadata=dataclasses.replace(resource.metadata, owner_references=references)
    )
