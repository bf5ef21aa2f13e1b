"""What a worker process does: serve connections, and what the parent tells it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.admin.app import answer, commands_of
from minimesh.data_plane.admin.server_state import ServerState, StateHolder
from minimesh.data_plane.admin.view import AdminView
from minimesh.data_plane.allocator import keep_freed_memory
from minimesh.data_plane.http.http1 import downstream as _preloaded  # noqa: F401 - before forking, to be shared
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.listener import number_connections
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.workers.channel import Channel
from minimesh.data_plane.workers.numbers import numbers_of_worker
from minimesh.data_plane.workers.sockets import WorkerSockets
from minimesh.data_plane.xds_client.config_update import RejectedUpdateError
from minimesh.data_plane.xds_client.discovery_response import apply_response
from minimesh.data_plane.xds_client.process_configuration import process_configuration
from minimesh.xds import messages as m

LOG = logging.getLogger("minimesh.main")
_DRAIN_POLL_S = 0.02

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every worker is made from; it comes along with the fork."""

    bootstrap: Any
    address_map: AddressMap
    access_log: str
    workers: int
    loop_factory: LoopFactory


def run_worker(
    settings: WorkerSettings, number: int, channel: socket.socket, questions: socket.socket
) -> int:
    """The whole life of a worker; returns its exit status."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=settings.loop_factory) as runner:
        runner.run(_run(settings, number, channel, questions))
    return 0


async def _run(
    settings: WorkerSettings, number: int, channel: socket.socket, questions: socket.socket
) -> None:
    await Worker(settings, number, questions).run(channel)


class Worker:
    """One worker, made inside its event loop. It ends when the parent says so, or is gone."""

    def __init__(self, settings: WorkerSettings, number: int, questions: socket.socket) -> None:
        number_connections(number + 1, settings.workers)
        self._settings = settings
        self._log_files = AccessLogFiles(shared=True)
        self._state = StateHolder()
        self._state.set(ServerState.LIVE)
        self._configuration = process_configuration(
            settings.bootstrap,
            settings.address_map,
            settings.access_log,
            stats=StatsStore(),
            log_files=self._log_files,
            fails_health_checks=lambda: not self._state.healthy,
            sockets=WorkerSockets(questions),
        )
        view = AdminView(self._configuration, self._state)
        self._commands = commands_of(settings.bootstrap, view, self)
        self._stopped = asyncio.Event()
        self._requests = {
            "start": self._start,
            "apply": self._apply,
            "warmed": self._warmed,
            "numbers": self._numbers,
            "perform": self._perform,
            "reopen_logs": self._reopen_logs,
            "drain": self._drain,
            "stop": self._stop,
        }

    async def run(self, channel: socket.socket) -> None:
        """Serve until stopped, then close everything and write out the logs."""
        loop = asyncio.get_running_loop()
        _, end = await loop.create_unix_connection(lambda: Channel(self._serve), sock=channel)
        end.closed.add_done_callback(lambda _: self._stopped.set())
        await self._stopped.wait()
        self._configuration.close()
        await asyncio.sleep(0)  # closed transports say good-bye in the next turn, and log
        self._log_files.close()
        end.close()

    # --- a process, to the admin commands ---

    def stop(self) -> None:
        """Ending is the parent's to decide."""

    def reopen_logs(self) -> None:
        self._log_files.reopen()

    # --- requests of the parent ---

    async def _serve(self, fields: dict[str, Any], payload: bytes) -> dict[str, Any]:
        return await self._requests[fields["do"]](fields, payload)

    async def _start(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        await self._configuration.apply_bootstrap(self._settings.bootstrap)
        return {}

    async def _apply(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        """Apply a DiscoveryResponse; `rejected` says why it is not in force, or not all of it."""
        try:
            apply_response(self._configuration, m.discovery_pb2.DiscoveryResponse.FromString(payload))
        except (RejectedUpdateError, m.DecodeError) as error:
            return {"rejected": str(error)}
        except Exception as error:  # a mistake of ours must not cost the configuration in force
            LOG.exception("an update could not be applied")
            return {"rejected": f"internal error: {type(error).__name__}: {error}"}
        return {"rejected": None}

    async def _warmed(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        await self._configuration.warmed()
        return {}

    async def _numbers(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        return {"numbers": numbers_of_worker(self._configuration)}

    async def _perform(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        """An admin command that the parent has carried out already."""
        answer(self._commands, "POST", fields["path"], fields["query"])
        return {}

    async def _reopen_logs(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        self.reopen_logs()
        return {}

    async def _drain(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        """Take no more connections; answer when none is open, or after `timeout_s`, how many are left."""
        limit_s = float(fields["timeout_s"])
        self._state.set(ServerState.DRAINING)
        self._configuration.drain_listeners(limit_s)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while self._configuration.open_connections and loop.time() < deadline:  # noqa: ASYNC110 - untold
            await asyncio.sleep(_DRAIN_POLL_S)
        return {"left": self._configuration.open_connections}

    async def _stop(self, fields: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
        self._stopped.set()
        return {}
