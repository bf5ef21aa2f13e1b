"""Deployments, from their first pod to their last, as kubectl shows them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from minimesh.config.encoding import encoded_resource
from minimesh.config.json_nodes import read_json
from minimesh.config.persistence import Persistence
from minimesh.kubernetes.controllers.garbage import FOREGROUND, ORPHAN
from minimesh.kubernetes.defaults import set_defaults
from minimesh.kubernetes.resource_types import BUILT_IN
from tests.kubernetes.controllers.cluster import REVISION, Cluster, deployment


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def image(cluster: Cluster, text: str, name: str = "web") -> None:
    """`kubectl set image`."""
    found = cluster.get("Deployment", name)
    (container,) = found.spec.template.spec.containers
    spec = dataclasses.replace(
        found.spec.template.spec, containers=(dataclasses.replace(container, image=text),)
    )
    cluster.change("Deployment", name, template=dataclasses.replace(found.spec.template, spec=spec))
    cluster.settle()


def test_a_deployment_becomes_a_replica_set_and_pods(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.settle()
    (replica_set,) = cluster.replica_sets
    base, digest = replica_set.name.split("-")
    assert (base, len(digest)) == ("web", 10)
    assert replica_set.metadata.labels == {"app": "web", "pod-template-hash": digest}
    names = [pod.name.rpartition("-")[0] for pod in cluster.pods]
    assert names == [replica_set.name, replica_set.name]
    assert all(pod.metadata.labels["pod-template-hash"] == digest for pod in cluster.pods)
    assert cluster.events("ScalingReplicaSet") == [f"Scaled up replica set {replica_set.name} from 0 to 2"]
    assert len(cluster.events("SuccessfulCreate")) == 2


def test_settling_again_changes_nothing(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.settle()
    version = cluster.store.snapshot().version
    cluster.later(5)
    assert cluster.store.snapshot().version == version


def test_the_status_follows_the_pods(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.settle()
    status = cluster.get("Deployment", "web").status
    assert (status.replicas, status.ready_replicas, status.unavailable_replicas) == (2, 0, 2)
    assert cluster.condition("web", "Available") == ("False", "MinimumReplicasUnavailable")
    assert cluster.condition("web", "Progressing") == ("True", "ReplicaSetUpdated")
    cluster.run_pods()
    found = cluster.get("Deployment", "web")
    status = found.status
    assert (status.ready_replicas, status.available_replicas, status.updated_replicas) == (2, 2, 2)
    assert status.observed_generation == found.metadata.generation
    assert cluster.condition("web", "Available") == ("True", "MinimumReplicasAvailable")
    assert cluster.condition("web", "Progressing") == ("True", "NewReplicaSetAvailable")


def test_scaling_makes_no_revision(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.roll_out()
    cluster.change("Deployment", "web", replicas=4)
    cluster.roll_out()
    assert cluster.numbers == [(4, 4)]
    cluster.change("Deployment", "web", replicas=0)
    cluster.roll_out()
    assert (cluster.numbers, cluster.pods) == ([(0, 0)], [])


def test_a_template_that_comes_back_with_its_defaults_is_no_other_template(cluster: Cluster) -> None:
    """`kubectl scale` on what a file declared writes the whole object, defaults and all."""
    cluster.put(deployment())
    cluster.roll_out()
    shown = encoded_resource(cluster.get("Deployment", "web"))
    (type_,) = [each for each in BUILT_IN if each.kind == "Deployment" and each.group == "apps"]
    set_defaults(shown, type_, "2026-01-02T03:04:05Z", {})
    shown["spec"]["replicas"] = 3
    ((resource,), _) = read_json(shown, "api")
    cluster.store.put(resource)
    cluster.roll_out()
    assert cluster.numbers == [(3, 3)]


def test_scaling_down_takes_the_unready_pod_first(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=3))
    cluster.settle()
    unready = cluster.pods[1].name
    cluster.run_pods(lambda pod: pod.name != unready)
    cluster.change("Deployment", "web", replicas=2)
    cluster.settle()
    assert unready not in [pod.name for pod in cluster.pods]
    assert cluster.events("SuccessfulDelete") == [f"Deleted pod: {unready}"]


def test_a_pod_that_is_deleted_is_replaced(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1))
    cluster.roll_out()
    (pod,) = cluster.pods
    cluster.remove("Pod", pod.name)
    cluster.settle()
    (other,) = cluster.pods
    assert other.name != pod.name
    assert cluster.get("Pod", pod.name).metadata.deletion_timestamp


def test_a_pod_whose_label_is_taken_away_is_released_and_replaced(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1))
    cluster.roll_out()
    (pod,) = cluster.pods
    cluster.store.put(dataclasses.replace(pod, metadata=dataclasses.replace(pod.metadata, labels={})))
    cluster.settle()
    assert len(cluster.pods) == 2
    assert cluster.get("Pod", pod.name).metadata.owner_references == ()


def test_a_new_image_rolls_out_with_one_pod_more_at_most_and_none_missing(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=2))
    cluster.roll_out()
    image(cluster, "app:2")
    seen = cluster.roll_out()
    assert cluster.numbers == [(0, 0), (2, 2)]
    for numbers in seen:
        assert sum(wanted for wanted, _ in numbers) <= 3
        assert sum(ready for _, ready in numbers) >= 2
    assert cluster.get("Deployment", "web").metadata.annotations[REVISION] == "2"
    assert {pod.spec.containers[0].image for pod in cluster.pods} == {"app:2"}


def test_a_bad_image_leaves_the_old_pods_at_work_until_it_is_undone(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=2))
    cluster.roll_out()
    image(cluster, "app:broken")
    assert cluster.numbers == [(2, 2), (1, 0)]
    cluster.later(601)
    assert cluster.condition("web", "Progressing") == ("False", "ProgressDeadlineExceeded")
    image(cluster, "app:1")
    cluster.roll_out()
    assert cluster.numbers == [(0, 0), (2, 2)]
    annotations = cluster.get("ReplicaSet", cluster.replica_sets[1].name).metadata.annotations
    assert annotations[REVISION] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.condition("web", "Progressing") == ("True", "NewReplicaSetAvailable")


def test_recreate_waits_until_the_old_pods_are_gone(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=2, more="  strategy: {type: Recreate}"))
    cluster.roll_out()
    image(cluster, "app:2")
    assert (cluster.numbers, cluster.pods) == ([(0, 0)], [])
    assert len(cluster.store.snapshot().by_kind("Pod")) == 2
    cluster.run_pods()
    assert cluster.numbers == [(0, 0), (2, 0)]


def test_a_pod_counts_as_available_only_after_its_time(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1, more="  minReadySeconds: 10"))
    cluster.settle()
    cluster.make_ready(cluster.pods[0], ready=True)
    assert cluster.controllers.settle() == cluster.now + timedelta(seconds=10)
    assert cluster.get("Deployment", "web").status.available_replicas == 0
    cluster.later(10)
    assert cluster.get("Deployment", "web").status.available_replicas == 1


def test_a_paused_deployment_is_scaled_but_not_updated(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1))
    cluster.roll_out()
    cluster.change("Deployment", "web", paused=True, replicas=3)
    image(cluster, "app:2")
    cluster.roll_out()
    assert cluster.numbers == [(3, 3)]
    assert cluster.condition("web", "Progressing") == ("Unknown", "DeploymentPaused")
    cluster.change("Deployment", "web", paused=False)
    cluster.roll_out()
    assert cluster.numbers == [(0, 0), (3, 3)]


def test_the_history_has_a_limit(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1, more="  revisionHistoryLimit: 2"))
    cluster.roll_out()
    for number in range(2, 7):
        image(cluster, f"app:{number}")
        cluster.roll_out()
    assert [each.metadata.annotations[REVISION] for each in cluster.replica_sets] == ["4", "5", "6"]


def test_the_change_cause_goes_with_its_revision(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1))
    cluster.settle()
    found = cluster.get("Deployment", "web")
    noted = {"kubernetes.io/change-cause": "first try", **found.metadata.annotations}
    cluster.store.put(
        dataclasses.replace(found, metadata=dataclasses.replace(found.metadata, annotations=noted))
    )
    cluster.settle()
    assert cluster.replica_sets[0].metadata.annotations["kubernetes.io/change-cause"] == "first try"


def test_a_deployment_that_goes_takes_replica_sets_and_pods_along(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.roll_out()
    cluster.remove("Deployment", "web")
    cluster.settle()
    assert (cluster.replica_sets, cluster.pods) == ([], [])
    cluster.run_pods()
    assert cluster.store.snapshot().by_kind("Pod") == ()


def test_removed_in_the_foreground_it_goes_last(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.roll_out()
    cluster.remove("Deployment", "web", finalizer=FOREGROUND)
    cluster.settle()
    assert cluster.get("Deployment", "web").metadata.deletion_timestamp
    cluster.run_pods()
    assert [each.kind for each in cluster.store.snapshot().resources if each.kind != "Event"] == []


def test_removed_as_an_orphan_it_leaves_its_pods_and_another_one_takes_them_over(cluster: Cluster) -> None:
    cluster.put(deployment())
    cluster.roll_out()
    before = [pod.name for pod in cluster.pods]
    cluster.remove("Deployment", "web", finalizer=ORPHAN)
    cluster.settle()
    assert cluster.store.snapshot().by_kind("Deployment") == ()
    assert [pod.name for pod in cluster.pods] == before
    (replica_set,) = cluster.replica_sets
    assert replica_set.metadata.owner_references == ()
    again = cluster.put(deployment())
    cluster.settle()
    (replica_set,) = cluster.replica_sets
    assert replica_set.metadata.owner_references[0].uid == again.metadata.uid
    assert [pod.name for pod in cluster.pods] == before


def test_revisions_last_as_long_as_their_deployment_and_pods_do_not(tmp_path: Path) -> None:
    first = Cluster(Persistence(tmp_path))
    first.put(deployment(), durable=True)
    first.put(deployment("passing"))
    first.roll_out()
    image(first, "app:2")
    first.roll_out()
    persistence = Persistence(tmp_path)
    second = Cluster(persistence)
    second.store.restore(persistence.restored())
    kept = [str(each.key) for each in second.store.snapshot().resources]
    names = [each.name for each in first.replica_sets if each.name.startswith("web")]
    assert kept == ["Deployment default/web", *sorted(f"ReplicaSet default/{name}" for name in names)]
    second.settle()
    assert len(second.pods) == 2
    image(second, "app:1")
    second.roll_out()
    assert [each.name for each in second.replica_sets] == names[::-1]


def test_what_keeps_happening_is_one_event_with_a_count(cluster: Cluster) -> None:
    cluster.put(deployment(replicas=1))
    cluster.roll_out()
    for replicas in (2, 1, 2):
        cluster.change("Deployment", "web", replicas=replicas)
        cluster.roll_out()
    (name,) = [each.name for each in cluster.replica_sets]
    message = f"Scaled up replica set {name} from 1 to 2"
    events = [each.spec for each in cluster.store.snapshot().by_kind("Event")]
    assert [each.count for each in events if each.message == message] == [2]


def test_an_event_names_its_object(cluster: Cluster) -> None:
    web = cluster.put(deployment(replicas=1))
    cluster.settle()
    events = [each.spec for each in cluster.store.snapshot().by_kind("Event")]
    scaled = [each.involved_object for each in events if each.reason == "ScalingReplicaSet"]
    assert [(each.kind, each.name, each.uid) for each in scaled] == [("Deployment", "web", web.metadata.uid)]
