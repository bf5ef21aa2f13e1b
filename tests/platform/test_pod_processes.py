"""Processes forked from a real pod parent: started, named, logged, signalled, and never left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from minimesh.platform.pod_parent import EXIT_CANNOT_EXECUTE, PodParentHandle, fork_pod_parent
from minimesh.platform.pod_processes import PodParentGoneError, PodProcesses, ProcessRequest
from tests.platform.conftest import say


@pytest_asyncio.fixture
async def processes(pod_parent: PodParentHandle) -> AsyncIterator[PodProcesses]:
    processes = PodProcesses(pod_parent)
    await processes.open()
    yield processes
    await processes.close()


def request(tmp_path: Path, entry: str | None, *argv: str, **environment: str) -> ProcessRequest:
    return ProcessRequest(
        name=entry or argv[0],
        entry=entry,
        argv=argv,
        environment={"PATH": os.environ["PATH"], **environment},
        log_path=str(tmp_path / "process.log"),
    )


def log(tmp_path: Path) -> str:
    return (tmp_path / "process.log").read_text()


async def said_ready(tmp_path: Path) -> None:
    """Once the process has printed `ready`: a file tells nobody, so it has to be asked."""
    async with asyncio.timeout(5):
        while not (tmp_path / "process.log").exists() or "ready" not in log(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def shown_by_the_kernel(pid: int) -> tuple[str, list[str]]:
    """A process' name and its open files."""
    folder = Path(f"/proc/{pid}")
    return (folder / "comm").read_text().strip(), [os.readlink(link) for link in (folder / "fd").iterdir()]


def exit_status(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives"
        time.sleep(0.005)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


async def test_an_entry_point_runs_with_its_arguments_and_its_own_environment(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "say", "3", "hello", "there", GREETING="good day"))
    assert await process.exit == 3
    assert log(tmp_path) == "hello there good day 2\n"


async def test_a_command_that_is_no_entry_point_is_executed(processes: PodProcesses, tmp_path: Path) -> None:
    process = await processes.start(request(tmp_path, None, "sh", "-c", "echo out; echo err >&2; exit 7"))
    assert await process.exit == 7
    assert log(tmp_path) == "out\nerr\n"


async def test_a_command_that_is_not_there_says_so_in_its_log(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, None, "no-such-program"))
    assert await process.exit == EXIT_CANNOT_EXECUTE
    assert log(tmp_path) == "cannot run no-such-program: No such file or directory\n"


async def test_a_traceback_of_an_entry_point_is_in_its_log_and_the_parent_lives_on(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "raising"))
    assert await process.exit == EXIT_CANNOT_EXECUTE
    assert "RuntimeError: broken on purpose" in log(tmp_path)
    assert await (await processes.start(request(tmp_path, "say", "0"))).exit == 0


async def test_where_no_process_can_be_had_the_next_try_may_succeed(tmp_path: Path) -> None:
    fork = os.fork

    def refuse_once() -> int:
        os.fork = fork
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def preload() -> None:
        """Runs in the pod parent."""
        os.fork = refuse_once

    pod_parent = fork_pod_parent({"say": say}, preload=preload, log_path=str(tmp_path / "parent.log"))
    processes = PodProcesses(pod_parent)
    await processes.open()
    assert await (await processes.start(request(tmp_path, "say", "0"))).exit == EXIT_CANNOT_EXECUTE
    assert await (await processes.start(request(tmp_path, "say", "0"))).exit == 0
    await processes.close()
    assert exit_status(pod_parent.pid) == 0
    assert "cannot start say#1: Resource temporarily" in (tmp_path / "parent.log").read_text()


async def test_leaving_with_a_message_is_exit_code_1(processes: PodProcesses, tmp_path: Path) -> None:
    process = await processes.start(request(tmp_path, "leaving"))
    assert await process.exit == 1
    assert log(tmp_path) == "had enough\n"


async def test_a_signal_that_ends_a_process_is_its_negative_exit_code(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "wait"))
    assert await process.stop(grace_s=5) == -signal.SIGTERM


async def test_what_does_not_end_in_its_grace_period_is_killed(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "stubborn"))
    await said_ready(tmp_path)
    assert await process.stop(grace_s=0.05) == -signal.SIGKILL


async def test_many_processes_start_at_once(processes: PodProcesses, tmp_path: Path) -> None:
    started = await asyncio.gather(
        *(processes.start(request(tmp_path, "say", str(code))) for code in range(20))
    )
    assert [await process.exit for process in started] == list(range(20))


@on_linux
async def test_a_start_that_is_given_up_leaves_no_process_and_harms_no_other(
    processes: PodProcesses, pod_parent: PodParentHandle, tmp_path: Path
) -> None:
    given_up = asyncio.create_task(processes.start(request(tmp_path, "stubborn")))
    await asyncio.sleep(0)  # the request is on its way, its answer is not here yet
    given_up.cancel()
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    other = await processes.start(request(tmp_path, "wait"))
    children = Path(f"/proc/{pod_parent.pid}/task/{pod_parent.pid}/children")
    async with asyncio.timeout(5):
        while children.read_text().split() != [str(other.started.result())]:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)
    assert await other.stop(grace_s=5) == -signal.SIGTERM


@on_linux
async def test_what_a_process_left_running_ends_with_it(processes: PodProcesses, tmp_path: Path) -> None:
    process = await processes.start(request(tmp_path, None, "sh", "-c", "sleep 60 & echo $!"))
    await process.exit
    wait_until_dead(int(log(tmp_path)))


@on_linux
async def test_closing_the_channel_ends_everything(pod_parent: PodParentHandle, tmp_path: Path) -> None:
    processes = PodProcesses(pod_parent)
    await processes.open()
    process = await processes.start(request(tmp_path, "stubborn"))
    await processes.close()
    wait_until_dead(process.started.result())
    assert exit_status(pod_parent.pid) == 0


@on_linux
async def test_nothing_outlives_a_killed_pod_parent(
    processes: PodProcesses, pod_parent: PodParentHandle, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "stubborn"))
    os.kill(pod_parent.pid, signal.SIGKILL)
    assert await process.exit == -signal.SIGKILL
    wait_until_dead(process.started.result())
    assert processes.parent_gone is not None
    await processes.parent_gone
    with pytest.raises(PodParentGoneError):
        await processes.start(request(tmp_path, "say", "0"))


@on_linux
async def test_a_pod_process_shows_its_name_and_holds_no_channel(
    processes: PodProcesses, tmp_path: Path
) -> None:
    process = await processes.start(request(tmp_path, "stubborn"))
    await said_ready(tmp_path)
    pid = process.started.result()
    name, files = shown_by_the_kernel(pid)
    assert name == "stubborn"
    channel = os.fstat(processes._parent.channel.fileno()).st_ino
    assert f"socket:[{channel}]" not in files
