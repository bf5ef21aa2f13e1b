"""Programs that tests start, and end."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def end(process: asyncio.subprocess.Process, limit_s: float) -> None:
    """Ask a program to end; kill it when it has not after `limit_s` seconds."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), limit_s)
    except TimeoutError:
        process.kill()
        await process.wait()


async def listening(port: int, process: asyncio.subprocess.Process, limit_s: float) -> None:
    """Wait until a program that was started listens on a port of 127.0.0.1."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None, "the program ended at once"
                await asyncio.sleep(0.05)  # there is no event to wait for: it is another program
            else:
                writer.close()
                return
