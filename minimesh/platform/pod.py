"""One running pod: its address, its containers, and how it shows in the store and to the user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from minimesh.config.kubernetes.meta import ObjectMeta, OwnerReference
from minimesh.config.kubernetes.pod_status import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    PodCondition,
    PodIP,
    PodStatus,
)
from minimesh.config.resources import Resource
from minimesh.platform.container import Container, ContainerPlan, Phase
from minimesh.platform.environment import PodFacts
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.pod_processes import PodProcesses
from minimesh.platform.proxy_process import port_map_text
from minimesh.platform.workloads import PROXY_CONTAINER, ExistingPod, Workload, pod_labels

PORT_MAP_ANNOTATION = "minimesh.dev/port-map"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(slots=True)
class _Transition:
    """The Ready condition, and since when it holds."""

    ready: bool = False
    since: str = field(default_factory=_now)


class Pod:
    """A pod being run. `changed` is called with the pod after every change of its state."""

    def __init__(
        self,
        workload: Workload,
        facts: PodFacts,
        address: PodAddress,
        owner_uid: str,
        plans: Sequence[ContainerPlan],
        environment: Mapping[str, Mapping[str, str]],
        *,
        processes: PodProcesses,
        changed: Callable[[Pod], None],
    ) -> None:
        """`environment` is what `exec` gives a command, by container."""
        self.workload = workload
        self.facts = facts
        self.address = address
        self.environment = environment
        self.terminating = False
        self._owner_uid = owner_uid
        self._started_at = _now()
        self._condition = _Transition()
        self.containers = [Container(plan, processes, lambda: changed(self)) for plan in plans]

    def __repr__(self) -> str:
        return f"<Pod {self.facts.namespace}/{self.facts.name} {self.address.pod_ip} {self.containers}>"

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.facts.namespace, self.facts.name

    @property
    def ready(self) -> bool:
        return not self.terminating and all(container.ready for container in self.containers)

    @property
    def existing(self) -> ExistingPod:
        """The pod as planning sees it."""
        return ExistingPod(self.facts.name, self.workload.owner, self.workload.template_hash, self.ready)

    @property
    def shown_state(self) -> str:
        """One word for a table, as `kubectl get pod` shows it."""
        if self.terminating:
            return "Terminating"
        states = [container.shown_state for container in self.containers]
        return next((state for state in states if state != "Running"), "Running")

    def start(self) -> None:
        """Start all containers; returns at once."""
        for container in self.containers:
            container.start()

    async def stop(self, *, proxy_grace_s: float, app_grace_s: float) -> None:
        """End the pod: first the proxy, which lets requests under way end, then the application."""
        self.terminating = True
        proxies = [c for c in self.containers if c.plan.name == PROXY_CONTAINER]
        apps = [c for c in self.containers if c.plan.name != PROXY_CONTAINER]
        await asyncio.gather(*(container.stop(proxy_grace_s) for container in proxies))
        await asyncio.gather(*(container.stop(app_grace_s) for container in apps))

    def resource(self) -> Resource:
        """The pod as the store holds it, with its status."""
        metadata = ObjectMeta(
            name=self.facts.name,
            namespace=self.facts.namespace,
            labels=pod_labels(self.workload),
            annotations=self._annotations(),
            owner_references=self._owner(),
        )
        spec = self.workload.spec
        return Resource(api_version="v1", kind="Pod", metadata=metadata, spec=spec, status=self._status())

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
            "labels": pod_labels(self.workload),
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

    def _annotations(self) -> dict[str, str]:
        annotations = dict(self.workload.metadata.annotations)
        mapped = {port: real for port, real in self.address.port_map.items() if port != real}
        if mapped:
            annotations[PORT_MAP_ANNOTATION] = port_map_text(mapped)
        return annotations

    def _owner(self) -> tuple[OwnerReference, ...]:
        if self.workload.single:
            return ()
        owner = self.workload.owner
        reference = OwnerReference(
            api_version="apps/v1", kind=owner.kind, name=owner.name, uid=self._owner_uid, controller=True
        )
        return (reference,)

    def _status(self) -> PodStatus:
        if self.ready != self._condition.ready:
            self._condition = _Transition(self.ready)
        started = any(container.phase is not Phase.WAITING for container in self.containers)
        condition = PodCondition(
            type="Ready",
            status="True" if self.ready else "False",
            last_transition_time=self._condition.since,
            reason="" if self.ready else "ContainersNotReady",
        )
        return PodStatus(
            phase="Running" if started else "Pending",
            pod_ip=self.address.pod_ip,
            pod_ips=(PodIP(ip=self.address.pod_ip),),
            host_ip="127.0.0.1",
            start_time=self._started_at,
            conditions=(condition,),
            container_statuses=tuple(_container_status(container) for container in self.containers),
        )


def _container_status(container: Container) -> ContainerStatus:
    return ContainerStatus(
        name=container.plan.name,
        image=container.plan.image,
        ready=container.ready,
        restart_count=container.restarts,
        started=container.phase is Phase.RUNNING,
        state=_container_state(container),
    )


def _container_state(container: Container) -> ContainerState:
    if container.phase is Phase.RUNNING:
        return ContainerState(running=ContainerStateRunning(started_at=container.started_at))
    if container.phase is Phase.TERMINATED:
        ended = ContainerStateTerminated(
            exit_code=container.exit_code or 0, reason=container.reason, started_at=container.started_at
        )
        return ContainerState(terminated=ended)
    return ContainerState(waiting=ContainerStateWaiting(reason=container.reason, message=container.message))
