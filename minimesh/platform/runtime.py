"""Runs the Pods of the store, and reports their state to it: what a kubelet does.

Every change of a Pod leads to one more look at the whole (`plan`), whose outcome is pods started and pods
ended. Who makes Pods, and why, is not known here. A Pod that is being removed goes from the store when its
processes have ended.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from minimesh.config.injection import PROXY_CONTAINER, ProxyRole
from minimesh.config.kubernetes import pod as kubernetes
from minimesh.config.proxy_settings import told_environment
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store
from minimesh.config.timestamps import timestamp
from minimesh.platform import logs
from minimesh.platform.container import ContainerPlan, RestartPolicy
from minimesh.platform.engine import Engine
from minimesh.platform.environment import PodFacts, container_environment, curl_rules
from minimesh.platform.images import ImageTable, Program, UnknownImageError
from minimesh.platform.pod import Pod
from minimesh.platform.pod_events import NODE_NAME, PodEvent, assigned, ending
from minimesh.platform.pod_network import PodAddress, PodNetwork, can_bind
from minimesh.platform.pod_processes import PodProcesses, ProcessRequest
from minimesh.platform.proxy_process import ADMIN_PORT, envoy_arguments, proxy_arguments
from minimesh.platform.readiness import Check, http_check, tcp_check
from minimesh.platform.scheduling import failed_scheduling, unscheduled
from minimesh.platform.state import StateFolder
from minimesh.platform.workloads import (
    Workload,
    plan,
    service_target_ports,
    templates,
)

# How long proxies get to hear that a pod goes before its own proxy stops listening.
PROPAGATION_S = 0.2
# How long a proxy may let requests under way end.
PROXY_GRACE_S = 8.0
# At the end of the whole mesh nobody waits for a slow request.
SHUTDOWN_GRACE_S = 1.5
LOG_LOOK_INTERVAL_S = 0.2
LOOKS_BETWEEN_BOUNDS = 25

ISTIOD = "istiod"
"""The entry point that is this process: the control plane."""
GATEWAY = ResourceKey("Deployment", "istio-system", "istio-ingressgateway")
CONTROL_PLANE = ResourceKey("Deployment", "istio-system", "istiod")
GATEWAY_HTTP_PORT = 8080
LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What the runtime is told once. `inherited` is the environment that pods take a few variables from."""

    xds_address: str
    ingress_port: int = GATEWAY_HTTP_PORT
    control_plane_ports: Mapping[int, int] = field(default_factory=dict)
    """Where istiod's ports are on this machine."""
    inherited: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    extra_metadata: Mapping[str, object] = field(default_factory=dict)
    """More node metadata for every proxy."""
    engine: Engine = field(default_factory=Engine)
    """Which proxies the real Envoy plays."""

    @property
    def is_first_mesh(self) -> bool:
        """Whether no mesh that began before has istiod's own ports.

        To that one's gateway belong the ports of localhost, also those that it does not listen on yet.
        """
        return all(port == real for port, real in self.control_plane_ports.items())


