"""The ports of its own application that a sidecar answers at: those of its services, or of its Sidecar.

A Sidecar with `ingress` says all: ports it does not list get no chain and no cluster of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.config.istio.sidecar import CaptureMode
from minimesh.control_plane.push_context.gateways import WILDCARD_ADDRESS
from minimesh.control_plane.service_registry.protocols import Protocol, parse_protocol
from minimesh.control_plane.translation.proxy import application_port, service_targets

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.service_registry.services import Service, ServiceTarget
    from minimesh.control_plane.translation.proxy import Proxy


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One port of `virtualInbound`, and where its calls go.

    `services` are those that lead there, oldest first; the first one's `service_port` names the routes.
    """

    number: int
    protocol: Protocol
    hostname: str
    service_port: int
    services: tuple[Service, ...]
    host: str
    """The application's address, or `unix://` and the path of its socket."""
    host_port: int
    connection_pool: Any | None = None
    """What a Sidecar says; else the first service's DestinationRule counts."""
    bind: str = ""
    """The address of a listener of its own, for a port whose calls nothing redirects; else empty."""


def inbound_ports(proxy: Proxy, push: PushContext) -> list[InboundPort]:
    """All of them, by number."""
    by_port: dict[int, list[ServiceTarget]] = {}
    for target in service_targets(proxy, push):
        by_port.setdefault(target.target_port, []).append(target)
    sidecar = push.sidecar_scope(proxy.namespace, proxy.labels).resource
    spec: Any = sidecar.spec if sidecar is not None else None
    if sidecar is not None and spec.ingress:
        declared = {written.port.number: written for written in spec.ingress if written.port is not None}
        return [
            _of_ingress(proxy, push, sidecar, written, by_port.get(number, []))
            for number, written in sorted(declared.items())
        ]
    pool = spec.inbound_connection_pool if spec is not None else None
    return [_of_services(proxy, push, port, targets, pool) for port, targets in sorted(by_port.items())]


def _of_services(
    proxy: Proxy, push: PushContext, number: int, targets: list[ServiceTarget], pool: Any | None
) -> InboundPort:
    """A container port behind service ports; the oldest service's protocol counts."""
    first = targets[0]
    return InboundPort(
        number=number,
        protocol=first.port.protocol,
        hostname=first.service.hostname,
        service_port=first.port.port,
        services=_services(targets),
        host=proxy.app_address,
        host_port=application_port(proxy, push, number),
        connection_pool=pool,
    )


def _of_ingress(
    proxy: Proxy, push: PushContext, sidecar: Resource, written: Any, targets: list[ServiceTarget]
) -> InboundPort:
    spec: Any = sidecar.spec
    number = written.port.number
    host, host_port = _default_endpoint(proxy, push, written.default_endpoint, number)
    bind = written.bind or WILDCARD_ADDRESS
    return InboundPort(
        number=number,
        protocol=parse_protocol(written.port.protocol),
        hostname=targets[0].service.hostname if targets else f"{sidecar.name}.{sidecar.namespace}",
        service_port=targets[0].port.port if targets else number,
        services=_services(targets),
        host=host,
        host_port=host_port,
        connection_pool=written.connection_pool or spec.inbound_connection_pool,
        bind=bind if written.capture_mode is CaptureMode.NONE else "",
    )


def _services(targets: list[ServiceTarget]) -> tuple[Service, ...]:
    return tuple({target.service.hostname: target.service for target in targets}.values())


def _default_endpoint(proxy: Proxy, push: PushContext, written: str, number: int) -> tuple[str, int]:
    """Where a listener's calls go. Whatever address of its own is written, the application has but one."""
    if written.startswith(UNIX_PREFIX):
        return written, 0
    port = written.rpartition(":")[2]
    return proxy.app_address, application_port(proxy, push, int(port) if port else number)
