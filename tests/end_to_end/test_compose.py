"""`docker compose up` for real: the image built, containers started, the README's rows tried with curl."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.mesh import REPOSITORY, free_port, wait_until

START_LIMIT_S = 90.0
GS = ("-HHost:gs.xebia.com", "localhost:8080/")


def compose_command() -> list[str] | None:
    """Compose v2 if the plugin is there, else 1.29, else nothing."""
    if shutil.which("docker") and _succeeds(["docker", "compose", "version"]):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def reason_to_skip() -> str | None:
    if not shutil.which("docker") or not _succeeds(["docker", "info"]):
        return "no Docker engine is running here"
    return None if compose_command() else "neither `docker compose` nor `docker-compose` is installed"


REASON = reason_to_skip()
pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.skipif(bool(REASON), reason=REASON or "")]


class ComposeMesh:
    """One Compose project with a name, a port and a configuration folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.configs = folder / "configs"
        shutil.copytree(REPOSITORY / "configs", self.configs)
        self.port = free_port()
        self._project = f"minimesh-test-{self.port}"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            "MINIMESH_CONFIGS": str(self.configs),
            "MINIMESH_PORT": str(self.port),
            # The classic builder is what every engine of the last years has.
            "DOCKER_BUILDKIT": "0",
        }

    def compose(self, *arguments: str, check: bool = True) -> str:
        command = compose_command()
        assert command is not None
        result = subprocess.run(
            [*command, "-p", self._project, *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=600,
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def curl(self, *arguments: str) -> str:
        real = [argument.replace("localhost:8080", f"127.0.0.1:{self.port}") for argument in arguments]
        return subprocess.run(
            ["curl", "-sS", *real],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        ).stdout

    def gateway_log(self) -> str:
        return self.compose("logs", "--no-color", "istio-ingressgateway")

    def hosts_serving_one(self) -> set[str]:
        """The upstream addresses that answer /one, from the gateway's own access log of fresh requests."""
        marker = os.urandom(4).hex()
        for _ in range(20):
            self.curl(f"localhost:8080/one?{marker}")

        def lines() -> list[str]:
            return re.findall(rf'"GET /one\?{marker} .*', self.gateway_log())

        wait_until(lambda: len(lines()) == 20, "twenty access-log lines")
        hosts = (re.search(r'"(\d[\d.]*:\d+)" outbound\|8000', line) for line in lines())
        return {host.group(1) for host in hosts if host}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeMesh]:
    composed = ComposeMesh(tmp_path_factory.mktemp("compose"))
    try:
        composed.compose("build")
        composed.compose("up", "--detach")
        wait_until(
            lambda: "V2" in composed.curl("-H", "Host:gs.xebia.com", "localhost:8080/"), "V2", START_LIMIT_S
        )
        wait_until(lambda: "origin" in composed.curl("localhost:8080/one"), "/one", START_LIMIT_S)
        wait_until(lambda: "user-agent" in composed.curl("localhost:8080/two"), "/two", START_LIMIT_S)
        yield composed
    finally:
        composed.compose("down", "--volumes", "--timeout", "5", check=False)


def test_gs_answers_v2_and_never_v1(mesh: ComposeMesh) -> None:
    answers = [mesh.curl(*GS) for _ in range(20)]
    assert all("V2" in answer and "V1" not in answer for answer in answers)


def test_one_and_two_lead_to_httpbin_and_httpbin_2(mesh: ComposeMesh) -> None:
    assert list(json.loads(mesh.curl("localhost:8080/one"))) == ["origin"]
    assert json.loads(mesh.curl("localhost:8080/two"))["user-agent"].startswith("curl/")
    log = mesh.gateway_log()
    assert re.search(r'"GET /one HTTP/1\.1" 200 .*outbound\|8000\|\|httpbin\.default', log)
    assert re.search(r'"GET /two HTTP/1\.1" 200 .*outbound\|8000\|\|httpbin-2\.default', log)


def test_an_unrouted_path_is_404_and_the_headers_are_a_gateways(mesh: ComposeMesh) -> None:
    head, _, body = mesh.curl("-i", "localhost:8080/").replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 404 Not Found\n")
    assert "server: istio-envoy" in head
    assert body == ""
    assert "x-envoy-upstream-service-time: " in mesh.curl("-i", "localhost:8080/one")
    wait_until(lambda: '404 NR route_not_found - "-" 0 0 ' in mesh.gateway_log(), "the 404's log line")


def test_the_sleep_container_calls_by_name_through_its_sidecar(mesh: ComposeMesh) -> None:
    answer = mesh.compose("exec", "-T", "sleep", "curl", "-sS", "httpbin:8000/user-agent")
    assert json.loads(answer)["user-agent"].startswith("curl/")
    wait_until(
        lambda: "outbound|8000||httpbin.default" in mesh.compose("logs", "--no-color", "sleep"),
        "the log line",
    )


def test_no_container_runs_as_root(mesh: ComposeMesh) -> None:
    users = {mesh.compose("exec", "-T", each, "id", "-u").strip() for each in ("control-plane", "httpbin")}
    assert users == {"1337"}


def test_a_proxys_admin_api_is_for_its_own_container(mesh: ComposeMesh) -> None:
    asked = ("curl", "-sS", "--noproxy", "*", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}")
    own = mesh.compose("exec", "-T", "istio-ingressgateway", *asked, "localhost:15000/server_info")
    other = mesh.compose("exec", "-T", "sleep", *asked, "istio-ingressgateway:15000/server_info", check=False)
    assert (own, other) == ("200", "000")


def test_scaling_a_service_adds_an_endpoint_and_takes_it_away_again(mesh: ComposeMesh) -> None:
    assert len(mesh.hosts_serving_one()) == 1
    mesh.compose("up", "--detach", "--no-recreate", "--scale", "httpbin=2")
    wait_until(lambda: len(mesh.hosts_serving_one()) == 2, "two endpoints", START_LIMIT_S)
    mesh.compose("up", "--detach", "--no-recreate", "--scale", "httpbin=1")
    wait_until(lambda: len(mesh.hosts_serving_one()) == 1, "one endpoint", START_LIMIT_S)
    assert "origin" in mesh.curl("localhost:8080/one")


def test_a_saved_file_reaches_the_containers(mesh: ComposeMesh) -> None:
    (virtual_service,) = [
        path for path in (mesh.configs / "gs").glob("*.yaml") if "subset: v1\n" in path.read_text()
    ]
    text = virtual_service.read_text()
    virtual_service.write_text(re.sub(r"(subset: v1\n\s+weight: )0\b", r"\g<1>50", text))
    wait_until(lambda: "V1" in mesh.curl(*GS), "the first V1")
    virtual_service.write_text(text)
