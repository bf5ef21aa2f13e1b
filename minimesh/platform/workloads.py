"""What the store asks to run: from Deployments and Pods to workloads, and from workloads to a plan.

Pure: a snapshot and the pods that exist go in, the pods to create and to delete come out. Whether a pod gets
a sidecar is decided here, by the rules of Istio's injector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.kubernetes.pod import PodSpec
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Snapshot

INJECT = "sidecar.istio.io/inject"
TEMPLATES = "inject.istio.io/templates"
PROXY_CONTAINER = "istio-proxy"
# Kubernetes' own alphabet for generated names: no vowels, so no words.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
DEFAULT_GRACE_S = 30


class ProxyRole(Enum):
    """What the proxy of a pod is: none, a sidecar beside the application, or a gateway of its own."""

    NONE = "none"
    SIDECAR = "sidecar"
    GATEWAY = "router"


@dataclass(frozen=True, slots=True)
class Workload:
    """What one Deployment asks for, or one Pod that a file declares (`single`)."""

    owner: ResourceKey
    replicas: int
    metadata: ObjectMeta
    spec: PodSpec
    role: ProxyRole
    template_hash: str
    single: bool = False

    @property
    def namespace(self) -> str:
        return self.owner.namespace

    @property
    def name(self) -> str:
        return self.owner.name

    @property
    def grace_s(self) -> float:
        """How long the application may take to end after SIGTERM."""
        given = self.spec.termination_grace_period_seconds
        return float(DEFAULT_GRACE_S if given is None else given)

    @property
    def container_ports(self) -> tuple[int, ...]:
        """The declared TCP ports, each once."""
        ports = (p.container_port for c in self.spec.containers for p in c.ports if p.protocol == "TCP")
        return tuple(dict.fromkeys(ports))

    @property
    def service_account(self) -> str:
        return self.spec.service_account_name or self.spec.service_account or "default"


@dataclass(frozen=True, slots=True)
class ExistingPod:
    """A pod that runs, as far as planning has to know."""

    name: str
    owner: ResourceKey
    template_hash: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The pods to create, by workload and name, and the pods to delete, by namespace and name."""

    create: tuple[tuple[Workload, str], ...]
    delete: tuple[tuple[str, str], ...]


def workloads(snapshot: Snapshot) -> tuple[Workload, ...]:
    """Everything that asks for pods, by namespace and name; Pods that belong to an owner are no request."""
    namespaces = {namespace.name: namespace.metadata.labels for namespace in snapshot.by_kind("Namespace")}
    wanted = [
        workload
        for deployment in snapshot.by_kind("Deployment")
        if (workload := _of_deployment(deployment, namespaces)) is not None
    ]
    wanted += [
        _of_pod(pod, namespaces) for pod in snapshot.by_kind("Pod") if not pod.metadata.owner_references
    ]
    return tuple(sorted(wanted, key=lambda workload: (workload.namespace, workload.name)))


def plan(wanted: Iterable[Workload], existing: Sequence[ExistingPod], suffix: Callable[[], str]) -> Plan:
    """What to do so that each workload has its pods.

    Pods of an older template stay until as many new ones as wanted are ready, so that a change of the
    template never leaves a service without pods. `suffix` gives the random end of a new pod's name.
    """
    by_owner: dict[ResourceKey, list[ExistingPod]] = {}
    for pod in existing:
        by_owner.setdefault(pod.owner, []).append(pod)
    create: list[tuple[Workload, str]] = []
    delete: list[tuple[str, str]] = []
    for workload in wanted:
        pods = by_owner.pop(workload.owner, [])
        current = [pod for pod in pods if pod.template_hash == workload.template_hash]
        outdated = [pod for pod in pods if pod.template_hash != workload.template_hash]
        surplus = len(current) - workload.replicas
        if surplus > 0:
            # The unready go first, then the youngest.
            youngest_first = current[::-1]
            doomed = sorted(youngest_first, key=lambda pod: pod.ready)[:surplus]
            delete += [(workload.namespace, pod.name) for pod in doomed]
        ready = sum(pod.ready for pod in current)
        if outdated and (ready >= workload.replicas or workload.single):
            delete += [(workload.namespace, pod.name) for pod in outdated]
        if not (workload.single and outdated):
            create += [(workload, _pod_name(workload, suffix)) for _ in range(-surplus)]
    for owner, pods in by_owner.items():
        delete += [(owner.namespace, pod.name) for pod in pods]
    return Plan(tuple(create), tuple(delete))


