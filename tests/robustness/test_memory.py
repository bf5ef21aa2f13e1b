"""What load leaves behind: nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.robustness.load import Load
from tests.robustness.origins import babbles, good, origin, resets, vanishes
from tests.robustness.process import ProxyProcess, proxy

pytestmark = pytest.mark.slow

MAX_LEFT_BYTES = 1024 * 1024
"""What a second, equal load may leave in memory after the first has warmed everything up."""


async def test_memory_is_back_where_it_was(tmp_path: Path) -> None:
    """The same load three times: the first warms up, what the others add is a leak."""
    async with (
        good() as fine,
        origin(vanishes) as gone,
        origin(resets) as reset,
        origin(babbles) as babble,
        proxy(tmp_path, {"good": fine, "vanishes": gone, "resets": reset, "babbles": babble}) as running,
    ):
        after = [await _after_load(running) for _ in range(3)]
        print([f"{each / 1024:.0f} KiB" for each in after], f"{running.descriptors} descriptors")
        assert after[2] - after[1] < MAX_LEFT_BYTES
        assert after[2] - after[0] < 2 * MAX_LEFT_BYTES
        stats = await running.stats()
        pooled = sum(value for name, value in stats.items() if name.endswith("upstream_cx_active"))
        assert running.descriptors - pooled < 30


async def _after_load(running: ProxyProcess) -> int:
    """Load of every kind; memory when it is over."""
    async with (
        Load(running.port, "/good", 8) as fine,
        Load(running.port, "/vanishes", 2),
        Load(running.port, "/resets", 2),
        Load(running.port, "/babbles", 2),
    ):
        await fine.until(4000)
        await asyncio.gather(*(_leave_early(running.port) for _ in range(100)))
    await running.until_idle()
    return running.memory_bytes


async def _leave_early(port: int) -> None:
    """Half a request, and gone."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /good HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf of it")
    await asyncio.sleep(0.01)  # long enough for it to be under way
    writer.transport.abort()
