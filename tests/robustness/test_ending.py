"""SIGTERM under load: every request that was taken is answered, and the process ends in time."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.robustness.load import Load
from tests.robustness.origins import good, hangs, head, origin
from tests.robustness.process import proxy

pytestmark = pytest.mark.slow


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers after a while."""
    while True:
        await head(reader)
        await asyncio.sleep(0.2)  # the time that an application takes
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def test_no_response_is_lost(tmp_path: Path) -> None:
    """Clients go on asking while the proxy ends: on quick and on slow routes, on every connection it took."""
    async with (
        good() as fast,
        origin(_slow) as slow,
        proxy(tmp_path, {"good": fast, "slow": slow}, drain_time_s=5) as running,
        Load(running.port, "/good", 6) as quick,
        Load(running.port, "/slow", 10) as patient,
    ):
        await quick.until(500)
        await patient.until(20)
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        quick.ending = patient.ending = True
        code = await asyncio.wait_for(running.process.wait(), 10)
        took_s = time.monotonic() - begun
        await quick.stop()
        await patient.stop()
    print(f"ended after {took_s:.2f} s; {dict(quick.outcomes)}, {dict(patient.outcomes)}")
    assert code == 0
    assert took_s < 2
    assert not quick.failed
    assert not patient.failed


async def test_what_never_ends_is_cut_off(tmp_path: Path) -> None:
    """A request without an answer holds the process up for the drain time, and no longer."""
    async with (
        origin(hangs) as port,
        proxy(tmp_path, {"hangs": port}, drain_time_s=1) as running,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /hangs HTTP/1.1\r\nhost: a\r\n\r\n")
        await running.until(lambda stats: stats["cluster.hangs.upstream_rq_active"] == 1)
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 10) == 0
        took_s = time.monotonic() - begun
        writer.transport.abort()
    print(f"ended after {took_s:.2f} s (drain time 1 s)")
    assert 0.9 <= took_s < 2.5
