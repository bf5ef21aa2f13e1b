"""What policies apply to: workloads by labels, or objects by reference; with the rules of their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any

from minimesh.config.schema import Length, Message, Pattern, Req, Rule, message

LabelValue = Annotated[
    str, Length(0, 63), Rule("wildcard not allowed in label value match", lambda text: "*" not in text)
]
LabelMap = Annotated[
    Mapping[str, LabelValue],
    Length(0, 4096),
    Rule("wildcard not allowed in label key match", lambda labels: not any("*" in key for key in labels)),
    Rule("key must not be empty", lambda labels: "" not in labels),
]

_SUBDOMAIN_OR_EMPTY = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Group = Annotated[str, Length(0, 253), Pattern(_SUBDOMAIN_OR_EMPTY)]
KindName = Annotated[str, Length(1, 63), Pattern(r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
ObjectName = Annotated[str, Length(1, 253)]
NoNamespace = Annotated[
    str, Rule("cross namespace referencing is not currently supported", lambda text: not text)
]


@message
class WorkloadLabelSelector(Message):
    """Workloads by labels, in the spelling of `istio.type` (`matchLabels`)."""

    match_labels: LabelMap = field(default_factory=dict)


@message
class PolicyTargetReference(Message):
    """The object that a policy applies to."""

    group: Group = ""
    kind: Req[KindName] = ""
    name: Req[ObjectName] = ""
    namespace: NoNamespace = ""


TargetRefs = Annotated[tuple[PolicyTargetReference, ...], Length(0, 16)]


def _at_most_one_target(given: Mapping[str, Any]) -> bool:
    return len({"selector", "targetRef", "targetRefs"} & given.keys()) <= 1


ONE_TARGET = Rule("only one of targetRefs or selector can be set", _at_most_one_target)
