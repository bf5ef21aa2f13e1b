"""Services' endpoints: an EndpointSlice and an Endpoints object for each Service with a selector.

For people and for kubectl; the control plane reads Services and Pods itself. Addresses and ports are those of
the pods as Kubernetes would have them, not those that this machine may have mapped them to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.config.decimals import decimal
from minimesh.config.encoding import encoded
from minimesh.config.resources import ObjectMeta, Resource
from minimesh.config.store import Snapshot
from minimesh.kubernetes.controllers.names import random_suffix
from minimesh.kubernetes.controllers.outcome import Outcome
from minimesh.kubernetes.controllers.ownership import reference_to
from minimesh.kubernetes.controllers.pod_state import is_active, is_ready

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"
_HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class _Port:
    name: str
    number: int
    protocol: str
    app_protocol: str

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = {"port": self.number, "protocol": self.protocol}
        if self.app_protocol:
            found["appProtocol"] = self.app_protocol
        return {"name": self.name, **found}


def reconcile(snapshot: Snapshot) -> Outcome:
    """What the endpoints of all Services should say."""
    by_namespace: dict[str, list[Resource]] = {}
    for pod in snapshot.by_kind("Pod"):
        if pod.status is not None and pod.status.pod_ip and is_active(pod):
            by_namespace.setdefault(pod.namespace, []).append(pod)
    put: list[Resource] = []
    for service in snapshot.by_kind("Service"):
        if service.spec.selector and service.spec.type != "ExternalName":
            put += _objects(service, by_namespace.get(service.namespace, ()))
    wanted = {each.key for each in put}
    outdated = [each.key for each in snapshot.by_kind("EndpointSlice") if _is_ours(each)]
    return Outcome(tuple(put), tuple(key for key in outdated if key not in wanted))


def _is_ours(found: Resource) -> bool:
    return found.metadata.labels.get(MANAGED_BY) == _CONTROLLER


def _objects(service: Resource, pods: Sequence[Resource]) -> Iterable[Resource]:
    selected = [pod for pod in pods if service.spec.selector.items() <= pod.metadata.labels.items()]
    # Pods that give one port name different numbers need a slice for each set of numbers.
    groups: dict[tuple[_Port, ...], list[Resource]] = {_ports(service, None): []}
    for pod in selected:
        groups.setdefault(_ports(service, pod), []).append(pod)
    filled = {ports: found for ports, found in groups.items() if found} or groups
    for index, (ports, found) in enumerate(filled.items()):
        yield _slice(service, ports, found, index)
    yield _endpoints(service, filled)


def _ports(service: Resource, pod: Resource | None) -> tuple[_Port, ...]:
    """The service's ports as the pod has them; what only a pod can tell is left out without one."""
    found = []
    for port in service.spec.ports:
        number = _number(port.target_port or port.port, pod)
        if number is not None:
            found.append(_Port(port.name, number, port.protocol, port.app_protocol))
    return tuple(found)


def _number(target: int | str, pod: Resource | None) -> int | None:
    if isinstance(target, int):
        return target
    if (number := decimal(target)) is not None:
        return number
    ports = (port for c in pod.spec.containers for port in c.ports) if pod is not None else ()
    return next((port.container_port for port in ports if port.name == target), None)


def _slice(service: Resource, ports: Sequence[_Port], pods: Sequence[Resource], index: int) -> Resource:
    content = {
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": [port.shown() for port in ports],
    }
    digest = hashlib.sha256(f"{service.metadata.uid}{index or ''}".encode()).digest()
    labels = {**service.metadata.labels, SERVICE_NAME: service.name, MANAGED_BY: _CONTROLLER}
    if service.spec.cluster_ip == "None":
        labels[_HEADLESS] = ""
    metadata = ObjectMeta(
        name=f"{service.name}-{random_suffix(digest)}",
        generate_name=f"{service.name}-",
        namespace=service.namespace,
        labels=labels,
        owner_references=(reference_to(service),),
    )
    return _resource("discovery.k8s.io/v1", "EndpointSlice", metadata, content)


def _endpoint(service: Resource, pod: Resource) -> dict[str, Any]:
    ready = is_ready(pod)
    conditions = {
        "ready": ready or bool(service.spec.publish_not_ready_addresses),
        "serving": ready,
        "terminating": False,
    }
    found = {"addresses": [pod.status.pod_ip], "conditions": conditions, "targetRef": _target(pod)}
    return {**found, **({"nodeName": pod.spec.node_name} if pod.spec.node_name else {})}


def _endpoints(service: Resource, groups: Mapping[tuple[_Port, ...], Sequence[Resource]]) -> Resource:
    subsets = []
    for ports, pods in groups.items():
        ready = [pod for pod in pods if is_ready(pod) or service.spec.publish_not_ready_addresses]
        subset = {
            "addresses": [_address(pod) for pod in ready],
            "notReadyAddresses": [_address(pod) for pod in pods if pod not in ready],
            "ports": [port.shown() for port in ports],
        }
        if pods:
            subsets.append({name: value for name, value in subset.items() if value})
    # The garbage collector takes it along with its Service, which in Kubernetes a controller does.
    metadata = ObjectMeta(
        name=service.name,
        namespace=service.namespace,
        labels=service.metadata.labels,
        owner_references=(reference_to(service),),
    )
    return _resource("v1", "Endpoints", metadata, {"subsets": subsets} if subsets else {})


def _address(pod: Resource) -> dict[str, Any]:
    found = {"ip": pod.status.pod_ip, "nodeName": pod.spec.node_name, "targetRef": _target(pod)}
    return {name: value for name, value in found.items() if value}


def _target(pod: Resource) -> dict[str, str]:
    return {"kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": pod.metadata.uid}


def _resource(api_version: str, kind: str, metadata: ObjectMeta, content: dict[str, Any]) -> Resource:
    """An object of a kind that is not typed: its content is plain data."""
    raw = {"apiVersion": api_version, "kind": kind, "metadata": encoded(metadata), **content}
    return Resource(api_version=api_version, kind=kind, metadata=metadata, spec=content, raw=raw)
