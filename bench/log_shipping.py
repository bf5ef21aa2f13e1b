"""What it costs a proxy to tell the control plane of requests: while nobody looks, and while somebody does.

    python -m bench.log_shipping [--rounds 40]

A real control plane configures gateways over ADS, of each engine two: one whose configuration knows nothing
of telling (`never`), and one as `minimesh up` makes it, measured while nobody looks (`nobody looks`) and
while a watcher does (`somebody looks`), each under as much load as it takes. A round is half a second of each
state, beginning with another one each time: the load generators run all the time and are stopped and
continued, so that little else changes between one state and the next. Ratios are taken round by round. All
gateways write Istio's line to a file. CPU is the gateway's own, by the scheduler's clock; requests are
counted where they arrive.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import proxies
from bench.load import CONNECTIONS
from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.control_plane.discovery.traffic_watch import LIMIT_PER_S
from minimesh.control_plane.server import ControlPlane
from minimesh.logs import configure
from minimesh.platform.engine import installed_envoy
from minimesh.platform.envoy_bootstrap import envoy_bootstrap
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.proxy_process import envoy_node

ENGINES = ("minimesh", "envoy")
NEVER, NOBODY, SOMEBODY = "never", "nobody looks", "somebody looks"
MOST_PERCENT = 10.0
"""Of a processor, that somebody who looks may cost a gateway."""
PORT = 8080
_SAMPLE_S = 0.5
_SETTLE_S = 0.2
_SETTLE_WATCHED_S = 1.5
"""The control plane measures, and asks for less, every quarter of a second."""
_DRAIN_S = 0.05
_WARM_UP_ROUNDS = 2
_LIMIT_S = 30.0

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bench}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bench}
spec: {hosts: ["*"], gateways: [bench], http: [{route: [{destination: {host: backend.test}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: backend}
spec:
  hosts: [backend.test]
  ports: [{number: BACKEND_PORT, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Half a second of one state."""

    requests_per_s: float
    told_per_s: float
    """Entries that the control plane got."""
    cpu_us: float
    """Of a request."""


@dataclass
class State:
    """A gateway in one of the three states, the load on it, and what was measured."""

    engine: str
    name: str
    gateway: int
    load: int
    control_plane: ControlPlane
    samples: list[Sample] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """While it is in this state and under load, after what it takes to get there."""
        watch = self.control_plane.traffic_watch
        watcher = watch.watch() if self.name == SOMEBODY else None
        os.kill(self.load, signal.SIGCONT)
        try:
            await asyncio.sleep(_SETTLE_S if watcher is None else _SETTLE_WATCHED_S)
            yield
        finally:
            os.kill(self.load, signal.SIGSTOP)
            if watcher is not None:
                watch.leave(watcher)
            await asyncio.sleep(_DRAIN_S)


