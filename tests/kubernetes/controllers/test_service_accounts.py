"""The account `default`: one for each namespace, there again when it was deleted."""

from __future__ import annotations

from tests.kubernetes.controllers.cluster import Cluster

LAB = "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n"


def accounts(cluster: Cluster) -> list[tuple[str, str]]:
    return [(each.namespace, each.name) for each in cluster.store.snapshot().by_kind("ServiceAccount")]


def test_each_namespace_has_one() -> None:
    cluster = Cluster()
    cluster.put(LAB)
    cluster.settle()
    assert accounts(cluster) == [("lab", "default")]


def test_a_deleted_one_is_there_again() -> None:
    cluster = Cluster()
    cluster.put(LAB)
    cluster.settle()
    before = cluster.get("ServiceAccount", "default", "lab").metadata.uid
    cluster.store.delete(cluster.get("ServiceAccount", "default", "lab").key)
    cluster.settle()
    assert cluster.get("ServiceAccount", "default", "lab").metadata.uid != before
