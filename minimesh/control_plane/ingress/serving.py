"""The Ingresses of a snapshot: what they mean for the gateway that serves them, and where that is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.config.kubernetes.core import LoadBalancerStatus
from minimesh.config.kubernetes.networking import IngressStatus
from minimesh.config.resources import ResourceKey
from minimesh.control_plane.ingress.classes import served_ingresses
from minimesh.control_plane.ingress.conversion import convert_ingresses

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.mesh_config import MeshConfig
    from minimesh.control_plane.service_registry import ServiceRegistry


def ingress_resources(snapshot: Snapshot, registry: ServiceRegistry, mesh: MeshConfig) -> Iterator[Resource]:
    """The Gateways and VirtualServices that the Ingresses of the mesh's class mean."""

    def find_port(namespace: str, name: str, port_name: str) -> int | None:
        service = registry.service(f"{name}.{namespace}.svc.{mesh.domain_suffix}")
        ports = service.ports if service is not None else ()
        return next((each.port for each in ports if each.name == port_name), None)

    yield from convert_ingresses(served_ingresses(snapshot, mesh), mesh, find_port, _selector(snapshot, mesh))


def with_ingress_statuses(snapshot: Snapshot, mesh: MeshConfig) -> Iterator[Resource]:
    """Each Ingress that is served, with the addresses of the gateway's service."""
    service: Any = snapshot.get(_service_key(mesh))
    balancer = service.status.load_balancer if service is not None and service.status is not None else None
    ingress = balancer.ingress if balancer is not None else ()
    status = IngressStatus(load_balancer=LoadBalancerStatus(ingress=ingress))
    for each in served_ingresses(snapshot, mesh):
        yield replace(each, status=status)


def _service_key(mesh: MeshConfig) -> ResourceKey:
    return ResourceKey("Service", mesh.root_namespace, mesh.ingress_service)


def _selector(snapshot: Snapshot, mesh: MeshConfig) -> Mapping[str, str]:
    """The labels of the pods that serve Ingresses: those of the service, when it is another than Istio's."""
    service: Any = snapshot.get(_service_key(mesh))
    if service is not None and mesh.ingress_service != "istio-ingressgateway" and service.spec.selector:
        return dict(service.spec.selector)
    return {"istio": mesh.ingress_selector}
