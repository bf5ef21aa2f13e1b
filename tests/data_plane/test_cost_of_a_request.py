"""What one more small GET on a warm connection costs, in things that can be counted.

A limit that is exceeded means that somebody made every request dearer. Where that is worth it, the limit is
raised here, in the same change, for all to see: this guards the hot path.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from minimesh import data_plane
from tests.data_plane.http.lab import Client, Lab, lab
from tests.robustness.origins import good
from tests.robustness.process import proxy

#: Calls of our own functions, and of built-in ones from within them.
LIMIT_CALLS = 70
LIMIT_BUILTIN_CALLS = 45
#: Blocks of memory that a request holds while its upstream is at work.
LIMIT_BLOCKS = 30
#: Two reads, two writes, two waits for something to read, and two looks of uvloop at the process id: with one
#: request at a time, the worst case. Under load many share a wait.
LIMIT_SYSCALLS = 8.2

REQUESTS = 200
ROUTES = """
name: test
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: { prefix: / }
    route:
      cluster: up
      timeout: 0s
      retry_policy: { retry_on: "connect-failure,unavailable", num_retries: 2 }
"""
REQUEST = b"GET /hello HTTP/1.1\r\nHost: lab\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
_OURS = str(Path(next(iter(data_plane.__path__))))


class Calls:
    """Counts the calls that the data plane makes while this is entered."""

    def __init__(self) -> None:
        self.own: Counter[str] = Counter()
        self.builtin: Counter[str] = Counter()

    def __enter__(self) -> Calls:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS) and code.co_filename != "<access log format>":
            return
        if event == "call":
            self.own[code.co_qualname] += 1
        elif event == "c_call":
            self.builtin[getattr(argument, "__qualname__", str(argument))] += 1


async def _ask(client: Client, times: int) -> None:
    for _ in range(times):
        client.send(REQUEST)
        await client.response()


def _warm_lab() -> contextlib.AbstractAsyncContextManager[Lab]:
    return lab(ROUTES, use_remote_address=True, normalize_path=True, stream_idle_timeout_s=0.0)


async def test_calls_of_functions() -> None:
    async with _warm_lab() as running:
        client = await running.client()
        await _ask(client, 10)
        with Calls() as calls:
            await _ask(client, REQUESTS)
        client.close()
    own, builtin = calls.own.total() / REQUESTS, calls.builtin.total() / REQUESTS
    print(f"{own:.1f} calls of our own, {builtin:.1f} of built-in functions a request")
    assert 20 < own <= LIMIT_CALLS, calls.own
    assert 20 < builtin <= LIMIT_BUILTIN_CALLS, calls.builtin


async def test_a_request_leaves_nothing_for_the_garbage_collector() -> None:
    async with _warm_lab() as running:
        client = await running.client()
        await _ask(client, 10)
        gc.collect()
        gc.disable()
        try:
            await _ask(client, REQUESTS)
            left = Counter(type(each).__module__ for each in _garbage())
        finally:
            gc.enable()
        client.close()
    assert not [name for name in left if name.startswith("minimesh.")], left


def _garbage() -> list[object]:
    """What only the collector can free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    return found


async def test_memory_held_by_a_request_under_way() -> None:
    async with _warm_lab() as running:
        client = await running.client()
        await _ask(client, 10)
        connection: Any = next(iter(running.listener.connections))
        before = sys.getallocatedblocks()
        connection.data_received(REQUEST)
        held = sys.getallocatedblocks() - before
        await client.response()
        client.close()
    print(f"{held} blocks of memory held by a request under way")
    assert 5 < held <= LIMIT_BLOCKS


@pytest.mark.slow
async def test_system_calls(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace on this machine")
    summary = tmp_path / "summary"
    request = REQUEST.replace(b"/hello", b"/up")
    async with good() as upstream, proxy(tmp_path, {"up": upstream}) as running:
        client = Client(*await asyncio.open_connection("127.0.0.1", running.port))
        for _ in range(10):
            client.send(request)
            await client.response()
        tracer = await asyncio.create_subprocess_exec(
            *(strace, "-f", "-c", "-o", str(summary), "-p", str(running.process.pid)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert tracer.stderr is not None
        await tracer.stderr.readline()  # it is attached
        for _ in range(REQUESTS):
            client.send(request)
            await client.response()
        tracer.send_signal(signal.SIGINT)
        await tracer.wait()
        client.close()
    # % time, seconds, usecs/call, calls, maybe errors, syscall
    rows = [line.split() for line in summary.read_text().splitlines() if re.match(r"\s*\d", line)]
    calls = {row[-1]: int(row[3]) for row in rows}
    total = calls.pop("total") / REQUESTS
    print(f"{total:.2f} system calls a request: {calls}")
    assert 4 <= total <= LIMIT_SYSCALLS, calls
