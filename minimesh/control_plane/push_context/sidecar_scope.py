"""What one sidecar knows of the mesh: the services and VirtualServices it may call, per egress listener.

Without a Sidecar resource there is one listener that imports everything visible. A Sidecar's `egress` narrows
that, and may tie a list of hosts to one port or socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.config.istio.sidecar import CaptureMode
from minimesh.control_plane.hostnames import is_subset, is_wildcard, overlaps, specificity
from minimesh.control_plane.mesh_config import OutboundTrafficPolicy
from minimesh.control_plane.push_context.virtual_services import in_order_of_audience
from minimesh.control_plane.service_registry.protocols import Protocol, parse_protocol

if TYPE_CHECKING:
    from minimesh.config.istio.sidecar import IstioEgressListener, Sidecar
    from minimesh.config.resources import Resource
    from minimesh.control_plane.mesh_config import MeshConfig
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.service_registry.services import Service


@dataclass(frozen=True, slots=True)
class EgressListener:
    """A way out. `port` None is the catch-all; port 0 with a `bind` is a Unix socket.

    `bound`: nothing redirects calls to it, it opens its port itself.
    """

    port: int | None
    bind: str
    protocol: Protocol
    services: tuple[Service, ...]
    virtual_services: tuple[VirtualServiceConfig, ...]
    bound: bool = False

    def owner(self, hostname: str) -> VirtualServiceConfig | None:
        """The VirtualService whose host fits a service best; the first among equals.

        Its own name fits better than any wildcard, the longest wildcard better than others.
        """
        best: tuple[tuple[bool, int], VirtualServiceConfig] | None = None
        for virtual_service in self.virtual_services:
            for host in virtual_service.hosts:
                fits = is_subset(hostname, host) if is_wildcard(host) else host == hostname
                if fits and (best is None or specificity(host) > best[0]):
                    best = (specificity(host), virtual_service)
        return best[1] if best else None


@dataclass(frozen=True, slots=True)
class SidecarScope:
    """All ways out of one sidecar, and what happens to calls that no listener declares."""

    egress: tuple[EgressListener, ...]
    outbound_traffic_policy: OutboundTrafficPolicy
    resource: Resource | None = None
    implied: tuple[Service, ...] = ()
    """Services that nobody imports, but imported VirtualServices lead to."""

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service of every listener, each once, in registry order of the first listener naming it."""
        named = (service for listener in self.egress for service in listener.services)
        return tuple({service.hostname: service for service in (*self.implied, *named)}.values())

    @property
    def allows_any(self) -> bool:
        return self.outbound_traffic_policy is OutboundTrafficPolicy.ALLOW_ANY

    def listener_for(self, port: int, route_name: str) -> EgressListener | None:
        """The listener a route configuration belongs to: by port, or by socket name when the port is 0."""
        if port == 0:
            return self._listener_for_socket(route_name)
        for listener in self.egress:
            if listener.port is None or listener.port == port:
                return listener
        return None

    def _listener_for_socket(self, route_name: str) -> EgressListener | None:
        for listener in self.egress:
            if listener.bind and listener.bind == route_name:
                return listener
        return next((listener for listener in self.egress if listener.port is None), None)


def scope_of_everything(
    namespace: str,
    services: Sequence[Service],
    virtual_services: Sequence[VirtualServiceConfig],
    mesh: MeshConfig,
) -> SidecarScope:
    """The scope without a Sidecar resource: everything that is exported to the namespace."""
    catch_all = EgressListener(
        None,
        "",
        Protocol.UNSUPPORTED,
        tuple(s for s in unique_by_hostname(services, namespace) if s.visible_from(namespace)),
        tuple(in_order_of_audience(virtual_services, namespace)),
    )
    return SidecarScope((catch_all,), mesh.outbound_traffic_policy)


def scope_of_sidecar(resource: Resource, everything: SidecarScope, namespace: str) -> SidecarScope:
    """Narrow the default scope of a namespace to what a Sidecar resource imports.

    A Sidecar of the root namespace means the caller's own namespace by `.`, as that one's own would.
    """
    spec: Sidecar = resource.spec
    visible = everything.egress[0]
    egress = tuple(_egress_listener(written, namespace, visible) for written in spec.egress)
    policy = everything.outbound_traffic_policy
    if spec.outbound_traffic_policy is not None:
        # What stands there without a mode is the strict one.
        policy = OutboundTrafficPolicy(str(spec.outbound_traffic_policy.mode or "REGISTRY_ONLY"))
    implied = _destinations(egress, visible)
    return SidecarScope(egress or everything.egress, policy, resource, implied)


def _destinations(egress: Sequence[EgressListener], visible: EgressListener) -> tuple[Service, ...]:
    """The services that the imported VirtualServices lead to."""
    rules = [rule for listener in egress for rule in listener.virtual_services]
    hosts = {host for rule in rules for host in rule.destination_hosts()}
    return tuple(service for service in visible.services if service.hostname in hosts)


def unique_by_hostname(services: Sequence[Service], namespace: str) -> list[Service]:
    """One service for each name, of those that the caller may see.

    That of its own namespace, else a Kubernetes Service, whose name no ServiceEntry of another namespace can
    take, else the oldest.
    """
    chosen: dict[str, Service] = {}
    for service in services:
        known = chosen.get(service.hostname)
        if known is None or _rank(service, namespace) > _rank(known, namespace):
            chosen[service.hostname] = service
    return list(chosen.values())


def _rank(service: Service, namespace: str) -> tuple[bool, bool, bool]:
    return (service.visible_from(namespace), service.namespace == namespace, service.kubernetes)


def _egress_listener(written: IstioEgressListener, namespace: str, visible: EgressListener) -> EgressListener:
    imports = [_import(host, namespace) for host in written.hosts]
    port = written.port.number if written.port is not None else None
    protocol = parse_protocol(written.port.protocol) if written.port else Protocol.UNSUPPORTED
    services = [s for s in visible.services if _imports_service(imports, s)]
    if port and protocol is not Protocol.HTTP_PROXY:  # which tells ports by the host header
        services = [s for s in services if s.port(port) is not None]
    return EgressListener(
        port=port,
        bind=written.bind,
        protocol=protocol,
        services=tuple(services),
        virtual_services=tuple(v for v in visible.virtual_services if _imports_rule(imports, v)),
        bound=written.capture_mode is CaptureMode.NONE,
    )


def _import(written: str, namespace: str) -> tuple[str, str]:
    """`ns/host` -> (ns, host); `.` is the Sidecar's own namespace."""
    owner, _, host = written.lower().partition("/")
    return (namespace if owner == "." else owner, host)


def _imports_service(imports: Sequence[tuple[str, str]], service: Service) -> bool:
    return any(ns in ("*", service.namespace) and is_subset(service.hostname, host) for ns, host in imports)


def _imports_rule(imports: Sequence[tuple[str, str]], rule: VirtualServiceConfig) -> bool:
    return any(
        ns in ("*", rule.namespace) and any(overlaps(h, host) for h in rule.hosts) for ns, host in imports
    )
