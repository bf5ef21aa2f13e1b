"""Route configurations of a sidecar's outbound side: one for each service port, and `http_proxy` for all.

The name tells what a configuration is for: `8000` all HTTP services of that port; `host:8000` one service
whose protocol is found out by looking; `http_proxy` every service, told apart by the port in the host header;
and `unix://...` a socket of a Sidecar's egress listener.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.control_plane.hostnames import MESH_GATEWAY, is_subset, is_wildcard, overlaps
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
    from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig
    from minimesh.control_plane.push_context.sharing import Sharing
    from minimesh.control_plane.push_context.sidecar_scope import EgressListener, SidecarScope
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.service_registry.services import Service, ServicePort
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
        number = decimal(port)
        return cls(number, host) if number is not None else None


def build_sidecar_route_config(
    proxy: Proxy, push: PushContext, scope: SidecarScope, name: str, share: Sharing
) -> Any | None:
    """The outbound route configuration of that name, or None for a name that means nothing to a sidecar."""
    parsed = RouteName.parse(name)
    if parsed is None:
        return None
    listener = scope.listener_for(parsed.port, name)
    port = parsed.port
    if listener is not None and listener.port is not None and listener.protocol is Protocol.HTTP_PROXY:
        port = 0
    outbound = _Outbound(proxy, push, share, listener, port) if listener is not None else None
    virtual_hosts = outbound.virtual_hosts() if outbound is not None else []
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
    """Collects the virtual hosts of one configuration. `port` 0 takes all ports.

    Routes and virtual hosts last: what a push does not touch is taken from the one before.
    """

    proxy: Proxy
    push: PushContext
    share: Sharing
    listener: EgressListener
    port: int
    _names: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)

    def virtual_hosts(self) -> list[Any]:
        groups = list(self._groups())
        known = {n for g in groups for s in g.services for n in (s.hostname, domain_name(s.hostname, g.port))}
        found: list[Any] = []
        for group in groups:
            if self.port not in (0, group.port):
                continue
            found.extend(self._virtual_hosts_of(group, known))
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
                found[service.hostname] = self._with_one_port(service, port)
        return found

    def _with_one_port(self, service: Service, port: ServicePort) -> Service:
        if len(service.ports) == 1:
            return service
        return self.share.lasting(
            "service of one port", (service, port), self.proxy, lambda _seen: replace(service, ports=(port,))
        )

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
            routes = self._routes_of_rule(rule, services, self.port or number)
            if routes:
                yield _Group(number, routes, group, hosts)

    def _routes_of_rule(
        self, rule: VirtualServiceConfig, services: Mapping[str, Service], listen_port: int
    ) -> Sequence[Any]:
        proxy, push = self.proxy, self.push
        hosts = sorted(rule.destination_hosts())
        named = {host: services.get(host) for host in hosts}
        policies = {host: push.destination_rule(host, proxy.namespace, proxy.labels) for host in hosts}

        def make(seen: Proxy) -> Sequence[Any]:
            context = RouteContext(
                listen_port=listen_port,
                gateway_names=frozenset({MESH_GATEWAY}),
                find_service=named.get,
                find_destination_rule=policies.get,
                proxy_labels=seen.labels,
                proxy_namespace=seen.namespace,
                mesh=push.mesh,
            )
            return build_http_routes(rule, context)

        inputs = (rule, push.mesh, *named.values(), *policies.values())
        return self.share.lasting(("routes", listen_port), inputs, proxy, make)

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
                continue
            for service in covered:
                # Each service follows the rule with the closest host only.
                if self.listener.owner(service.hostname) is rule:
                    matching.setdefault(service.hostname, service)
        return strangers, list(matching.values())

    def _groups_of_service(self, service: Service, taken: Set[tuple[str, int]]) -> Iterator[_Group]:
        rule = self.push.destination_rule(service.hostname, self.proxy.namespace, self.proxy.labels)
        for port in service.ports:
            if not port.protocol.is_http_or_sniffed or (service.hostname, port.port) in taken:
                continue
            yield _Group(port.port, self._routes_without_rule(service, port.port, rule), [service])

    def _routes_without_rule(
        self, service: Service, port: int, rule: DestinationRuleConfig | None
    ) -> Sequence[Any]:
        mesh = self.push.mesh

        def make(_seen: Proxy) -> Sequence[Any]:
            cluster = resource_names.outbound(port, service.hostname)
            operation = trace_operation(service.hostname, port)
            return [default_outbound_route(cluster, operation, mesh, hash_of_service(port, rule))]

        return self.share.lasting(("default routes", port), (service, rule, mesh), self.proxy, make)

    def _virtual_hosts_of(self, group: _Group, known: set[str]) -> Iterator[Any]:
        suffix = 0 if self.port != 0 else group.port
        for host in group.hosts:
            domains = [host] if suffix == 0 else [host, domain_name(host, suffix)]
            yield from self._virtual_host(domain_name(host, group.port), domains, [], known, group)
        for service in group.services:
            domains, short = self._domains(service, suffix)
            yield from self._virtual_host(
                domain_name(service.hostname, group.port), domains, short, known, group
            )

    def _domains(self, service: Service, suffix: int) -> tuple[list[str], list[str]]:
        def make(seen: Proxy) -> tuple[list[str], list[str]]:
            return service_domains(service, suffix, seen.dns_domain, ipv6=seen.is_ipv6)

        return self.share.lasting(("domains", suffix), (service,), self.proxy, make)

    def _virtual_host(
        self, name: str, domains: Iterable[str], short: Sequence[str], known: set[str], group: _Group
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
            if domain.lower() in self._taken or (domain in short and domain in known):
                continue
            self._taken.add(domain.lower())
            free.append(domain)
        if self.port == 0 and group.port != _PLAIN_HTTP_PORT:
            # Without a port in the host header a client of a proxy means port 80; other ports need it.
            free = [domain for domain in free if ":" in domain]
        if free:
            part = ("virtual host", name, tuple(free))
            yield self.share.lasting(
                part, (group.routes,), self.proxy, lambda _seen: _make_virtual_host(name, free, group.routes)
            )


def _make_virtual_host(name: str, domains: Sequence[str], routes: Sequence[Any]) -> Any:
    return m.route_components_pb2.VirtualHost(
        name=name, domains=domains, routes=routes, include_request_attempt_count=True
    )


def _only_host(virtual_hosts: Sequence[Any], route_name: str, host: str) -> list[Any]:
    """The one service that a listener of its own serves, whatever name the client calls it by."""
    found = [v for v in virtual_hosts if route_name in v.domains or host in v.domains]
    if len(found) != 1:
        return found
    only = m.route_components_pb2.VirtualHost()
    only.CopyFrom(found[0])
    del only.domains[:]
    only.domains.append("*")
    return [only]


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
