"""The proxy process: puts configuration, listeners, the ADS stream and the admin API together, and ends them.

    PRE_INITIALIZING --static resources served, first CDS and LDS applied--> LIVE --SIGTERM--> DRAINING -->
    exit

Standard error carries what an operator should know; standard output belongs to access logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from minimesh.data_plane.admin.pages import HEALTH, METRICS
from minimesh.data_plane.admin.server import AdminServer
from minimesh.data_plane.admin.server_state import ServerState, StateHolder
from minimesh.data_plane.admin.view import AdminView
from minimesh.data_plane.allocator import keep_freed_memory
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.server_sockets import OWN_SOCKETS
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.ads_target import AdsTarget, ads_target
from minimesh.data_plane.xds_client.bootstrap import BootstrapError, BootstrapFile
from minimesh.data_plane.xds_client.build_version import introduce
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.process_configuration import process_configuration
from minimesh.event_loop import loop_factory

if TYPE_CHECKING:
    from minimesh.data_plane.workers.parent import Workers
    from minimesh.data_plane.xds_client.ads_client import AdsClient
    from minimesh.data_plane.xds_client.config_update import LiveConfiguration

LOG = logging.getLogger("minimesh.main")
_DRAIN_POLL_S = 0.02
#: As in a pod of a mesh, where one proxy is one among dozens on a laptop; Envoy alone would take all cores.
DEFAULT_CONCURRENCY = 1


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What the command line says beside the bootstrap."""

    admin: tuple[str, int] | None = None
    """Address of the admin API; None: none."""
    health: tuple[str, int] | None = None
    """Where /healthz/ready is answered."""
    metrics: tuple[str, int] | None = None
    """Where /stats/prometheus is answered."""
    access_log: str = ""
    """Path that every access log goes to; empty: as configured."""
    drain_time_s: float = 5.0
    """How long requests under way may take after SIGTERM."""
    concurrency: int = DEFAULT_CONCURRENCY
    """Worker processes; 1: this process serves alone."""


