"""The mesh in one process: control plane and pod runtime in one loop, joined by the store."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from minimesh.cli.console import AccessLogConsole, DiagnosticsConsole, PodConsole, lines_to_try, say
from minimesh.cli.invocation import invocation
from minimesh.cli.pod_insides import PodInsides
from minimesh.cli.refusal import Refusal, os_refusal
from minimesh.cli.table import counted, pod_table
from minimesh.config.journal import JournalError
from minimesh.config.persistence import Persistence
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot, Store
from minimesh.config.timestamps import timestamp
from minimesh.control_plane.discovery.debounce import Debounce
from minimesh.control_plane.server import ADS_PORT, DEBUG_PORT, ControlPlane
from minimesh.dashboard.mesh_view import PROGRESS_FILE, RunningMesh
from minimesh.kubernetes.access import new_secret, write_kubeconfig
from minimesh.kubernetes.api_server import VERSION, ApiServer
from minimesh.kubernetes.controllers.manager import Controllers
from minimesh.kubernetes.controllers.outcome import Note
from minimesh.kubernetes.controllers.service_addresses import ServiceAddresses
from minimesh.kubernetes.initial_objects import initial_objects
from minimesh.platform.defaults import default_resources
from minimesh.platform.engine import Engine
from minimesh.platform.images import ImageTable
from minimesh.platform.logs import ContainerLogs
from minimesh.platform.node import lease, node
from minimesh.platform.pod_events import PodEvent
from minimesh.platform.pod_network import choose_network
from minimesh.platform.pod_parent import PodParentHandle
from minimesh.platform.pod_processes import PodProcesses
from minimesh.platform.runtime import PodRuntime, unknown_images
from minimesh.platform.runtime_settings import RuntimeSettings
from minimesh.platform.service_network import ServiceNetwork
from minimesh.platform.service_proxy import PORT_NOT_OPENED, ServiceProxy
from minimesh.platform.state import Run, StateFolder

READY_LIMIT_S = 20.0
_ACCESS_LOG_INTERVAL_S = 0.1
LOCALHOST = "127.0.0.1"
if TYPE_CHECKING:
    from minimesh.dashboard.server import DashboardServer


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """What the user asked for."""

    paths: tuple[str, ...]
    ingress_port: int
    network: str
    images: ImageTable
    detached: bool = False
    engine: Engine = field(default_factory=Engine)
    mesh_config: str | None = None


class Mesh:
    """A mesh from start to end. `state` is held by this process."""

    def __init__(self, options: MeshOptions, parent: PodParentHandle, state: StateFolder) -> None:
        self._options = options
        self._state = state
        self._persistence = _persistence(state)
        self._store = Store(recorder=self._persistence)
        self._diagnostics = DiagnosticsConsole()
        self._pod_news = PodConsole()
        self._access_log = AccessLogConsole()
        self._processes = PodProcesses(parent)
        self._control_plane: ControlPlane | None = None
        self._network = choose_network(options.network)
        self._service_network = ServiceNetwork.beside(self._network)
        # Meshes of other folders give other addresses, so that two can run on one machine.
        addresses = ServiceAddresses(self._service_network.cluster_ips, salt=str(state.path.resolve()))
        self._controllers = Controllers(self._store, addresses=addresses)
        self._runtime: PodRuntime | None = None
        self._service_proxy: ServiceProxy | None = None
        self._dashboard: DashboardServer | None = None
        self._debug_secret = new_secret()
        inside = PodInsides(lambda: self._runtime)
        self._api = ApiServer(
            self._store, ContainerLogs(inside.log_span), inside, addresses=addresses, ports=inside
        )
        self._pods_changed = asyncio.Event()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Run until `stop` is set; `on_ready` is called when the pods are ready and all is said.

        Refusal when the mesh cannot be started. Whatever was started has ended when this returns.
        """
        try:
            await self._processes.open()
            stopping = asyncio.create_task(stop.wait())
            running = asyncio.create_task(self._start_and_follow(on_ready))
            await asyncio.wait([stopping, running], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if running.done():
                running.result()
            else:
                say("stopping")
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        finally:
            await self._stop()

    async def _start_and_follow(self, on_ready: Callable[[], None]) -> None:
        control_plane = await self._start_control_plane()
        if self._options.paths and not control_plane.status()["config"]["files"]:
            where = ", ".join(self._options.paths)
            say(f"there is no YAML or JSON file in {where} yet; what you save there comes into force")
        self._refuse_unknown_images()
        self._controllers.start()
        runtime = self._start_runtime(control_plane)
        await self._start_api()
        await self._start_dashboard(control_plane)
        self._write_run(control_plane)
        say(f"starting {counted(len(runtime.pods), 'pod')}")
        await self._wait_until_ready(runtime)
        self._say_what_runs(runtime)
        on_ready()
        await self._follow(runtime)

    async def _start_control_plane(self) -> ControlPlane:
        if self._options.paths:
            say(f"reading {', '.join(self._options.paths)}")
        self._restore()
        try:
            return await self._try_control_plane(ADS_PORT, DEBUG_PORT)
        except OSError:
            # Another mesh has the usual ports; nobody types these, so any will do.
            return await self._try_control_plane(0, 0)

    def _restore(self) -> None:
        """What was stored through the API, then the defaults that were not changed there."""
        for notice in self._persistence.notices:
            say(notice)
        self._store.restore(self._persistence.restored())
        now = datetime.now(UTC)
        defaults = default_resources(injects_by_default=bool(self._options.paths))
        own = initial_objects(timestamp(now))
        for resource in (*defaults, *own, node(now, VERSION["gitVersion"]), lease()):
            if self._store.snapshot().get(resource.key) is None:
                self._store.put(resource)

    async def _start_api(self) -> None:
        """Serve kubectl, on any port: its kubeconfig says which, and is what gives access."""
        await self._api.start(LOCALHOST, 0)
        write_kubeconfig(self._state.kubeconfig, self._api.url)

    async def _start_dashboard(self, control_plane: ControlPlane) -> None:
        # Imported here, when pods are starting already: it takes as long as they do.
        from minimesh.dashboard.server import DEFAULT_PORT, DashboardServer

        ingress = (LOCALHOST, self._options.ingress_port)
        view = RunningMesh(control_plane, self._shown_pods, ingress)
        progress = self._state.path / PROGRESS_FILE
        self._dashboard = DashboardServer(view, new_secret(), progress)
        try:
            await self._dashboard.start(LOCALHOST, DEFAULT_PORT)
        except OSError:
            await self._dashboard.start(LOCALHOST, 0)

    def _shown_pods(self) -> Sequence[dict[str, Any]]:
        return self._runtime.shown() if self._runtime is not None else ()

    async def _try_control_plane(self, ads_port: int, debug_port: int) -> ControlPlane:
        control_plane = ControlPlane(
            self._store,
            ads_host=LOCALHOST,
            ads_port=ads_port,
            debug_host=LOCALHOST,
            debug_port=debug_port,
            config_paths=self._options.paths,
            mesh_config=self._options.mesh_config,
            extra_status=self._extra_status,
            on_diagnostics=self._diagnostics.show,
            watches_traffic=True,
            debounce=Debounce.of_environment(os.environ),
            debug_secret=self._debug_secret,
        )
        await control_plane.start()
        self._control_plane = control_plane
        return control_plane

    def _refuse_unknown_images(self) -> None:
        """What a file asks for should run; what was stored is a Pod that shows why it does not."""
        resources = self._store.snapshot().resources
        written = Snapshot.of(each for each in resources if not self._store.is_durable(each.key))
        unknown = unknown_images(written, self._options.images)
        if unknown:
            raise Refusal("\nminimesh: ".join(unknown))

    def _start_runtime(self, control_plane: ControlPlane) -> PodRuntime:
        settings = RuntimeSettings(
            xds_address=f"{LOCALHOST}:{control_plane.ads_port}",
            ingress_port=self._options.ingress_port,
            control_plane_ports={15010: control_plane.ads_port, 15014: control_plane.debug_port},
            engine=self._options.engine,
        )
        runtime = PodRuntime(
            self._store,
            self._processes,
            self._network,
            self._options.images,
            self._state,
            settings,
            on_change=self._pods_changed.set,
            tell=self._tell,
            report=say,
        )
        self._runtime = runtime
        runtime.start()
        self._service_proxy = ServiceProxy(
            self._store, self._service_network, runtime.real_port, tell=self._tell
        )
        self._service_proxy.start()
        return runtime

    def _tell(self, about: Resource, event: PodEvent) -> None:
        if event.reason == PORT_NOT_OPENED:
            say(f"Service {about.namespace}/{about.name}: {event.message}")
        note = Note(about, event.reason, event.message, event.component, event.warning)
        self._controllers.events.write(note)

    def _write_run(self, control_plane: ControlPlane) -> None:
        self._state.write_run(
            Run(
                pid=os.getpid(),
                pod_parent_pid=self._processes.parent_pid,
                ads_port=control_plane.ads_port,
                debug_port=control_plane.debug_port,
                ingress_port=self._options.ingress_port,
                paths=self._options.paths,
                dashboard_url=self._dashboard.url if self._dashboard is not None else "",
                debug_secret=self._debug_secret,
            )
        )

    async def _wait_until_ready(self, runtime: PodRuntime) -> None:
        """Until all pods are ready, or until one that is not has had its time."""
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                while not runtime.all_ready:
                    self._pods_changed.clear()
                    await self._pods_changed.wait()
        except TimeoutError:
            waiting = [pod for pod in runtime.pods if not pod.ready]
            for pod in waiting:
                say(f"{pod.facts.name} is not ready after {READY_LIMIT_S:.0f} s: {pod.shown_state}")

    def _say_what_runs(self, runtime: PodRuntime) -> None:
        port = self._options.ingress_port
        lines = ["", pod_table(runtime.shown()), "", f"Ingress:   http://localhost:{port}"]
        if self._dashboard is not None:
            lines.append(f"Dashboard: {self._dashboard.url}")
        lines += ["", "Try:"]
        lines += [f"  {line}" for line in lines_to_try(self._store.snapshot(), port)]
        if any(pod.workload.name == "sleep" for pod in runtime.pods):
            lines.append(f"  {invocation('exec deploy/sleep -- curl httpbin:8000/ip')}")
        lines.append(f"  {invocation('status')}")
        lines += ["", "For kubectl:", f"  export KUBECONFIG={shlex.quote(str(self._state.kubeconfig))}"]
        if not self._options.detached:
            lines += ["", "Access log (Ctrl-C stops the mesh):"]
        print("\n".join(lines), flush=True)

    async def _follow(self, runtime: PodRuntime) -> None:
        """Show access-log lines as they come; a Refusal if the pods are lost."""
        gone = self._processes.parent_gone
        while True:
            pods = runtime.shown()
            self._pod_news.show(pods)
            self._access_log.follow(pods)
            self._access_log.show()
            if gone is not None and gone.done():
                raise Refusal("the pod parent has died, and every pod with it", "Start the mesh again.")
            await asyncio.sleep(_ACCESS_LOG_INTERVAL_S)

    def _extra_status(self) -> dict[str, Any]:
        return {
            "pods": list(self._shown_pods()),
            "ingress": {"address": LOCALHOST, "port": self._options.ingress_port},
            "closed_ports": self._service_proxy.closed_ports() if self._service_proxy is not None else [],
        }

    async def _stop(self) -> None:
        self._controllers.stop()
        await self._api.stop()
        if self._dashboard is not None:
            await self._dashboard.stop()
        if self._service_proxy is not None:
            await self._service_proxy.stop()
        if self._runtime is not None:
            await self._runtime.stop()
            self._access_log.show()
        if self._control_plane is not None:
            await self._control_plane.stop()
        await self._processes.close()
        self._persistence.close()


def _persistence(state: StateFolder) -> Persistence:
    try:
        return Persistence(state.path)
    except JournalError as error:
        remedy = f"Move that file away, or forget all that was stored: {invocation('down --purge')}"
        raise Refusal(str(error), remedy) from error
    except OSError as error:
        raise os_refusal(f"cannot use the journal in {state.path}", error) from error


def run_mesh(mesh: Callable[[], Mesh], loop_signals: Sequence[int], on_ready: Callable[[], None]) -> None:
    """Run a mesh in an event loop of its own until one of the signals comes."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in loop_signals:
            loop.add_signal_handler(number, stop.set)
        await mesh().run(stop, on_ready)

    asyncio.run(run())
