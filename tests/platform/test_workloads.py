"""From Deployments to pods: what is asked for, and what to do about it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from minimesh.config.decoding import decode
from minimesh.config.store import Snapshot
from minimesh.platform.defaults import default_resources
from minimesh.platform.workloads import ExistingPod, ProxyRole, Workload, plan, pod_labels, workloads


def deployment(
    name: str = "web",
    *,
    namespace: str = "default",
    replicas: int = 1,
    labels: str = "{app: web}",
    annotations: str = "{}",
    image: str = "kennethreitz/httpbin",
) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata:
      labels: {labels}
      annotations: {annotations}
    spec:
      containers:
      - name: app
        image: {image}
        ports: [{{containerPort: 80}}, {{containerPort: 53, protocol: UDP}}]
"""


def namespace(name: str, labels: str = "{}") -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"


def asked_for(*documents: str) -> tuple[Workload, ...]:
    decoded = decode("\n---\n".join(documents), "test.yaml")
    assert all(each.severity != "error" for each in decoded.diagnostics), decoded.diagnostics
    return workloads(Snapshot.of(decoded.resources))


def existing(workload: Workload, name: str, *, ready: bool = True, old: bool = False) -> ExistingPod:
    return ExistingPod(name, workload.owner, "old" if old else workload.template_hash, ready)


def steps(wanted: Sequence[Workload], pods: Sequence[ExistingPod]) -> tuple[int, list[str]]:
    """How many pods to create, and the names of those to delete."""
    numbers = itertools.count()
    outcome = plan(wanted, pods, lambda: f"{next(numbers):05}")
    return len(outcome.create), [name for _, name in outcome.delete]


def test_a_deployment_asks_for_pods_with_its_tcp_ports() -> None:
    (web,) = asked_for(deployment(replicas=3))
    assert (web.name, web.namespace, web.replicas, web.container_ports) == ("web", "default", 3, (80,))


def test_pods_are_named_and_labelled_as_a_cluster_does_it() -> None:
    (web,) = asked_for(deployment())
    ((_, name),) = plan([web], [], lambda: "x2k9p").create
    deployment_name, template_hash, suffix = name.rsplit("-", 2)
    assert (deployment_name, suffix) == ("web", "x2k9p")
    assert len(template_hash) == 10
    assert pod_labels(web) == {"app": "web", "pod-template-hash": template_hash}


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
    (gateway,) = workloads(Snapshot.of(default_resources()))
    assert (gateway.namespace, gateway.name) == ("istio-system", "istio-ingressgateway")
    assert gateway.role is ProxyRole.GATEWAY


def test_the_default_namespace_asks_for_sidecars() -> None:
    resources = (*default_resources(), *decode(deployment(), "test.yaml").resources)
    assert {w.name: w.role for w in workloads(Snapshot.of(resources))}["web"] is ProxyRole.SIDECAR


def test_missing_pods_are_created_and_what_is_there_is_left_alone() -> None:
    (web,) = asked_for(deployment(replicas=2))
    assert steps([web], []) == (2, [])
    assert steps([web], [existing(web, "a")]) == (1, [])
    assert steps([web], [existing(web, "a"), existing(web, "b")]) == (0, [])


def test_scaling_down_takes_unready_pods_first_then_the_youngest() -> None:
    (web,) = asked_for(deployment(replicas=1))
    pods = [existing(web, "old"), existing(web, "unready", ready=False), existing(web, "young")]
    assert steps([web], pods) == (0, ["unready", "young"])


def test_zero_replicas_leave_no_pod() -> None:
    (web,) = asked_for(deployment(replicas=0))
    assert steps([web], [existing(web, "a")]) == (0, ["a"])


def test_pods_of_a_deployment_that_went_go_too() -> None:
    (web,) = asked_for(deployment())
    assert steps([], [existing(web, "a")]) == (0, ["a"])


def test_old_pods_stay_until_the_new_ones_are_ready() -> None:
    (web,) = asked_for(deployment())
    old = existing(web, "old", old=True)
    assert steps([web], [old]) == (1, [])
    assert steps([web], [old, existing(web, "new", ready=False)]) == (0, [])
    assert steps([web], [old, existing(web, "new")]) == (0, ["old"])


def test_another_image_is_another_template_and_a_replica_count_is_not() -> None:
    (one,) = asked_for(deployment())
    (scaled,) = asked_for(deployment(replicas=5))
    (other,) = asked_for(deployment(image="kong/httpbin"))
    assert one.template_hash == scaled.template_hash != other.template_hash


def test_a_pod_of_its_own_is_run_under_its_own_name() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {containers: [{name: client, image: curlimages/curl}]}
"""
    (client,) = asked_for(text)
    assert client.single
    assert [name for _, name in plan([client], [], lambda: "zzzzz").create] == ["client"]
    assert steps([client], [existing(client, "client")]) == (0, [])
