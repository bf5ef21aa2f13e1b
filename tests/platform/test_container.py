"""A container's life over processes that a test ends as it likes: restarts, back-off, exit codes, logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from minimesh.platform import container as container_module
from minimesh.platform.container import Container, ContainerPlan, Phase, RestartPolicy
from minimesh.platform.pod_processes import ProcessRequest
from tests.platform.immediate_processes import Processes

TIMEOUT_S = 20.0


class Life:
    """One container, and what becomes of it."""

    def __init__(self, log: Path, policy: RestartPolicy = RestartPolicy.ALWAYS) -> None:
        self.processes = Processes()
        self._log = log
        self._news = asyncio.Event()
        request = ProcessRequest("app", "app", (), {}, str(log))
        plan = ContainerPlan("app", "image", request, restart_policy=policy)
        self.container = Container(plan, self.processes, self._news.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def run(self, number: int) -> None:
        """Until the process of this number, from 0, is up and ready."""
        await self.until(lambda: len(self.processes.all) == number + 1 and self.container.ready)

    def write(self, text: str) -> None:
        """Make this all that is in the log."""
        self._log.write_text(text)

    def end(self, code: int) -> None:
        self.processes.all[-1].exit.set_result(code)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        (RestartPolicy.ALWAYS, 0, True),
        (RestartPolicy.ALWAYS, 3, True),
        (RestartPolicy.ON_FAILURE, 0, False),
        (RestartPolicy.ON_FAILURE, 3, True),
        (RestartPolicy.ON_FAILURE, -9, True),
        (RestartPolicy.NEVER, 0, False),
        (RestartPolicy.NEVER, 3, False),
    ],
)
async def test_what_has_ended_is_started_again_as_its_policy_says(
    policy: RestartPolicy, code: int, again: bool, log: Path
) -> None:
    life = Life(log, policy)
    life.container.start()
    await life.run(0)
    life.end(code)
    if again:
        await life.run(1)
        assert (life.container.restarts, life.container.is_over) == (1, False)
    else:
        await life.until(lambda: life.container.is_over)
        assert (life.container.phase, len(life.processes.all)) == (Phase.TERMINATED, 1)
    await life.container.stop(TIMEOUT_S)


@pytest.mark.parametrize(
    ("code", "shown", "reason"), [(0, 0, "Completed"), (3, 3, "Error"), (-15, 143, "Error")]
)
async def test_exit_codes_are_as_shells_count_them(code: int, shown: int, reason: str, log: Path) -> None:
    life = Life(log, RestartPolicy.NEVER)
    life.container.start()
    await life.run(0)
    life.end(code)
    await life.until(lambda: life.container.is_over)
    assert life.container.ended is not None
    assert (life.container.ended.exit_code, life.container.ended.reason) == (shown, reason)
    assert (life.container.pid, life.container.ready, life.container.shown_state) == (None, False, reason)


@pytest.mark.parametrize("is_steady", [False, True])
async def test_pauses_grow_unless_the_process_had_run_steadily(
    is_steady: bool, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_module, "BACK_OFF_S", (0.0, 3600.0))
    monkeypatch.setattr(container_module, "STEADY_AFTER_S", -1.0 if is_steady else 1e9)
    life = Life(log)
    life.container.start()
    for number in range(2):
        await life.run(number)
        life.end(1)
    if is_steady:
        await life.run(2)
    else:
        await life.until(lambda: life.container.shown_state == "CrashLoopBackOff")
    assert life.container.ended_before is not None
    await life.container.stop(TIMEOUT_S)


async def test_each_process_has_its_part_of_the_log(log: Path) -> None:
    life = Life(log)
    life.container.start()
    assert life.container.log_span(previous=False) is None
    await life.run(0)
    assert life.container.log_span(previous=True) is None
    life.write("of the first\n")
    life.end(0)
    await life.run(1)
    before, now = (life.container.log_span(previous=which) for which in (True, False))
    assert before is not None
    assert now is not None
    assert (before.start, before.end, now.start, now.end) == (0, 13, 13, None)
    life.write("cut\n")
    cut = life.container.log_span(previous=False)
    assert cut is not None
    assert cut.start == 0
    await life.container.stop(TIMEOUT_S)


@pytest.mark.parametrize("ends_with_its_pod", [True, False])
async def test_a_log_that_is_followed_is_over_when_its_process_has_ended(
    ends_with_its_pod: bool, log: Path
) -> None:
    life = Life(log, RestartPolicy.NEVER)
    life.container.start()
    await life.run(0)
    span = life.container.log_span(previous=False)
    assert span is not None
    assert not span.is_over()
    if ends_with_its_pod:
        await life.container.stop(TIMEOUT_S)
    else:
        life.end(0)
        await life.until(lambda: life.container.is_over)
    assert span.is_over()
    assert life.container.phase is Phase.TERMINATED