class _ProxyFacts(TypedDict):
    """What either engine's proxy is told beside who it is."""

    xds_address: str
    also_bind: tuple[str, ...]
    extra_metadata: Mapping[str, object]


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
    ) -> None:
        self._store = store
        self._processes = processes
        self._network = network
        self._images = images
        self._state = state
        self._settings = settings
        self._on_change = on_change
        self._tell = tell
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
        for workload in steps.start:
            self._create(workload, snapshot)
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
        facts = _facts(workload, address, self._state.write_curl_home(*workload.key[1:], curl_rules(address)))
        plans: list[ContainerPlan] = []
        environments: dict[str, dict[str, str]] = {}
        for container in workload.applications:
            program = programs[container.name]
            image_environment = program.env if isinstance(program, Program) else {}
            environments[container.name] = container_environment(
                facts,
                container,
                snapshot,
                image_environment=image_environment,
                inherited=self._settings.inherited,
            )
            environment = environments[container.name]
            policy = workload.spec.restart_policy
            plans.append(self._app_plan(container, program, facts, address, environment, policy))
        if workload.role is not ProxyRole.NONE:
            plans.append(self._proxy_plan(workload, facts, address))
            environments[PROXY_CONTAINER] = self._proxy_environment(workload, facts, address, snapshot)
        pod = Pod(
            workload,
            facts,
            address,
            plans,
            environments,
            processes=self._processes,
            changed=self._pod_changed,
        )
        self._pods[pod.key] = pod
        self._publish(pod)
        self._tell_all(workload, assigned(workload.key, plans))
        pod.start()

    def _proxy_environment(
        self, workload: Workload, facts: PodFacts, address: PodAddress, snapshot: Snapshot
    ) -> dict[str, str]:
        """For commands beside the proxy: their calls do not go through it."""
        (container,) = (each for each in workload.spec.containers if each.name == PROXY_CONTAINER)
        admin = f"{address.pod_ip}:{address.real_port(ADMIN_PORT)}"
        return container_environment(
            dataclasses.replace(facts, http_proxy=""),
            container,
            snapshot,
            image_environment={"MINIMESH_PROXY_ADMIN": admin},
            inherited=self._settings.inherited,
        )

    def _program(self, container: kubernetes.Container) -> Program | str:
        """What to run, or why nothing can be."""
        try:
            return self._images.program(container)
        except UnknownImageError as error:
            return str(error)

    def _allocate(self, workload: Workload, ports: set[int]) -> PodAddress:
        if workload.owner == CONTROL_PLANE:
            return PodAddress(LOCALHOST, LOCALHOST, self._settings.control_plane_ports, {}, proxy_only=True)
        fixed: dict[int, int] = {}
        if _is_main_gateway(workload):
            fixed[GATEWAY_HTTP_PORT] = self._settings.ingress_port
            gateway_ports = {*ports, 15021, 15090} - {GATEWAY_HTTP_PORT}
            is_first = self._settings.is_first_mesh
            taken = {port for port in gateway_ports if not is_first or not can_bind(LOCALHOST, port)}
            fixed |= {port: _free_local_port() for port in taken}
        address = self._network.allocate(ports, fixed=fixed)
        if workload.role is ProxyRole.NONE:
            # Without a sidecar the application itself answers at the pod's address.
            return dataclasses.replace(address, app_address=address.pod_ip, app_port_map=address.port_map)
        return dataclasses.replace(address, proxy_only=workload.role is ProxyRole.GATEWAY)

    def _app_plan(
        self,
        container: kubernetes.Container,
        program: Program | str,
        facts: PodFacts,
        address: PodAddress,
        environment: Mapping[str, str],
        policy: str,
    ) -> ContainerPlan:
        if isinstance(program, str):
            return ContainerPlan(container.name, container.image, None, refusal=program)
        if program.entry == ISTIOD:
            log = ProcessRequest(program.entry, None, (), {}, str(self._state.control_plane_log))
            return ContainerPlan(container.name, container.image, log, is_own=True)
        real_port = address.real_app_port(program.port) if program.port else None
        request = ProcessRequest(
            name=program.entry or container.name,
            entry=program.entry,
            argv=program.arguments(address.app_address, real_port),
            environment=environment,
            log_path=str(self._state.log_path(facts.namespace, facts.name, container.name)),
        )
        return ContainerPlan(
            container.name,
            container.image,
            request,
            _app_check(container, program, address),
            restart_policy=RestartPolicy(policy),
        )

    def _proxy_plan(self, workload: Workload, facts: PodFacts, address: PodAddress) -> ContainerPlan:
        settings, inherited = self._settings, self._settings.inherited
        told: _ProxyFacts = {
            "xds_address": settings.xds_address,
            "also_bind": (LOCALHOST,) if _is_main_gateway(workload) and address.pod_ip != LOCALHOST else (),
            "extra_metadata": settings.extra_metadata,
        }
        proxy = next(each for each in workload.spec.containers if each.name == PROXY_CONTAINER)
        if envoy := settings.engine.runs_envoy(workload.role):
            arguments = envoy_arguments(workload, facts, address, envoy=settings.engine.envoy_path, **told)
        else:
            arguments = proxy_arguments(workload, facts, address, **told)
        request = ProcessRequest(
            name="envoy" if envoy else "proxy",
            entry="envoy" if envoy else "proxy",
            argv=arguments,
            environment=told_environment(proxy)
            | {name: inherited[name] for name in ("PATH", "HOME", "TZ") if name in inherited},
            log_path=str(self._state.log_path(facts.namespace, facts.name, PROXY_CONTAINER)),
        )
        check = http_check(address.pod_ip, address.real_port(ADMIN_PORT), "/ready")
        return ContainerPlan(PROXY_CONTAINER, proxy.image, request, check)

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
        self._state.write_pods(rows)
        self._on_change()

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


def _is_main_gateway(workload: Workload) -> bool:
    return workload.owner == GATEWAY


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


def _app_check(container: kubernetes.Container, program: Program, address: PodAddress) -> Check | None:
    """The container's readiness probe, or that its port accepts connections, or nothing to wait for."""
    probe = container.readiness_probe
    if probe is not None and probe.http_get is not None:
        port = _port_number(probe.http_get.port, container)
        if port is not None:
            return http_check(address.app_address, address.real_app_port(port), probe.http_get.path or "/")
    if probe is not None and probe.tcp_socket is not None:
        port = _port_number(probe.tcp_socket.port, container)
        if port is not None:
            return tcp_check(address.app_address, address.real_app_port(port))
    if program.port is None:
        return None
    return tcp_check(address.app_address, address.real_app_port(program.port))


def _port_number(port: int | str | None, container: kubernetes.Container) -> int | None:
    if isinstance(port, int):
        return port
    return next((p.container_port for p in container.ports if p.name == port), None)


def _free_local_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])
