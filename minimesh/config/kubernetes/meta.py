"""Metadata that every object carries, and label selectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from minimesh.config.schema import Json, Message, OneOf, Req, message


@message
class ObjectMeta(Message):
    """The metadata of an object as written: names, labels, annotations, and what a server adds."""

    annotations: Mapping[str, str] = field(default_factory=dict)
    creation_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    deletion_timestamp: str = ""
    finalizers: tuple[str, ...] = ()
    generate_name: str = ""
    generation: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    managed_fields: tuple[ManagedFieldsEntry, ...] = ()
    name: str = ""
    namespace: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    resource_version: str = ""
    self_link: str = ""
    uid: str = ""


@message
class ManagedFieldsEntry(Message):
    """Which manager last set which fields."""

    api_version: str = ""
    fields_type: str = ""
    fields_v1: Json = None
    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""


@message
class OwnerReference(Message):
    """The object that this one belongs to and is deleted with."""

    api_version: Req[str] = ""
    block_owner_deletion: bool | None = None
    controller: bool | None = None
    kind: Req[str] = ""
    name: Req[str] = ""
    uid: Req[str] = ""


@message
class LabelSelector(Message):
    """Selects objects by their labels: every entry and every expression must hold."""

    match_expressions: tuple[LabelSelectorRequirement, ...] = ()
    match_labels: Mapping[str, str] = field(default_factory=dict)


@message
class LabelSelectorRequirement(Message):
    """One expression of a label selector."""

    key: Req[str] = ""
    operator: Req[Annotated[str, OneOf(("In", "NotIn", "Exists", "DoesNotExist"))]] = ""
    values: tuple[str, ...] = ()


@message
class Condition(Message):
    """One observed condition of an object."""

    last_transition_time: Req[str] = ""
    message: Req[str] = ""
    observed_generation: int | None = None
    reason: Req[str] = ""
    status: Req[str] = ""
    type: Req[str] = ""
