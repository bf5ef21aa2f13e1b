"""Route configurations of a sidecar's outbound side: one for each service port, and `http_proxy` for all.

The name tells what a configuration is for: `8000` all HTTP services of that port; `host:8000` one service
whose protocol is found out by looking; `http_proxy` every service, told apart by the port in the host header;
and `unix://...` a socket of a Sidecar's egress listener.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.control_plane.push_context.hostnames import MESH_GATEWAY, is_subset, is_wildcard, overlaps
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation import named_destinations
from minimesh.control_plane.translation.gateway_routes import MAX_DIRECT_RESPONSE_BODY_BYTES
from minimesh.control_plane.translation.hash_policies import hash_of_service
from minimesh.control_plane.translation.http_routes import (
    RouteContext,
    build_http_routes,
    default_outbound_route,
    trace_operation,
)
from minimesh.control_plane.translation.protobuf_values import boolean, duration, uint32
from minimesh.control_plane.translation.virtual_host_domains import domain_name, service_domains
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.sidecar_scope import EgressListener, SidecarScope
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.service_registry.services import Service
    from minimesh.control_plane.translation.proxy import Proxy

_PLAIN_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class RouteName:
    """A sidecar's route configuration name taken apart. `port` 0: any port, told by the host header."""

    port: int
    host: str = ""

    @classmethod
    def parse(cls, name: str) -> RouteName | None:
        """None for a name no sidecar listener refers to."""
        if name == resource_names.HTTP_PROXY_ROUTE or name.startswith(UNIX_PREFIX):
            return cls(0)
        host, _, port = name.rpartition(":")
        return cls(int(port), host) if port.isascii() and port.isdigit() else None


def build_sidecar_route_config(proxy: Proxy, push: PushContext, scope: SidecarScope, name: str) -> Any | None:
    """The outbound route configuration of that name, or None for a name that means nothing to a sidecar."""
    parsed = RouteName.parse(name)
    if parsed is None:
        return None
    listener = scope.listener_for(parsed.port, name)
    port = parsed.port
    if listener is not None and listener.port is not None and listener.protocol is Protocol.HTTP_PROXY:
        port = 0
    virtual_hosts = _Outbound(proxy, push, listener, port).virtual_hosts() if listener is not None else []
    if parsed.host:
        virtual_hosts = _only_host(virtual_hosts, name, parsed.host)
    virtual_hosts.sort(key=lambda virtual_host: virtual_host.name)
    if not parsed.host:
        virtual_hosts.append(_catch_all(scope.allows_any, _stranger_cluster(proxy, push, name)))
    return m.route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=virtual_hosts,
        validate_clusters=boolean(False),
        max_direct_response_body_size_bytes=uint32(MAX_DIRECT_RESPONSE_BODY_BYTES),
        # Where the port in the host header tells services apart, it must not be ignored.
        ignore_port_in_host_matching=port != 0,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Services of one port that share routes, and hosts of a VirtualService that no service has."""

    port: int
    routes: Sequence[Any]
    services: Sequence[Service] = ()
    hosts: Sequence[str] = ()


@dataclass(slots=True)
class _Outbound:
    """Collects the virtual hosts of one configuration. `port` 0 takes all ports."""

    proxy: Proxy
    push: PushContext
    listener: EgressListener
    port: int
    _names: set[str] = field(default_factory=set)
    _domains: set[str] = field(default_factory=set)

    def virtual_hosts(self) -> list[Any]:
        groups = list(self._groups())
        known = {n for g in groups for s in g.services for n in (s.hostname, domain_name(s.hostname, g.port))}
        found = []
        for group in groups:
            if self.port not in (0, group.port):
                continue
            for virtual_host in self._virtual_hosts_of(group, known):
                if self.port == 0 and group.port != _PLAIN_HTTP_PORT:
                    _keep_domains_with_port(virtual_host)
                if virtual_host.domains:
                    found.append(virtual_host)
        return found

    def _groups(self) -> Iterator[_Group]:
        services = self._services()
        taken: set[tuple[str, int]] = set()
        for rule in self._rules(services):
            for group in self._groups_of_rule(rule, services):
                taken.update((service.hostname, group.port) for service in group.services)
                yield group
        for service in services.values():
            if service.resolution is not Resolution.ALIAS:
                yield from self._groups_of_service(service, taken)

    def _services(self) -> dict[str, Service]:
        """The listener's services by name, reduced to the port in question."""
        found = {}
        for service in self.listener.services:
            if self.port == 0:
                found[service.hostname] = service
                continue
            port = service.port(self.port)
            if port is not None:
                found[service.hostname] = replace(service, ports=(port,))
        return found

    def _rules(self, services: Mapping[str, Service]) -> Iterable[VirtualServiceConfig]:
        """The VirtualServices that concern these services. On port 80 hosts that no service has count too."""
        if self.port == _PLAIN_HTTP_PORT:
            return self.listener.virtual_services
        return [
            rule
            for rule in self.listener.virtual_services
            if any(host in services or any(overlaps(host, s) for s in services) for host in rule.hosts)
        ]

    def _groups_of_rule(
        self, rule: VirtualServiceConfig, services: Mapping[str, Service]
    ) -> Iterator[_Group]:
        hosts, matching = self._split_hosts(rule, services)
        by_port: dict[int, list[Service]] = {}
        for service in matching:
            for port in service.ports:
                if port.protocol.is_http_or_sniffed:
                    by_port.setdefault(port.port, []).append(service)
        if not by_port and self.port == _PLAIN_HTTP_PORT:
            by_port[_PLAIN_HTTP_PORT] = []
        for number, group in by_port.items():
            # Where one configuration serves all ports, a rule's conditions still mean the service's own.
            routes = build_http_routes(rule, self._context(services, self.port or number))
            if routes:
                yield _Group(number, routes, group, hosts)

    def _split_hosts(
        self, rule: VirtualServiceConfig, services: Mapping[str, Service]
    ) -> tuple[list[str], list[Service]]:
        """(hosts that are no service's, services that the rule's hosts name)."""
        strangers: list[str] = []
        matching: dict[str, Service] = {}
        for host in sorted(rule.hosts, key=is_wildcard):
            if not is_wildcard(host):
                if host in services:
                    matching[host] = services[host]
                else:
                    strangers.append(host)
                continue
            covered = [s for s in services.values() if is_subset(s.hostname, host)]
            if not covered or rule.gateway_semantics:
                strangers.append(host)
            for service in covered:
                # Each service follows the rule with the closest wildcard only.
                if self.listener.wildcard_owner(service.hostname) is rule:
                    matching.setdefault(service.hostname, service)
        return strangers, list(matching.values())

    def _groups_of_service(self, service: Service, taken: Set[tuple[str, int]]) -> Iterator[_Group]:
        rule = self.push.destination_rule(service.hostname, self.proxy.namespace, self.proxy.labels)
        for port in service.ports:
            if not port.protocol.is_http_or_sniffed or (service.hostname, port.port) in taken:
                continue
            cluster = resource_names.outbound(port.port, service.hostname)
            operation = trace_operation(service.hostname, port.port)
            hashed_by = hash_of_service(port.port, rule)
            route = default_outbound_route(cluster, operation, self.push.mesh, hashed_by)
            yield _Group(port.port, [route], [service])

    def _virtual_hosts_of(self, group: _Group, known: set[str]) -> Iterator[Any]:
        suffix = 0 if self.port != 0 else group.port
        for host in group.hosts:
            domains = [host] if suffix == 0 else [host, domain_name(host, suffix)]
            yield from self._virtual_host(domain_name(host, group.port), domains, [], known, group.routes)
        for service in group.services:
            domains, short = service_domains(service, suffix, self.proxy.dns_domain, ipv6=self.proxy.is_ipv6)
            name = domain_name(service.hostname, group.port)
            yield from self._virtual_host(name, domains, short, known, group.routes)

    def _virtual_host(
        self, name: str, domains: Iterable[str], short: Sequence[str], known: set[str], routes: Sequence[Any]
    ) -> Iterator[Any]:
        """The virtual host, unless its name is taken, without domains another has already.

        Envoy refuses a whole configuration for one domain that stands twice. An abbreviation gives way to a
        service that really has that name.
        """
        if name in self._names:
            return
        self._names.add(name)
        free = []
        for domain in domains:
            if domain.lower() in self._domains or (domain in short and domain in known):
                continue
            self._domains.add(domain.lower())
            free.append(domain)
        if free:
            yield m.route_components_pb2.VirtualHost(
                name=name, domains=free, routes=routes, include_request_attempt_count=True
            )

    def _context(self, services: Mapping[str, Service], listen_port: int) -> RouteContext:
        proxy, push = self.proxy, self.push
        return RouteContext(
            listen_port=listen_port,
            gateway_names=frozenset({MESH_GATEWAY}),
            find_service=services.get,
            find_destination_rule=lambda host: push.destination_rule(host, proxy.namespace, proxy.labels),
            proxy_labels=proxy.labels,
            proxy_namespace=proxy.namespace,
            mesh=push.mesh,
        )


