"""The real kubectl against a mesh that `minimesh up` has started."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_up import Background
from tests.end_to_end.mesh import REPOSITORY, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    mesh = Background(tmp_path_factory.mktemp("mesh"))
    started = mesh.up()
    assert started.returncode == 0, started.stderr
    assert f"export KUBECONFIG={mesh.state.kubeconfig}" in started.stdout
    yield mesh
    mesh.minimesh("down", "--purge")


def taken_node_port() -> socket.socket:
    """A listener on one of Kubernetes' node ports."""
    for port in random.sample(range(30000, 32768), 200):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
    raise AssertionError("no node port is free")


def kubectl(mesh: Background, *arguments: str) -> str:
    done = mesh.minimesh("kubectl", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pods_are_ready_with_their_sidecars(mesh: Background) -> None:
    rows = [line.split() for line in kubectl(mesh, "get", "pods", "--no-headers").splitlines()]
    assert rows
    assert {(row[1], row[2]) for row in rows} == {("2/2", "Running")}


def test_deployments_and_the_gateway(mesh: Background) -> None:
    text = kubectl(mesh, "get", "deploy", "-n", "istio-system", "--no-headers")
    assert text.split()[:2] == ["istio-ingressgateway", "1/1"]
    gateway = kubectl(mesh, "get", "pod", "-n", "istio-system", "-l", "istio=ingressgateway", "-o", "name")
    assert gateway.startswith("pod/istio-ingressgateway-")


def test_logs_of_the_application(mesh: Background) -> None:
    pod = kubectl(mesh, "get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    container = kubectl(mesh, "get", "pod", pod, "-o", "jsonpath={.spec.containers[0].name}")
    shown = kubectl(mesh, "logs", pod, "-c", container)
    log = mesh.state.log_path("default", pod, container)
    assert log.read_text().startswith(shown)


def test_a_command_in_a_pod_calls_through_its_sidecar(mesh: Background) -> None:
    pod = kubectl(mesh, "get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    program = ("sh", "-c", "echo $http_proxy")
    assert kubectl(mesh, "exec", pod, "--", *program).startswith("http://127.")


def test_scaling_starts_pods(mesh: Background) -> None:
    name = kubectl(mesh, "get", "deploy", "-o", "jsonpath={.items[0].metadata.name}")
    kubectl(mesh, "scale", "deploy", name, "--replicas=2")
    assert "successfully rolled out" in kubectl(mesh, "rollout", "status", f"deploy/{name}", "--timeout=20s")
    ready = "jsonpath={.status.readyReplicas}"
    assert kubectl(mesh, "get", "deploy", name, "-o", ready) == "2"


def test_a_drained_node_has_no_pods_until_it_is_uncordoned(mesh: Background) -> None:
    node = kubectl(mesh, "get", "node", "-o", "name").strip()
    assert "RenewTime:" in kubectl(mesh, "describe", node)
    drained = kubectl(mesh, "drain", node)
    assert " evicted\n" in drained
    assert drained.endswith(f"{node} drained\n")
    phases = "jsonpath={.items[*].status.phase}"
    wait_until(
        lambda: set(kubectl(mesh, "get", "pods", "-o", phases).split()) == {"Pending"}, "pods wait for a node"
    )
    events = kubectl(mesh, "events", "--types=Warning")
    assert "FailedScheduling" in events
    assert "1 node(s) were unschedulable." in events
    kubectl(mesh, "uncordon", node)
    kubectl(mesh, "wait", "pods", "--all", "-A", "--for=condition=Ready", "--timeout=60s")


def test_only_the_user_can_read_the_kubeconfig(mesh: Background) -> None:
    assert stat.S_IMODE(mesh.state.kubeconfig.stat().st_mode) == 0o600


def test_the_shell_finds_kubectl(mesh: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sh"
    program.write_text("#!/bin/sh\nkubectl get ns default -o name\n")
    program.chmod(0o755)
    monkeypatch.setenv("SHELL", str(program))
    assert "namespace/default" in mesh.minimesh("shell").stdout


def test_a_shell_in_a_shell_finds_the_same_kubectl(
    mesh: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sh"
    program.write_text("#!/bin/sh\nkubectl get ns default -o name\n")
    program.chmod(0o755)
    monkeypatch.setenv("SHELL", str(program))
    assert "namespace/default" in mesh.minimesh("shell").stdout
    monkeypatch.setenv("PATH", str(mesh.state.programs), prepend=os.pathsep)
    assert "namespace/default" in mesh.minimesh("shell").stdout
    assert kubectl(mesh, "get", "ns", "default", "-o", "name") == "namespace/default\n"


def test_istioctl_calls_itself_what_was_typed(
    mesh: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nistioctl proxy-config nothing 2>&1\n")
    script.chmod(0o700)
    monkeypatch.setenv("SHELL", str(script))
    assert 'unknown command "nothing" for "istioctl proxy-config"' in mesh.minimesh("shell").stdout


def test_programs_of_the_shell_heed_no_module_of_the_users_folder(
    mesh: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("platform", "json", "click", "minimesh"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the user has a {name}.py')\n")
    script = tmp_path / "script"
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    script.write_text(f"#!/bin/sh\ncd {tmp_path}\nistioctl version 2>&1\nminikube ip 2>&1\n")
    script.chmod(0o700)
    monkeypatch.setenv("SHELL", str(script))
    said = mesh.minimesh("shell").stdout
    assert "control plane version" in said
    assert said.splitlines()[-1] == "127.0.0.1"


def test_without_a_mesh_it_says_so(tmp_path: Path) -> None:
    done = Background(tmp_path).minimesh("kubectl", "get", "pods")
    assert done.returncode != 0
    assert "no mesh is running" in done.stderr


def test_a_mesh_without_files_runs_what_kubectl_applies(tmp_path: Path) -> None:
    mesh = Background(tmp_path)
    try:
        started = mesh.minimesh("up", "--detach", "--ingress-port", str(mesh.port))
        assert started.returncode == 0, started.stderr
        kubectl(mesh, "apply", "-f", "configs/gs")
        kubectl(mesh, "wait", "pods", "--all", "--for=condition=Ready", "--timeout=20s")
        wait_until(lambda: "V2" in mesh.answer(), "the gateway routes to what was applied")
        first = mesh.minimesh("status").stdout.splitlines()[0]
        assert first == f"Ingress: http://localhost:{mesh.port}"
        with taken_node_port() as other:
            taken = other.getsockname()[1]
            port = {"name": "http", "nodePort": taken, "port": 80, "targetPort": 5000}
            kubectl(mesh, "patch", "svc", "gsservice", "-p", json.dumps({"spec": {"type": "NodePort"}}))
            kubectl(mesh, "patch", "svc", "gsservice", "-p", json.dumps({"spec": {"ports": [port]}}))
            told = f"Service default/gsservice: cannot open 127.0.0.1:{taken}, the node port of"
            wait_until(lambda: told in mesh.minimesh("status").stdout, "status tells of the port")
    finally:
        mesh.minimesh("down", "--purge")
