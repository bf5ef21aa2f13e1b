"""`minimesh up` for real: in the background, with mapped ports, ended in every way, and nothing left."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import yaml

from minimesh.config.decoding import decode
from minimesh.config.persistence import Persistence
from minimesh.config.store import Store
from minimesh.platform.state import Run, StateFolder
from tests.end_to_end.mesh import REPOSITORY, free_port, wait_until

pytestmark = pytest.mark.slow


class Background:
    """A state folder, and commands over it."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder / "state")
        self.port = free_port()

    def minimesh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "minimesh", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "MINIMESH_STATE": str(self.state.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.minimesh("up", "configs/gs", "--detach", "--ingress-port", str(self.port), *options)

    def run(self) -> Run:
        run = self.state.running()
        assert run is not None
        return run

    def processes(self) -> set[int]:
        """Every process of the mesh, by what the state folder says."""
        run = self.run()
        pods = {c["pid"] for pod in self.state.read_pods() for c in pod["containers"] if c["pid"]}
        return {run.pid, run.pod_parent_pid, *pods}

    def answer(self) -> str:
        url = f"http://127.0.0.1:{self.port}/"
        command = ["curl", "-sS", "--noproxy", "*", "-H", "Host: gs.xebia.com", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Background]:
    background = Background(tmp_path)
    yield background
    background.minimesh("down")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_mesh_in_the_background_is_ready_when_up_returns_and_gone_after_down(
    background: Background,
) -> None:
    started = background.up()
    assert started.returncode == 0, started.stderr
    assert "curl -H Host:gs.xebia.com" in started.stdout
    assert "V2" in background.answer()
    processes = background.processes()
    assert len(processes) == 7
    stopped = background.minimesh("down")
    assert (stopped.returncode, stopped.stdout) == (0, "The mesh has stopped.\n")
    wait_until(lambda: all(gone(pid) for pid in processes), "every process ends")


def test_with_mapped_ports_all_pods_share_one_address(background: Background) -> None:
    assert background.up("--network", "mapped").returncode == 0
    assert {pod["ip"] for pod in background.state.read_pods()} == {"127.0.0.1"}
    assert "V2" in background.answer()
    assert "5000->" in background.minimesh("status").stdout


def test_a_second_up_is_refused_and_the_first_goes_on(background: Background) -> None:
    assert background.up().returncode == 0
    second = background.up()
    assert second.returncode == 1
    assert f"a mesh runs already (process {background.run().pid})" in second.stderr
    assert "V2" in background.answer()


def test_nothing_outlives_a_killed_mesh_and_the_next_one_starts(background: Background) -> None:
    assert background.up().returncode == 0
    processes = background.processes()
    os.kill(background.run().pid, signal.SIGKILL)
    wait_until(lambda: all(gone(pid) for pid in processes), "every process ends")
    assert background.up().returncode == 0
    assert "V2" in background.answer()


def test_a_failed_start_in_the_background_tells_why_and_leaves_nothing(
    background: Background, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: nginx}]}\n"
    )
    result = background.minimesh(
        "up", str(tmp_path / "web.yaml"), "--detach", "--ingress-port", str(background.port)
    )
    assert result.returncode == 1
    assert "image 'nginx' is not in the image table" in result.stdout + result.stderr
    assert not background.state.is_held()


SLEEP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleep}
spec:
  selector: {matchLabels: {app: sleep}}
  template:
    metadata: {labels: {app: sleep}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: sleep, image: curlimages/curl, command: [/bin/sleep, infinity]}]
"""


def test_what_was_stored_through_the_api_survives_even_a_kill_until_it_is_purged(
    background: Background,
) -> None:
    background.state.path.mkdir(parents=True)
    persistence = Persistence(background.state.path)
    for resource in decode(SLEEP, "api").resources:
        Store(recorder=persistence).put(resource, durable=True)
    persistence.close()

    def pods() -> set[str]:
        return {pod["workload"] for pod in background.state.read_pods()}

    assert background.up().returncode == 0
    assert "sleep" in pods()
    processes = background.processes()
    os.kill(background.run().pid, signal.SIGKILL)
    wait_until(lambda: all(gone(pid) for pid in processes), "every process ends")
    assert background.up().returncode == 0
    assert "sleep" in pods()
    said = background.minimesh("down", "--purge").stdout
    assert said == "The mesh has stopped.\nWhat was stored is forgotten.\n"
    assert background.up().returncode == 0
    assert "sleep" not in pods()


class Writer(threading.Thread):
    """Stores ConfigMaps until the mesh is gone, and remembers which it was told are stored."""

    def __init__(self, server: str, name: str) -> None:
        super().__init__()
        self._url = urlsplit(server)
        self._name = name
        self.stored: list[str] = []
        self.begun = threading.Event()

    def run(self) -> None:
        assert self._url.hostname is not None
        connection = http.client.HTTPConnection(self._url.hostname, self._url.port or 80, timeout=20)
        path = f"{self._url.path}/api/v1/namespaces/default/configmaps"
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            for number in itertools.count():
                name = f"{self._name}-{number}"
                content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
                connection.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 201
                self.stored.append(name)
                if number == 20:
                    self.begun.set()


def server_of(background: Background) -> str:
    kubeconfig = yaml.safe_load(background.state.kubeconfig.read_text(encoding="utf-8"))
    return str(kubeconfig["clusters"][0]["cluster"]["server"])


def config_maps(background: Background) -> set[str]:
    path = "/api/v1/namespaces/default/configmaps"
    with urlopen(server_of(background) + path, timeout=20) as answer:
        return {each["metadata"]["name"] for each in json.load(answer)["items"]}


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_acknowledged(background: Background) -> None:
    told: set[str] = set()
    for round_ in range(2):
        assert background.up().returncode == 0
        assert told <= config_maps(background)
        writers = [Writer(server_of(background), f"web-{round_}-{number}") for number in range(3)]
        for writer in writers:
            writer.start()
        assert all(writer.begun.wait(60) for writer in writers)
        processes = background.processes()
        os.kill(background.run().pid, signal.SIGKILL)
        for writer in writers:
            writer.join(60)
        wait_until(lambda ended=processes: all(gone(pid) for pid in ended), "every process ends")
        told |= {name for writer in writers for name in writer.stored}
    assert background.up().returncode == 0
    assert told <= config_maps(background)
