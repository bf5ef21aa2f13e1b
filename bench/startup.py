"""How long `minimesh up` takes to the first 200, and what all its processes weigh together."""

import contextlib
import dataclasses
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIRST_200_BUDGET_S = 3.0
PSS_BUDGET_MB = 350
WAIT_LIMIT_S = 30
LABS = ("configs/gs", "configs/httpbin")


@dataclasses.dataclass(frozen=True, slots=True)
class StartUp:
    """One measured start: seconds to the first 200 of each lab, and memory (MB, PSS) once both answered."""

    first_200_s: float
    pss_mb: float | None
    processes: int


def measure() -> StartUp:
    """Start both labs as `make up` does, wait for a 200 of each, weigh, and stop."""
    port = free_port()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as state, _mesh(port, state) as mesh:
        _wait_for_200(port, "gs.xebia.com", "/", mesh)
        first_200_s = time.monotonic() - began
        _wait_for_200(port, "localhost", "/one", mesh)
        _wait_for_200(port, "localhost", "/two", mesh)
        pids = descendants(mesh.pid)
        return StartUp(first_200_s, pss_mb(pids), len(pids))


@contextlib.contextmanager
def _mesh(port: int, state: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "minimesh", "up", *LABS, "--ingress-port", str(port)]
    environment = {**os.environ, "MINIMESH_STATE": state}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as mesh:
        try:
            yield mesh
        finally:
            mesh.send_signal(signal.SIGINT)
            mesh.wait(timeout=30)


def _wait_for_200(
    port: int, host: str, path: str, mesh: subprocess.Popen[bytes], limit_s: float = 30
) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if mesh.poll() is not None:
            raise RuntimeError(f"minimesh up ended with {mesh.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path, headers={"Host": host})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"no 200 for http://{host}{path} within {WAIT_LIMIT_S} s")


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting.extend(children.get(current, ()))
    return found


def pss_mb(pids: list[int]) -> float | None:
    """Proportional set size: shared pages count in equal parts (proc(5), smaps_rollup)."""
    total_kb = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            return None
        total_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kb / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
