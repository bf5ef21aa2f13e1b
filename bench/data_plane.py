"""The proxy against Envoy and others: the same file, the same load, in turns, in rounds."""

from __future__ import annotations

import contextlib
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import proxies
from bench.load import Run, processor_times, resident_mb, run_wrk, steal_percent
from bench.proxies import Proxy
from bench.workloads import BROWSER, WORKLOADS, Workload

PEERS = ("nginx", "haproxy", "aiohttp", "relay")
IDLE_CONNECTIONS = 5000
Report = Callable[[str], None]


def measure(
    report: Report = print, *, rounds: int = 5, duration_s: int = 2, only: Sequence[str] = ()
) -> None:
    """Print a table: each workload's medians, and the ratio to Envoy, round by round."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        backend_port = stack.enter_context(proxies.backend(folder))
        before = processor_times()
        report(_HEADING)
        for workload in WORKLOADS:
            if not only or workload.key in only:
                _measure_workload(workload, folder, backend_port, rounds, duration_s, report)
        if not only or "memory" in only:
            _measure_memory(folder, backend_port, duration_s, report)
        report(f"steal: {steal_percent(before, processor_times()):.1f} % of the time went to other machines")


_HEADING = (
    "| workload | proxy | requests/s | p50 ms | p99 ms | CPU us a request | to Envoy's (range) | must be |\n"
    "|---|---|---|---|---|---|---|---|"
)


def _measure_workload(
    workload: Workload, folder: Path, backend_port: int, rounds: int, duration_s: int, report: Report
) -> None:
    script = folder / "load.lua"
    script.write_text(workload.script.replace("ROUTES", str(workload.routes)))
    with contextlib.ExitStack() as stack:
        measured = _start(workload, folder, backend_port, stack, report)
        runs: dict[str, list[Run]] = {each.name: [] for each in measured}
        scheme = "https" if workload.tls else "http"
        for number in range(-1, rounds):
            for each in measured:
                url = f"{scheme}://127.0.0.1:{each.port}{workload.path}"
                limit_s = duration_s if number >= 0 else 1
                try:
                    run = run_wrk(url, script, each.pids, limit_s, proxies.core(-1))
                except RuntimeError as error:
                    raise RuntimeError(f"{workload.key} {each.name}: {error}") from None
                if number >= 0:  # the first is to warm up
                    runs[each.name].append(run)
        for each in measured:
            _report_runs(workload, each.name, runs, report)


def _start(
    workload: Workload, folder: Path, backend_port: int, stack: contextlib.ExitStack, report: Report
) -> list[Proxy]:
    started = [
        stack.enter_context(
            proxies.by_bootstrap(
                name, folder, backend_port, hops=workload.hops, routes=workload.routes, tls=workload.tls
            )
        )
        for name in ("envoy", "minimesh")
    ]
    for name in PEERS if workload.peers else ():
        if name == "relay" and workload.key.startswith("W5"):
            continue  # it would keep a connection to the backend for each of the client's
        found = stack.enter_context(proxies.peer(name, folder, backend_port))
        if found is None:
            report(f"{name}: not measured, its program is absent")
        else:
            started.append(found)
    return started


def _report_runs(workload: Workload, name: str, runs: dict[str, list[Run]], report: Report) -> None:
    own = runs[name]
    rate, p50_ms, p99_ms, cpu_us = (
        statistics.median(getattr(run, field) for run in own)
        for field in ("requests_per_s", "p50_ms", "p99_ms", "cpu_us")
    )
    ratios = sorted(run.cpu_us / theirs.cpu_us for run, theirs in zip(own, runs["envoy"], strict=True))
    against = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    must = f"{workload.must:.2f}" if workload.must and name == "minimesh" else ""
    report(
        f"| {workload.key} {workload.name} | {name} | {rate:,.0f} | {p50_ms:.2f} | {p99_ms:.2f} "
        f"| {cpu_us:.1f} | {against if name != 'envoy' else ''} | {must} |"
    )


def _measure_memory(folder: Path, backend_port: int, duration_s: int, report: Report) -> None:
    """Resident memory: fresh, after a load, and with idle connections on top."""
    script = folder / "load.lua"
    script.write_text(BROWSER)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    report("\n| memory, MB resident | fresh | after browser heads | with 5,000 idle connections more |")
    report("|---|---|---|---|")
    for name in ("envoy", "minimesh"):
        with proxies.by_bootstrap(name, folder, backend_port) as proxy, contextlib.ExitStack() as clients:
            fresh_mb = resident_mb(proxy.pids[0])
            run_wrk(f"http://127.0.0.1:{proxy.port}/", script, proxy.pids, 2 * duration_s, proxies.core(-1))
            loaded_mb = resident_mb(proxy.pids[0])
            _open_idle(proxy.port, clients)
            report(f"| {name} | {fresh_mb:.1f} | {loaded_mb:.1f} | {resident_mb(proxy.pids[0]):.1f} |")


def _open_idle(port: int, clients: contextlib.ExitStack) -> None:
    """Connections that have each had an answer, so that the proxy has certainly accepted them."""
    for _ in range(IDLE_CONNECTIONS):
        client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(4096)
    time.sleep(0.5)  # for whatever a proxy puts off until it is idle
