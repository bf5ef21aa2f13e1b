"""One run of a load generator against one proxy, and what it cost."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

CONNECTIONS = 64
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(r"(\d+) requests in")
_FAILURES = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One load: requests a second, latencies in milliseconds, CPU microseconds of the proxies a request."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def run_wrk(url: str, script: Path | None, pids: Sequence[int], duration_s: int, core: int) -> Run:
    """Load `url` with keep-alive connections; `pids` are the processes whose CPU time counts.

    Raises RuntimeError when any answer is not 2xx or 3xx, or when there is none at all.
    """
    options = ["-s", str(script)] if script is not None else []
    before_s = sum(map(_cpu_s, pids))
    output = subprocess.run(
        [
            *("taskset", "--cpu-list", str(core)),
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration_s}s", "--latency", *options, url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used_s = sum(map(_cpu_s, pids)) - before_s
    found = _REQUESTS.search(output)
    if (failed := _FAILURES.search(output)) or found is None or not int(found[1]):
        raise RuntimeError(f"{url}: {failed.group() if failed else 'no request was answered'}")
    latency_ms = {name: float(value) * _IN_MS[unit] for name, value, unit in _LATENCY.findall(output)}
    requests = int(found[1])
    return Run(
        requests_per_s=requests / duration_s,
        p50_ms=latency_ms["50"],
        p99_ms=latency_ms["99"],
        cpu_us=used_s / requests * 1e6,
    )


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def steal_percent(before: Sequence[int], after: Sequence[int]) -> float:
    """Which share of the time between two looks at `processor_times` other machines had the processor."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return 100.0 * spent[7] / max(1, sum(spent[:8]))


def processor_times() -> list[int]:
    """The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
