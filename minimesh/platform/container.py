"""One container of a running pod: its process kept alive, and what a user may know about it.

    WAITING --started--> RUNNING --exited--> TERMINATED --at once, or after the back-off--> RUNNING
       ^                                         |
       `------- the back-off (CrashLoopBackOff) -'

Where the pod's restart policy wants no more of it, it stays TERMINATED. A container whose image nobody knows
stays WAITING, with the reason ErrImagePull and then ImagePullBackOff.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from minimesh.config.timestamps import timestamp
from minimesh.platform.logs import LogSpan, LogTimes, log_size
from minimesh.platform.pod_processes import PodParentGoneError, PodProcess, PodProcesses, ProcessRequest
from minimesh.platform.readiness import Check, wait_until_ready

# Pauses before the first, second, ... restart in a row; the last one repeats.
BACK_OFF_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# A process that ran this long starts the row anew.
STEADY_AFTER_S = 30.0
IMAGE_BACK_OFF_S = 10.0


class Phase(Enum):
    """The three states of a Kubernetes container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


class RestartPolicy(Enum):
    """Whether a container that has ended is started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"

    def restarts_after(self, exit_code: int) -> bool:
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and exit_code != 0)


@dataclass(frozen=True, slots=True)
class Termination:
    """How a process ended, and when, as the API writes times."""

    exit_code: int
    started_at: str
    finished_at: str

    @property
    def reason(self) -> str:
        return "Completed" if self.exit_code == 0 else "Error"


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """How to run a container. `request` is None when it cannot run; `refusal` then says why."""

    name: str
    image: str
    request: ProcessRequest | None
    check: Check | None = None
    refusal: str = ""
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    is_own: bool = False
    """Whether this process itself is what runs; `request` then says only where its log is."""


class Container:
    """A container being run. `changed` is called after every change of the public attributes."""

    def __init__(self, plan: ContainerPlan, processes: PodProcesses, changed: Callable[[], None]) -> None:
        self.plan = plan
        self._processes = processes
        self._changed = changed
        self._keeper: asyncio.Task[None] | None = None
        self._process: PodProcess | None = None
        self.phase = Phase.WAITING
        self.reason = "ContainerCreating" if plan.request else "ErrImagePull"
        self.message = plan.refusal
        self.ready = False
        self.restarts = 0
        self.pid: int | None = None
        self.process_id = ""
        self.started_at = ""
        self.ended: Termination | None = None
        """How it ended, while it is TERMINATED."""
        self.ended_before: Termination | None = None
        """How the process before this one ended."""
        self.log_times = LogTimes()
        self._is_finished = False
        self._log_starts: list[int] = []

    def __repr__(self) -> str:
        return f"<Container {self.plan.name} {self.phase.value} {self.reason} ready={self.ready}>"

    @property
    def shown_state(self) -> str:
        """One word for a table: Running, Completed, Error, CrashLoopBackOff, ErrImagePull ..."""
        return "Running" if self.phase is Phase.RUNNING else self.reason

    @property
    def is_over(self) -> bool:
        """Whether it has ended and will not be started again."""
        policy = self.plan.restart_policy
        is_again = not self._is_finished and self.ended and policy.restarts_after(self.ended.exit_code)
        return self.phase is Phase.TERMINATED and not is_again

    def start(self) -> None:
        """Begin to keep the container running; returns at once."""
        if self.plan.request is not None:
            self._keeper = asyncio.create_task(self._keep_running(self.plan.request))
        else:
            self._keeper = asyncio.create_task(self._back_off_from_image())

    async def stop(self, grace_s: float) -> None:
        """End the process for good: SIGTERM, after `grace_s` SIGKILL."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None:
            code = await self._process.stop(grace_s)
            if self.phase is Phase.RUNNING:  # else its keeper has noted the end, or it waits for the next try
                self._ended(code)

    async def finish(self, grace_s: float) -> None:
        """End the process for good in a pod that goes on to be shown."""
        self._is_finished = True
        await self.stop(grace_s)
        if self.phase is not Phase.TERMINATED:
            self._ended(await self._process.exit if self._process is not None else 0)

    def log_span(self, *, previous: bool) -> LogSpan | None:
        """The part of the log that this process has written, or the one before it; None when none has."""
        request, process = self.plan.request, self.process_id
        if request is None or len(self._log_starts) < 1 + previous:
            return None
        size = log_size(request.log_path)
        # A log that was cut since has lost what was before.
        starts = [start if start <= size else 0 for start in self._log_starts]
        if previous:
            return LogSpan(Path(request.log_path), starts[-2], starts[-1], self.log_times, lambda: True)
        return LogSpan(
            Path(request.log_path),
            starts[-1],
            None,
            self.log_times,
            lambda: self.process_id != process or self.phase is not Phase.RUNNING,
        )

    async def _back_off_from_image(self) -> None:
        await asyncio.sleep(IMAGE_BACK_OFF_S)
        message = f'Back-off pulling image "{self.plan.image}": ErrImagePull: {self.plan.refusal}'
        self._note(Phase.WAITING, "ImagePullBackOff", message)

    async def _keep_running(self, request: ProcessRequest) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            self._log_starts = [*self._log_starts[-1:], log_size(request.log_path)]
            try:
                process = await self._processes.start(request)
            except PodParentGoneError:
                self._note(Phase.TERMINATED, "Error", "the pod parent has died")
                return
            code = await self._watch(process)
            if not self.plan.restart_policy.restarts_after(code):
                return
            self.ended_before = self.ended
            if time.monotonic() - began > STEADY_AFTER_S:
                failures = 0
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            if pause_s:
                self._note(
                    Phase.WAITING,
                    "CrashLoopBackOff",
                    f"exit code {code}; next try in {pause_s:.0f} s",
                )
                await asyncio.sleep(pause_s)
            self.restarts += 1

    async def _watch(self, process: PodProcess) -> int:
        """From a process' start to its end; its exit code, as shells count it."""
        self._process = process
        self.pid = process.started.result()
        self.process_id = process.id
        self.started_at = _now()
        self._note(Phase.RUNNING, "", "")
        becoming_ready = asyncio.create_task(self._become_ready())
        try:
            code = await asyncio.shield(process.exit)
        finally:
            becoming_ready.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await becoming_ready
        return self._ended(code)

    def _ended(self, code: int) -> int:
        """Note how the process ended; its exit code, as shells count it."""
        self.pid = None
        self.ended = Termination(128 - code if code < 0 else code, self.started_at, _now())
        self._note(Phase.TERMINATED, self.ended.reason, f"exit code {code}")
        return self.ended.exit_code

    async def _become_ready(self) -> None:
        if self.plan.check is not None:
            await wait_until_ready(self.plan.check)
        self.ready = True
        self._changed()

    def _note(self, phase: Phase, reason: str, message: str) -> None:
        self.phase, self.reason, self.message = phase, reason, message
        self.ready = False
        self._changed()


class OwnContainer(Container):
    """Stands for a program that is part of this process: it runs for as long as its pod is there."""

    def start(self) -> None:
        """Nothing is started; what is asked for runs already."""
        self.pid, self.started_at, self.ready = os.getpid(), _now(), True
        self.process_id = self.plan.name
        self._log_starts = [0]
        self.phase, self.reason = Phase.RUNNING, ""
        self._changed()

    async def stop(self, grace_s: float) -> None:
        """Only its pod ends."""
        self.pid, self.ready, self.phase, self.reason = None, False, Phase.TERMINATED, "Completed"


def _now() -> str:
    return timestamp(datetime.now(UTC))
