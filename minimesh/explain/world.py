"""The mesh that a request is asked about: its documents, what they mean, its pods and their proxies.

Made from files, without any mesh, or from what the control plane of a running one tells. Either way the
configuration of each proxy is what the control plane's own translation makes of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Diagnostic, Severity, has_errors
from minimesh.config.injection import PROXY_CONTAINER, ProxyRole
from minimesh.config.json_nodes import read_json
from minimesh.config.kubernetes.pod_status import PodCondition, PodStatus
from minimesh.config.references import check_references
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.source_map import Place, SourceMap
from minimesh.config.store import Snapshot, Store
from minimesh.control_plane.locality import Locality
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.service_registry.services import Service
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.kubernetes.controllers.manager import Controllers
from minimesh.platform.defaults import default_resources
from minimesh.platform.images import ImageTable, UnknownImageError
from minimesh.platform.workloads import Workload, workloads

INGRESS_PORT = 8080
"""The port of this machine at which `minimesh up` opens the gateway, unless told otherwise."""
GATEWAY_HTTP_PORT = 8080
_CLUSTER_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, with its proxy if it has one. `app_ports` None: nobody knows where its application listens."""

    name: str
    namespace: str
    workload: str
    ip: str
    app_address: str
    labels: Mapping[str, str]
    ready: bool
    app_ports: frozenset[int] | None
    port_map: Mapping[int, int]
    proxy: Proxy | None

    @property
    def full_name(self) -> str:
        """`NAMESPACE/NAME`."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_gateway(self) -> bool:
        return self.proxy is not None and self.proxy.type == "router"

    def answers_at(self, port: int) -> bool:
        """Whether the application is expected to listen on this (real) port."""
        if self.app_ports is None:
            return True
        return port in {self.port_map.get(each, each) for each in self.app_ports}


class World:
    """Everything an explanation reads. `diagnostics` are the findings about the files."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        pods: Sequence[Pod],
        mesh: MeshConfig | None = None,
        registered: Sequence[RegisteredWorkload] = (),
        diagnostics: Sequence[Diagnostic] = (),
        ingress_port: int = INGRESS_PORT,
        refusals: Sequence[str] = (),
    ) -> None:
        """`refusals`: what proxies that run have answered with a NACK, in words."""
        self.snapshot = snapshot
        self.pods = tuple(pods)
        self.push = PushContext.build(snapshot, registered, mesh)
        self.diagnostics = tuple(diagnostics)
        self.ingress_port = ingress_port
        self.refusals = tuple(refusals)
        self._resources: dict[str, Resources] = {}

    @classmethod
    def of_files(cls, texts: Mapping[str, str], images: ImageTable | None = None) -> World:
        """The mesh that `minimesh up` would make of these files, whose names map to their contents.

        A file with an error is left out, as a mesh that starts would.
        """
        store = Store()
        for resource in default_resources(injects_by_default=True):
            store.put(resource)
        diagnostics: list[Diagnostic] = []
        applied: list[Resource] = []
        for file, text in texts.items():
            decoded = decode(text, file)
            diagnostics += decoded.diagnostics
            if not has_errors(decoded.diagnostics):
                diagnostics += store.apply_file(file, decoded.resources)
                applied += decoded.resources
        diagnostics += check_references(applied)
        _run_pods(store)
        snapshot = store.snapshot()
        table = images or ImageTable.load()
        return cls(snapshot, pods=_pods(snapshot, table), diagnostics=diagnostics)

    @classmethod
    def of_mesh(cls, told: Mapping[str, Any], images: ImageTable | None = None) -> World:
        """A running mesh, as `/debug/snapshot` of its control plane tells it."""
        resources = [_resource(each) for each in told["resources"]]
        snapshot = Snapshot.of(each for each in resources if each is not None)
        registered = [_workload(each) for each in told["registered"]]
        proxies = [_proxy(each) for each in told["proxies"]]
        found = _pods(snapshot, images or ImageTable.load(), {(p.namespace, p.name): p for p in proxies})
        known = {pod.full_name for pod in found}
        found += [_registered_pod(each) for each in proxies if f"{each.namespace}/{each.name}" not in known]
        return cls(
            snapshot,
            pods=found,
            mesh=_mesh(told["mesh"]),
            registered=registered,
            diagnostics=[
                Diagnostic(**{**each, "severity": Severity(each["severity"])}) for each in told["diagnostics"]
            ],
            ingress_port=int(told.get("ingress_port") or INGRESS_PORT),
            refusals=told.get("refusals", ()),
        )

    def resources_of(self, proxy: Proxy) -> Resources:
        """What the control plane sends this proxy."""
        found = self._resources.get(proxy.id)
        if found is None:
            found = self._resources[proxy.id] = build_resources(proxy, self.push)
        return found

    @cached_property
    def gateways(self) -> tuple[Pod, ...]:
        """The pods that are gateways."""
        return tuple(pod for pod in self.pods if pod.is_gateway)

    def find_gateway(self, name: str) -> Pod | None:
        """The gateway of a name: its pod's, its workload's, or the value of its label `istio`."""
        for pod in self.gateways:
            names = {pod.name, pod.workload, pod.workload.removeprefix("istio-"), pod.labels.get("istio", "")}
            if name in names or not name:
                return pod
        return None

    def find_pod(self, name: str) -> Pod | None:
        """The pod of a name: `POD`, its workload's or its app's, with `NAMESPACE/` before it or none."""
        namespace, _, short = name.removeprefix("deploy/").rpartition("/")
        candidates = [pod for pod in self.pods if not namespace or pod.namespace == namespace]
        for names in (
            [pod.name for pod in candidates],
            [pod.workload for pod in candidates],
            [pod.labels.get("app", "") for pod in candidates],
        ):
            found = [pod for pod, known in zip(candidates, names, strict=True) if known == short]
            if found:
                return max(found, key=lambda pod: (pod.namespace == "default", pod.ready))
        return None

    def knows(self, name: str) -> bool:
        """Whether a host is the name of a Service, short or full."""
        return any(name in names_of(each) for each in self.push.registry.services)

    def resource(self, kind: str, namespace: str, name: str) -> Resource | None:
        """An object, also one of Istio's that others were translated into."""
        key, meant = ResourceKey(kind, namespace, name), self.push.converted
        return self.snapshot.get(key) or (meant.resources.get(key) if meant is not None else None)

    def origin(self, config: str) -> Resource | None:
        """The resource that istiod's path names: `/apis/networking.istio.io/v1/namespaces/x/gateway/y`."""
        parts = config.split("/")
        if len(parts) != 8:
            return None
        return self.resource(_KIND_OF_PATH.get(parts[6], parts[6]), parts[5], parts[7])


