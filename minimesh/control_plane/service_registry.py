"""What can be called in the mesh, and where it runs.

Owns: Services (from Kubernetes Services and ServiceEntries), Workloads (ready Pods and proxies that
registered themselves), and which workloads stand behind which service port. It knows nothing of routing, of
proxies' configuration or of protobuf: translation asks it for services and endpoints.
"""

from __future__ import annotations

import hashlib
import ipaddress
from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.config.mesh_config import decode_proxy_config
from minimesh.control_plane.locality import (
    NETWORK_LABEL,
    NOWHERE,
    Locality,
    locality_of_labels,
    topology_labels,
)

if TYPE_CHECKING:
    from minimesh.config.istio.mesh_config import DefaultProxyConfig
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot

PORT_MAP_ANNOTATION = "minimesh.dev/port-map"
"""Pod annotation `80=20080,443=20443`: the port really listened on, for ports this machine cannot give."""

PROXY_CONFIG_ANNOTATION = "proxy.istio.io/config"

CLUSTER_IP_RANGE = ipaddress.ip_network("10.96.0.0/16")


class Protocol(StrEnum):
    """What a service port speaks; UNSUPPORTED means undeclared, to be found out from the first bytes."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    UDP = "UDP"
    MONGO = "Mongo"
    MYSQL = "MySQL"
    REDIS = "Redis"
    UNSUPPORTED = "UnsupportedProtocol"

    @property
    def is_http(self) -> bool:
        return self in _HTTP_PROTOCOLS

    @property
    def is_http2(self) -> bool:
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_http_or_sniffed(self) -> bool:
        return self.is_http or self is Protocol.UNSUPPORTED


_HTTP_PROTOCOLS = frozenset(
    {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB, Protocol.HTTP_PROXY}
)
_PROTOCOL_NAMES = {str(protocol).lower(): protocol for protocol in Protocol}
_APP_PROTOCOLS = {"kubernetes.io/h2c": Protocol.HTTP2, "kubernetes.io/ws": Protocol.HTTP}
# Ports whose server speaks first: waiting for the client's first bytes would hang the connection.
_SERVER_FIRST_PORTS = {3306: Protocol.MYSQL, 6379: Protocol.REDIS, 27017: Protocol.MONGO, 25: Protocol.TCP}


class Resolution(StrEnum):
    """How a service's name becomes addresses."""

    ENDPOINTS = "ENDPOINTS"  # the control plane knows them (EDS)
    DNS = "DNS"  # the proxy asks DNS and uses all addresses (STRICT_DNS)
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"  # the proxy asks DNS and uses the first address (LOGICAL_DNS)
    PASSTHROUGH = "PASSTHROUGH"  # wherever the client was going (headless services, resolution NONE)
    ALIAS = "ALIAS"  # another service's second name (ExternalName)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service; `target_port` is a number or a container port's name, 0 for the same number."""

    name: str
    port: int
    protocol: Protocol
    target_port: int | str = 0


