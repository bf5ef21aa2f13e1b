"""Clients that others wrote, over HTTP/2: each is skipped where it is not installed."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.data_plane.http.lab import lab
from tests.data_plane.http.test_http2_downstream import ROUTES


async def run(*command: str) -> str:
    """The output of a program that succeeds. It is stopped after some seconds."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(20):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_curl() -> None:
    async with lab(ROUTES) as running:
        url = f"http://127.0.0.1:{running.port}"
        answer = await run("curl", "-si", "--http2-prior-knowledge", f"{url}/direct")
        assert answer.startswith("HTTP/2 200")
        assert answer.endswith("\r\n\r\ndirect")
        posted = await run("curl", "-s", "--http2-prior-knowledge", "--data", "x" * 100_000, f"{url}/a")
        assert posted == '{"tag": "a", "target": "/a"}'
        assert running.upstream.requests[0].endswith("x" * 100_000)


async def test_h2load() -> None:
    async with lab(ROUTES) as running:
        url = f"http://127.0.0.1:{running.port}/a"
        report = await run("h2load", "-n", "600", "-c", "3", "-m", "20", url)
        assert "600 succeeded, 0 failed, 0 errored" in report
        assert running.stats.counter("http.ingress.downstream_rq_http2_total").value == 600
        assert running.stats.gauge("http.ingress.downstream_rq_active").value == 0
