"""What a pod's proxy is told at its start."""

import json
from typing import Any

from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.kubernetes.controllers.manager import Controllers
from minimesh.platform.defaults import default_resources
from minimesh.platform.environment import PodFacts
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.proxy_process import proxy_arguments
from minimesh.platform.workloads import Workload, workloads

HTTPBIN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec:
      serviceAccountName: httpbin
      containers:
      - {name: httpbin, image: kennethreitz/httpbin, ports: [{name: http, containerPort: 80}]}
"""


PROXY_CONFIG = """
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: all}
spec: {concurrency: 3, environmentVariables: {ISTIO_META_TIER: gold}}
"""


def workload(name: str, *more: str) -> Workload:
    store = Store()
    texts = (HTTPBIN, *more)
    declared = (each for text in texts for each in decode(text, "httpbin.yaml").resources)
    for each in (*default_resources(), *declared):
        store.put(each)
    Controllers(store).settle()
    return next(each for each in workloads(store.snapshot()) if each.name == name)


def arguments(name: str, address: PodAddress, *manifests: str, **extra: Any) -> dict[str, str]:
    """The command line as option -> value."""
    wanted = workload(name, *manifests)
    facts = PodFacts(
        name=f"{name}-abc",
        namespace=wanted.namespace,
        pod_ip=address.pod_ip,
        app_address=address.app_address,
        service_account=wanted.service_account,
        labels=wanted.metadata.labels,
        annotations={},
    )
    words = proxy_arguments(wanted, facts, address, xds_address="127.0.0.1:15010", **extra)
    options: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            options[word] = "" if following.startswith("--") else following
    return options


def test_a_sidecar_is_run_as_its_proxy_config_says() -> None:
    address = PodAddress("127.10.1.2", "127.11.1.2")
    assert "--concurrency" not in arguments("httpbin", address)
    options = arguments("httpbin", address, PROXY_CONFIG)
    assert options["--concurrency"] == "3"
    assert json.loads(options["--node-metadata"])["TIER"] == "gold"


def test_a_sidecar_has_istios_node_identity() -> None:
    options = arguments("httpbin", PodAddress("127.10.1.2", "127.11.1.2"))
    assert options["--node-id"] == "sidecar~127.10.1.2~httpbin-abc.default~default.svc.cluster.local"
    assert options["--node-cluster"] == "httpbin.default"
    metadata = json.loads(options["--node-metadata"])
    assert metadata["SERVICE_ACCOUNT"] == "httpbin"
    digest = metadata["LABELS"].pop("pod-template-hash")
    assert len(digest) == 10
    assert metadata["LABELS"] == {
        "app": "httpbin",
        "version": "v1",
        "service.istio.io/canonical-name": "httpbin",
        "service.istio.io/canonical-revision": "v1",
    }
    assert metadata["APP_ADDRESS"] == "127.11.1.2"
    assert json.loads(metadata["POD_PORTS"]) == [{"containerPort": 80, "name": "http", "protocol": "TCP"}]
    assert "PORT_MAP" not in metadata


def test_a_sidecar_plays_the_redirect_and_a_gateway_does_not() -> None:
    address = PodAddress("127.10.1.2", "127.11.1.2")
    assert "--capture" in arguments("httpbin", address)
    gateway = arguments("istio-ingressgateway", address, also_bind=("127.0.0.1",))
    assert "--capture" not in gateway
    assert gateway["--also-bind"] == "127.0.0.1"
    assert gateway["--node-id"].startswith("router~127.10.1.2~istio-ingressgateway-abc.istio-system~")


def test_mapped_ports_are_told_to_the_proxy_and_those_of_the_application_to_the_control_plane() -> None:
    address = PodAddress("127.0.0.1", "127.0.0.1", {80: 20080, 15000: 20001}, {80: 20090})
    options = arguments("httpbin", address)
    assert options["--port-map"] == "80=20080,15000=20001"
    assert json.loads(options["--node-metadata"])["PORT_MAP"] == "80=20090"
    assert options["--admin"] == "127.0.0.1:20001"
