"""How a pod's proxy is run: what the mesh, ProxyConfigs and the pod itself say, and which of them counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.injection import injected
from minimesh.config.mesh_config import config_map
from minimesh.config.proxy_settings import (
    ProxySettings,
    proxy_settings,
    told_concurrency,
    told_environment,
    told_node_metadata,
)
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot, Store
from tests.proofs import proves

MESH = """
defaultConfig:
  concurrency: 1
  proxyMetadata: {FROM: mesh, MESH: "yes"}
  image: {imageType: debug}
"""


def proxy_config(namespace: str, concurrency: int, selector: str = "", name: str = "one") -> str:
    return f"""
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {f"selector: {{matchLabels: {{app: {selector}}}}}" if selector else ""}
  concurrency: {concurrency}
  environmentVariables: {{FROM: {namespace}-{selector or "all"}}}
"""


def resource(text: str) -> Resource:
    decoded = decode(text, "lab.yaml")
    assert len(decoded.resources) == 1, decoded.diagnostics
    return decoded.resources[0]


def snapshot(*texts: str) -> Snapshot:
    store = Store()
    store.put(config_map(MESH, "mesh.yaml"))
    for text in texts:
        store.put(resource(text))
    return store.snapshot()


def pod(annotations: str = "") -> Resource:
    return resource(
        f"""
apiVersion: v1
kind: Pod
metadata: {{name: web-1, labels: {{app: web}}, annotations: {{{annotations}}}}}
spec: {{containers: [{{name: app, image: nginx}}]}}
"""
    )


ROOT = proxy_config("istio-system", 2)
NAMESPACE = proxy_config("default", 3)
ANNOTATION = "proxy.istio.io/config: '{concurrency: 4, proxyMetadata: {FROM: annotation}}'"
SELECTED = proxy_config("default", 5, "web", "two")


@proves("ProxyConfig", "spec.selector.**", "spec.concurrency", "spec.environmentVariables")
@proves("MeshConfig", "defaultConfig.concurrency", "defaultConfig.proxyMetadata")
@pytest.mark.parametrize(
    ("configs", "annotation", "concurrency", "origin"),
    [
        ((), "", 1, "mesh"),
        ((ROOT,), "", 2, "istio-system-all"),
        ((ROOT, NAMESPACE), "", 3, "default-all"),
        ((ROOT, NAMESPACE), ANNOTATION, 4, "annotation"),
        ((ROOT, NAMESPACE, SELECTED), ANNOTATION, 5, "default-web"),
        ((proxy_config("default", 5, "other"),), "", 1, "mesh"),
        ((proxy_config("elsewhere", 5),), "", 1, "mesh"),
        ((proxy_config("istio-system", 5, "web"),), "", 1, "mesh"),
    ],
)
def test_who_says_more_of_fewer_pods_counts(
    configs: tuple[str, ...], annotation: str, concurrency: int, origin: str
) -> None:
    found = proxy_settings(pod(annotation).metadata, "default", snapshot(*configs))
    assert found == ProxySettings(concurrency, {"FROM": origin, "MESH": "yes"}, "debug")


def test_of_two_that_say_the_same_scope_the_first_counts() -> None:
    found = proxy_settings(
        pod().metadata,
        "default",
        snapshot(proxy_config("default", 7, name="b"), proxy_config("default", 6, name="a")),
    )
    assert found.concurrency == 6


def proxy_of(found: Resource) -> Any:
    return found.spec.containers[-1]


def test_the_injected_container_carries_them() -> None:
    settings = ProxySettings(2, {"ISTIO_META_TIER": "gold", "X": "y"}, "distroless")
    proxy = proxy_of(injected(pod(), {"istio-injection": "enabled"}, settings))
    told = told_environment(proxy)
    assert json.loads(told["PROXY_CONFIG"]) == {
        "concurrency": 2,
        "proxyMetadata": {"ISTIO_META_TIER": "gold", "X": "y"},
        "image": {"imageType": "distroless"},
    }
    assert (told["X"], told_concurrency(proxy)) == ("y", 2)
    assert told_node_metadata(proxy) == {"CLUSTER_ID": "Kubernetes", "TIER": "gold"}


@proves("ProxyConfig", "spec.image.imageType")
@proves("MeshConfig", "defaultConfig.image.imageType")
@pytest.mark.parametrize(
    ("image_type", "annotation", "suffix"),
    [
        ("", "", ""),
        ("default", "", ""),
        ("distroless", "", "-distroless"),
        ("distroless", "sidecar.istio.io/proxyImageType: debug", "-debug"),
    ],
)
def test_the_build_of_the_image(image_type: str, annotation: str, suffix: str) -> None:
    found = injected(pod(annotation), {"istio-injection": "enabled"}, ProxySettings(image_type=image_type))
    assert proxy_of(found).image == f"docker.io/istio/proxyv2:1.27.0{suffix}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"concurrency": "x"}', '{"concurrency": -1}'])
def test_what_says_nothing_of_workers(text: str) -> None:
    given = resource(
        f"""
apiVersion: v1
kind: Pod
metadata: {{name: web-1}}
spec:
  containers: [{{name: istio-proxy, image: a, env: [{{name: PROXY_CONFIG, value: {json.dumps(text)}}}]}}]
"""
    )
    assert told_concurrency(proxy_of(given)) is None