@dataclass(frozen=True, slots=True)
class Service:
    """One host name that can be called.

    `addresses` are virtual (ClusterIPs), `address_ranges` CIDR blocks that stand for the service; both may be
    empty. `subject_alt_names` are what certificates of its hosts may be made out to.
    """

    hostname: str
    namespace: str
    name: str
    ports: tuple[ServicePort, ...]
    addresses: tuple[str, ...] = ()
    address_ranges: tuple[str, ...] = ()
    resolution: Resolution = Resolution.ENDPOINTS
    selector: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    export_to: tuple[str, ...] = ("*",)
    external: bool = False
    kubernetes: bool = True
    external_name: str = ""
    aliases: tuple[str, ...] = ()
    publish_not_ready: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    created: str = ""
    resource: Resource | None = None

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.port == number), None)

    def visible_from(self, namespace: str) -> bool:
        """Whether `exportTo` lets proxies of this namespace know the service."""
        return is_exported(self.export_to, self.namespace, namespace)


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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind one service port, or the path of a Unix socket. `weight` 0 means undeclared."""

    address: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: str = ""
    weight: int = 0
    workload: str = ""
    namespace: str = ""
    port_name: str = ""


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """A service port as seen from a workload that serves it."""

    service: Service
    port: ServicePort
    target_port: int


class ServiceRegistry:
    """All services and workloads of one snapshot, indexed. Immutable once built."""

    def __init__(self, services: Iterable[Service], workloads: Iterable[Workload] = ()) -> None:
        ordered = sorted(services, key=lambda s: (s.created, s.name, s.namespace))
        self.services = tuple(_with_aliases(ordered))
        self.workloads = tuple(sorted(workloads, key=_workload_order))
        self._by_hostname: dict[str, list[Service]] = {}
        self._by_namespace: dict[str, list[Service]] = {}
        for service in self.services:
            self._by_hostname.setdefault(service.hostname, []).append(service)
            self._by_namespace.setdefault(service.namespace, []).append(service)
        self._index = _WorkloadIndex(self.workloads)

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Snapshot,
        registered: Sequence[RegisteredWorkload] = (),
        domain_suffix: str = "cluster.local",
        default_export_to: tuple[str, ...] = ("*",),
    ) -> ServiceRegistry:
        """Read Services, ServiceEntries, Pods and WorkloadEntries.

        What is declared wins over a registration of the same address.
        """
        kubernetes = snapshot.by_kind("Service")
        services = [_kubernetes_service(each, domain_suffix, default_export_to) for each in kubernetes]
        for resource in snapshot.by_kind("ServiceEntry"):
            services.extend(_services_of_entry(resource, default_export_to))
        pods = [workload for r in snapshot.by_kind("Pod") if (workload := workload_of_pod(r)) is not None]
        entries = [_workload_of_entry(r) for r in snapshot.by_kind("WorkloadEntry")]
        declared = [*pods, *(entry for entry in entries if entry.address)]
        known = {workload.address for workload in declared}
        groups = {(g.namespace, g.name): g.spec for g in snapshot.by_kind("WorkloadGroup")}
        announced = [
            _workload_of_registration(each, groups.get((each.namespace, each.group)))
            for each in registered
            if each.address not in known
        ]
        return cls(_with_cluster_ips(services), [*declared, *announced])

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
        """The ready addresses behind a service port, declared ones first, then the selected workloads."""
        declared = tuple(e for e in service.endpoints if e.port_name in ("", port.name))
        return declared + tuple(self._selected_endpoints(service, port))

    def _selected_endpoints(self, service: Service, port: ServicePort) -> Iterable[Endpoint]:
        if not service.selector:
            return
        for workload in self._index.candidates(service):
            if not _selects(service, workload.namespace, workload.labels):
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
        return [s for s in found if s.selector and _selects(s, workload.namespace, workload.labels)]

    def with_workloads(self, gone: Iterable[Workload], come: Iterable[Workload]) -> ServiceRegistry:
        """The same services with other workloads."""
        out = set(map(id, self._index.same_as(gone)))
        workloads = [each for each in self.workloads if id(each) not in out]
        for each in come:
            insort(workloads, each, key=_workload_order)
        registry = copy(self)
        registry.workloads = tuple(workloads)
        registry._index = self._index.with_changes(out, come)
        return registry

    def targets(
        self, namespace: str, labels: Mapping[str, str], named_ports: Mapping[str, int]
    ) -> tuple[ServiceTarget, ...]:
        """The service ports that a workload with these labels serves, oldest service first."""
        probe = Workload("", namespace, "", labels, named_ports)
        found = []
        for service in self._by_namespace.get(namespace, ()):
            if not service.selector or not _selects(service, namespace, labels):
                continue
            for port in service.ports:
                target = probe.resolve(port)
                if target is not None and port.protocol is not Protocol.UDP:
                    found.append(ServiceTarget(service, port, target))
        return tuple(found)


class _WorkloadIndex:
    """Workloads by name, and by namespace and label: what a selector can select is found without a search."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._named: dict[tuple[str, str], Workload] = {}
        self._labelled: dict[tuple[str, str, str], list[Workload]] = {}
        for workload in workloads:
            self._named.setdefault((workload.namespace, workload.name), workload)
            for label in _labels(workload):
                self._labelled.setdefault(label, []).append(workload)

    def with_changes(self, gone: Collection[int], come: Iterable[Workload]) -> _WorkloadIndex:
        """The index without the workloads of these identities, and with others."""
        index = copy(self)
        index._named = {key: each for key, each in self._named.items() if id(each) not in gone}
        index._labelled = dict(self._labelled)
        touched = {label for each in self._named.values() if id(each) in gone for label in _labels(each)}
        for label in touched:
            index._labelled[label] = [each for each in self._labelled[label] if id(each) not in gone]
        for workload in come:
            index._named.setdefault((workload.namespace, workload.name), workload)
            for label in _labels(workload):
                index._labelled[label] = sorted(
                    [*index._labelled.get(label, ()), workload], key=_workload_order
                )
        return index

    def named(self, namespace: str, name: str) -> Workload | None:
        return self._named.get((namespace, name))

    def candidates(self, service: Service) -> Sequence[Workload]:
        """Those with the rarest label that the service selects by."""
        labelled = ((service.namespace, key, value) for key, value in service.selector.items())
        return min((self._labelled.get(each, ()) for each in labelled), key=len)

    def same_as(self, workloads: Iterable[Workload]) -> Iterator[Workload]:
        """The indexed ones that are equal to these."""
        for workload in workloads:
            label = next(iter(workload.labels.items()), None)
            if label is None:
                known = (self.named(workload.namespace, workload.name),)
                yield from (each for each in known if each == workload and each is not None)
            else:
                found = self._labelled.get((workload.namespace, *label), ())
                yield from [each for each in found if each == workload][:1]


