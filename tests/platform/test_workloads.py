"""From Pods to what runs: which proxy a pod gets, and what to start and to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.injection import ProxyRole
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Snapshot, Store
from minimesh.kubernetes.controllers.manager import Controllers
from minimesh.platform.defaults import default_resources
from minimesh.platform.node import PODS_LIMIT
from minimesh.platform.scheduling import NO_ROOM
from minimesh.platform.workloads import Workload, plan, service_target_ports, workloads


def deployment(labels: str = "{app: web}") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {labels}}}
    spec:
      containers:
      - name: app
        image: kennethreitz/httpbin
        ports: [{{containerPort: 80}}, {{containerPort: 53, protocol: UDP}}]
"""


def pod(name: str = "client", image: str = "curlimages/curl", labels: str = "{app: client}") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {labels}}}
spec: {{containers: [{{name: client, image: '{image}'}}]}}
"""


def namespace(name: str, labels: str = "{}") -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"


def resources(*documents: str) -> tuple[Resource, ...]:
    decoded = decode("\n---\n".join(documents), "test.yaml")
    assert all(each.severity != "error" for each in decoded.diagnostics), decoded.diagnostics
    return decoded.resources


def cluster(*documents: str, more: Sequence[Resource] = ()) -> Snapshot:
    """What the controllers make of the documents."""
    store = Store()
    for each in (*more, *resources(*documents)):
        store.put(each)
    Controllers(store).settle()
    return store.snapshot()


def asked_for(*documents: str) -> tuple[Workload, ...]:
    return workloads(cluster(*documents))


def changed(snapshot: Snapshot, key: ResourceKey, **metadata: Any) -> Snapshot:
    """The same, but for the metadata of one object."""
    found = snapshot.get(key)
    assert found is not None
    other = dataclasses.replace(found, metadata=dataclasses.replace(found.metadata, **metadata))
    return Snapshot.of([*snapshot.resources, other])


def steps(
    snapshot: Snapshot, running: Sequence[Workload] = (), ending: Sequence[ResourceKey] = ()
) -> dict[str, list[str]]:
    """The names of the pods to start, to end, and to forget."""
    outcome = plan(snapshot, running, ending)
    return {
        "start": [each.key.name for each in outcome.start],
        "end": [each.name for each in outcome.end],
        "gone": [each.name for each in outcome.gone],
    }


CLIENT = ResourceKey("Pod", "default", "client")
NOTHING: dict[str, list[str]] = {"start": [], "end": [], "gone": []}


def test_a_pod_of_a_deployment_is_its_workload_with_its_tcp_ports() -> None:
    (web,) = asked_for(deployment())
    assert web.key.name.startswith("web-")
    assert (web.owner, web.name) == (ResourceKey("Deployment", "default", "web"), "web")
    assert (web.container_ports, web.service_account) == ((80,), "default")


def test_a_pod_of_its_own_is_its_own_workload() -> None:
    (client,) = asked_for(pod())
    assert (client.owner, client.name) == (CLIENT, "client")


@pytest.mark.parametrize(
    ("namespace_labels", "pod_labels_text", "role"),
    [
        ("{}", "{app: web}", ProxyRole.NONE),
        ("{istio-injection: enabled}", "{app: web}", ProxyRole.SIDECAR),
        ("{istio.io/rev: default}", "{app: web}", ProxyRole.SIDECAR),
        ("{istio-injection: enabled}", "{app: web, sidecar.istio.io/inject: 'false'}", ProxyRole.NONE),
        ("{}", "{app: web, sidecar.istio.io/inject: 'true'}", ProxyRole.SIDECAR),
        ("{istio-injection: disabled}", "{app: web, sidecar.istio.io/inject: 'true'}", ProxyRole.NONE),
    ],
)
def test_namespace_and_pod_decide_about_the_sidecar(
    namespace_labels: str, pod_labels_text: str, role: ProxyRole
) -> None:
    (web,) = asked_for(namespace("default", namespace_labels), deployment(labels=pod_labels_text))
    assert web.role is role


def test_the_ingress_gateway_is_among_the_defaults() -> None:
    found = {each.name: each for each in workloads(cluster(more=default_resources()))}
    assert found["istiod"].role is ProxyRole.NONE
    gateway = found["istio-ingressgateway"]
    assert (gateway.namespace, gateway.name) == ("istio-system", "istio-ingressgateway")
    assert gateway.role is ProxyRole.GATEWAY


@pytest.mark.parametrize(("injects_by_default", "role"), [(True, ProxyRole.SIDECAR), (False, ProxyRole.NONE)])
def test_the_default_namespace_asks_for_sidecars_in_a_mesh_over_files(
    injects_by_default: bool, role: ProxyRole
) -> None:
    defaults = default_resources(injects_by_default=injects_by_default)
    found = workloads(cluster(deployment(), more=defaults))
    assert {workload.name: workload.role for workload in found}["web"] is role


def test_what_should_run_is_started_once() -> None:
    snapshot = cluster(pod())
    assert steps(snapshot) == {**NOTHING, "start": ["client"]}
    assert steps(snapshot, workloads(snapshot)) == NOTHING


def test_a_pod_that_is_being_removed_ends_and_then_goes() -> None:
    before = cluster(pod())
    after = changed(before, CLIENT, deletion_timestamp="2026-01-02T03:04:05Z")
    assert steps(after, workloads(before)) == {**NOTHING, "end": ["client"]}
    assert steps(after, ending=[CLIENT]) == NOTHING
    assert steps(after) == {**NOTHING, "gone": ["client"]}
    held = changed(after, CLIENT, finalizers=("example.com/hold",))
    assert steps(held) == NOTHING


def test_a_pod_that_has_gone_from_the_store_ends() -> None:
    before = cluster(pod())
    assert steps(Snapshot.of([]), workloads(before)) == {**NOTHING, "end": ["client"]}


def test_another_pod_of_the_same_name_waits_until_the_first_has_ended() -> None:
    before, after = cluster(pod()), cluster(pod())
    assert steps(after, workloads(before)) == {**NOTHING, "end": ["client"]}
    assert steps(after, ending=[CLIENT]) == NOTHING
    assert steps(after) == {**NOTHING, "start": ["client"]}


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (pod(image="curlimages/curl:2"), {**NOTHING, "end": ["client"]}),
        (pod(labels="{app: client, version: v2}"), NOTHING),
    ],
)
def test_another_image_is_a_reason_to_start_anew_and_another_label_is_not(
    again: str, expected: dict[str, list[str]]
) -> None:
    store = Store()
    store.apply_file("a.yaml", resources(pod()))
    before = workloads(store.snapshot())
    store.apply_file("a.yaml", resources(again))
    assert steps(store.snapshot(), before) == expected


def node(spec: dict[str, Any]) -> Resource:
    return Resource(
        api_version="v1", kind="Node", metadata=ObjectMeta(name="here"), spec=spec, raw={"spec": spec}
    )


TAINT = {"key": "only", "value": "gpu", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "tolerations", "reason"),
    [
        ({}, "[]", ""),
        ({"unschedulable": True}, "[]", "1 node(s) were unschedulable."),
        ({"unschedulable": True}, "[{operator: Exists}]", ""),
        ({"taints": [TAINT]}, "[]", "1 node(s) had untolerated taint {only: gpu}."),
        ({"taints": [TAINT]}, "[{key: only, value: cpu}]", "1 node(s) had untolerated taint {only: gpu}."),
        ({"taints": [TAINT]}, "[{key: only, value: gpu}]", ""),
        ({"taints": [TAINT]}, "[{key: only, operator: Exists, effect: NoSchedule}]", ""),
        ({"taints": [TAINT]}, "[{operator: Exists, effect: NoExecute}]", "1 node(s) had untolerated taint"),
        ({"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}, "[]", ""),
    ],
)
def test_a_cordoned_or_tainted_node_takes_no_new_pod(
    spec: dict[str, Any], tolerations: str, reason: str
) -> None:
    tolerant = pod().replace("spec: {", f"spec: {{tolerations: {tolerations}, ")
    steps = plan(cluster(tolerant, more=[node(spec)]), [], [])
    assert [each.key.name for each in steps.start] == ([] if reason else ["client"])
    assert [why.removeprefix("0/1 nodes are available: ").startswith(reason) for _, why in steps.waiting] == (
        [True] if reason else []
    )


def test_pods_that_run_on_a_node_stay_when_it_is_cordoned() -> None:
    there = pod().replace("spec: {", "spec: {nodeName: here, ")
    steps = plan(cluster(there, more=[node({"unschedulable": True})]), [], [])
    assert [each.key.name for each in steps.start] == ["client"]


def service(name: str, selector: str, ports: str, namespace: str = "default") -> str:
    head = f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return f"{head}spec: {{selector: {selector}, ports: {ports}}}\n"


def test_services_lead_to_ports_of_the_pods_that_they_select() -> None:
    snapshot = cluster(
        pod(),
        service(
            "a",
            "{app: client}",
            "[{name: a, port: 80, targetPort: 8080}, {name: b, port: 81}, {name: c, port: 1, targetPort: w}]",
        ),
        service("b", "{app: other}", "[{port: 90}]"),
        service("c", "{app: client, version: v1}", "[{port: 91}]"),
        service("d", "{app: client}", "[{port: 92}]", namespace="elsewhere"),
    )
    (workload,) = workloads(snapshot)
    assert service_target_ports(workload, snapshot) == {8080, 81}


def test_a_node_that_is_full_takes_the_rest_when_others_have_ended() -> None:
    pods = "---\n".join(pod(f"client-{number:03}") for number in range(PODS_LIMIT + 2))
    first = plan(cluster(pods), [], [])
    assert (len(first.start), [why for _, why in first.waiting]) == (PODS_LIMIT, [NO_ROOM] * 2)
    later = plan(cluster(pods), first.start[1:], [])
    assert (len(later.start), len(later.waiting)) == (1, 2)
