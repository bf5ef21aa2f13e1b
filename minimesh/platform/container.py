"""One container of a running pod: its process kept alive, and what a user may know about it.

    WAITING --started--> RUNNING --exited--> TERMINATED --at once, or after the back-off--> RUNNING
       ^                                         |
       `------- the back-off (CrashLoopBackOff) -'

A container whose image nobody knows stays WAITING with the reason ErrImagePull.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from minimesh.platform.pod_processes import PodParentGoneError, PodProcess, PodProcesses, ProcessRequest
from minimesh.platform.readiness import Check, wait_until_ready

# Pauses before the first, second, ... restart in a row; the last one repeats.
BACK_OFF_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# A process that ran this long starts the row anew.
STEADY_AFTER_S = 30.0


class Phase(Enum):
    """The three states of a Kubernetes container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """How to run a container. `request` is None when it cannot run; `refusal` then says why."""

    name: str
    image: str
    request: ProcessRequest | None
    check: Check | None = None
    refusal: str = ""


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
        self.exit_code: int | None = None
        self.started_at = ""

    def __repr__(self) -> str:
        return f"<Container {self.plan.name} {self.phase.value} {self.reason} ready={self.ready}>"

    @property
    def shown_state(self) -> str:
        """One word for a table: Running, Completed, Error, CrashLoopBackOff, ErrImagePull ..."""
        return "Running" if self.phase is Phase.RUNNING else self.reason

    def start(self) -> None:
        """Begin to keep the container running; returns at once."""
        if self.plan.request is not None:
            self._keeper = asyncio.create_task(self._keep_running(self.plan.request))

    async def stop(self, grace_s: float) -> None:
        """End the process for good: SIGTERM, after `grace_s` SIGKILL."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None:
            await self._process.stop(grace_s)

    async def _keep_running(self, request: ProcessRequest) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                process = await self._processes.start(request)
            except PodParentGoneError:
                self._note(Phase.TERMINATED, "Error", "the pod parent has died")
                return
            await self._watch(process)
            if time.monotonic() - began > STEADY_AFTER_S:
                failures = 0
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            if pause_s:
                self._note(
                    Phase.WAITING,
                    "CrashLoopBackOff",
                    f"exit code {self.exit_code}; next try in {pause_s:.0f} s",
                )
                await asyncio.sleep(pause_s)
            self.restarts += 1

    async def _watch(self, process: PodProcess) -> None:
        """From a process' start to its end."""
        self._process = process
        self.pid = process.started.result()
        self.started_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._note(Phase.RUNNING, "", "")
        becoming_ready = asyncio.create_task(self._become_ready())
        try:
            code = await asyncio.shield(process.exit)
        finally:
            becoming_ready.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await becoming_ready
        self.pid, self.exit_code = None, code
        self._note(Phase.TERMINATED, "Completed" if code == 0 else "Error", f"exit code {code}")

    async def _become_ready(self) -> None:
        if self.plan.check is not None:
            await wait_until_ready(self.plan.check)
        self.ready = True
        self._changed()

    def _note(self, phase: Phase, reason: str, message: str) -> None:
        self.phase, self.reason, self.message = phase, reason, message
        self.ready = False
        self._changed()