def _labels(workload: Workload) -> list[tuple[str, str, str]]:
    return [(workload.namespace, key, value) for key, value in workload.labels.items()]


def _workload_order(workload: Workload) -> tuple[str, str, str]:
    return (workload.namespace, workload.name, workload.address)


def is_exported(export_to: Sequence[str], owner: str, namespace: str) -> bool:
    """Istio's `exportTo`: `*` all, `.` the owner's namespace, `~` nobody, else a namespace's name."""
    if not export_to or "*" in export_to:
        return True
    return namespace in export_to or ("." in export_to and owner == namespace)


def parse_protocol(name: str) -> Protocol:
    """A protocol as written in a Gateway, Sidecar or ServiceEntry; case does not matter."""
    return _PROTOCOL_NAMES.get(name.lower(), Protocol.UNSUPPORTED)


def infer_protocol(port: int, name: str, transport: str, app_protocol: str) -> Protocol:
    """What a Kubernetes service port speaks: by appProtocol, the name's first word, or the number."""
    if transport.upper() == "UDP":
        return Protocol.UDP
    if app_protocol:
        return _APP_PROTOCOLS.get(app_protocol.lower(), parse_protocol(app_protocol))
    lowered = name.lower()
    if lowered == "grpc-web" or lowered.startswith("grpc-web-"):
        return Protocol.GRPC_WEB
    declared = parse_protocol(lowered.split("-", 1)[0])
    if declared is not Protocol.UNSUPPORTED:
        return declared
    return _SERVER_FIRST_PORTS.get(port, Protocol.UNSUPPORTED)


def parse_port_map(text: str) -> dict[int, int]:
    """`80=20080,443=20443` -> {80: 20080, 443: 20443}; parts that are no pair of numbers are left out."""
    found = {}
    for pair in text.split(","):
        declared, _, real = pair.strip().partition("=")
        ports = decimal(declared), decimal(real)
        if ports[0] is not None and ports[1] is not None:
            found[ports[0]] = ports[1]
    return found


def _selects(service: Service, namespace: str, labels: Mapping[str, str]) -> bool:
    if service.namespace != namespace:
        return False
    return all(labels.get(key) == value for key, value in service.selector.items())


def _with_aliases(services: Sequence[Service]) -> Iterable[Service]:
    """Give each concrete service the ExternalName services that point to it as further names."""
    aliases: dict[str, list[str]] = {}
    for service in services:
        if service.resolution is Resolution.ALIAS:
            aliases.setdefault(service.external_name, []).append(service.hostname)
    for service in services:
        names = aliases.get(service.hostname)
        yield _replace(service, aliases=tuple(names)) if names else service


def _with_cluster_ips(services: Sequence[Service]) -> Iterable[Service]:
    """Give an address to each Kubernetes service that asks for one but names none.

    The address is a hash of the name, so that it stays the same over restarts; a taken one moves on.
    """
    taken = {address for service in services for address in service.addresses}
    for service in sorted(services, key=lambda s: s.hostname):
        wants_one = service.kubernetes and service.resolution is Resolution.ENDPOINTS
        if not wants_one or service.addresses:
            yield service
            continue
        address = _free_address(service.hostname, taken)
        taken.add(address)
        yield _replace(service, addresses=(address,))


def _free_address(hostname: str, taken: set[str]) -> str:
    usable = CLUSTER_IP_RANGE.num_addresses - 2
    offset = int.from_bytes(hashlib.sha256(hostname.encode()).digest()[:8], "big") % usable
    while str(CLUSTER_IP_RANGE[offset + 1]) in taken:
        offset = (offset + 1) % usable
    return str(CLUSTER_IP_RANGE[offset + 1])


def _replace(service: Service, **changes: Any) -> Service:
    values = {name: getattr(service, name) for name in Service.__dataclass_fields__}
    return Service(**{**values, **changes})


