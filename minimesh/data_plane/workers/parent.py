"""The workers as the parent sees them: started, told, asked, replaced, ended.

    STARTING --static resources and present configuration applied--> SERVING --process ended--> STARTING
                                                                        `--stopped--> gone

Updates and starts take turns (`_turn`), so that a worker that comes in between misses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

from minimesh.data_plane.workers.channel import Channel, ChannelLostError
from minimesh.data_plane.workers.fork_server import ForkServerHandle, ask_for_worker
from minimesh.data_plane.workers.journal import Journal
from minimesh.data_plane.workers.numbers import Numbers, lasting
from minimesh.data_plane.workers.sockets import ParentSockets
from minimesh.data_plane.xds_client.config_update import LiveConfiguration, RejectedUpdateError
from minimesh.xds.resource_names import ENDPOINT_TYPE_URL, ROUTE_TYPE_URL

LOG = logging.getLogger("minimesh.main")
#: A worker that ends again and again is started after a wait that doubles from the first to the second.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
#: A worker that has served this long was no failed start.
_STEADY_S = 10.0
_STOP_LIMIT_S = 2.0
_NUMBERS_LIMIT_S = 2.0
_LASTING = frozenset({"/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging"})
_READ_BYTES = 1 << 16


class WorkerHandle:
    """One worker process."""

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.pid = 0
        self.started_at = asyncio.get_running_loop().time()
        #: As last heard; what it counted since is lost with it.
        self.numbers: Numbers | None = None


class Workers:
    """All workers of one proxy."""

    def __init__(self, fork_server: ForkServerHandle, number: int) -> None:
        self.number = number
        self.sockets = ParentSockets(number)
        self.gone: list[Numbers] = []
        self._fork_server = fork_server.parent
        self._fork_server_pid = fork_server.pid
        self._unread = b""
        self._serving: dict[int, WorkerHandle] = {}
        self._pids: dict[int, int] = {}
        self._pauses: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._ending = False
        #: Set as long as no worker process runs.
        self._none_left = asyncio.Event()
        self._none_left.set()
        #: Admin commands whose effect lasts, as a later worker has to know of them.
        self._performed: dict[str, dict[str, str]] = {}
        self._journal: Journal

    async def start(self, configuration: LiveConfiguration) -> None:
        """Start every worker; returns when all serve. Raises OSError when one cannot be had."""
        self._journal = Journal(lambda type_url: _wanted_names(configuration, type_url))
        self._fork_server.setblocking(False)
        asyncio.get_running_loop().add_reader(self._fork_server, self._hear_fork_server)
        async with self._turn:
            await asyncio.gather(*(self._start(number) for number in range(self.number)))

    @property
    def pids(self) -> dict[int, int]:
        """Process ids by worker."""
        return dict(self._pids)

    # --- configuration ---

    async def deliver(self, response: Any) -> None:
        """Have every worker apply a DiscoveryResponse. Raises RejectedUpdateError when one refuses."""
        async with self._turn:
            self._journal.note(response)
            payload = response.SerializeToString()
            replies = await self._ask_all("apply", payload)
        reasons = [f"worker {number}: {reply['rejected']}" for number, reply in replies if reply["rejected"]]
        if reasons:
            raise RejectedUpdateError(reasons[0])

    async def warmed(self) -> None:
        """Return when no worker waits for what it needs."""
        await self._ask_all("warmed")

    # --- numbers and commands ---

    async def numbers(self) -> list[Numbers]:
        """What each worker has counted, by the worker's number."""
        with contextlib.suppress(TimeoutError):  # a worker that hangs shows what it last said
            async with asyncio.timeout(_NUMBERS_LIMIT_S):
                await asyncio.gather(*map(_hear_numbers, self._serving.values()))
        known = [handle.numbers for _, handle in sorted(self._serving.items())]
        return [numbers for numbers in known if numbers is not None]

    async def perform(self, path: str, query: Mapping[str, str]) -> None:
        """Have every worker carry out an admin command, later ones too where its effect lasts."""
        if path in _LASTING:
            self._performed.pop(path, None)
            self._performed[path] = dict(query)
        await self._ask_all("perform", path=path, query=dict(query))

    def forget_counters(self) -> None:
        """Counters begin anew: those of former workers too."""
        self.gone = [{"counters": {}, "histograms": numbers["histograms"]} for numbers in self.gone]

    def reopen_logs(self) -> None:
        self._run(self._tell_all("reopen_logs"))

    # --- ending ---

    async def drain(self, timeout_s: float) -> int:
        """No new connections; wait for those there are, at most `timeout_s`. How many are left."""
        self._ending = True
        return sum(int(reply["left"]) for _, reply in await self._ask_all("drain", timeout_s=timeout_s))

    async def close(self) -> None:
        """End every worker, whatever it is at; its logs are written."""
        self._ending = True
        handles = list(self._serving.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_LIMIT_S):
                await self._ask_all("stop")
                await self._none_left.wait()
        for task in list(self._tasks):
            task.cancel()
        for handle in handles:
            handle.channel.close()
        asyncio.get_running_loop().remove_reader(self._fork_server)
        self._fork_server.close()
        with contextlib.suppress(TimeoutError, ChildProcessError):
            async with asyncio.timeout(_STOP_LIMIT_S):
                await asyncio.to_thread(os.waitpid, self._fork_server_pid, 0)

    # --- one worker ---

    async def _start(self, number: int) -> None:
        """Have a worker forked, and bring it up to date. Raises OSError or ChannelLostError."""
        loop = asyncio.get_running_loop()
        ours, questions = ask_for_worker(self._fork_server, number)
        self.sockets.serve(number, questions)
        _, channel = await loop.create_unix_connection(Channel, sock=ours)
        handle = WorkerHandle(number, channel)
        for path, query in self._performed.items():
            await channel.request("perform", path=path, query=query)
        await channel.request("start")
        for response in self._journal.responses():
            reply = await channel.request("apply", response.SerializeToString())
            if reply["rejected"]:
                LOG.warning("worker %d: %s", number, reply["rejected"])
        self._serving[number] = handle

    def _hear_fork_server(self) -> None:
        try:
            data = self._fork_server.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fork_server)
            if not self._ending:
                LOG.critical("the fork server is gone; workers that end are not replaced")
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._note(json.loads(line))

    def _note(self, event: Mapping[str, Any]) -> None:
        number = event["worker"]
        if event["event"] == "started":
            self._pids[number] = event["pid"]
            self._none_left.clear()
            LOG.info("worker %d started, process %d", number, event["pid"])
            return
        self._pids.pop(number, None)
        if not self._pids:
            self._none_left.set()
        handle = self._serving.pop(number, None)
        if handle is not None and handle.numbers is not None:
            self.gone.append(lasting(handle.numbers))
        if not self._ending:
            LOG.error(
                "worker %d, process %d, %s; starting another", number, event["pid"], _end(event["code"])
            )
            self._run(self._replace(number, handle))

    async def _replace(self, number: int, former: WorkerHandle | None) -> None:
        served_s = asyncio.get_running_loop().time() - former.started_at if former is not None else 0.0
        pause_s = 0.0 if served_s > _STEADY_S else self._pauses.get(number, 0.0)
        self._pauses[number] = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)
        async with self._turn:
            if self._ending:
                return
            try:
                await self._start(number)
            except ChannelLostError:
                pass  # it has ended already: the fork server will say so, or has
            except OSError as error:
                LOG.error("worker %d cannot be started: %s", number, error.strerror or error)

    # --- all workers ---

    async def _ask_all(
        self, do: str, payload: bytes = b"", **fields: Any
    ) -> list[tuple[int, dict[str, Any]]]:
        """The replies of those that live to reply, by number."""
        handles = sorted(self._serving.items())
        asked = (handle.channel.request(do, payload, **fields) for _, handle in handles)
        replies = await asyncio.gather(*asked, return_exceptions=True)
        answered = []
        for (number, _), reply in zip(handles, replies, strict=True):
            if isinstance(reply, dict):
                answered.append((number, reply))
            elif not isinstance(reply, ChannelLostError):
                raise reply
        return answered

    async def _tell_all(self, do: str) -> None:
        await self._ask_all(do)

    def _run(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _hear_numbers(handle: WorkerHandle) -> None:
    with contextlib.suppress(ChannelLostError):
        handle.numbers = (await handle.channel.request("numbers"))["numbers"]


def _wanted_names(configuration: LiveConfiguration, type_url: str) -> list[str] | None:
    if type_url == ENDPOINT_TYPE_URL:
        return configuration.endpoint_names
    return configuration.route_names if type_url == ROUTE_TYPE_URL else None


def _end(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
