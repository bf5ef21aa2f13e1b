"""What the endpoints of a Service say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from minimesh.config.kubernetes.pod_status import PodCondition, PodStatus
from minimesh.config.resources import Resource
from tests.kubernetes.controllers.cluster import Cluster

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, labels: {team: a}}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8000, targetPort: TARGET}]
"""


def pod(name: str, port: int = 80) -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec: {{containers: [{{name: app, image: i, ports: [{{name: web, containerPort: {port}}}]}}]}}
"""


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def runs(cluster: Cluster, name: str, ip: str, *, ready: bool = True, port: int = 80) -> None:
    found = cluster.put(pod(name, port))
    condition = PodCondition(type="Ready", status=str(ready), last_transition_time="2026-01-02T03:04:05Z")
    status = PodStatus(phase="Running", pod_ip=ip, conditions=(condition,))
    cluster.store.put(dataclasses.replace(found, status=status))


def slices(cluster: Cluster) -> list[Resource]:
    return list(cluster.store.snapshot().by_kind("EndpointSlice"))


def subsets(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("Endpoints", "web").raw.get("subsets", [])
    return found


def test_a_service_without_pods_has_an_empty_slice(cluster: Cluster) -> None:
    service = cluster.put(SERVICE.replace("TARGET", "80"))
    cluster.settle()
    (found,) = slices(cluster)
    assert found.raw["endpoints"] == []
    assert found.metadata.labels["kubernetes.io/service-name"] == "web"
    assert found.metadata.labels["team"] == "a"
    assert found.metadata.owner_references[0].uid == service.metadata.uid
    assert subsets(cluster) == []


def test_ready_and_unready_pods_stand_apart(cluster: Cluster) -> None:
    cluster.put(SERVICE.replace("TARGET", "80"))
    runs(cluster, "a", "127.10.0.2")
    runs(cluster, "b", "127.10.0.3", ready=False)
    cluster.settle()
    (found,) = slices(cluster)
    shown = [(each["addresses"], each["conditions"]["ready"]) for each in found.raw["endpoints"]]
    assert shown == [(["127.10.0.2"], True), (["127.10.0.3"], False)]
    assert found.raw["ports"] == [{"name": "http", "port": 80, "protocol": "TCP"}]
    (subset,) = subsets(cluster)
    assert [each["ip"] for each in subset["addresses"]] == ["127.10.0.2"]
    assert [each["ip"] for each in subset["notReadyAddresses"]] == ["127.10.0.3"]


def test_a_named_port_is_what_each_pod_says_it_is(cluster: Cluster) -> None:
    cluster.put(SERVICE.replace("TARGET", "web"))
    runs(cluster, "a", "127.10.0.2", port=80)
    runs(cluster, "b", "127.10.0.3", port=8080)
    cluster.settle()
    found = {each.raw["ports"][0]["port"]: each.raw["endpoints"][0]["addresses"] for each in slices(cluster)}
    assert found == {80: ["127.10.0.2"], 8080: ["127.10.0.3"]}


def test_a_pod_that_is_being_removed_is_left_out_and_nothing_changes_without_a_reason(
    cluster: Cluster,
) -> None:
    cluster.put(SERVICE.replace("TARGET", "80"))
    runs(cluster, "a", "127.10.0.2")
    cluster.settle()
    version = cluster.store.snapshot().version
    cluster.settle()
    assert cluster.store.snapshot().version == version
    cluster.remove("Pod", "a")
    cluster.settle()
    assert subsets(cluster) == []


def test_slices_that_are_of_no_use_any_more_go(cluster: Cluster) -> None:
    cluster.put(SERVICE.replace("TARGET", "web"))
    runs(cluster, "a", "127.10.0.2", port=80)
    runs(cluster, "b", "127.10.0.3", port=8080)
    cluster.settle()
    cluster.remove("Pod", "b")
    cluster.settle()
    (found,) = slices(cluster)
    assert found.raw["ports"][0]["port"] == 80


def test_they_go_with_their_service(cluster: Cluster) -> None:
    cluster.put(SERVICE.replace("TARGET", "80"))
    cluster.settle()
    cluster.remove("Service", "web")
    cluster.settle()
    assert slices(cluster) == []
    assert cluster.store.snapshot().by_kind("Endpoints") == ()


def test_endpoints_of_somebody_else_are_left_alone(cluster: Cluster) -> None:
    cluster.put(SERVICE.replace("TARGET", "80").replace("  selector: {app: web}\n", ""))
    cluster.settle()
    assert slices(cluster) == []
