"""Runs the Pods of the store, and reports their state to it: what a kubelet does.

Every change of a Pod leads to one more look at the whole (`plan`), whose outcome is pods started and pods
ended. Who makes Pods, and why, is not known here. A Pod that is being removed goes from the store when its
processes have ended.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minimesh.config.injection import PROXY_CONTAINER, ProxyRole
from minimesh.config.kubernetes.pod import Container
from minimesh.config.proxy_ports import HEALTH_PORT, METRICS_PORT
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store
from minimesh.config.timestamps import timestamp
from minimesh.platform import logs
from minimesh.platform.container_plans import INGRESS_GATEWAY, ContainerPlanner, PlacedPod
from minimesh.platform.environment import PodFacts, curl_rules
from minimesh.platform.images import ImageTable, Program, UnknownImageError
from minimesh.platform.pod import Pod
from minimesh.platform.pod_events import NODE_NAME, PodEvent, assigned, ending
from minimesh.platform.pod_network import LOCALHOST, PodAddress, PodNetwork, can_bind
from minimesh.platform.pod_processes import PodProcesses
from minimesh.platform.runtime_settings import GATEWAY_HTTP_PORT, RuntimeSettings
from minimesh.platform.scheduling import failed_scheduling, unscheduled
from minimesh.platform.state import StateFolder
from minimesh.platform.workloads import Workload, plan, service_target_ports, templates

# How long proxies get to hear that a pod goes before its own proxy stops listening.
PROPAGATION_S = 0.2
# How long a proxy may let requests under way end.
PROXY_GRACE_S = 8.0
# At the end of the whole mesh nobody waits for a slow request.
SHUTDOWN_GRACE_S = 1.5
LOG_LOOK_INTERVAL_S = 0.2
LOOKS_BETWEEN_BOUNDS = 25
# How long after a fault of this machine, such as a full disk, pods are tried again.
RETRY_S = 5.0

CONTROL_PLANE = ResourceKey("Deployment", "istio-system", "istiod")


class PodRuntime:
    """The pods of one mesh. `on_change` is called after every change of any pod, `tell` with what happens."""

    def __init__(
        self,
        store: Store,
        processes: PodProcesses,
        network: PodNetwork,
        images: ImageTable,
        state: StateFolder,
        settings: RuntimeSettings,
        on_change: Callable[[], None] = lambda: None,
        tell: Callable[[Resource, PodEvent], None] = lambda about, event: None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`report`: what is wrong with this machine rather than with a pod, once for as long as it lasts."""
        self._store = store
        self._processes = processes
        self._network = network
        self._images = images
        self._state = state
        self._settings = settings
        self._planner = ContainerPlanner(settings, state)
        self._on_change = on_change
        self._tell = tell
        self._report = report
        self._fault = ""
        self._pods: dict[tuple[str, str], Pod] = {}
        self._ending: dict[Pod, asyncio.Task[None]] = {}
        self._waiting: dict[str, str] = {}
        self._unpublished: set[Pod] = set()
        self._publishing: asyncio.Handle | None = None
        self._reconciling: asyncio.Handle | None = None
        self._unwatch: Callable[[], None] | None = None
        self._watching_logs: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def pods(self) -> Sequence[Pod]:
        """The pods there are, ending ones included, by namespace and name."""
        return sorted((*self._pods.values(), *self._ending), key=lambda pod: pod.key)

    @property
    def all_ready(self) -> bool:
        """Whether there is nothing to wait for: a pod that has ended for good will not become ready."""
        return all(pod.ready or pod.is_over for pod in self._pods.values())

    def shown(self) -> list[dict[str, Any]]:
        """All pods as plain data."""
        return [pod.shown() for pod in self.pods]

    def real_port(self, namespace: str, name: str, port: int) -> int:
        """The port that stands for a pod's on this machine; the same number for a pod that does not run."""
        pod = self._pods.get((namespace, name))
        return pod.address.real_port(port) if pod is not None else port

    def address(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """What the pod's own `localhost:port` is on this machine; None for a pod that does not run."""
        found = self._pods.get((namespace, pod))
        return found.address.local(port) if found is not None else None

    def log_span(self, namespace: str, pod: str, container: str, previous: bool) -> logs.LogSpan | None:
        """Which part of which file is the log of a container's process, or of the one before it."""
        key = (namespace, pod)
        running = next((each for each in self.pods if each.key == key), None)
        found = (each for each in running.containers if each.plan.name == container) if running else ()
        return next((each.log_span(previous=previous) for each in found), None)

    def start(self) -> None:
        """Start the pods that the store asks for now, and follow it from here on."""
        self._unwatch = self._store.watch(self._store_changed)
        self._watching_logs = asyncio.create_task(self._watch_logs())
        self._reconcile()

    async def stop(self) -> None:
        """End every pod, all at the same time, and give every address back."""
        self._stopped = True
        if self._unwatch is not None:
            self._unwatch()
        for handle in (self._publishing, self._reconciling):
            if handle is not None:
                handle.cancel()
        tasks = [*self._ending.values()]
        if self._watching_logs is not None:
            tasks.append(self._watching_logs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(
                container.stop(SHUTDOWN_GRACE_S)
                for pod in (*self._pods.values(), *self._ending)
                for container in pod.containers
            )
        )
        self._pods.clear()
        self._ending.clear()
        self._network.close()

    def _store_changed(self, changes: Sequence[Change]) -> None:
        if any(change.resource.kind in ("Pod", "Node") for change in changes):
            self._reconcile_soon()

    def _reconcile_soon(self) -> None:
        if self._reconciling is None and not self._stopped:
            self._reconciling = asyncio.get_running_loop().call_soon(self._reconcile)

    def _reconcile(self) -> None:
        self._reconciling = None
        snapshot = self._store.snapshot()
        running = [pod.workload for pod in self._pods.values()]
        steps = plan(snapshot, running, [pod.resource_key for pod in self._ending])
        for key in steps.gone:
            self._store.delete(key)
        for key in steps.end:
            self._end(self._pods.pop((key.namespace, key.name)))
        try:
            for workload in steps.start:
                self._create(workload, snapshot)
        except OSError as error:
            self._report_fault(f"pods cannot be started: {_said(error)}; trying again")
            asyncio.get_running_loop().call_later(RETRY_S, self._reconcile_soon)
        self._hold(steps.waiting)
        self._write_state()

    def _hold(self, waiting: Sequence[tuple[Workload, str]]) -> None:
        """Tell of pods that no node takes, once."""
        before, self._waiting = self._waiting, {workload.uid: why for workload, why in waiting}
        for workload, why in waiting:
            stored = self._store.snapshot().get(workload.key)
            if stored is not None and before.get(workload.uid) != why:
                status = unscheduled(why, timestamp(datetime.now(UTC)))
                self._store.put(dataclasses.replace(stored, status=status))
                self._tell(stored, failed_scheduling(why))

    def _create(self, workload: Workload, snapshot: Snapshot) -> None:
        programs = {c.name: self._program(c) for c in workload.applications}
        listening = {p.port for p in programs.values() if isinstance(p, Program) and p.port}
        ports = {*workload.container_ports, *listening, *service_target_ports(workload, snapshot)}
        address = self._allocate(workload, ports)
        try:
            curl_home = self._state.write_curl_home(*workload.key[1:], curl_rules(address))
            placed = PlacedPod(workload, _facts(workload, address, curl_home), address)
            containers = list(self._planner.containers(placed, programs, snapshot))
        except OSError:
            if workload.owner != CONTROL_PLANE:
                self._network.release(address)
            raise
        pod = Pod(placed, containers, processes=self._processes, changed=self._pod_changed)
        self._pods[pod.key] = pod
        self._publish(pod)
        self._tell_all(workload, assigned(workload.key, [each.plan for each in containers]))
        pod.start()

    def _program(self, container: Container) -> Program | str:
        """What to run, or why nothing can be."""
        try:
            return self._images.program(container)
        except UnknownImageError as error:
            return str(error)

    def _allocate(self, workload: Workload, ports: set[int]) -> PodAddress:
        if workload.owner == CONTROL_PLANE:
            return PodAddress(LOCALHOST, LOCALHOST, self._settings.control_plane_ports, {}, proxy_only=True)
        fixed: dict[int, int] = {}
        if workload.owner == INGRESS_GATEWAY:
            fixed[GATEWAY_HTTP_PORT] = self._settings.ingress_port
            gateway_ports = {*ports, HEALTH_PORT, METRICS_PORT} - {GATEWAY_HTTP_PORT}
            is_first = self._settings.is_first_mesh
            taken = {port for port in gateway_ports if not is_first or not can_bind(LOCALHOST, port)}
            fixed |= {port: _free_local_port() for port in taken}
        address = self._network.allocate(ports, fixed=fixed)
        if workload.role is ProxyRole.NONE:
            # Without a sidecar the application itself answers at the pod's address.
            return dataclasses.replace(address, app_address=address.pod_ip, app_port_map=address.port_map)
        return dataclasses.replace(address, proxy_only=workload.role is ProxyRole.GATEWAY)

    def _end(self, pod: Pod) -> None:
        pod.terminating = True
        self._tell_all(pod.workload, ending(pod.containers))
        self._ending[pod] = asyncio.create_task(self._end_gracefully(pod))

    async def _end_gracefully(self, pod: Pod) -> None:
        self._publish(pod)
        await asyncio.sleep(PROPAGATION_S)
        await pod.stop(proxy_grace_s=PROXY_GRACE_S, app_grace_s=pod.workload.grace_s)
        if pod.workload.owner != CONTROL_PLANE:
            self._network.release(pod.address)
        del self._ending[pod]
        # Removes the Pod, if that is why it ended, or starts the one that waited for its name.
        self._reconcile()

    def _pod_changed(self, pod: Pod) -> None:
        """Note a pod's change; what happens in one turn of the loop is written once."""
        if self._stopped:
            return
        self._unpublished.add(pod)
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_soon(self._publish_changed)

    def _publish_changed(self) -> None:
        self._publishing = None
        changed, self._unpublished = self._unpublished, set()
        for pod in changed:
            if self._pods.get(pod.key) is pod:
                self._publish(pod)
                self._tell_all(pod.workload, pod.news.since_last(pod.containers))
        self._write_state()

    def _publish(self, pod: Pod) -> None:
        """Report a pod's state, unless its Pod has been replaced by another one meanwhile, or is gone."""
        stored = self._store.snapshot().get(pod.resource_key)
        if stored is not None and stored.metadata.uid == pod.workload.uid:
            self._store.put(pod.reported(stored))

    def _tell_all(self, workload: Workload, events: Iterable[PodEvent]) -> None:
        about = self._store.snapshot().get(workload.key)
        if about is not None and about.metadata.uid == workload.uid:
            for event in events:
                self._tell(about, event)

    def _write_state(self) -> None:
        rows = [{**pod.shown(), "environment": dict(pod.environment)} for pod in self.pods]
        try:
            self._state.write_pods(rows)
            self._fault = ""
        except OSError as error:
            # The pods run all the same; what reads the file (`logs`, `exec`) sees them as they were.
            self._report_fault(f"the state of the pods cannot be written: {_said(error)}")
        self._on_change()

    def _report_fault(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            self._report(fault)

    async def _watch_logs(self) -> None:
        """Note how far logs have grown, for the times of their lines, and now and then keep them bounded."""
        for look in itertools.count():
            await asyncio.sleep(LOG_LOOK_INTERVAL_S)
            now = datetime.now(UTC)
            for pod in self.pods:
                for container in pod.containers:
                    if container.plan.request is not None:
                        path = Path(container.plan.request.log_path)
                        container.log_times.note(logs.log_size(path), now)
                        if look % LOOKS_BETWEEN_BOUNDS == 0:
                            logs.bound(path)


def unknown_images(snapshot: Snapshot, images: ImageTable) -> tuple[str, ...]:
    """Why containers that the snapshot asks for could not run; each reason once."""
    reasons: dict[str, None] = {}
    for key, spec in templates(snapshot):
        for container in spec.containers:
            if container.name == PROXY_CONTAINER:
                continue
            try:
                images.program(container)
            except UnknownImageError as error:
                reasons[f"{key}: {error}"] = None
    return tuple(reasons)


def _facts(workload: Workload, address: PodAddress, curl_home: str) -> PodFacts:
    return PodFacts(
        name=workload.key.name,
        namespace=workload.namespace,
        pod_ip=address.pod_ip,
        app_address=address.app_address,
        service_account=workload.service_account,
        node_name=NODE_NAME,
        labels=workload.metadata.labels,
        annotations=dict(workload.metadata.annotations),
        http_proxy=address.http_proxy if workload.role is ProxyRole.SIDECAR else "",
        curl_home=curl_home,
    )


def _said(error: OSError) -> str:
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")


def _free_local_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])