def _kubernetes_service(
    resource: Resource, domain_suffix: str, default_export_to: tuple[str, ...]
) -> Service:
    spec: Any = resource.spec
    metadata = resource.metadata
    external_name = spec.external_name if spec.type == "ExternalName" else ""
    resolution = Resolution.ENDPOINTS
    if external_name:
        resolution = Resolution.ALIAS
    elif spec.cluster_ip == "None":
        resolution = Resolution.PASSTHROUGH
    return Service(
        hostname=_hostname(resource.name, resource.namespace, domain_suffix),
        namespace=resource.namespace,
        name=resource.name,
        ports=tuple(_service_port(port) for port in spec.ports),
        addresses=_declared_addresses(spec),
        resolution=resolution,
        selector=dict(spec.selector),
        labels=dict(metadata.labels),
        export_to=_annotated_export(metadata.annotations) or default_export_to,
        external_name=external_name,
        publish_not_ready=bool(spec.publish_not_ready_addresses),
        created=str(metadata.creation_timestamp or ""),
        resource=resource,
    )


def _hostname(name: str, namespace: str, domain_suffix: str) -> str:
    return f"{name}.{namespace}.svc.{domain_suffix}".lower()


def _declared_addresses(spec: Any) -> tuple[str, ...]:
    declared = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    return tuple(address for address in declared if address and address != "None")


def _annotated_export(annotations: Mapping[str, str]) -> tuple[str, ...]:
    written = annotations.get("networking.istio.io/exportTo", "")
    return tuple(part.strip() for part in written.split(",") if part.strip())


def _service_port(port: Any) -> ServicePort:
    protocol = infer_protocol(port.port, port.name, port.protocol or "TCP", port.app_protocol or "")
    return ServicePort(port.name, port.port, protocol, _target_port(port.target_port))


def _target_port(written: Any) -> int | str:
    """`targetPort` is a number, a name, or a number in quotes."""
    if written is None or written == "":
        return 0
    if isinstance(written, int):
        return written
    number = decimal(str(written))
    return str(written) if number is None else number


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


def _workload_of_entry(resource: Resource) -> Workload:
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


def _workload_of_registration(registered: RegisteredWorkload, group: Any | None) -> Workload:
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
        service_account=registered.service_account,
        locality=labelled if any(labelled) else where,
        network=labels.get(NETWORK_LABEL, "") or (template.network if template is not None else ""),
        weight=template.weight if template is not None else 0,
    )


_ENTRY_RESOLUTIONS = {
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN,
}


def _services_of_entry(resource: Resource, default_export_to: tuple[str, ...]) -> Iterable[Service]:
    """A ServiceEntry gives one service for each of its hosts."""
    spec: Any = resource.spec
    resolution = _ENTRY_RESOLUTIONS.get(str(spec.resolution), Resolution.PASSTHROUGH)
    ports = tuple(
        ServicePort(p.name, p.number, parse_protocol(p.protocol), p.target_port or 0) for p in spec.ports
    )
    selector = spec.workload_selector.labels if spec.workload_selector else {}
    for host in spec.hosts:
        yield Service(
            hostname=host.lower(),
            namespace=resource.namespace,
            name=resource.name,
            ports=ports,
            addresses=tuple(a.partition("/")[0] for a in spec.addresses if not _is_range(a)),
            address_ranges=tuple(a for a in spec.addresses if _is_range(a)),
            resolution=resolution,
            selector=dict(selector),
            labels=dict(resource.metadata.labels),
            export_to=tuple(spec.export_to) or default_export_to,
            external=str(spec.location or "MESH_EXTERNAL") == "MESH_EXTERNAL",
            kubernetes=False,
            endpoints=tuple(_entry_endpoints(spec, ports, resolution, host)),
            subject_alt_names=tuple(spec.subject_alt_names),
            created=str(resource.metadata.creation_timestamp or ""),
            resource=resource,
        )


def _is_range(address: str) -> bool:
    """Whether it is a CIDR block of more than one address."""
    return "/" in address and not address.endswith(("/32", "/128"))


def _is_address(text: str) -> bool:
    """Whether a proxy can connect to it as it is: an IP address, or a Unix socket's path."""
    if text.startswith(UNIX_PREFIX):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _entry_endpoints(
    spec: Any, ports: Sequence[ServicePort], resolution: Resolution, host: str
) -> Iterable[Endpoint]:
    for port in ports:
        number = port.target_port if isinstance(port.target_port, int) and port.target_port else port.port
        for entry in spec.endpoints:
            yield Endpoint(
                entry.address,
                entry.ports.get(port.name, number),
                topology_labels(entry.labels, Locality.parse(entry.locality), entry.network),
                entry.locality,
                entry.weight or 0,
                port_name=port.name,
            )
        asks_dns = resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
        alone = not spec.endpoints and spec.workload_selector is None
        if asks_dns and alone and not host.startswith("*"):
            yield Endpoint(host, number, port_name=port.name)