def random_suffix(random_bytes: bytes) -> str:
    """The five characters at the end of a pod's name, from at least five random bytes."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in random_bytes[:5])


def service_target_ports(workload: Workload, snapshot: Snapshot) -> frozenset[int]:
    """The port numbers under which Services lead to the workload's pods, declared by a container or not."""
    labels = pod_labels(workload)
    return frozenset(
        port.target_port or port.port
        for service in snapshot.by_kind("Service")
        if service.namespace == workload.namespace and service.spec.selector
        if service.spec.selector.items() <= labels.items()
        for port in service.spec.ports
        if not isinstance(port.target_port, str)
    )


def pod_labels(workload: Workload) -> dict[str, str]:
    """The labels of the workload's pods."""
    labels = dict(workload.metadata.labels)
    return labels if workload.single else {**labels, "pod-template-hash": workload.template_hash}


def proxy_role(namespace_labels: Mapping[str, str], metadata: ObjectMeta, spec: PodSpec) -> ProxyRole:
    """What the injector would do with the pod, or what proxy the template brings itself."""
    if not _is_injected(namespace_labels, metadata, spec):
        return ProxyRole.NONE
    templates = metadata.annotations.get(TEMPLATES, "").split(",")
    return ProxyRole.GATEWAY if "gateway" in templates else ProxyRole.SIDECAR


def _is_injected(namespace_labels: Mapping[str, str], metadata: ObjectMeta, spec: PodSpec) -> bool:
    if spec.host_network:
        return False
    asked = metadata.labels.get(INJECT) or metadata.annotations.get(INJECT)
    of_namespace = namespace_labels.get("istio-injection")
    if of_namespace == "disabled":
        return False
    if of_namespace == "enabled" or (of_namespace is None and "istio.io/rev" in namespace_labels):
        return asked != "false"
    return asked == "true"


def _of_deployment(deployment: Resource, namespaces: Mapping[str, Mapping[str, str]]) -> Workload | None:
    template = deployment.spec.template
    if template is None or template.spec is None:
        return None
    metadata = template.metadata or ObjectMeta()
    return Workload(
        owner=deployment.key,
        replicas=deployment.spec.replicas,
        metadata=metadata,
        spec=template.spec,
        role=proxy_role(namespaces.get(deployment.namespace, {}), metadata, template.spec),
        template_hash=_template_hash(metadata, template.spec),
    )


def _of_pod(pod: Resource, namespaces: Mapping[str, Mapping[str, str]]) -> Workload:
    metadata = ObjectMeta(labels=pod.metadata.labels, annotations=_without_ours(pod.metadata.annotations))
    return Workload(
        owner=pod.key,
        replicas=1,
        metadata=metadata,
        spec=pod.spec,
        role=proxy_role(namespaces.get(pod.namespace, {}), metadata, pod.spec),
        template_hash=_template_hash(metadata, pod.spec),
        single=True,
    )


def _without_ours(annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if not key.startswith("minimesh.dev/")}


def _template_hash(metadata: ObjectMeta, spec: PodSpec) -> str:
    digest = hashlib.sha256(repr((metadata, spec)).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def _pod_name(workload: Workload, suffix: Callable[[], str]) -> str:
    if workload.single:
        return workload.name
    return f"{workload.name}-{workload.template_hash}-{suffix()}"
