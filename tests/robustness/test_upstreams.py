"""Upstreams that vanish, hang, reset, babble or are killed: every client is told, and nobody else notices."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.data_plane.sockets import free_port
from tests.robustness.load import Load
from tests.robustness.origins import babbles, good, hangs, origin, resets, vanishes
from tests.robustness.process import proxy

pytestmark = pytest.mark.slow


async def test_upstreams_that_fail_in_every_way(tmp_path: Path) -> None:
    """All at once, beside one that works: every failure is told as Envoy tells it."""
    expected = {
        "vanishes": {"503"},
        "hangs": {"504"},
        "resets": {"IncompleteReadError", "ConnectionResetError"},
        "babbles": {"502"},
        "nobody": {"503"},
    }
    async with AsyncExitStack() as started:
        handlers = {"vanishes": vanishes, "hangs": hangs, "resets": resets, "babbles": babbles}
        ports = {
            name: await started.enter_async_context(origin(handler)) for name, handler in handlers.items()
        }
        ports |= {"good": await started.enter_async_context(good()), "nobody": free_port()}
        running = await started.enter_async_context(proxy(tmp_path, ports, timeouts={"hangs": "0.2s"}))
        loads = {name: await started.enter_async_context(Load(running.port, f"/{name}", 3)) for name in ports}
        await loads["hangs"].until(12)
        await loads["good"].until(500)
        for load in loads.values():
            await load.stop()
        print({name: dict(load.outcomes) for name, load in loads.items()})
        for name, outcomes in expected.items():
            assert set(loads[name].outcomes) <= outcomes, name
            assert loads[name].outcomes, name
        assert not loads["good"].failed
        await running.until_idle()


async def test_an_upstream_killed_under_load(tmp_path: Path) -> None:
    """kill -9: what is asked of it fails at once while it is gone, and all is well when it is back."""
    port = free_port()
    upstream = await _upstream_process(port)
    async with proxy(tmp_path, {"killed": port}) as running, Load(running.port, "/killed", 8) as load:
        await load.until(500)
        assert not load.failed
        upstream.send_signal(signal.SIGKILL)
        await upstream.wait()
        await load.until(200)
        upstream = await _upstream_process(port)
        try:
            await running.until(lambda stats: stats["cluster.killed.upstream_cx_connect_fail"] > 0)
            await load.until(200)
            before = load.failed
            await load.until(500)
            assert load.failed == before, "it is back: nothing fails any more"
            await load.stop()
            await running.until_idle()
        finally:
            upstream.kill()
            await upstream.wait()
        print(dict(load.outcomes))
        assert set(load.outcomes) <= {"200", "503"}


async def _upstream_process(port: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.robustness.upstream_process", str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process
