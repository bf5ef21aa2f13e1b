"""The labs' own istioctl commands over a mesh that runs, typed as their texts type them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from minimesh.cli.istioctl.targets import has_proxy
from tests.end_to_end.mesh import Mesh

pytestmark = pytest.mark.slow
HTTPBIN = "outbound|8000||httpbin.default.svc.cluster.local"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path_factory.mktemp("istioctl"), ["gs", "httpbin"])
    try:
        mesh.console_line(r"curl .*gs\.xebia\.com")
        yield mesh
    finally:
        mesh.stop()


def istioctl(mesh: Mesh, line: str) -> str:
    ran = mesh.command("istioctl", *shlex.split(line))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def pod_of(mesh: Mesh, workload: str) -> dict[str, str]:
    return next(pod for pod in mesh.status()["pods"] if pod["workload"] == workload)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "proxy-config listener deploy/istio-ingressgateway.istio-system",
            "0.0.0.0   8080 ALL   Route: http.8080\n",
        ),
        ("proxy-config listener deploy/sleep --port 8000 -o yaml", "  trafficDirection: OUTBOUND\n"),
        (
            "proxy-config route deploy/sleep --name 8000 -o yaml",
            "    - decorator:\n        operation: httpbin.default.svc.cluster.local:8000/*\n"
            "      match:\n        prefix: /\n",
        ),
        (
            "proxy-config route deploy/istio-ingressgateway.istio-system --name http.8080 -o yaml",
            "        prefixRewrite: /user-agent\n",
        ),
        (
            "proxy-config cluster deploy/sleep.default --fqdn httpbin.default.svc.cluster.local -o json",
            '        "lbPolicy": "LEAST_REQUEST",\n',
        ),
        (
            "proxy-config cluster deploy/sleep --fqdn httpbin.default.svc.cluster.local -o yaml",
            "  lbPolicy: LEAST_REQUEST\n",
        ),
        (
            "proxy-config listeners svc/sleep",
            "0.0.0.0       15001 ALL                                  PassthroughCluster\n",
        ),
        ("proxy-status deploy/sleep", "Clusters Match\nListeners Match\nRoutes Match\n"),
        ("version", "data plane version: 1.27.0 (6 proxies)\n"),
        ("proxy-config secret deploy/sleep", "No active or warming secrets found.\n"),
    ],
)
def test_a_command_of_the_labs_shows_what_they_show(mesh: Mesh, line: str, shown: str) -> None:
    # The width of columns depends on the mesh's addresses.
    assert " ".join(shown.split()) in " ".join(istioctl(mesh, line).split())


def test_endpoints_of_a_cluster_are_the_addresses_of_its_pods(mesh: Mesh) -> None:
    shown = istioctl(mesh, f'proxy-config endpoint {pod_of(mesh, "sleep")["name"]} --cluster "{HTTPBIN}"')
    header, *rows = shown.splitlines()
    assert header.split() == ["ENDPOINT", "STATUS", "OUTLIER", "CHECK", "CLUSTER"]
    assert [row.split() for row in rows] == [
        [f"{pod_of(mesh, 'httpbin')['ip']}:80", "HEALTHY", "OK", HTTPBIN]
    ]


def test_every_proxy_has_a_row_in_proxy_status(mesh: Mesh) -> None:
    rows = istioctl(mesh, "proxy-status").splitlines()[1:]
    proxies = [pod for pod in mesh.status()["pods"] if has_proxy(pod)]
    names = sorted(f"{pod['name']}.{pod['namespace']}" for pod in proxies)
    assert [row.split()[0] for row in rows] == names
    assert all(row.endswith("4 (CDS,LDS,EDS,RDS)") for row in rows)
    assert istioctl(mesh, "proxy-status --old-columns").count(
        "SYNCED     SYNCED     SYNCED     SYNCED"
    ) == len(rows)


def test_levels_of_loggers_are_changed_and_reset(mesh: Mesh) -> None:
    name = f"{pod_of(mesh, 'httpbin')['name']}.default"
    assert "  config: debug\n" in istioctl(mesh, f"proxy-config log {name} --level config:debug")
    shown = istioctl(mesh, f"proxy-config log {name} -r")
    assert shown.startswith(f"{name}:\nactive loggers:\n")
    assert "debug" not in shown


def test_all_of_a_proxy_at_once(mesh: Mesh) -> None:
    shown = istioctl(mesh, "proxy-config all deploy/sleep -n default")
    assert [part.split()[0] for part in shown.split("\n\n")] == [
        "Istio",
        "NAME",
        "NAME",
        "NAME",
        "No",
        "NAME",
    ]
    kinds = {
        config["@type"] for config in json.loads(istioctl(mesh, "pc all deploy/sleep -o json"))["configs"]
    }
    assert "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump" in kinds


def test_analyze_looks_at_the_mesh(mesh: Mesh) -> None:
    ran = mesh.command("istioctl", "analyze")
    # Both labs' gateways take port 80 of one ingress gateway, one of them for every host.
    assert (
        "Error [IST0145] (Gateway default/gs-gateway) Conflict with gateways default/frontend-gateway"
        in ran.stdout
    )
    assert "IST0101" not in ran.stdout
    # A mesh over files has labelled its namespace by itself.
    assert "IST0102" not in ran.stdout
    assert ran.returncode == 79
