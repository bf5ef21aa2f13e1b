"""What the injector writes into a pod."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from minimesh.config.decoding import decode
from minimesh.config.injection import INJECT, ProxyRole, asks_for_proxy, injected, proxy_role
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.resources import Resource

ENABLED = {"istio-injection": "enabled"}


def pod(metadata: str = "labels: {app: web, version: v2}", spec: str = "") -> Resource:
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web-6c8d9f7b5-x2x4z, {metadata}}}
spec: {{containers: [{{name: app, image: nginx}}{spec}]}}
"""
    decoded = decode(text, "pod.yaml")
    assert len(decoded.resources) == 1, decoded.diagnostics
    return decoded.resources[0]


def names(found: Resource) -> list[str]:
    return [each.name for each in found.spec.containers]


@pytest.mark.parametrize(
    ("namespace", "label", "annotation", "host_network", "asks"),
    [
        ({"istio-injection": "enabled"}, None, None, False, True),
        ({"istio-injection": "enabled"}, None, None, True, False),
        ({"istio-injection": "enabled"}, "false", None, False, False),
        ({"istio-injection": "enabled"}, None, "false", False, False),
        ({"istio-injection": "enabled"}, "true", "false", False, True),
        ({"istio-injection": "disabled"}, "true", None, False, False),
        ({"istio.io/rev": "default"}, None, None, False, True),
        ({"istio.io/rev": "default", "istio-injection": "disabled"}, "true", None, False, False),
        ({"istio.io/rev": "default", "istio-injection": "other"}, None, None, False, False),
        ({}, None, None, False, False),
        ({}, "true", None, False, True),
        ({}, "false", "true", False, False),
    ],
)
def test_who_asks_for_a_proxy(
    namespace: Mapping[str, str], label: str | None, annotation: str | None, host_network: bool, asks: bool
) -> None:
    metadata = ObjectMeta(
        labels={INJECT: label} if label else {}, annotations={INJECT: annotation} if annotation else {}
    )
    assert asks_for_proxy(namespace, metadata, PodSpec(host_network=host_network)) is asks


def test_the_sidecar_comes_after_the_application() -> None:
    found = injected(pod(), ENABLED)
    assert names(found) == ["app", "istio-proxy"]
    proxy = found.spec.containers[1]
    assert proxy.image.startswith("docker.io/istio/proxyv2:")
    assert proxy.args[:2] == ("proxy", "sidecar")
    assert [(port.name, port.container_port) for port in proxy.ports] == [("http-envoy-prom", 15090)]
    assert (proxy.readiness_probe.http_get.path, proxy.readiness_probe.http_get.port) == (
        "/healthz/ready",
        15021,
    )
    assert proxy_role(found.spec) is ProxyRole.SIDECAR


def test_kubectl_is_told_which_container_is_meant() -> None:
    annotations: Mapping[str, str] = injected(pod(), ENABLED).metadata.annotations
    assert annotations["kubectl.kubernetes.io/default-container"] == "app"
    assert annotations["kubectl.kubernetes.io/default-logs-container"] == "app"
    assert json.loads(annotations["sidecar.istio.io/status"])["containers"] == ["istio-proxy"]


def test_telemetry_is_told_the_canonical_service() -> None:
    labels = injected(pod(), ENABLED).metadata.labels
    assert labels["service.istio.io/canonical-name"] == "web"
    assert labels["service.istio.io/canonical-revision"] == "v2"


def test_what_the_user_says_of_the_proxy_stays() -> None:
    found = injected(pod(spec=", {name: istio-proxy, image: auto, env: [{name: X, value: y}]}"), ENABLED)
    assert names(found) == ["app", "istio-proxy"]
    assert found.spec.containers[1].env[0].name == "X"
    assert found.spec.containers[1].image.startswith("docker.io/istio/proxyv2:")


def test_a_gateways_template_makes_a_router() -> None:
    metadata = "labels: {sidecar.istio.io/inject: 'true'}, annotations: {inject.istio.io/templates: gateway}"
    assert proxy_role(injected(pod(metadata), {}).spec) is ProxyRole.GATEWAY


def test_nothing_is_injected_twice_or_without_being_asked_for() -> None:
    once = injected(pod(), ENABLED)
    assert injected(once, ENABLED) is once
    given = pod()
    assert injected(given, {}) is given
    assert proxy_role(given.spec) is ProxyRole.NONE
