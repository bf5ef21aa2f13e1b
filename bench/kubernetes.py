"""What kubectl's user waits for: bookinfo from `apply` to proxies in sync, and one pod scaled to twenty.

python -m bench.kubernetes [--manifest bookinfo.yaml] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.startup import REPOSITORY, descendants, free_port, pss_mb

BOOKINFO = REPOSITORY.parent / "shared/reference/samples/istio/bookinfo/platform/kube/bookinfo.yaml"
SCALED = "details-v1"
REPLICAS = 20
_LIMIT_S = 120.0
_LOOK_INTERVAL_S = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One mesh: seconds, and megabytes (PSS) of all its processes; memory is None where it is not told."""

    applied_s: float
    scaled_s: float
    pods: int
    whole_mb: float | None
    scaled_mb: float | None

    @property
    def pod_mb(self) -> float | None:
        """What each added pod weighs, application and sidecar."""
        if self.whole_mb is None or self.scaled_mb is None:
            return None
        return (self.scaled_mb - self.whole_mb) / (REPLICAS - 1)


def measure(manifest: Path) -> Round:
    """Start an empty mesh, apply the manifest, scale one deployment; wait for each to be whole."""
    with tempfile.TemporaryDirectory() as folder, _mesh(folder) as mesh:
        mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
        mesh.wait_until_whole(0)
        began = time.monotonic()
        mesh.kubectl("apply", "-f", str(manifest))
        pods = _pods_of(manifest)
        mesh.wait_until_whole(pods)
        applied_s = time.monotonic() - began
        whole_mb = pss_mb(descendants(mesh.pid))
        began = time.monotonic()
        mesh.kubectl("scale", "deploy", SCALED, f"--replicas={REPLICAS}")
        mesh.wait_until_whole(pods + REPLICAS - 1)
        scaled_s = time.monotonic() - began
        return Round(applied_s, scaled_s, pods, whole_mb, pss_mb(descendants(mesh.pid)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Mesh:
    """A mesh in the background."""

    pid: int
    debug_port: int
    environment: dict[str, str]

    def kubectl(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "minimesh", "kubectl", *arguments]
        subprocess.run(command, cwd=REPOSITORY, env=self.environment, check=True, capture_output=True)

    def wait_until_whole(self, pods: int) -> None:
        """Until that many pods of the namespace `default` are ready and every proxy has all it was sent."""
        _wait(lambda: self._is_whole(pods), f"{pods} pods ready and in sync")

    def _is_whole(self, count: int) -> bool:
        status = self._status()
        pods, proxies = status["pods"], status["proxies"]
        injected = [each for each in pods if any(c["name"] == "istio-proxy" for c in each["containers"])]
        ready = sum(each["ready"] for each in pods if each["namespace"] == "default")
        settled = all(
            each["state"] in ("SYNCED", "NOT SENT") for proxy in proxies for each in proxy["types"].values()
        )
        return ready == count and len(proxies) == len(injected) and settled

    def _status(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.debug_port}/debug/status"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found


@contextlib.contextmanager
def _mesh(folder: str) -> Iterator[_Mesh]:
    environment = {**os.environ, "MINIMESH_STATE": folder}
    minimesh = [sys.executable, "-m", "minimesh"]
    up = [*minimesh, "up", "--detach", "--ingress-port", str(free_port())]
    subprocess.run(up, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        run = json.loads((Path(folder) / "run.json").read_text())
        yield _Mesh(run["pid"], run["debug_port"], environment)
    finally:
        subprocess.run(
            [*minimesh, "down"], cwd=REPOSITORY, env=environment, check=False, stdout=subprocess.DEVNULL
        )


def _pods_of(manifest: Path) -> int:
    """How many pods the manifest's Deployments ask for; each of bookinfo's asks for one."""
    return manifest.read_text().count("\nkind: Deployment\n")


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_LIMIT_S:.0f} s: {what}")
        time.sleep(_LOOK_INTERVAL_S)


def measure_and_report(manifest: Path = BOOKINFO, rounds: int = 3) -> None:
    """All rounds; a line that says so where the manifest is not there."""
    if manifest.is_file():
        report([measure(manifest) for _ in range(rounds)])
    else:
        print(f"kubectl: not measured, there is no {manifest}")


def report(rounds: list[Round]) -> None:
    """Print the median of each figure, and its range."""
    pods = rounds[0].pods
    figures: dict[str, tuple[str, list[float | None]]] = {
        f"apply bookinfo to {pods} pods ready, all in sync": ("s", [each.applied_s for each in rounds]),
        "memory of the whole mesh then, PSS": ("MB", [each.whole_mb for each in rounds]),
        f"scale 1 to {REPLICAS} to ready and in sync": ("s", [each.scaled_s for each in rounds]),
        "memory of each added pod, PSS": ("MB", [each.pod_mb for each in rounds]),
    }
    for label, (unit, values) in figures.items():
        known = [value for value in values if value is not None]
        if known:
            spread = f"{min(known):.2f} to {max(known):.2f}"
            print(f"{label:<52} {statistics.median(known):8.2f} {unit:<2} ({spread})")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.kubernetes", description=__doc__)
    parser.add_argument(
        "--manifest", type=Path, default=BOOKINFO, help="Istio's samples/bookinfo/.../bookinfo.yaml"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    measure_and_report(arguments.manifest, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