def names_of(service: Service) -> tuple[str, ...]:
    """What a Service is called, shortest first; its short name means it in its own namespace only."""
    if not service.kubernetes:
        return ()
    full = f"{service.name}.{service.namespace}"
    return (service.name, full, f"{full}.svc", service.hostname)


_KIND_OF_PATH = {
    "virtual-service": "VirtualService",
    "destination-rule": "DestinationRule",
    "gateway": "Gateway",
    "sidecar": "Sidecar",
    "service-entry": "ServiceEntry",
}


# --- pods that nothing runs -----------------------------------------------------------------------------


def _run_pods(store: Store) -> None:
    """Let the controllers make Pods of Deployments, and call all Pods ready, each at an address."""
    numbers = iter(range(2, 60_000))
    counter = iter(range(1 << 30))
    controllers = Controllers(
        store, clock=lambda: datetime(2000, 1, 1, tzinfo=UTC), random_bytes=lambda n: _suffix(counter, n)
    )
    while True:
        controllers.settle()
        waiting = [
            pod for pod in store.snapshot().by_kind("Pod") if pod.status is None or not pod.status.pod_ip
        ]
        if not waiting:
            return
        for pod in waiting:
            store.put(_running(pod, next(numbers)))


def _suffix(counter: Iterable[int], length: int) -> bytes:
    return next(iter(counter)).to_bytes(length, "big")


def _running(pod: Resource, number: int) -> Resource:
    ip = f"127.10.{number // 250}.{number % 250 + 1}"
    ready = PodCondition(type="Ready", status="True")
    return dataclasses.replace(pod, status=PodStatus(phase="Running", pod_ip=ip, conditions=(ready,)))


# --- pods and proxies of a snapshot ---------------------------------------------------------------------


