"""A proxy process and what it costs, seen from outside: /proc and the admin API."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.data_plane.sockets import body_of, exchange, free_port
from tests.processes import end
from tests.robustness.bootstrap import bootstrap

_START_S, _STOP_S = 20.0, 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ACTIVE = (
    "http.stressed.downstream_rq_active",
    "http.stressed.downstream_cx_active",
)


class ProxyProcess:
    """A running `minimesh proxy`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, admin: int, errors: Path) -> None:
        self.process = process
        self.port = port
        self.admin = admin
        self._errors = errors

    @property
    def memory_bytes(self) -> int:
        """Resident memory that is the process's own."""
        for line in self._proc("smaps_rollup").splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Private_Dirty in smaps_rollup")

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def cpu_s(self) -> float:
        """Processor time so far, user and system."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    @property
    def complaints(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text(errors="replace")

    async def stats(self) -> dict[str, int]:
        """Counters and gauges by name."""
        text = body_of(await exchange(self.admin, path="/stats")).decode()
        pairs = (line.partition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in pairs if value.lstrip("-").isdigit()}

    async def until(self, holds: Callable[[dict[str, int]], bool], limit_s: float = 10.0) -> dict[str, int]:
        """The stats, once they are so."""
        stats = await self.stats()
        try:
            async with asyncio.timeout(limit_s):
                while not holds(stats):
                    await asyncio.sleep(0.02)  # there is no event to wait for: it is another program
                    stats = await self.stats()
        except TimeoutError:
            active = {name: value for name, value in stats.items() if "active" in name and value}
            raise AssertionError(f"never so; active: {active}") from None
        return stats

    async def until_idle(self) -> None:
        """Nothing is under way any more: every gauge of the kind is back to 0."""

        def idle(stats: dict[str, int]) -> bool:
            return not any(stats.get(name) for name in ACTIVE) and not any(
                value
                for name, value in stats.items()
                if name.startswith("cluster.") and name.endswith(("rq_active", "rq_pending_active"))
            )

        await self.until(idle)


@asynccontextmanager
async def proxy(
    folder: Path,
    clusters: dict[str, int],
    *,
    max_descriptors: int | None = None,
    drain_time_s: float = 5.0,
    text: str = "",
    port: int = 0,
    **settings: object,
) -> AsyncIterator[ProxyProcess]:
    """Start it on a static bootstrap (see `bootstrap` for settings); end it at the end, come what may.

    It must not have complained of an exception of its own. `text`: another bootstrap, with `%(admin)d` in it,
    for a proxy that will listen on `port`.
    """
    port, admin = port or free_port(), free_port()
    file, errors = folder / "proxy.yaml", folder / "proxy.err"
    made = text % {"admin": admin} if text else bootstrap(port, admin, clusters, **settings)  # type: ignore[arg-type]
    file.write_text(made)
    command = [sys.executable, "-m", "minimesh", "proxy", "-c", str(file)]

    def limit() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max_descriptors or hard, hard))

    with errors.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command, "--drain-time-s", str(drain_time_s), stdout=stream, stderr=stream, preexec_fn=limit
        )
    running = ProxyProcess(process, port, admin, errors)
    try:
        await _until_open(running)
        yield running
    finally:
        await end(process, _STOP_S)
    assert "Traceback" not in running.complaints, running.complaints[-4000:]


async def _until_open(running: ProxyProcess) -> None:
    """Until it listens, for clients and for the admin API."""
    async with asyncio.timeout(_START_S):
        for port in (running.admin, running.port):
            while not await _is_open(port):
                assert running.process.returncode is None, running.complaints
                await asyncio.sleep(0.05)  # there is no event to wait for: it is another program


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
