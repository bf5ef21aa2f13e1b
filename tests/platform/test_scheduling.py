"""Which pods the node takes: cordon and taints on one side, tolerations on the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.kubernetes.scheduling import Toleration
from minimesh.config.store import Snapshot
from minimesh.platform.node import node
from minimesh.platform.scheduling import refusal, unscheduled

TAINT = {"key": "team", "value": "a", "effect": "NoSchedule"}
CORDONED = {"unschedulable": True}


def cluster(spec: dict[str, Any]) -> Snapshot:
    made = node(datetime(2026, 1, 1, tzinfo=UTC), "v1.31.0")
    made.raw["spec"].update(spec)  # type: ignore[index]
    return Snapshot.of([made])


@pytest.mark.parametrize(
    ("toleration", "taken"),
    [
        ({}, False),
        ({"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}, True),
        ({"key": "team", "operator": "Equal", "value": "a"}, True),
        ({"key": "team", "operator": "Equal", "value": "b"}, False),
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_keeps_out_who_does_not_tolerate_it(toleration: dict[str, str], taken: bool) -> None:
    spec = PodSpec(tolerations=(Toleration(**toleration),) if toleration else ())
    found = refusal(spec, cluster({"taints": [TAINT]}))
    assert found == ("" if taken else "0/1 nodes are available: 1 node(s) had untolerated taint {team: a}.")


def test_a_taint_that_only_prefers_keeps_nobody_out() -> None:
    assert refusal(PodSpec(), cluster({"taints": [{**TAINT, "effect": "PreferNoSchedule"}]})) == ""


def test_a_cordoned_node_takes_no_new_pods_but_keeps_those_it_has() -> None:
    found = refusal(PodSpec(), cluster(CORDONED))
    assert found == "0/1 nodes are available: 1 node(s) were unschedulable."
    assert refusal(PodSpec(node_name="minimesh"), cluster(CORDONED)) == ""
    everything = Toleration(operator="Exists")
    assert refusal(PodSpec(tolerations=(everything,)), cluster(CORDONED)) == ""


def test_without_nodes_in_the_store_every_pod_runs() -> None:
    assert refusal(PodSpec(), Snapshot.of([])) == ""


def test_a_pod_that_waits_says_why() -> None:
    status = unscheduled("0/1 nodes are available", "2026-01-01T00:00:00Z")
    (condition,) = status.conditions
    assert (status.phase, condition.type, condition.status) == ("Pending", "PodScheduled", "False")
    assert (condition.reason, condition.message) == ("Unschedulable", "0/1 nodes are available")
