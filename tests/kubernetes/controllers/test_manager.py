"""One object that the controllers cannot digest must not stop the others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from structlog.testing import capture_logs

from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers import deployment
from minimesh.kubernetes.controllers.outcome import Note, Outcome, later
from minimesh.kubernetes.controllers.revisions import REVISION, revision
from tests.kubernetes.controllers.cluster import Cluster

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: web, image: web}]}
"""


def test_a_failure_over_one_object_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    reconcile = deployment.reconcile

    def failing(found: Resource, *rest: Any) -> Outcome:
        if found.name == "bad":
            raise ZeroDivisionError("cannot be digested")
        return reconcile(found, *rest)

    monkeypatch.setattr(deployment, "reconcile", failing)
    cluster.put(WEB.replace("NAME", "bad"))
    cluster.put(WEB.replace("NAME", "web"))
    with capture_logs() as logs:
        cluster.controllers.settle()
        cluster.controllers.settle()
    assert [pod.metadata.labels["app"] for pod in cluster.pods] == ["web"]
    assert [(each["event"], each["about"]) for each in logs] == [
        ("controller_failed", "Deployment default/bad")
    ]


def test_a_revision_that_is_no_number_counts_as_none() -> None:
    cluster = Cluster()
    cluster.put(WEB.replace("NAME", "web"))
    cluster.settle()
    found = cluster.get("Deployment", "web")
    for written in ("\N{SUPERSCRIPT TWO}", "9" * 5000, "-1"):
        metadata = dataclasses.replace(found.metadata, annotations={REVISION: written})
        assert revision(dataclasses.replace(found, metadata=metadata)) == 0


def test_a_moment_that_never_comes_is_not_waited_for() -> None:
    assert later("2026-01-02T03:04:05Z", 1e15) is None
    assert later("yesterday", 1) is None
    assert later("2026-01-02T03:04:05", 1) == later("2026-01-02T03:04:05Z", 1)


def test_a_replica_set_of_that_name_is_left_to_its_owner() -> None:
    """The name that the template's hash gives may be another's: then it gets the next one."""
    cluster = Cluster()
    cluster.put(WEB.replace("NAME", "web"))
    cluster.settle()
    (name,) = [each.name for each in cluster.replica_sets]
    stranger = Cluster()
    text = WEB.replace("kind: Deployment", "kind: ReplicaSet").replace("{name: NAME}", f"{{name: {name}}}")
    stranger.put(text.replace("NAME", "other"))
    stranger.settle()
    stranger.put(WEB.replace("NAME", "web"))
    stranger.settle()
    assert stranger.get("ReplicaSet", name).spec.selector.match_labels == {"app": "other"}
    assert sorted(pod.metadata.labels["app"] for pod in stranger.pods) == ["other", "web"]


def test_events_of_an_object_are_listed_as_they_happened() -> None:
    cluster = Cluster()
    cluster.put(WEB.replace("NAME", "web"))
    cluster.settle()
    web = cluster.get("Deployment", "web")
    said = ["zero", "one", "two", "three"]
    for message in (*said, "zero"):
        cluster.controllers.events.write(Note(web, "Told", message, "somebody"))
    found = [each for each in cluster.store.snapshot().by_kind("Event") if each.spec.reason == "Told"]
    assert [(each.spec.message, each.spec.count) for each in found] == [
        ("zero", 2),
        *((each, 1) for each in said[1:]),
    ]
