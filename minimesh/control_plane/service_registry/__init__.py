"""What can be called in the mesh, and where it runs.

Owns: Services (from Kubernetes Services and ServiceEntries), Workloads (ready Pods and proxies that
registered themselves), and which workloads stand behind which service port. It knows nothing of routing, of
proxies' configuration or of protobuf: translation asks it for services and endpoints.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from minimesh.config.ip_addresses import is_ip_address
from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.control_plane.locality import topology_labels
from minimesh.control_plane.service_registry.cluster_ips import with_cluster_ips
from minimesh.control_plane.service_registry.declared_services import (
    kubernetes_service,
    merged,
    services_of_entry,
)
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import (
    Endpoint,
    Resolution,
    Service,
    ServicePort,
    ServiceTarget,
)
from minimesh.control_plane.service_registry.workload_index import (
    WorkloadIndex,
    selects_workload,
    workload_order,
)
from minimesh.control_plane.service_registry.workloads import (
    RegisteredWorkload,
    Workload,
    workload_of_entry,
    workload_of_pod,
    workload_of_registration,
)

if TYPE_CHECKING:
    from minimesh.config.store import Snapshot


#: What a registry is made from.
REGISTRY_KINDS = ("Pod", "Service", "ServiceEntry", "WorkloadEntry", "WorkloadGroup")


class ServiceRegistry:
    """All services and workloads of one snapshot, indexed. Immutable once built."""

    def __init__(
        self,
        services: Iterable[Service],
        workloads: Iterable[Workload] = (),
        before: ServiceRegistry | None = None,
    ) -> None:
        """Services, and endpoints of a port, that come out as they did `before` are the very same objects."""
        ordered = sorted(services, key=lambda s: (s.created, s.name, s.namespace))
        known = {_place(each): each for each in before.services} if before is not None else {}
        self.services: tuple[Service, ...] = tuple(
            _kept(each, known) for each in _with_aliases(merged(ordered))
        )
        self.workloads = tuple(sorted(workloads, key=workload_order))
        self._by_hostname: dict[str, list[Service]] = {}
        self._by_namespace: dict[str, list[Service]] = {}
        for service in self.services:
            self._by_hostname.setdefault(service.hostname, []).append(service)
            self._by_namespace.setdefault(service.namespace, []).append(service)
        self._index = WorkloadIndex(self.workloads)
        self._endpoints: dict[tuple[int, int, str], tuple[Service, tuple[Endpoint, ...]]] = {}
        """What `endpoints` found, by the service's identity and the port's number and name."""
        self._endpoints_before = before._endpoints if before is not None else {}

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        registered: Sequence[RegisteredWorkload] = (),
        domain_suffix: str = "cluster.local",
        default_export_to: tuple[str, ...] = ("*",),
        before: ServiceRegistry | None = None,
    ) -> ServiceRegistry:
        """Read Services, ServiceEntries, Pods and WorkloadEntries; for `before` see the constructor.

        What is declared wins over a registration of the same address.
        """
        kubernetes = snapshot.by_kind("Service")
        services = [kubernetes_service(each, domain_suffix, default_export_to) for each in kubernetes]
        for resource in snapshot.by_kind("ServiceEntry"):
            services.extend(services_of_entry(resource, default_export_to))
        pods = [workload for r in snapshot.by_kind("Pod") if (workload := workload_of_pod(r)) is not None]
        entries = [workload_of_entry(r) for r in snapshot.by_kind("WorkloadEntry")]
        declared = [*pods, *(entry for entry in entries if entry.address)]
        known = {workload.address for workload in declared}
        groups = {(g.namespace, g.name): g.spec for g in snapshot.by_kind("WorkloadGroup")}
        announced = [
            workload_of_registration(each, groups.get((each.namespace, each.group)))
            for each in registered
            if each.address not in known
        ]
        return cls(with_cluster_ips(services), [*declared, *announced], before)

    def service(self, hostname: str, namespace: str | None = None) -> Service | None:
        """The service of that name: of that namespace if there is one, else the oldest."""
        found = self._by_hostname.get(hostname, ())
        for service in found:
            if service.namespace == namespace:
                return service
        return found[0] if found else None

    def services_named(self, hostname: str) -> tuple[Service, ...]:
        return tuple(self._by_hostname.get(hostname, ()))

    def endpoints(self, service: Service, port: ServicePort) -> tuple[Endpoint, ...]:
        """The ready addresses behind a service port, declared ones first, then the selected workloads.

        The very same tuple each time, also of a registry made by `with_workloads` that changed none of them.
        """
        key = (id(service), port.port, port.name)
        known = self._endpoints.get(key)
        if known is None or known[0] is not service:
            declared = tuple(e for e in service.endpoints if e.port_name in ("", port.name))
            known = (service, declared + tuple(self._selected_endpoints(service, port)))
            older = self._endpoints_before.get(key)
            if older is not None and older[0] is service and older[1] == known[1]:
                known = older
            self._endpoints[key] = known
        return known[1]

    def _selected_endpoints(self, service: Service, port: ServicePort) -> Iterable[Endpoint]:
        if not service.selector:
            return
        for workload in self._index.candidates(service):
            if not selects_workload(service, workload.namespace, workload.labels):
                continue
            target = workload.resolve(port)
            if target is None or not (workload.ready or service.publish_not_ready):
                continue
            if service.resolution is Resolution.ENDPOINTS and not _is_address(workload.address):
                continue  # a name, which only DNS could resolve
            yield Endpoint(
                workload.address,
                workload.mapped(target),
                topology_labels(workload.labels, workload.locality, workload.network),
                str(workload.locality),
                workload.weight,
                workload=workload.name,
                namespace=workload.namespace,
            )

    def workload(self, namespace: str, name: str) -> Workload | None:
        return self._index.named(namespace, name)

    def selecting(self, workload: Workload) -> list[Service]:
        """The services whose endpoints the workload is, or may be, one of."""
        found = self._by_namespace.get(workload.namespace, ())
        return [s for s in found if s.selector and selects_workload(s, workload.namespace, workload.labels)]

    def with_workloads(self, gone: Collection[Workload], come: Collection[Workload]) -> ServiceRegistry:
        """The same services with other workloads."""
        workloads = list(self.workloads)
        out = [found for each in gone if (found := _taken_from(workloads, each)) is not None]
        for each in come:
            insort(workloads, each, key=workload_order)
        registry = copy(self)
        registry.workloads = tuple(workloads)
        touched = {id(service) for each in (*gone, *come) for service in self.selecting(each)}
        registry._endpoints = {key: found for key, found in self._endpoints.items() if key[0] not in touched}
        registry._index = self._index.with_changes(out, come, workloads)
        return registry

    def targets(
        self, namespace: str, labels: Mapping[str, str], named_ports: Mapping[str, int]
    ) -> tuple[ServiceTarget, ...]:
        """The service ports that a workload with these labels serves, oldest service first."""
        probe = Workload("", namespace, "", labels, named_ports)
        found = []
        for service in self._by_namespace.get(namespace, ()):
            if not service.selector or not selects_workload(service, namespace, labels):
                continue
            for port in service.ports:
                target = probe.resolve(port)
                if target is not None and port.protocol is not Protocol.UDP:
                    found.append(ServiceTarget(service, port, target))
        return tuple(found)


def _taken_from(workloads: list[Workload], workload: Workload) -> Workload | None:
    """Remove the one that is equal to this from workloads in their order; returns it, if it was there."""
    order = workload_order(workload)
    index = bisect_left(workloads, order, key=workload_order)
    while index < len(workloads) and workload_order(workloads[index]) == order:
        if workloads[index] == workload:
            return workloads.pop(index)
        index += 1
    return None


def _kept(service: Service, known: Mapping[tuple[str, int], Service]) -> Service:
    before = known.get(_place(service))
    return before if before is not None and before == service else service


def _place(service: Service) -> tuple[str, int]:
    """Of several services with one name, which: the resource that declares it."""
    return service.hostname, id(service.resource)


def _is_address(text: str) -> bool:
    """Whether a proxy can connect to it as it is: an IP address, or a Unix socket's path."""
    return text.startswith(UNIX_PREFIX) or is_ip_address(text)


def _with_aliases(services: Sequence[Service]) -> Iterable[Service]:
    """Give each concrete service the ExternalName services that point to it as further names."""
    aliases: dict[str, list[str]] = {}
    for service in services:
        if service.resolution is Resolution.ALIAS:
            aliases.setdefault(service.external_name, []).append(service.hostname)
    for service in services:
        names = aliases.get(service.hostname)
        yield replace(service, aliases=tuple(names)) if names else service
