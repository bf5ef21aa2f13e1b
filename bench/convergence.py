"""How long a change takes to reach every proxy: a control plane with many services, endpoints and proxies.

    python -m bench.convergence
    python -m bench.convergence --services 1000 --endpoints 5000 --proxies 200 --rounds 100

The control plane is a process of its own, fed through its store, as `minimesh control-plane` runs it. The
proxies are ADS clients in another process, each with a connection of its own, real gRPC over loopback; they
ask as Envoy does, and acknowledge everything. A round replaces one pod of one service; it is over when the
last of all proxies has acknowledged. Beside the time that passed stands the control plane's own CPU time,
which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.ads_clients import follow
from minimesh.event_loop import loop_factory

NAMESPACES = 10
GOAL_P99_MS = 100.0
LIMIT_S = 300.0


def main() -> int:
    """Measure and print; the exit status tells whether the goal was kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.convergence", description=__doc__.split("\n")[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=5000)
    parser.add_argument("--proxies", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--whole-states", action="store_true", help="proxies do not speak incremental ADS")
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    clients = context.Process(
        target=follow, args=(theirs, arguments.proxies, NAMESPACES, not arguments.whole_states)
    )
    clients.start()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_measure(arguments, ours))
    finally:
        clients.terminate()
        clients.join()


