"""One running pod: its address, its containers, and how it shows in the store and to the user.

The proxy is what Kubernetes calls a sidecar: it is ready before the application starts, and ends when the
application has ended for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from minimesh.config.injection import PROXY_CONTAINER
from minimesh.config.kubernetes.pod_status import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    HostIP,
    PodCondition,
    PodIP,
    PodStatus,
)
from minimesh.config.port_map import PORT_MAP_ANNOTATION, port_map_text
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.timestamps import timestamp
from minimesh.platform.container import Container, OwnContainer, Phase, Termination
from minimesh.platform.container_plans import PlacedPod, PlannedContainer
from minimesh.platform.pod_events import NODE_NAME, ContainerNews
from minimesh.platform.pod_processes import PodProcesses
from minimesh.platform.qos import qos_class

SIDECAR_GRACE_S = 1.0
"""How long a proxy whose application has ended may let requests under way end."""


def _now() -> str:
    return timestamp(datetime.now(UTC))


@dataclass(slots=True)
class _Transition:
    """The Ready condition, and since when it holds."""

    ready: bool = False
    since: str = field(default_factory=_now)


class Pod:
    """A pod being run. `changed` is called with the pod after every change of its state."""

    def __init__(
        self,
        placed: PlacedPod,
        containers: Sequence[PlannedContainer],
        *,
        processes: PodProcesses,
        changed: Callable[[Pod], None],
    ) -> None:
        workload = placed.workload
        self.workload = workload
        self.facts = placed.facts
        self.address = placed.address
        self.environment = {each.plan.name: each.environment for each in containers}
        """What `exec` gives a command, by container."""
        self.terminating = False
        self.news = ContainerNews(workload.key, workload.uid)
        self._started_at = _now()
        self._ready = _Transition()
        self._changed = changed
        self.containers = [
            (OwnContainer if each.plan.is_own else Container)(each.plan, processes, self._container_changed)
            for each in containers
        ]
        proxies = [each for each in self.containers if each.plan.name == PROXY_CONTAINER]
        self._applications = [each for each in self.containers if each.plan.name != PROXY_CONTAINER]
        self._sidecars = proxies if self._applications else []
        self._waiting = list(self._applications)
        self._finishing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Pod {self.facts.namespace}/{self.facts.name} {self.address.pod_ip} {self.containers}>"

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.facts.namespace, self.facts.name

    @property
    def resource_key(self) -> ResourceKey:
        """The Pod in the store."""
        return self.workload.key

    @property
    def ready(self) -> bool:
        return not self.terminating and all(container.ready for container in self.containers)

    @property
    def is_over(self) -> bool:
        """Whether every container has ended for good."""
        return all(container.is_over for container in self.containers)

    @property
    def shown_state(self) -> str:
        """One word for a table, as `kubectl get pod` shows it."""
        if self.terminating:
            return "Terminating"
        states = [container.shown_state for container in self.containers]
        return next((state for state in states if state != "Running"), "Running")

    def start(self) -> None:
        """Start the proxy and, once it is ready, the application; returns at once."""
        for container in self.containers:
            if container not in self._applications:
                container.start()
        self._start_applications()

    async def stop(self, *, proxy_grace_s: float, app_grace_s: float) -> None:
        """End the pod: first the proxy, which lets requests under way end, then the application."""
        self.terminating = True
        self._waiting.clear()
        if self._finishing is not None:
            await self._finishing
        proxies = [each for each in self.containers if each not in self._applications]
        await asyncio.gather(*(container.stop(proxy_grace_s) for container in proxies))
        await asyncio.gather(*(container.stop(app_grace_s) for container in self._applications))

    def _container_changed(self) -> None:
        self._start_applications()
        self._finish_sidecars()
        self._changed(self)

    def _start_applications(self) -> None:
        """An application may call others from its first line on: then its proxy has to be there."""
        if all(sidecar.ready for sidecar in self._sidecars):
            waiting, self._waiting = self._waiting, []
            for container in waiting:
                container.start()

    def _finish_sidecars(self) -> None:
        """A pod whose application has ended for good is over: nothing is left that the proxy is there for."""
        is_over = bool(self._sidecars) and all(each.is_over for each in self._applications)
        if is_over and not self.terminating and self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(self._sidecars))

    async def _finish(self, sidecars: Sequence[Container]) -> None:
        await asyncio.gather(*(each.finish(SIDECAR_GRACE_S) for each in sidecars))

    def reported(self, stored: Resource) -> Resource:
        """The stored Pod with what is known about it now: its status, and where its ports are mapped to."""
        annotations = dict(stored.metadata.annotations)
        mapped = {port: real for port, real in self.address.port_map.items() if port != real}
        if mapped:
            annotations[PORT_MAP_ANNOTATION] = port_map_text(mapped)
        metadata = replace(stored.metadata, annotations=annotations)
        spec = replace(stored.spec, node_name=NODE_NAME)
        raw = stored.raw
        if raw:
            raw = {**raw, "spec": {**(raw.get("spec") or {}), "nodeName": NODE_NAME}}
        return replace(stored, metadata=metadata, spec=spec, raw=raw, status=self._status())

    def shown(self) -> dict[str, Any]:
        """The pod as plain data for `status`, `logs` and `exec`."""
        return {
            "name": self.facts.name,
            "namespace": self.facts.namespace,
            "ip": self.address.pod_ip,
            "app_address": self.address.app_address,
            "port_map": dict(self.address.port_map),
            "app_port_map": dict(self.address.app_port_map),
            "workload": self.workload.name,
            "labels": dict(self.workload.metadata.labels),
            "ready": self.ready,
            "state": self.shown_state,
            "message": next((c.message for c in self.containers if c.message), ""),
            "started_at": self._started_at,
            "containers": [self._shown_container(container) for container in self.containers],
        }

    def _shown_container(self, container: Container) -> dict[str, Any]:
        request = container.plan.request
        return {
            "name": container.plan.name,
            "image": container.plan.image,
            "state": container.shown_state,
            "message": container.message,
            "ready": container.ready,
            "restarts": container.restarts,
            "pid": container.pid,
            "log": request.log_path if request else "",
        }

    def _status(self) -> PodStatus:
        if self.ready != self._ready.ready:
            self._ready = _Transition(self.ready)
        return PodStatus(
            phase=self._phase(),
            pod_ip=self.address.pod_ip,
            pod_ips=(PodIP(ip=self.address.pod_ip),),
            host_ip="127.0.0.1",
            host_ips=(HostIP(ip="127.0.0.1"),),
            start_time=self._started_at,
            conditions=self._conditions(),
            container_statuses=tuple(_container_status(container) for container in self.containers),
            qos_class=qos_class(each.resources for each in self.workload.spec.containers),
        )

    def _phase(self) -> str:
        """One word for all containers: the pod has ended once every one of them has, for good."""
        main = self._applications or self.containers
        if self.is_over:
            codes = [container.ended.exit_code for container in main if container.ended]
            return "Failed" if any(codes) else "Succeeded"
        return "Running" if all(container.started_at for container in main) else "Pending"

    def _conditions(self) -> tuple[PodCondition, ...]:
        """The four that a pod always has; a pod is here only once it is scheduled, and has nothing to
        initialize."""
        unready = [container.plan.name for container in self.containers if not container.ready]
        reason = "" if self.ready else "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
        done = [
            PodCondition(type=kind, status="True", last_transition_time=self._started_at)
            for kind in ("PodScheduled", "Initialized")
        ]
        following = [
            PodCondition(
                type=kind,
                status="True" if self.ready else "False",
                last_transition_time=self._ready.since,
                reason=reason,
                message=message,
            )
            for kind in ("ContainersReady", "Ready")
        ]
        return (*done, *following)


def _container_status(container: Container) -> ContainerStatus:
    before = container.ended_before
    return ContainerStatus(
        name=container.plan.name,
        image=container.plan.image,
        image_id=container.plan.image if container.started_at else "",
        container_id=_container_id(container),
        ready=container.ready,
        restart_count=container.restarts,
        started=container.phase is Phase.RUNNING,
        state=_container_state(container),
        last_state=ContainerState(terminated=_terminated(before)) if before is not None else None,
    )


def _container_id(container: Container) -> str:
    return f"minimesh://{container.process_id}" if container.process_id else ""


def _container_state(container: Container) -> ContainerState:
    if container.phase is Phase.RUNNING:
        return ContainerState(running=ContainerStateRunning(started_at=container.started_at))
    if container.phase is Phase.TERMINATED and container.ended is not None:
        return ContainerState(terminated=_terminated(container.ended))
    return ContainerState(waiting=ContainerStateWaiting(reason=container.reason, message=container.message))


def _terminated(ended: Termination) -> ContainerStateTerminated:
    return ContainerStateTerminated(
        exit_code=ended.exit_code,
        reason=ended.reason,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
    )
