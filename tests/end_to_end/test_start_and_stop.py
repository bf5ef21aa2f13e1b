"""`up`, `down`, Ctrl-C, and every refusal: a line with reason and remedy, non-zero, nothing left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.mesh import REPOSITORY, Mesh, free_port, minimesh, wait_until

pytestmark = pytest.mark.slow

GS = str(REPOSITORY / "configs" / "gs")


def processes_of(state: Path) -> list[int]:
    """Every process on this machine that was given this state folder."""
    marker = f"MINIMESH_STATE={state}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    minimesh("down", state=folder)


def test_ctrl_c_stops_every_process(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs")
    assert len(processes_of(mesh.state)) > 4
    assert mesh.stop() == 0
    wait_until(lambda: not processes_of(mesh.state), "no process left")
    assert mesh.refuses()


def test_a_kill_of_the_foreground_process_leaves_nothing_behind(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs")
    os.kill(mesh.process.pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(mesh.state), "no process left")


def test_detach_returns_with_the_mesh_running_and_down_stops_it(state: Path) -> None:
    port = free_port()
    up = minimesh("up", GS, "--ingress-port", str(port), "--detach", state=state)
    assert up.returncode == 0, up.stdout + up.stderr
    answer = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", "Host:gs.xebia.com", f"127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "V2" in answer.stdout
    down = minimesh("down", state=state)
    assert down.returncode == 0, down.stdout + down.stderr
    wait_until(lambda: not processes_of(state), "no process left")


def test_a_second_up_is_refused_while_one_runs(start_mesh: Callable[..., Mesh]) -> None:
    mesh = start_mesh("gs")
    second = minimesh("up", GS, "--ingress-port", str(free_port()), state=mesh.state)
    assert_one_line_refusal(second, "minimesh down")
    assert mesh.answers("-H", "Host:gs.xebia.com", "localhost:8080/")


def test_a_port_in_use_is_named(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = minimesh("up", GS, "--ingress-port", str(port), state=state)
    assert_one_line_refusal(refused, str(port), "--ingress-port")
    assert processes_of(state) == []


def test_a_folder_that_does_not_exist_is_named(state: Path) -> None:
    refused = minimesh("up", "configs/no-such-lab", state=state)
    assert_one_line_refusal(refused, "configs/no-such-lab")
    assert processes_of(state) == []


def test_down_without_a_mesh_says_so(state: Path) -> None:
    assert minimesh("down", state=state).stdout.strip() or minimesh("down", state=state).stderr.strip()


def assert_one_line_refusal(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode != 0
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]