async def _measure(arguments: argparse.Namespace, clients: Connection) -> int:
    from minimesh.config.store import Store
    from minimesh.control_plane.server import ControlPlane
    from minimesh.logs import configure

    configure("error")
    store = Store()
    began = time.perf_counter()
    for resource_ in _resources(arguments.services, arguments.endpoints):
        store.put(resource_)
    print(f"decoded and stored in {time.perf_counter() - began:.1f} s")
    control_plane = ControlPlane(store, ads_port=0, debug_port=0)
    await control_plane.start()
    gc.collect()
    gc.freeze()
    before_mb = _memory_mb()
    with _Stopwatch() as full:
        clients.send(control_plane.ads_port)
        await _settled(control_plane, arguments.proxies)
    sent_mb = (await _told(clients, "bytes")) / 1e6
    _row("full configuration to all proxies", full.ms, f"CPU {full.cpu_ms:.0f}; {sent_mb:.0f} MB sent")
    _row("memory of the control plane, MB", _memory_mb(), f"{before_mb:.0f} before proxies came")
    await _rule_change(control_plane, store, arguments)
    p99_ms = await _endpoint_changes(control_plane, store, arguments)
    _row("memory of the control plane, MB", _memory_mb(), "at the end")
    print("load averages of the machine: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg()))
    await control_plane.stop()
    return 0 if p99_ms < GOAL_P99_MS else 1


class _Stopwatch:
    """Time that passed and CPU time of this process, in milliseconds, while it was entered."""

    ms = cpu_ms = 0.0

    def __enter__(self) -> _Stopwatch:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.ms = (time.perf_counter() - self._began) * 1000
        self.cpu_ms = (time.process_time() - self._cpu_began) * 1000


async def _rule_change(control_plane: Any, store: Any, arguments: argparse.Namespace) -> None:
    changes = [_decoded(_virtual_service(0, weight)) for weight in (10, 20, 30)]
    rounds = await _rounds(control_plane, store, changes, arguments.proxies)
    _row("a VirtualService to all proxies, median", _median_ms(rounds), _cpu(rounds))


async def _endpoint_changes(control_plane: Any, store: Any, arguments: argparse.Namespace) -> float:
    random.seed(1)
    changes = []
    for number in range(arguments.rounds):
        address = f"10.99.{number // 250}.{number % 250 + 1}"
        changes.append(_decoded(_pod(random.randrange(arguments.services), 0, address)))
    rounds = await _rounds(control_plane, store, changes, arguments.proxies)
    times_ms = sorted(each.ms for each in rounds)
    p99_ms = times_ms[math.ceil(len(times_ms) * 0.99) - 1]  # the nearest rank
    _row("one endpoint to all proxies, median", _median_ms(rounds), _cpu(rounds))
    _row("one endpoint to all proxies, p99", p99_ms, f"goal {GOAL_P99_MS:.0f}; least {times_ms[0]:.0f}")
    return p99_ms


async def _rounds(control_plane: Any, store: Any, changes: Sequence[Any], proxies: int) -> list[_Stopwatch]:
    rounds = []
    for change in changes:
        with _Stopwatch() as stopwatch:
            store.put(change)
            await _settled(control_plane, proxies)
        rounds.append(stopwatch)
    return rounds


def _median_ms(rounds: Sequence[_Stopwatch]) -> float:
    return statistics.median(each.ms for each in rounds)


def _cpu(rounds: Sequence[_Stopwatch]) -> str:
    return f"CPU {statistics.median(each.cpu_ms for each in rounds):.0f}; {len(rounds)} rounds"


async def _settled(control_plane: Any, proxies: int) -> None:
    """Until every proxy has acknowledged everything that it is to have."""
    async with asyncio.timeout(LIMIT_S):
        while control_plane.pushed_version != control_plane.config.version:
            await control_plane.changed()
        while len(control_plane.connections) < proxies:
            await control_plane.changed()
        # Each is asked until it is settled, not all again at every event: that would be the greater work.
        for connection in control_plane.connections:
            while not connection.delivery.is_settled:
                await control_plane.changed()


async def _told(clients: Connection, question: str) -> float:
    clients.send(question)
    return float(await asyncio.to_thread(clients.recv))


def _memory_mb() -> float:
    if sys.platform == "linux":
        fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
        return int(fields[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _row(what: str, value: float, note: str) -> None:
    print(f"{what:<44} {value:10.1f}  ({note})")


def _resources(services: int, endpoints: int) -> list[Any]:
    made = [_decoded(_service(number)) for number in range(services)]
    made += [_decoded(_virtual_service(number, 50)) for number in range(0, services, 10)]
    made += [_decoded(_destination_rule(number)) for number in range(0, services, 10)]
    for number in range(endpoints):
        service, replica = number % services, number // services
        address = f"10.{replica + 1}.{service // 250}.{service % 250 + 1}"
        made.append(_decoded(_pod(service, replica, address)))
    return made


def _decoded(document: dict[str, Any]) -> Any:
    from minimesh.config.decoding import decode

    (decoded,) = decode(json.dumps(document), "bench.yaml").resources
    return decoded


def _metadata(service: int, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": f"ns{service % NAMESPACES}"}


def _service(number: int) -> dict[str, Any]:
    ports = [{"name": "http", "port": 8000, "targetPort": 8080}]
    spec = {"selector": {"app": f"s{number}"}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(number, f"s{number}"), "spec": spec}


def _pod(service: int, replica: int, address: str) -> dict[str, Any]:
    labels = {"app": f"s{service}", "version": "v1" if replica % 2 else "v2"}
    container = {"name": "app", "image": "app", "ports": [{"name": "http", "containerPort": 8080}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**_metadata(service, f"s{service}-{replica}"), "labels": labels},
        "spec": {"containers": [container]},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _virtual_service(service: int, weight: int) -> dict[str, Any]:
    def to(subset: str, share: int) -> dict[str, Any]:
        return {"destination": {"host": f"s{service}", "subset": subset}, "weight": share}

    spec = {"hosts": [f"s{service}"], "http": [{"route": [to("v1", weight), to("v2", 100 - weight)]}]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": _metadata(service, f"s{service}"),
        "spec": spec,
    }


def _destination_rule(service: int) -> dict[str, Any]:
    subsets = [{"name": each, "labels": {"version": each}} for each in ("v1", "v2")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": _metadata(service, f"s{service}"),
        "spec": {"host": f"s{service}", "subsets": subsets},
    }


if __name__ == "__main__":
    sys.exit(main())
