"""Whether the one node takes a pod: full, cordoned or tainted, it takes none that is not there yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.kubernetes.pod_status import PodCondition, PodStatus
from minimesh.config.kubernetes.scheduling import Toleration
from minimesh.config.store import Snapshot
from minimesh.platform.pod_events import PodEvent

NO_ROOM = "0/1 nodes are available: 1 Too many pods."
"""What the scheduler says of a pod beyond the number that the node takes."""

_KEEPS_OUT = ("NoSchedule", "NoExecute")
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
"""The taint that a cordoned node has."""


def refusal(spec: PodSpec, snapshot: Snapshot) -> str:
    """Why no node takes the pod, in the scheduler's words; an empty text when one does, or has."""
    nodes = snapshot.by_kind("Node")
    if spec.node_name or not nodes:
        return ""
    refusals = [next(_objections(each.raw.get("spec") or {}, spec.tolerations), "") for each in nodes]
    if not all(refusals):
        return ""
    return f"0/{len(nodes)} nodes are available: 1 node(s) {refusals[0]}."


def unscheduled(why: str, since: str) -> PodStatus:
    """The status of a pod that waits for a node; `since` is a timestamp."""
    condition = PodCondition(
        type="PodScheduled",
        status="False",
        reason="Unschedulable",
        message=why,
        last_transition_time=since,
    )
    return PodStatus(phase="Pending", conditions=(condition,))


def failed_scheduling(why: str) -> PodEvent:
    """What the scheduler tells of such a pod."""
    return PodEvent("FailedScheduling", why, warning=True, component="default-scheduler")


def _objections(node: Mapping[str, Any], tolerations: Iterable[Toleration]) -> Iterator[str]:
    """What keeps a pod off a node."""
    tolerations = tuple(tolerations)
    if node.get("unschedulable") and not _is_tolerated(_UNSCHEDULABLE, tolerations):
        yield "were unschedulable"
    for taint in node.get("taints") or ():
        if taint.get("effect") in _KEEPS_OUT and not _is_tolerated(taint, tolerations):
            yield f"had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"


def _is_tolerated(taint: Mapping[str, Any], tolerations: Iterable[Toleration]) -> bool:
    return any(_tolerates(each, taint) for each in tolerations)


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    """An empty effect or key (with Exists) stands for every one."""
    if toleration.effect not in ("", taint["effect"]):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint["key"])
    return (toleration.key, toleration.value) == (taint["key"], taint.get("value", ""))