def _keep_domains_with_port(virtual_host: Any) -> None:
    """Without a port in the host header a client of a proxy means port 80, so that other ports need it."""
    kept = [domain for domain in virtual_host.domains if ":" in domain]
    del virtual_host.domains[:]
    virtual_host.domains.extend(kept)


def _only_host(virtual_hosts: Sequence[Any], route_name: str, host: str) -> list[Any]:
    """The one service that a listener of its own serves, whatever name the client calls it by."""
    found = [v for v in virtual_hosts if route_name in v.domains or host in v.domains]
    if len(found) == 1:
        del found[0].domains[:]
        found[0].domains.append("*")
    return found


def _stranger_cluster(proxy: Proxy, push: PushContext, route_name: str) -> str:
    """Where calls to undeclared hosts go. Calls to an explicit proxy have no destination but their host."""
    if route_name == resource_names.HTTP_PROXY_ROUTE and named_destinations.is_wanted(proxy, push):
        return named_destinations.BY_NAME_CLUSTER
    return resource_names.PASSTHROUGH_CLUSTER


def _catch_all(allow_any: bool, stranger_cluster: str) -> Any:
    """What happens to hosts nobody declared: they go where they wanted to, or get a 502."""
    name = "allow_any" if allow_any else "block_all"
    route = m.route_components_pb2.Route(name=name, match=m.route_components_pb2.RouteMatch(prefix="/"))
    if allow_any:
        route.route.cluster = stranger_cluster
        route.route.timeout.CopyFrom(duration(0))
        route.route.max_grpc_timeout.CopyFrom(duration(0))
    else:
        route.direct_response.status = 502
    return m.route_components_pb2.VirtualHost(
        name=name, domains=["*"], routes=[route], include_request_attempt_count=True
    )
