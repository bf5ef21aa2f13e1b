"""Pods and Services of a running mesh, through the real kubectl: sidecars, logs, ports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import Background
from tests.end_to_end.mesh import REPOSITORY, free_port, wait_until

pytestmark = pytest.mark.slow

LAB = REPOSITORY / "configs" / "httpbin"
LIMIT_S = 60.0


class Shell:
    """Commands as they are typed in `minimesh shell`."""

    def __init__(self, folder: Path) -> None:
        self.mesh = Background(folder)

    def start(self) -> None:
        """The mesh, with httpbin and sleep in a namespace with sidecars, and httpbin in one without."""
        started = self.mesh.minimesh("up", "--detach", "--ingress-port", str(self.mesh.port))
        assert started.returncode == 0, started.stderr
        self.kubectl("create", "namespace", "plain")
        self.kubectl("apply", "-n", "plain", "-f", str(LAB / "httpbin.yaml"))
        self.kubectl("label", "namespace", "default", "istio-injection=enabled")
        for name in ("telemetry.yaml", "httpbin.yaml", "sleep.yaml"):
            self.kubectl("apply", "-f", str(LAB / name))
        for namespace in ("default", "plain"):
            self.kubectl("wait", "-n", namespace, "pods", "--all", "--for=condition=Ready", "--timeout=60s")

    def kubectl(self, *arguments: str) -> str:
        done = self.mesh.minimesh("kubectl", *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def pod(self, app: str) -> str:
        return self.kubectl("get", "pod", "-l", f"app={app}", "-o", "jsonpath={.items[0].metadata.name}")

    def curl(self, url: str) -> str:
        """What curl says from outside the mesh; the empty text when it cannot connect."""
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        command = ["curl", "-sS", "--max-time", "20", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("mesh"))
    try:
        shell.start()
        yield shell
    finally:
        shell.mesh.minimesh("down", "--purge")


def test_a_labelled_namespace_gives_pods_a_sidecar_and_another_none(shell: Shell) -> None:
    rows = [row.split() for row in shell.kubectl("get", "pods", "--no-headers").splitlines()]
    assert {(row[1], row[2]) for row in rows} == {("2/2", "Running")}
    (plain,) = shell.kubectl("get", "pods", "-n", "plain", "--no-headers").splitlines()
    assert plain.split()[1:3] == ["1/1", "Running"]
    described = shell.kubectl("describe", "pod", shell.pod("sleep"))
    assert "  istio-proxy:\n" in described
    assert "docker.io/istio/proxyv2" in described


def test_calls_show_in_the_sidecars_log(shell: Shell) -> None:
    shell.kubectl("exec", shell.pod("sleep"), "--", "curl", "-s", "httpbin:8000/html")
    wait_until(
        lambda: (
            '"GET /html HTTP/1.1" 200' in shell.kubectl("logs", shell.pod("httpbin"), "-c", "istio-proxy")
        ),
        "the access log of httpbin's sidecar",
        LIMIT_S,
    )
    stamped = shell.kubectl("logs", shell.pod("httpbin"), "-c", "istio-proxy", "--timestamps", "--since=1h")
    assert stamped.startswith("20")


def test_the_proxys_container_is_for_looking_around(shell: Shell) -> None:
    inside = ("exec", shell.pod("sleep"), "-c", "istio-proxy", "--")
    assert '"state": "LIVE"' in shell.kubectl(*inside, "pilot-agent", "request", "GET", "server_info")
    assert shell.kubectl(*inside, "curl", "-s", "localhost:15000/ready") == "LIVE\n"
    status = ("curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "localhost:15021/healthz/ready")
    assert shell.kubectl(*inside, *status) == "200"
    assert "# TYPE " in shell.kubectl(*inside, "curl", "-s", "localhost:15090/stats/prometheus")


def test_a_cluster_ip_and_a_node_port_lead_to_the_pods(shell: Shell) -> None:
    node_port = shell.kubectl(
        *("expose", "-n", "plain", "deploy", "httpbin", "--name=web", "--type=NodePort"),
        *("--port=8000", "--target-port=80", "-o", "jsonpath={.spec.ports[0].nodePort}"),
    )
    wait_until(lambda: "origin" in shell.curl(f"127.0.0.1:{node_port}/ip"), "the node port", LIMIT_S)
    address = shell.kubectl("get", "svc", "-n", "plain", "web", "-o", "jsonpath={.spec.clusterIP}")
    if address.startswith("127."):
        assert "origin" in shell.curl(f"{address}:8000/ip")
    shell.kubectl("delete", "svc", "-n", "plain", "web")
    wait_until(lambda: not shell.curl(f"127.0.0.1:{node_port}/ip"), "the node port is closed", LIMIT_S)


def test_the_ingress_gateways_service(shell: Shell) -> None:
    service = ("get", "svc", "-n", "istio-system", "istio-ingressgateway", "-o")
    assert "80:31380/TCP,443:31390/TCP" in shell.kubectl(*service, "wide")
    wait_until(
        lambda: shell.kubectl(*service, "jsonpath={.status.loadBalancer.ingress[0].ip}").startswith("127."),
        "the load balancer's address",
        LIMIT_S,
    )


def test_istiod_and_the_gateway_are_shown_where_istio_installs_them(shell: Shell) -> None:
    rows = shell.kubectl("get", "deploy", "-n", "istio-system", "--no-headers").splitlines()
    assert {tuple(row.split()[:2]) for row in rows} == {("istiod", "1/1"), ("istio-ingressgateway", "1/1")}
    assert "proxy connected" in shell.kubectl("logs", "-n", "istio-system", "deploy/istiod")


def test_files_are_copied_in_and_out(shell: Shell, tmp_path: Path) -> None:
    there = tmp_path / "in" / "text"
    there.parent.mkdir()
    (tmp_path / "text").write_text("hello\n")
    shell.kubectl("cp", str(tmp_path / "text"), f"{shell.pod('sleep')}:{there}")
    assert there.read_text() == "hello\n"
    shell.kubectl("cp", f"{shell.pod('sleep')}:{there}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "hello\n"


def test_a_port_of_a_deployment_is_forwarded(shell: Shell) -> None:
    port = free_port()
    command = [sys.executable, "-m", "minimesh", "kubectl", "port-forward", "deploy/httpbin"]
    environment = {**os.environ, "MINIMESH_STATE": str(shell.mesh.state.path)}
    with subprocess.Popen(
        [*command, f"{port}:80"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Forwarding from")
            assert "origin" in shell.curl(f"127.0.0.1:{port}/ip")
        finally:
            process.terminate()


def test_a_pod_that_crashes_and_one_that_is_done(shell: Shell) -> None:
    program = ("--image=busybox", "--command", "--", "sh", "-c")
    shell.kubectl("run", "crash", "-n", "plain", *program, "echo hello; exit 3")
    shell.kubectl("run", "once", "-n", "plain", "--restart=Never", *program, "echo done")
    state = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"
    wait_until(
        lambda: shell.kubectl("get", "pod", "-n", "plain", "crash", "-o", state) == "3",
        "how the container ended before",
        LIMIT_S,
    )
    wait_until(
        lambda: "CrashLoopBackOff" in shell.kubectl("get", "pod", "-n", "plain", "crash"), "back-off", LIMIT_S
    )
    assert shell.kubectl("logs", "-n", "plain", "crash", "--previous") == "hello\n"
    wait_until(lambda: "Completed" in shell.kubectl("get", "pod", "-n", "plain", "once"), "the end", LIMIT_S)
    assert shell.kubectl("logs", "-n", "plain", "once") == "done\n"


def test_a_program_runs_once_beside_its_sidecar(shell: Shell) -> None:
    """It finds the mesh from its first line on, is shown once, and its end is the pod's."""
    program = ("--image=busybox", "--restart=Never", "--", "curl", "-s", "httpbin:8000/ip")
    out = shell.kubectl("run", "asking", "-n", "default", "--rm", "-i", *program)
    assert out.count("origin") == 1, out
    assert 'pod "asking" deleted' in out


def test_an_image_that_nothing_stands_for(shell: Shell) -> None:
    shell.kubectl("run", "unknown", "-n", "plain", "--image=example.com/nobody/knows")
    wait_until(
        lambda: "which has alpine, busybox" in shell.kubectl("events", "-n", "plain", "--for=pod/unknown"),
        "an event that names the images",
        LIMIT_S,
    )
    assert "0/1" in shell.kubectl("get", "pod", "-n", "plain", "unknown")
