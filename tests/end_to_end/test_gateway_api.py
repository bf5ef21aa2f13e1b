"""The Gateway API and Ingress in a running mesh, by the real kubectl: pods, addresses, statuses, answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import Background
from tests.end_to_end.mesh import REPOSITORY, wait_until

pytestmark = pytest.mark.slow

LAB = REPOSITORY / "configs" / "published" / "istio-deepdive"
LIMIT_S = 60.0
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: application}
spec:
  gatewayClassName: istio
  listeners:
  - {name: http, port: 8888, protocol: HTTP, hostname: "*.example.com"}
"""
ATTACHED = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shared, namespace: application}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: shared.example.com}
"""


def route(name: str, host: str, parent: str, service: str = "dest-svc-v1") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: application}}
spec:
  parentRefs: [{{name: {parent}}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: {service}, port: 7777}}]}}]
"""


class Cluster:
    """A mesh that is empty but for the two hello-world applications of a lab."""

    def __init__(self, folder: Path) -> None:
        self.mesh = Background(folder)
        self._folder = folder

    def start(self) -> None:
        started = self.mesh.minimesh("up", "--detach", "--ingress-port", str(self.mesh.port))
        assert started.returncode == 0, started.stderr
        self.kubectl("create", "namespace", "application")
        self.kubectl("apply", "-f", str(LAB / "depl-helloworld.yaml"))
        self.kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")

    def kubectl(self, *arguments: str, namespace: str = "application") -> str:
        done = self.mesh.minimesh("kubectl", "-n", namespace, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def apply(self, *documents: str) -> None:
        file = self._folder / "applied.yaml"
        file.write_text("\n---\n".join(documents))
        self.kubectl("apply", "-f", str(file))

    def get(self, kind: str, name: str, path: str) -> str:
        return self.kubectl("get", kind, name, "-o", f"jsonpath={{{path}}}")

    def until(self, kind: str, name: str, path: str, value: str) -> None:
        def seen() -> bool:
            return self.get(kind, name, path) == value

        wait_until(seen, f"{kind} {name} {path} to be {value}", LIMIT_S)

    def asked(self, host: str, url: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "--max-time", "20", "-H", f"Host: {host}", url]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def answers(self, host: str, url: str, text: str) -> None:
        wait_until(lambda: text in self.asked(host, url), f"{host} to answer {text!r}", LIMIT_S)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("mesh"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.mesh.minimesh("down", "--purge")


def condition(type_: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].status'


def of_parent(type_: str, field: str) -> str:
    return f'.status.parents[0].conditions[?(@.type=="{type_}")].{field}'


def test_the_class_is_accepted(cluster: Cluster) -> None:
    rows = cluster.kubectl("get", "gatewayclass", "--no-headers").split()
    assert rows[:3] == ["istio", "istio.io/gateway-controller", "True"]


def test_a_gateway_is_deployed_and_serves_its_routes(cluster: Cluster) -> None:
    cluster.apply(GATEWAY, route("hello", "hello.example.com", "web", "dest-svc-v2"))
    cluster.kubectl("rollout", "status", "deploy/web-istio", "--timeout=60s")
    cluster.until("gtw", "web", condition("Programmed"), "True")
    address = cluster.get("gtw", "web", ".status.addresses[0].value")
    assert address == cluster.get("svc", "web-istio", ".status.loadBalancer.ingress[0].ip")
    cluster.answers("hello.example.com", f"http://{address}:8888/", "version v2")
    header, row = (line.split() for line in cluster.kubectl("get", "gtw", "web").splitlines())
    assert header == ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"]
    assert row[:4] == ["web", "istio", address, "True"]
    described = cluster.kubectl("describe", "gtw", "web")
    assert "assigned to service(s) web-istio.application.svc.cluster.local:8888" in described
    assert "Attached Routes:  1" in described


def test_a_route_that_is_not_taken_says_why(cluster: Cluster) -> None:
    cluster.apply(
        GATEWAY, route("stray", "stray.test", "web"), route("lost", "lost.example.com", "web", "absent")
    )
    cluster.until("httproute", "stray", of_parent("Accepted", "reason"), "NoMatchingListenerHostname")
    cluster.until("httproute", "lost", of_parent("ResolvedRefs", "reason"), "BackendNotFound")
    assert cluster.get("httproute", "lost", of_parent("Accepted", "status")) == "True"
    described = cluster.kubectl("describe", "httproute", "stray")
    assert 'no hostnames matched parent hostname "*.example.com"' in described


def test_a_gateway_may_be_served_by_the_ingress_gateway(cluster: Cluster) -> None:
    cluster.apply(ATTACHED, route("shared", "shared.example.com", "shared"))
    cluster.answers("shared.example.com", f"http://127.0.0.1:{cluster.mesh.port}/", "version v1")
    cluster.until("gtw", "shared", condition("Programmed"), "True")
    assert "shared" not in cluster.kubectl("get", "deploy", "-o", "name")
    address = cluster.get("gtw", "shared", ".status.addresses[0].value")
    service = cluster.kubectl("get", "svc", "istio-ingressgateway", "-o", "json", namespace="istio-system")
    assert address == json.loads(service)["status"]["loadBalancer"]["ingress"][0]["ip"]


def test_an_ingress_is_served_and_shows_where(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(LAB / "istio-ingress.yaml"))
    cluster.answers("yuya.example.com", f"http://127.0.0.1:{cluster.mesh.port}/v2", "version v2")
    (row,) = cluster.kubectl("get", "ingress", "--no-headers").splitlines()
    address = cluster.get("ingress", "istio-ingress", ".status.loadBalancer.ingress[0].ip")
    assert row.split()[:5] == ["istio-ingress", "istio", "yuya.example.com", address, "80"]


def test_a_gateway_takes_its_pods_along(cluster: Cluster) -> None:
    cluster.apply(GATEWAY.replace("name: web", "name: brief"))
    cluster.kubectl("rollout", "status", "deploy/brief-istio", "--timeout=60s")
    cluster.kubectl("delete", "gtw", "brief")

    def gone() -> bool:
        return "brief" not in cluster.kubectl("get", "deploy,svc,pods,sa", "-o", "name")

    wait_until(gone, "everything of the Gateway to be gone", LIMIT_S)
