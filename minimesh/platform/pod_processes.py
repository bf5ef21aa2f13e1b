"""Pod processes as the mesh's event loop sees them: started, signalled, awaited, through the pod parent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minimesh.platform.pod_parent import PodParentHandle


class PodParentGoneError(Exception):
    """The pod parent has died, and all pod processes with it."""


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """A process to start.

    `entry` names an entry point of the pod parent, or is None when `argv` is a command to execute.
    `environment` is the whole environment; `log_path` gets standard output and error.
    """

    name: str
    entry: str | None
    argv: Sequence[str]
    environment: Mapping[str, str]
    log_path: str


class PodProcess:
    """One running process. `exit` is its exit code, or minus the number of the signal that ended it."""

    def __init__(self, processes: PodProcesses, process_id: str) -> None:
        loop = asyncio.get_running_loop()
        self._processes = processes
        self.id = process_id
        self.started: asyncio.Future[int] = loop.create_future()
        self.exit: asyncio.Future[int] = loop.create_future()

    def __repr__(self) -> str:
        state = f"exit={self.exit.result()}" if self.exit.done() else "running"
        return f"<PodProcess {self.id} {state}>"

    def send_signal(self, number: int) -> None:
        """Signal the process and everything it started; nothing happens when it has ended."""
        if not self.exit.done():
            self._processes.request({"do": "signal", "id": self.id, "signal": int(number)})

    async def stop(self, grace_s: float) -> int:
        """SIGTERM, and SIGKILL after `grace_s`; returns the exit code."""
        self.send_signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self.exit], timeout=grace_s)
        if not done:
            self.send_signal(signal.SIGKILL)
        return await asyncio.shield(self.exit)


class PodProcesses:
    """The event loop's end of the channel to the pod parent."""

    def __init__(self, parent: PodParentHandle) -> None:
        self._parent = parent
        self._numbers = itertools.count(1)
        self._running: dict[str, PodProcess] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.parent_gone: asyncio.Future[None] | None = None

    @property
    def parent_pid(self) -> int:
        return self._parent.pid

    async def open(self) -> None:
        """Begin to listen to the pod parent; call once, in the loop that uses this object."""
        self.parent_gone = asyncio.get_running_loop().create_future()
        reader, self._writer = await asyncio.open_connection(sock=self._parent.channel)
        self._reading = asyncio.create_task(self._read_events(reader))

    async def close(self) -> None:
        """Close the channel, which ends the pod parent and every process that still runs."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def start(self, wanted: ProcessRequest) -> PodProcess:
        """Start a process and return once it exists. PodParentGoneError when nothing can be started.

        Who is cancelled while waiting leaves no process behind.
        """
        process = PodProcess(self, f"{wanted.name}#{next(self._numbers)}")
        if self.parent_gone is None or self.parent_gone.done():
            raise PodParentGoneError
        self._running[process.id] = process
        self.request(
            {
                "do": "start",
                "id": process.id,
                "name": wanted.name,
                "entry": wanted.entry,
                "argv": list(wanted.argv),
                "environment": dict(wanted.environment),
                "log": wanted.log_path,
            }
        )
        try:
            await asyncio.shield(process.started)
        except asyncio.CancelledError:
            process.send_signal(signal.SIGKILL)
            raise
        return process

    def request(self, message: Mapping[str, object]) -> None:
        """Send one request to the pod parent."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _read_events(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._note(json.loads(line))
        except ConnectionError:
            pass
        finally:
            self._note_parent_gone()

    def _note(self, event: dict[str, object]) -> None:
        process = self._running.get(str(event["id"]))
        if process is None:
            return
        if event["event"] == "started":
            process.started.set_result(int(str(event["pid"])))
        else:
            del self._running[process.id]
            process.exit.set_result(int(str(event["code"])))

    def _note_parent_gone(self) -> None:
        running, self._running = self._running, {}
        for process in running.values():
            if not process.started.done():
                process.started.set_exception(PodParentGoneError())
                process.started.exception()
            process.exit.set_result(-signal.SIGKILL)
        if self.parent_gone is not None and not self.parent_gone.done():
            self.parent_gone.set_result(None)
