"""`kubectl logs` and `attach` for real: which lines, from when, of which process."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from minimesh.config.kubernetes.pod_status import (
    ContainerState,
    ContainerStateWaiting,
    ContainerStatus,
    PodStatus,
)
from minimesh.config.resources import ResourceKey
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import POD

WHERE = ("default", "sleep", "sleep")
LIMIT_S = 30


@pytest.fixture
async def pod(kubectl: Kubectl) -> Kubectl:
    await kubectl.apply(POD)
    return kubectl


def set_status(kubectl: Kubectl, status: PodStatus) -> None:
    stored = kubectl.store.snapshot().get(ResourceKey("Pod", "default", "sleep"))
    assert stored is not None
    kubectl.store.put(dataclasses.replace(stored, status=status))


async def test_lines_since_a_time(pod: Kubectl) -> None:
    now = datetime.now(UTC)
    pod.logs.write(*WHERE, "old", at=now - timedelta(hours=2))
    pod.logs.write(*WHERE, "new", at=now)
    assert await pod("logs", "sleep", "-c", "sleep", "--since=1h") == "new\n"
    since = f"{now - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
    assert await pod("logs", "sleep", "-c", "sleep", f"--since-time={since}") == "old\nnew\n"
    assert await pod("logs", "sleep", "-c", "sleep", "--since=3h", "--tail=1") == "new\n"


async def test_timestamps(pod: Kubectl) -> None:
    pod.logs.write(*WHERE, "hello", at=datetime(2026, 1, 2, 3, 4, 5, 600000, UTC))
    out = await pod("logs", "sleep", "-c", "sleep", "--timestamps")
    assert out == "2026-01-02T03:04:05.600000000Z hello\n"


async def test_the_previous_process(pod: Kubectl) -> None:
    pod.logs.write(*WHERE, "first")
    complaint = await pod.refused("logs", "sleep", "-c", "sleep", "--previous")
    assert 'previous terminated container "sleep" in pod "sleep" not found' in complaint
    pod.logs.restart(*WHERE)
    pod.logs.write(*WHERE, "second")
    assert await pod("logs", "sleep", "-c", "sleep", "--previous") == "first\n"
    assert await pod("logs", "sleep", "-c", "sleep") == "second\n"


async def test_all_containers_with_their_names(pod: Kubectl) -> None:
    pod.logs.write(*WHERE, "one")
    pod.logs.write("default", "sleep", "istio-proxy", "two")
    out = await pod("logs", "-l", "app=sleep", "--all-containers", "--prefix")
    assert set(out.splitlines()) == {"[pod/sleep/sleep] one", "[pod/sleep/istio-proxy] two"}


async def test_so_many_bytes(pod: Kubectl) -> None:
    pod.logs.write(*WHERE, "hello", "world")
    assert await pod("logs", "sleep", "-c", "sleep", "--limit-bytes=8") == "hello\nwo"


async def test_following_ends_with_the_process(pod: Kubectl) -> None:
    pod.logs.write(*WHERE, "hello")
    process = await pod.start("logs", "-f", "sleep", "-c", "sleep")
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        assert await process.stdout.readline() == b"hello\n"
        pod.logs.over.add(WHERE)
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("ContainerCreating", "ContainerCreating"),
        ("ImagePullBackOff", "trying and failing to pull image"),
    ],
)
async def test_a_container_that_has_not_started(pod: Kubectl, reason: str, why: str) -> None:
    waiting = ContainerState(waiting=ContainerStateWaiting(reason=reason))
    set_status(pod, PodStatus(container_statuses=(ContainerStatus(name="sleep", state=waiting),)))
    complaint = await pod.refused("logs", "sleep", "-c", "sleep")
    assert f'container "sleep" in pod "sleep" is waiting to start: {why}' in complaint


async def test_attach_shows_what_comes_until_the_program_ends(pod: Kubectl) -> None:
    set_status(pod, PodStatus(phase="Running"))
    pod.logs.write(*WHERE, "before")
    process = await pod.start("attach", "sleep", "-c", "sleep")
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        while True:
            if pod.logs.followers:
                break
            await asyncio.sleep(0.01)
        pod.logs.write(*WHERE, "after")
        assert await process.stdout.readline() == b"after\n"
        pod.logs.over.add(WHERE)
        out, _ = await process.communicate()
    assert (out, process.returncode) == (b"", 0)