class ProxyServer:
    """One proxy. `run` serves until a signal or `stop`, and returns when all is written and closed."""

    def __init__(
        self,
        bootstrap: BootstrapFile,
        address_map: AddressMap | None = None,
        options: ProxyOptions | None = None,
    ) -> None:
        """Raises BootstrapError when the bootstrap names a control plane in a way that is not supported.

        With more than one worker this forks: make it before any event loop or thread.
        """
        self.bootstrap = bootstrap
        introduce(bootstrap.message.node)
        self.address_map = address_map or AddressMap()
        self.options = options or ProxyOptions()
        self.stats = StatsStore()
        self.log_files = AccessLogFiles()
        self.state = StateHolder()
        self.admin: AdminServer | None = None
        self.ads: AdsClient | None = None
        self.configuration: LiveConfiguration
        #: Set when static resources are served and the admin API answers.
        self.started = asyncio.Event()
        #: Set when the state is LIVE.
        self.live = asyncio.Event()
        with _located(bootstrap):
            self._target = ads_target(bootstrap.message)
        self._workers = self._make_workers() if self.options.concurrency > 1 else None
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> None:
        """Serve until stopped. Raises BootstrapError or OSError when it cannot start."""
        self.configuration = process_configuration(
            self.bootstrap.message,
            self.address_map,
            self.options.access_log,
            stats=self.stats,
            log_files=self.log_files,
            fails_health_checks=lambda: not self.state.healthy,
            sockets=OWN_SOCKETS if self._workers is None else self._workers.sockets,
        )
        tasks: list[asyncio.Task[None]] = []
        try:
            with _signals(self):
                await self._apply_static_resources()
                if self._workers is not None:
                    await self._workers.start(self.configuration)
                self._start_admin()
                if self._target is not None:
                    self.ads = self._client(self._target)
                    tasks.append(asyncio.create_task(self.ads.run()))
                tasks.append(asyncio.create_task(self._initialize()))
                self.started.set()
                await self._stop.wait()
                await self._drain()
        finally:
            await self._close(tasks)

    def stop(self) -> None:
        """Drain, then return from `run`; called again: without waiting for anything."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    def reopen_logs(self) -> None:
        self.log_files.reopen()
        if self._workers is not None:
            self._workers.reopen_logs()

    # --- starting ---

    def _make_workers(self) -> Workers:
        # Imported here: one process needs nothing of all this.
        from minimesh.data_plane.workers.fork_server import start_fork_server
        from minimesh.data_plane.workers.parent import Workers
        from minimesh.data_plane.workers.worker import WorkerSettings, run_worker

        options = self.options
        settings = WorkerSettings(
            bootstrap=self.bootstrap.message,
            address_map=self.address_map,
            access_log=options.access_log,
            workers=options.concurrency,
            loop_factory=loop_factory(),
        )
        return Workers(start_fork_server(partial(run_worker, settings)), options.concurrency)

    def _view(self) -> AdminView:
        if self._workers is None:
            return AdminView(self.configuration, self.state)
        from minimesh.data_plane.workers.workers_view import WorkersView

        return WorkersView(self.configuration, self.state, self._workers)

    async def _apply_static_resources(self) -> None:
        with _located(self.bootstrap):
            await self.configuration.apply_bootstrap(self.bootstrap.message)

    def _start_admin(self) -> None:
        options = self.options
        self.admin = AdminServer(self.bootstrap.message, self._view(), self)
        if options.admin is not None:
            self.admin.listen(*options.admin)
        for address, page in ((options.health, HEALTH), (options.metrics, METRICS)):
            if address is None:
                continue
            try:
                self.admin.listen(*address, page=page)
            except OSError as error:
                LOG.warning("%s:%d cannot be had for %s: %s", *address, page.path, error.strerror or error)

    def _client(self, target: AdsTarget) -> AdsClient:
        # Imported here: a proxy that lives by its file alone does without gRPC and its megabytes.
        from minimesh.data_plane.xds_client.ads_client import AdsClient

        return AdsClient(
            self.configuration,
            self.bootstrap.message.node,
            target.host,
            target.port,
            want_clusters=target.clusters,
            want_listeners=target.listeners,
            report=LOG.warning,
            deliver=None if self._workers is None else self._workers.deliver,
        )

    async def _initialize(self) -> None:
        """Become LIVE when everything that was asked for first is there."""
        if self.ads is not None:
            await self.ads.initialized.wait()
            self.state.set(ServerState.INITIALIZING)
            await self.configuration.warmed()
        if self._workers is not None:
            await self._workers.warmed()
        if self.state.value is not ServerState.DRAINING:
            self.state.set(ServerState.LIVE)
            self.live.set()
            LOG.info("all dependencies initialized. starting workers")

    # --- ending ---

    async def _drain(self) -> None:
        """No new connections; wait for requests under way, at most for the drain time."""
        self.state.set(ServerState.DRAINING)
        self.configuration.drain_listeners(self.options.drain_time_s)
        if self._workers is None:
            left = await self._wait_for_connections(self.options.drain_time_s)
        else:
            left = await self._wait_for_workers(self._workers)
        if left and not self._stop_now.is_set():
            LOG.warning("%d connections cut off at the end of the drain time", left)

    async def _wait_for_connections(self, limit_s: float) -> int:
        """Until no connection is open, a second signal has come or time is up; how many are left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        left = self.configuration.open_connections
        while left and loop.time() < deadline and not self._stop_now.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_POLL_S):
                    await self._stop_now.wait()
            left = self.configuration.open_connections
        return left

    async def _wait_for_workers(self, workers: Workers) -> int:
        """Until all have drained, a second signal has come or time is up; how many connections are left."""
        draining = asyncio.create_task(workers.drain(self.options.drain_time_s))
        hurried = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if draining.done():
            return draining.result()
        draining.cancel()
        return 0

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.admin is not None:
            await asyncio.sleep(0)  # the answer to what may have ended this waits for the next turn
            self.admin.close()
        if self._workers is not None:
            await self._workers.close()
        self.configuration.close()
        await asyncio.sleep(0)  # closed transports say good-bye in the next turn, and log
        self.log_files.close()


@contextlib.contextmanager
def _located(bootstrap: BootstrapFile) -> Iterator[None]:
    """A mistake in the bootstrap found in here is reported with its place in the file."""
    try:
        yield
    except CompileError as error:
        raise BootstrapError([bootstrap.problem(error.field, error.reason)]) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise BootstrapError([bootstrap.problem("static_resources.listeners", reason)]) from None


@contextlib.contextmanager
def _signals(server: ProxyServer) -> Iterator[None]:
    """SIGTERM and SIGINT drain (twice: at once), SIGUSR1 opens the logs anew."""
    loop = asyncio.get_running_loop()
    handlers = {
        signal.SIGTERM: server.stop,
        signal.SIGINT: server.stop,
        signal.SIGUSR1: server.reopen_logs,
    }
    installed = []
    for number, handler in handlers.items():
        with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: a test, an embedder
            loop.add_signal_handler(number, handler)
            installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


# --- its event loop --------------------------------------------------------------------------------


def run_proxy(server: ProxyServer) -> None:
    """Run a proxy in an event loop of its own, to its end. Raises what `ProxyServer.run` raises."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run_settled(server))


async def _run_settled(server: ProxyServer) -> None:
    """Run; once live, what start-up made is taken out of the garbage collector's sight.

    It lasts as long as the process, and looking through it takes some 20 ms, in which no request is served.
    """
    settling = asyncio.create_task(_settle(server))
    try:
        await server.run()
    finally:
        settling.cancel()


async def _settle(server: ProxyServer) -> None:
    await server.live.wait()
    gc.collect()
    gc.freeze()
