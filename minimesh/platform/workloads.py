"""What the store asks to run: from Pods to workloads, and from workloads to a plan.

Pure: a snapshot and the pods that run go in, the pods to start and to end come out. Which proxy a pod has
is read from its spec, where `minimesh.config.injection` put it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from minimesh.config.injection import PROXY_CONTAINER, ProxyRole, proxy_role
from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.kubernetes.pod import Container, PodSpec
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Snapshot
from minimesh.platform.node import PODS_LIMIT
from minimesh.platform.scheduling import NO_ROOM, refusal

DEFAULT_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class Workload:
    """One pod to run. `owner` is what asked for it in the end: a Deployment, say, or the Pod itself."""

    key: ResourceKey
    uid: str
    owner: ResourceKey
    metadata: ObjectMeta
    spec: PodSpec
    role: ProxyRole

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def name(self) -> str:
        """The owner's name, which proxies give as that of their workload."""
        return self.owner.name

    @property
    def grace_s(self) -> float:
        """How long the application may take to end after SIGTERM."""
        given = self.spec.termination_grace_period_seconds
        return float(DEFAULT_GRACE_S if given is None else given)

    @property
    def applications(self) -> tuple[Container, ...]:
        """The containers beside the proxy."""
        return tuple(each for each in self.spec.containers if each.name != PROXY_CONTAINER)

    @property
    def proxy(self) -> Container | None:
        """The container of its proxy, as injected or written; None when it has none."""
        return next((each for each in self.spec.containers if each.name == PROXY_CONTAINER), None)

    @property
    def container_ports(self) -> tuple[int, ...]:
        """The declared TCP ports, each once."""
        ports = (p.container_port for c in self.spec.containers for p in c.ports if p.protocol == "TCP")
        return tuple(dict.fromkeys(ports))

    @property
    def service_account(self) -> str:
        return self.spec.service_account_name or self.spec.service_account or "default"

    def runs_as(self, other: Workload) -> bool:
        """Whether a pod started for `other` serves: it is the same one, and its processes are the same.

        What else may be changed in a Pod, its labels for one, needs no restart.
        """
        return self.uid == other.uid and _processes(self.spec) == _processes(other.spec)


@dataclass(frozen=True, slots=True)
class Plan:
    """The pods to start, those that no node takes yet (with the reason), the pods to end, and the Pods whose
    removal has nothing left to wait for."""

    start: tuple[Workload, ...]
    waiting: tuple[tuple[Workload, str], ...]
    end: tuple[ResourceKey, ...]
    gone: tuple[ResourceKey, ...]


def workloads(snapshot: Snapshot) -> tuple[Workload, ...]:
    """The pods that should run, by namespace and name: those that are not being removed."""
    return tuple(
        Workload(
            key=pod.key,
            uid=pod.metadata.uid,
            owner=_owner(pod, snapshot),
            metadata=pod.metadata,
            spec=pod.spec,
            role=proxy_role(pod.spec),
        )
        for pod in snapshot.by_kind("Pod")
        if not pod.metadata.deletion_timestamp
    )


def plan(snapshot: Snapshot, running: Sequence[Workload], ending: Collection[ResourceKey]) -> Plan:
    """What to do so that every pod that should run does, and no other.

    A pod keeps its name: one that was replaced, or that changed what it runs, waits until the old one has
    ended.
    """
    wanted = {workload.key: workload for workload in workloads(snapshot)}
    end = tuple(each.key for each in running if not _serves(each, wanted.get(each.key)))
    there = {*ending, *(each.key for each in running)}
    missing = []
    room = PODS_LIMIT - len(there)
    for each in wanted.values():
        if each.key not in there:
            why = refusal(each.spec, snapshot) or (NO_ROOM if room <= 0 else "")
            room -= not why
            missing.append((each, why))
    return Plan(
        start=tuple(each for each, why in missing if not why),
        waiting=tuple((each, why) for each, why in missing if why),
        end=end,
        gone=tuple(
            pod.key
            for pod in snapshot.by_kind("Pod")
            if pod.metadata.deletion_timestamp and not pod.metadata.finalizers and pod.key not in there
        ),
    )


def _serves(running: Workload, wanted: Workload | None) -> bool:
    return wanted is not None and wanted.runs_as(running)


def _processes(spec: PodSpec) -> list[tuple[object, ...]]:
    """What decides about the processes of a pod."""
    return [(c.name, c.image, c.command, c.args, c.env, c.env_from, c.ports) for c in spec.containers]


def templates(snapshot: Snapshot) -> Iterable[tuple[ResourceKey, PodSpec]]:
    """What pods are or will be made from: of everything that nothing else owns."""
    for kind in ("Deployment", "ReplicaSet", "Pod"):
        for each in snapshot.by_kind(kind):
            template = each if kind == "Pod" else each.spec.template
            if not each.metadata.owner_references and template is not None and template.spec is not None:
                yield each.key, template.spec


def _owner(resource: Resource, snapshot: Snapshot) -> ResourceKey:
    """What is at the end of the chain of controllers, as far as the snapshot has it."""
    controller = next((each for each in resource.metadata.owner_references if each.controller), None)
    if controller is None:
        return resource.key
    key = ResourceKey(controller.kind, resource.namespace, controller.name)
    found = snapshot.get(key)
    return key if found is None else _owner(found, snapshot)


def service_target_ports(workload: Workload, snapshot: Snapshot) -> frozenset[int]:
    """The port numbers under which Services lead to the workload's pods, declared by a container or not."""
    labels = workload.metadata.labels
    return frozenset(
        port.target_port or port.port
        for service in snapshot.by_kind("Service")
        if service.namespace == workload.namespace and service.spec.selector
        if service.spec.selector.items() <= labels.items()
        for port in service.spec.ports
        if not isinstance(port.target_port, str)
    )
