"""Route configurations of a gateway: one for each plain HTTP port, with the hosts of all VirtualServices.

On a gateway, unlike in a sidecar, VirtualServices for the same host add up: their routes follow each other in
the order of their age, and what matches everything is moved to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.hostnames import intersection
from minimesh.control_plane.translation.http_routes import RouteContext, build_http_routes
from minimesh.control_plane.translation.protobuf_values import boolean, uint32
from minimesh.control_plane.translation.route_match import sort_catch_all_last
from minimesh.control_plane.translation.virtual_host_domains import domain_name
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.gateways import GatewayServer, MergedGateway
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.translation.proxy import Proxy

MAX_DIRECT_RESPONSE_BODY_BYTES = 1024 * 1024


def build_gateway_route_config(
    proxy: Proxy, push: PushContext, merged: MergedGateway, route_name: str
) -> Any:
    """The route configuration of that name; empty when no server of the gateway uses it (any more)."""
    servers = merged.servers_by_route.get(route_name)
    if not servers:
        return m.route_pb2.RouteConfiguration(name=route_name, validate_clusters=boolean(False))
    hosts = _GatewayHosts(proxy, push)
    for server in servers:
        hosts.add_server(server)
    return m.route_pb2.RouteConfiguration(
        name=route_name,
        virtual_hosts=hosts.virtual_hosts(servers[0].port),
        validate_clusters=boolean(False),
        ignore_port_in_host_matching=True,
        max_direct_response_body_size_bytes=uint32(MAX_DIRECT_RESPONSE_BODY_BYTES),
    )


class _GatewayHosts:
    """The virtual hosts of one route configuration while they are collected, by host name."""

    def __init__(self, proxy: Proxy, push: PushContext) -> None:
        self._proxy = proxy
        self._push = push
        self._by_host: dict[str, Any] = {}
        self._routes: dict[tuple[str, str, str], list[Any]] = {}

    def add_server(self, server: GatewayServer) -> None:
        for rule in self._push.gateway_rules(self._proxy.namespace, server.gateway):
            hosts = intersection(server.hosts_for(rule.namespace), rule.hosts)
            routes = self._routes_of(rule, server) if hosts else []
            if not routes:
                continue
            for host in hosts:
                virtual_host = self._virtual_host(host, server)
                virtual_host.routes.extend(routes)
        if server.https_redirect:
            # A host that redirects needs no VirtualService: it answers everything with 301.
            for host in server.hosts:
                self._virtual_host(host, server)

    def virtual_hosts(self, port: int) -> list[Any]:
        """All virtual hosts by name, those with equal routes as one; a lone blackhole when there are none."""
        if not self._by_host:
            return [m.route_components_pb2.VirtualHost(name=domain_name("blackhole", port), domains=["*"])]
        for virtual_host in self._by_host.values():
            routes = sort_catch_all_last(virtual_host.routes)
            del virtual_host.routes[:]
            virtual_host.routes.extend(routes)
        return sorted(self._collapsed(), key=lambda virtual_host: virtual_host.name)

    def _collapsed(self) -> Sequence[Any]:
        """Hosts whose routes are the same share the virtual host of the alphabetically first."""
        found: dict[bytes, Any] = {}
        for host in sorted(self._by_host):
            virtual_host = self._by_host[host]
            anonymous = m.route_components_pb2.VirtualHost()
            anonymous.CopyFrom(virtual_host)
            anonymous.name = ""
            del anonymous.domains[:]
            key = anonymous.SerializeToString(deterministic=True)
            if key in found:
                found[key].domains.extend(virtual_host.domains)
            else:
                found[key] = virtual_host
        return list(found.values())

    def _virtual_host(self, host: str, server: GatewayServer) -> Any:
        virtual_host = self._by_host.get(host)
        if virtual_host is None:
            virtual_host = m.route_components_pb2.VirtualHost(
                name=domain_name(host, server.port), domains=[host], include_request_attempt_count=True
            )
            self._by_host[host] = virtual_host
        if server.https_redirect:
            virtual_host.require_tls = m.route_components_pb2.VirtualHost.ALL
        return virtual_host

    def _routes_of(self, rule: VirtualServiceConfig, server: GatewayServer) -> list[Any]:
        key = (server.gateway, rule.namespace, rule.name)
        if key not in self._routes:
            self._routes[key] = build_http_routes(rule, self._context(rule, server))
        return self._routes[key]

    def _context(self, rule: VirtualServiceConfig, server: GatewayServer) -> RouteContext:
        proxy, push = self._proxy, self._push
        return RouteContext(
            listen_port=server.port,
            gateway_names=frozenset({server.gateway}),
            find_service=_service_finder(push, rule, proxy),
            find_destination_rule=lambda host: push.destination_rule(host, proxy.namespace, proxy.labels),
            proxy_labels=proxy.labels,
            proxy_namespace=proxy.namespace,
            is_tls=server.tls is not None,
            mesh=push.mesh,
        )


def _service_finder(push: PushContext, rule: VirtualServiceConfig, proxy: Proxy) -> Callable[[str], Any]:
    return lambda hostname: push.service_for(hostname, rule.namespace, proxy.namespace)
