"""The Services that Kubernetes Services and ServiceEntries declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.control_plane.locality import Locality, topology_labels
from minimesh.control_plane.service_registry.protocols import infer_protocol, parse_protocol
from minimesh.control_plane.service_registry.services import Endpoint, Resolution, Service, ServicePort

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


def kubernetes_service(resource: Resource, domain_suffix: str, default_export_to: tuple[str, ...]) -> Service:
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
        created=metadata.creation_timestamp,
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


_ENTRY_RESOLUTIONS = {
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN,
}


def services_of_entry(resource: Resource, default_export_to: tuple[str, ...]) -> Iterable[Service]:
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
            created=resource.metadata.creation_timestamp,
            resource=resource,
        )


def merged(services: Iterable[Service]) -> list[Service]:
    """The services, oldest first, with what ServiceEntries of one namespace say of one host put together.

    The oldest counts; one that is like it but for its ports gives it those that it lacks.
    """
    found: list[Service] = []
    places: dict[tuple[str, str], int] = {}
    for service in services:
        place = places.get((service.hostname, service.namespace))
        if service.kubernetes or place is None or not _can_merge(found[place], service):
            if not service.kubernetes:
                places.setdefault((service.hostname, service.namespace), len(found))
            found.append(service)
        else:
            found[place] = _with_ports_of(found[place], service)
    return found


def _can_merge(older: Service, newer: Service) -> bool:
    return (
        older.resolution is newer.resolution
        and older.labels == newer.labels
        and older.selector == newer.selector
        and older.export_to == newer.export_to
    )


def _with_ports_of(older: Service, newer: Service) -> Service:
    added = tuple(port for port in newer.ports if older.port(port.port) is None)
    names = {port.name for port in added}
    return replace(
        older,
        ports=older.ports + added,
        endpoints=older.endpoints + tuple(each for each in newer.endpoints if each.port_name in names),
    )


def _is_range(address: str) -> bool:
    """Whether it is a CIDR block of more than one address."""
    return "/" in address and not address.endswith(("/32", "/128"))


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