def _pods(
    snapshot: Snapshot, images: ImageTable, proxies: Mapping[tuple[str, str], Proxy] | None = None
) -> list[Pod]:
    """All pods with an address; without `proxies` each that has a sidecar gets the proxy it would have."""
    found = []
    for workload in workloads(snapshot):
        resource = snapshot.get(workload.key)
        ip = resource.status.pod_ip if resource is not None and resource.status is not None else ""
        if not ip:
            continue
        proxy = None
        if workload.role is not ProxyRole.NONE:
            proxy = (
                _planned_proxy(workload, ip)
                if proxies is None
                else proxies.get((workload.namespace, workload.key.name))
            )
        found.append(_pod(workload, resource, ip, proxy, images))
    return found


def _pod(workload: Workload, resource: Any, ip: str, proxy: Proxy | None, images: ImageTable) -> Pod:
    app_address = proxy.app_address if proxy is not None else ip
    return Pod(
        name=workload.key.name,
        namespace=workload.namespace,
        workload=workload.name,
        ip=ip,
        app_address=app_address,
        labels=workload.metadata.labels,
        ready=any(each.type == "Ready" and each.status == "True" for each in resource.status.conditions),
        app_ports=_app_ports(workload, images),
        port_map=proxy.port_map if proxy is not None else {},
        proxy=proxy,
    )


def _app_ports(workload: Workload, images: ImageTable) -> frozenset[int] | None:
    """Where the applications listen: where their images do, else where they say they do."""
    ports: set[int] = set()
    for container in workload.spec.containers:
        if container.name == PROXY_CONTAINER:
            continue
        try:
            known = images.program(container).port
        except UnknownImageError:
            known = None
        ports.update([known] if known else (p.container_port for p in container.ports))
    return frozenset(ports) or None


def _planned_proxy(workload: Workload, ip: str) -> Proxy:
    ports = [each for container in workload.spec.containers for each in container.ports]
    domain = f"{workload.namespace}.{_CLUSTER_DOMAIN}"
    kind = workload.role.value
    return Proxy(
        type="router" if kind == "router" else "sidecar",
        id=f"{kind}~{ip}~{workload.key.name}.{workload.namespace}~{domain}",
        ip=ip,
        namespace=workload.namespace,
        labels=workload.metadata.labels,
        dns_domain=domain,
        name=workload.key.name,
        named_ports={each.name: each.container_port for each in ports if each.name},
        app_address=ip.replace("127.10.", "127.11.", 1),
        service_account=workload.service_account,
    )


def _registered_pod(proxy: Proxy) -> Pod:
    return Pod(
        name=proxy.name,
        namespace=proxy.namespace,
        workload=str(proxy.metadata.get("WORKLOAD_NAME") or proxy.name),
        ip=proxy.ip,
        app_address=proxy.app_address,
        labels=proxy.labels,
        ready=True,
        app_ports=None,
        port_map=proxy.port_map,
        proxy=proxy,
    )


# --- what a control plane tells -------------------------------------------------------------------------


def _resource(told: Mapping[str, Any]) -> Resource | None:
    found, _ = read_json(told["document"], told["file"])
    if not found:
        return None
    places = {path: Place(*place) for path, place in told["places"].items()}
    return dataclasses.replace(found[0], source=SourceMap(told["file"], places), raw=told["written"])


def _workload(told: Mapping[str, Any]) -> RegisteredWorkload:
    return RegisteredWorkload(**{**told, "port_map": _numbered(told["port_map"])})


def _proxy(told: Mapping[str, Any]) -> Proxy:
    """A proxy as told. The rehearsal knows by itself where a pod's listeners are, also for a real Envoy."""
    read = {
        "port_map": _numbered(told["port_map"]),
        "node_locality": Locality(*told["node_locality"]),
        "addresses": None,
    }
    return Proxy(**{**told, **read})


def _mesh(told: Mapping[str, Any]) -> MeshConfig:
    """Settings that are a word, a number or a choice; all else is as in every mesh of ours."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(MeshConfig):
        if isinstance(each.default, StrEnum):
            found[each.name] = type(each.default)(told[each.name])
        elif isinstance(each.default, str | int | float):
            found[each.name] = told[each.name]
    return MeshConfig(**found)


def _numbered(ports: Mapping[Any, int]) -> dict[int, int]:
    return {int(declared): real for declared, real in ports.items()}
