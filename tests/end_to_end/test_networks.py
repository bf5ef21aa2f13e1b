"""The labs where the machine gives less: one address for all pods, or no privilege for ports below 1024."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable

import pytest

from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = pytest.mark.slow

UNPRIVILEGED = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
needs_setpriv = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root on Linux, with setpriv, can give up a privilege",
)


def assert_labs_work(mesh: Mesh) -> None:
    # The console speaks when the pods are ready; the gateway hears of the last of them a moment later.
    wait_until(lambda: "V2" in mesh.curl("-HHost:gs.xebia.com", "localhost:8080/").stdout, "an answer of V2")
    assert list(json.loads(mesh.curl("localhost:8080/one").stdout)) == ["origin"]
    answer = mesh.command("exec", "deploy/sleep", "--", "curl", "-sS", "httpbin:8000/user-agent").stdout
    assert json.loads(answer)["user-agent"].startswith("curl/")
    for proxy in mesh.status()["proxies"]:
        assert {state["state"] for state in proxy["types"].values()} <= {"SYNCED", "NOT SENT"}, proxy


def test_with_one_address_ports_are_mapped_and_shown(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs", "httpbin", options=("--network", "mapped"))
    assert_labs_work(mesh)
    pods = {pod["workload"]: pod for pod in mesh.status()["pods"]}
    assert {pod["ip"] for pod in pods.values()} == {"127.0.0.1"}
    real_port = pods["httpbin"]["port_map"]["80"]
    assert f"80->{real_port}" in mesh.command("status").stdout


@needs_setpriv
def test_without_the_privilege_ports_below_1024_are_mapped(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs", "httpbin", prefix=UNPRIVILEGED)
    assert_labs_work(mesh)
    pods = {pod["workload"]: pod for pod in mesh.status()["pods"]}
    assert pods["httpbin"]["port_map"]["80"] >= 1024
    assert "5000" not in pods["gsservice-v1"]["port_map"]
