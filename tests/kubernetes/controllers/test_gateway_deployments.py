"""Gateways of the Gateway API that get pods of their own, as istiod makes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from minimesh.config.injection import ProxyRole, proxy_role
from minimesh.config.kinds import KUBERNETES_GATEWAY
from minimesh.config.resources import Resource, ResourceKey
from tests.kubernetes.controllers.cluster import Cluster
from tests.proofs import proves

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: web
  namespace: default
  labels: {team: a}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', note: kept}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http.plain, port: 80, protocol: HTTP}
  - {name: other, port: 80, hostname: b.example, protocol: HTTP}
  - name: secure
    port: 443
    protocol: HTTPS
    tls: {certificateRefs: [{name: web}]}
"""


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.put(GATEWAY)
    cluster.settle()
    return cluster


def names(cluster: Cluster, kind: str) -> list[str]:
    return [each.name for each in cluster.store.snapshot().by_kind(kind)]


def change(cluster: Cluster, **spec: Any) -> Resource:
    found = cluster.get(KUBERNETES_GATEWAY, "web")
    stored = cluster.store.put(dataclasses.replace(found, spec=dataclasses.replace(found.spec, **spec)))
    cluster.settle()
    return stored


def test_a_gateway_gets_a_deployment_whose_pod_is_a_gateway(cluster: Cluster) -> None:
    deployment = cluster.get("Deployment", "web-istio")
    assert deployment.metadata.labels == {
        "team": "a",
        "gateway.networking.k8s.io/gateway-name": "web",
        "gateway.networking.k8s.io/gateway-class-name": "istio",
        "gateway.istio.io/managed": "istio.io-gateway-controller",
    }
    assert deployment.metadata.annotations["note"] == "kept"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in deployment.metadata.annotations
    (pod,) = cluster.pods
    assert pod.name.startswith("web-istio-")
    assert proxy_role(pod.spec) is ProxyRole.GATEWAY
    assert pod.spec.service_account_name == "web-istio"
    cluster.get("ServiceAccount", "web-istio")


@proves("Gateway.gateway.networking.k8s.io", "spec.infrastructure.labels", "spec.infrastructure.annotations")
def test_what_is_made_bears_the_labels_and_annotations_of_the_infrastructure() -> None:
    cluster = Cluster()
    asked = "{labels: {tier: edge}, annotations: {note: asked}}"
    cluster.put(GATEWAY.replace("spec:\n", f"spec:\n  infrastructure: {asked}\n"))
    cluster.settle()
    for kind in ("Deployment", "Service", "ServiceAccount"):
        made = cluster.get(kind, "web-istio").metadata
        assert made.labels["tier"] == "edge", kind
        assert "team" not in made.labels, kind
        assert made.annotations["note"] == "asked", kind


def test_its_service_has_a_port_for_each_number_and_leads_to_its_pods(cluster: Cluster) -> None:
    service = cluster.get("Service", "web-istio")
    assert service.spec.type == "LoadBalancer"
    ports = [(port.name, port.port, port.target_port, port.app_protocol) for port in service.spec.ports]
    assert ports == [
        ("status-port", 15021, 15021, "tcp"),
        ("http-plain", 80, 80, "http"),
        ("secure", 443, 443, "https"),
    ]
    assert service.spec.selector.items() <= cluster.pods[0].metadata.labels.items()


def test_a_new_listener_adds_a_port_and_restarts_nothing(cluster: Cluster) -> None:
    before = cluster.get("Service", "web-istio").spec
    (pod,) = cluster.pods
    listeners = cluster.get(KUBERNETES_GATEWAY, "web").spec.listeners
    change(cluster, listeners=(*listeners, dataclasses.replace(listeners[0], name="more", port=8081)))
    after = cluster.get("Service", "web-istio").spec
    assert [port.port for port in after.ports] == [15021, 80, 443, 8081]
    assert after.cluster_ip == before.cluster_ip
    assert [port.node_port for port in after.ports][:3] == [port.node_port for port in before.ports]
    assert cluster.pods == [pod]


def test_what_others_set_stays(cluster: Cluster) -> None:
    cluster.change("Deployment", "web-istio", replicas=3)
    cluster.settle()
    assert cluster.get("Deployment", "web-istio").spec.replicas == 3
    assert len(cluster.pods) == 3


def test_what_belongs_to_the_gateway_goes_with_it(cluster: Cluster) -> None:
    cluster.remove(KUBERNETES_GATEWAY, "web")
    cluster.settle()
    cluster.run_pods()
    assert names(cluster, "Deployment") == names(cluster, "Service") == names(cluster, "Pod") == []
    assert "web-istio" not in names(cluster, "ServiceAccount")


def test_an_object_of_that_name_that_is_somebody_elses_is_left_alone() -> None:
    cluster = Cluster()
    cluster.put(
        "{apiVersion: v1, kind: Service, metadata: {name: web-istio, namespace: default}, "
        "spec: {ports: [{port: 1}]}}"
    )
    cluster.put(GATEWAY)
    cluster.settle()
    assert [port.port for port in cluster.get("Service", "web-istio").spec.ports] == [1]


@pytest.mark.parametrize(
    ("spec", "deployed"),
    [
        ("{gatewayClassName: istio}", True),
        ("{gatewayClassName: istio, addresses: [{value: 10.1.2.3}]}", True),
        ("{gatewayClassName: istio, addresses: [{type: Hostname, value: istio-ingressgateway}]}", False),
        ("{gatewayClassName: nginx}", False),
        ("{gatewayClassName: ours}", True),
        ("{gatewayClassName: theirs}", False),
    ],
)
def test_which_gateways_are_deployed(spec: str, deployed: bool) -> None:
    cluster = Cluster()
    for name, controller in (("ours", "istio.io/gateway-controller"), ("theirs", "example.com/other")):
        cluster.put(
            f"{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: {name}}}, "
            f"spec: {{controllerName: {controller}}}}}"
        )
    listener = "listeners: [{name: http, port: 80, protocol: HTTP}]"
    cluster.put(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: a, namespace: default}, "
        f"spec: {spec.removesuffix('}')}, {listener}}}}}"
    )
    cluster.settle()
    assert bool(names(cluster, "Deployment")) is deployed


def test_names_and_kind_of_service_by_annotation() -> None:
    cluster = Cluster()
    text = GATEWAY.replace(
        "note: kept",
        "gateway.istio.io/name-override: edge, networking.istio.io/service-type: ClusterIP",
    )
    cluster.put(text)
    cluster.settle()
    key = ResourceKey("Service", "default", "edge")
    service = cluster.store.snapshot().get(key)
    assert service is not None
    assert service.spec.type == "ClusterIP"
    assert names(cluster, "Deployment") == ["edge"]
