"""Workloads: running pods, WorkloadEntries and proxies that registered themselves, each one address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.config.mesh_config import decode_proxy_config
from minimesh.config.port_map import PORT_MAP_ANNOTATION, parse_port_map
from minimesh.config.proxy_settings import PROXY_CONFIG_ANNOTATION
from minimesh.control_plane.locality import NETWORK_LABEL, NOWHERE, Locality, locality_of_labels
from minimesh.control_plane.service_registry.services import ServicePort

if TYPE_CHECKING:
    from minimesh.config.istio.mesh_config import DefaultProxyConfig
    from minimesh.config.resources import Resource


@dataclass(frozen=True, slots=True)
class Workload:
    """A running pod, a WorkloadEntry or a registered proxy: one address, its labels, its ports.

    `named_ports` are a pod's container ports by name; `service_ports`, of a WorkloadEntry, say for the name
    of a service's port which port answers here.
    """

    name: str
    namespace: str
    address: str
    labels: Mapping[str, str]
    named_ports: Mapping[str, int] = field(default_factory=dict)
    port_map: Mapping[int, int] = field(default_factory=dict)
    ready: bool = True
    service_account: str = "default"
    locality: Locality = NOWHERE
    network: str = ""
    weight: int = 0
    service_ports: Mapping[str, int] = field(default_factory=dict)
    proxy_config: DefaultProxyConfig | None = None
    """What its annotation `proxy.istio.io/config` says of its proxy."""

    def mapped(self, port: int) -> int:
        """The port that really answers for this container port."""
        return self.port_map.get(port, port)

    def resolve(self, port: ServicePort) -> int | None:
        """The container port behind a service port; None when its name is unknown to this workload."""
        if port.name in self.service_ports:
            return self.service_ports[port.name]
        if isinstance(port.target_port, str):
            return self.named_ports.get(port.target_port)
        return port.target_port or port.port


@dataclass(frozen=True, slots=True)
class RegisteredWorkload:
    """A proxy that announced itself (compose), an endpoint for as long as it is connected."""

    name: str
    namespace: str
    address: str
    labels: Mapping[str, str]
    named_ports: Mapping[str, int] = field(default_factory=dict)
    port_map: Mapping[int, int] = field(default_factory=dict)
    service_account: str = "default"
    group: str = ""
    """The WorkloadGroup of its namespace whose template it follows."""
    ready: bool = True
    """Whether the probe of its group, if that has one, finds it well."""


def workload_of_pod(resource: Resource) -> Workload | None:
    status: Any = resource.status
    if status is None or not status.pod_ip or resource.metadata.deletion_timestamp:
        return None
    spec: Any = resource.spec
    ready = any(c.type == "Ready" and c.status == "True" for c in status.conditions)
    named = {p.name: p.container_port for c in spec.containers for p in c.ports if p.name}
    return Workload(
        name=resource.name,
        namespace=resource.namespace,
        address=status.pod_ip,
        labels=dict(resource.metadata.labels),
        named_ports=named,
        port_map=parse_port_map(resource.metadata.annotations.get(PORT_MAP_ANNOTATION, "")),
        ready=ready,
        service_account=spec.service_account_name or "default",
        locality=locality_of_labels(resource.metadata.labels),
        network=resource.metadata.labels.get(NETWORK_LABEL, ""),
        proxy_config=_proxy_config(resource.metadata.annotations),
    )


def _proxy_config(annotations: Mapping[str, str]) -> DefaultProxyConfig | None:
    text = annotations.get(PROXY_CONFIG_ANNOTATION, "")
    return decode_proxy_config(text) if text else None


def workload_of_entry(resource: Resource) -> Workload:
    spec: Any = resource.spec
    labels = {**spec.labels, **resource.metadata.labels}
    return Workload(
        name=resource.name,
        namespace=resource.namespace,
        address=spec.address,
        labels=labels,
        named_ports=dict(spec.ports),
        service_ports=dict(spec.ports),
        service_account=spec.service_account or "default",
        locality=Locality.parse(spec.locality) if spec.locality else locality_of_labels(labels),
        network=spec.network or labels.get(NETWORK_LABEL, ""),
        weight=spec.weight,
    )


def workload_of_registration(registered: RegisteredWorkload, group: Any | None) -> Workload:
    """A proxy that announced itself; its WorkloadGroup's template says what it left open."""
    template = group.template if group is not None else None
    common = dict(group.metadata.labels) if group is not None and group.metadata is not None else {}
    labels = {**(template.labels if template is not None else {}), **common, **registered.labels}
    where = Locality.parse(template.locality) if template is not None else NOWHERE
    labelled = locality_of_labels(labels)
    return Workload(
        name=registered.name,
        namespace=registered.namespace,
        address=registered.address,
        labels=labels,
        named_ports=registered.named_ports,
        port_map=registered.port_map,
        service_ports=dict(template.ports) if template is not None else {},
        ready=registered.ready,
        service_account=registered.service_account,
        locality=labelled if any(labelled) else where,
        network=labels.get(NETWORK_LABEL, "") or (template.network if template is not None else ""),
        weight=template.weight if template is not None else 0,
    )