def main() -> int:
    """Measure and print; the exit status tells whether the goal was kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.log_shipping", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    if lacking := proxies.missing():
        print(f"log shipping: not measured, this machine has no {lacking}")
        return 0
    return 0 if measure(rounds=arguments.rounds) else 1


def measure(report: Callable[[str], None] = print, *, rounds: int = 40) -> bool:
    """Print a table; whether the goal was kept by our own engine."""
    configure("error")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        return _report(report, asyncio.run(_measure(folder, rounds)))


async def _measure(folder: Path, rounds: int) -> list[State]:
    async with contextlib.AsyncExitStack() as stack:
        backend_port = stack.enter_context(proxies.backend(folder))
        planes = [
            await stack.enter_async_context(_control_plane(backend_port, watches=watches))
            for watches in (False, True)
        ]
        states = [
            state
            for number, engine in enumerate(ENGINES)
            for state in await _states(engine, 2 * number, planes, folder, stack)
        ]
        for number in range(-_WARM_UP_ROUNDS, rounds):
            for engine in ENGINES:
                of_engine = [each for each in states if each.engine == engine]
                start = number % len(of_engine)
                for state in of_engine[start:] + of_engine[:start]:
                    sample = await _sample(state, backend_port)
                    if number >= 0:
                        state.samples.append(sample)
        return states


async def _sample(state: State, backend_port: int) -> Sample:
    listeners = state.control_plane.traffic_watch.listeners
    told: list[Any] = []
    async with state.entered():
        listeners.append(told.append)
        requests, cpu_ns, began = await _requests(backend_port), _cpu_ns(state.gateway), time.monotonic()
        await asyncio.sleep(_SAMPLE_S)
        requests = await _requests(backend_port) - requests
        cpu_ns, took_s = _cpu_ns(state.gateway) - cpu_ns, time.monotonic() - began
        listeners.clear()
    return Sample(requests / took_s, len(told) / took_s, cpu_ns / 1000 / requests)


async def _requests(backend_port: int) -> int:
    """Requests that came to the backend so far."""

    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{backend_port}/count", timeout=_LIMIT_S) as answer:
            return int(answer.read().split()[9])

    return await asyncio.to_thread(ask)


def _cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process (Linux, sched-stats)."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))


@contextlib.asynccontextmanager
async def _control_plane(backend_port: int, *, watches: bool) -> AsyncIterator[ControlPlane]:
    store = Store()
    for resource in decode(DOCUMENTS.replace("BACKEND_PORT", str(backend_port)), "").resources:
        store.put(resource)
    plane = ControlPlane(store, ads_port=0, debug_port=0, watches_traffic=watches)
    await plane.start()
    try:
        yield plane
    finally:
        await plane.stop()


async def _states(
    engine: str, first: int, planes: Sequence[ControlPlane], folder: Path, stack: contextlib.AsyncExitStack
) -> list[State]:
    states = []
    for number, (plane, names) in enumerate(zip(planes, ((NEVER,), (NOBODY, SOMEBODY)), strict=True), first):
        ip = f"127.10.250.{number + 1}"
        gateway = await stack.enter_async_context(_gateway(engine, ip, plane, folder / f"{number}.log"))
        load = await stack.enter_async_context(_load(f"http://{ip}:{PORT}/"))
        states += [State(engine, name, gateway, load, plane) for name in names]
    return states


@contextlib.asynccontextmanager
async def _load(url: str) -> AsyncIterator[int]:
    """A load generator that is stopped; its process id."""
    command = ["taskset", "--cpu-list", str(proxies.core(-1)), "wrk", "-t1", f"-c{CONNECTIONS}", "-d1h", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    await asyncio.sleep(_SETTLE_S)
    process.send_signal(signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _gateway(engine: str, ip: str, plane: ControlPlane, log: Path) -> AsyncIterator[int]:
    command = ["taskset", "--cpu-list", str(proxies.core(0)), *_command(engine, ip, plane.ads_port)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=os.environ | {"PYTHONPATH": os.getcwd()}
        )
    try:
        await _listens(ip)
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def _command(engine: str, ip: str, ads_port: int) -> list[str]:
    node_id = f"router~{ip}~gateway-{ip.rpartition('.')[2]}.istio-system~istio-system.svc.cluster.local"
    cluster = "istio-ingressgateway.istio-system"
    metadata: dict[str, Any] = {
        "NAMESPACE": "istio-system",
        "LABELS": {"istio": "ingressgateway"},
        "INSTANCE_IPS": ip,
        "APP_ADDRESS": ip,
    }
    if engine == "envoy":
        node = envoy_node(node_id, cluster, metadata, PodAddress(ip, ip), captures=False)
        bootstrap = json.dumps(envoy_bootstrap(node, ("127.0.0.1", ads_port)))
        options = ("--concurrency", "1", "--disable-hot-restart", "-l", "error")
        return [installed_envoy(), "--config-yaml", bootstrap, *options]
    return [
        *(sys.executable, "-m", "minimesh", "proxy", "--xds", f"127.0.0.1:{ads_port}", "-l", "error"),
        *("--node-id", node_id, "--node-cluster", cluster, "--node-metadata", json.dumps(metadata)),
        *("--admin", f"{ip}:15000", "--pod-ip", ip, "--app-address", ip),
    ]


async def _listens(ip: str) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(ip, PORT)
                writer.close()
                return
            await asyncio.sleep(0.05)


_HEADING = (
    "| gateway | state | requests/s | told/s | CPU us a request | to the line above (middle half) "
    "| more, % of a core | must be |\n|---|---|---|---|---|---|---|---|"
)


def _report(report: Callable[[str], None], states: Sequence[State]) -> bool:
    report(_HEADING)
    kept = True
    for before, state in zip([None, *states], states, strict=False):
        rate, told_per_s, cpu_us = (
            statistics.median(getattr(each, name) for each in state.samples)
            for name in ("requests_per_s", "told_per_s", "cpu_us")
        )
        against, more_percent = "", 0.0
        if before is not None and before.engine == state.engine:
            against, more_percent = _compared(state, before)
        must = f"{MOST_PERCENT:.0f}" if state.name == SOMEBODY else ""
        report(
            f"| {state.engine} | {state.name} | {rate:,.0f} | {told_per_s:,.0f} | {cpu_us:.1f} "
            f"| {against} | {f'{more_percent:.1f}' if against else ''} | {must} |"
        )
        kept = kept and (not must or state.engine != "minimesh" or more_percent < MOST_PERCENT)
    report(f"at most {LIMIT_PER_S:,} a second are to be told, of all proxies together")
    return kept


def _compared(state: State, before: State) -> tuple[str, float]:
    """The ratio of CPU a request, in words, and what all requests cost more, in percent of a processor."""
    pairs = list(zip(state.samples, before.samples, strict=True))
    ratios = sorted(sample.cpu_us / other.cpu_us for sample, other in pairs)
    quarter = len(ratios) // 4
    words = f"{statistics.median(ratios):.3f} ({ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})"
    return words, statistics.median(_more_percent(sample, other) for sample, other in pairs)


def _more_percent(sample: Sample, before: Sample) -> float:
    """What the requests of a sample cost more than in the state before, in percent of a processor.

    A gateway that has a processor for itself uses all of it here, so this is the share of its CPU. One that
    gets less, on a busy machine, tells as much of fewer requests: then only this can be compared.
    """
    return (sample.cpu_us - before.cpu_us) * sample.requests_per_s / 1e6 * 100


if __name__ == "__main__":
    sys.exit(main())
