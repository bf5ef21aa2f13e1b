"""Listeners for the calls of a sidecar's own application.

Calls arrive at `virtualOutbound`, which hands each connection to the listener of its original destination:
`0.0.0.0_8000` for HTTP services of that port, `10.96.1.2_3306` for a TCP service. A client that is configured
to use a proxy calls the HTTP proxy listener instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.hostnames import overlaps
from minimesh.control_plane.push_context.gateways import WILDCARD_ADDRESS
from minimesh.control_plane.push_context.telemetry import TrafficMode
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation import named_destinations
from minimesh.control_plane.translation.access_logs import build_listener_access_logs
from minimesh.control_plane.translation.l4_routes import sidecar_tcp_routes, sidecar_tls_routes
from minimesh.control_plane.translation.listener_filters import (
    PLAIN_HTTP_PROTOCOLS,
    add_http_inspector,
    add_tls_inspector,
)
from minimesh.control_plane.translation.network_filters import FilterBuilder, destination_port_match
from minimesh.control_plane.translation.protobuf_values import address, boolean, cidr_range, duration
from minimesh.control_plane.translation.virtual_host_domains import service_domains
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.sidecar_scope import EgressListener, SidecarScope
    from minimesh.control_plane.service_registry.services import Service, ServicePort
    from minimesh.control_plane.translation.proxy import Proxy

LOCALHOST = "127.0.0.1"


def build_outbound_listeners(proxy: Proxy, push: PushContext) -> Iterator[Any]:
    """All outbound listeners of a sidecar. One name, one listener: the older service's wins."""
    scope = push.sidecar_scope(proxy.namespace, proxy.labels)
    filters = FilterBuilder(proxy, push)
    found: dict[str, Any] = {}
    for egress in scope.egress:
        for listener in _WayOut(filters, scope, egress).listeners():
            if listener.name in found:
                _merge_listener(found[listener.name], listener)
            else:
                found[listener.name] = listener
    yield from found.values()
    yield _virtual_outbound(filters, scope)
    if push.mesh.proxy_http_port:
        yield _http_proxy(filters)


@dataclass(frozen=True, slots=True)
class _WayOut:
    """Builds the listeners of one egress listener of a sidecar's scope."""

    filters: FilterBuilder
    scope: SidecarScope
    egress: EgressListener

    def listeners(self) -> Iterator[Any]:
        """One name may come several times: services share ports."""
        if self.egress.port:
            for listener in self._of_port(self.egress.port):
                listener.bind_to_port.value = self.egress.bound
                yield listener
            return
        if self.egress.port is None:
            http_ports: set[int] = set()
            for service, port in self._service_ports():
                if port.protocol.is_http:
                    if port.port in http_ports:
                        continue  # one listener serves HTTP of all services
                    http_ports.add(port.port)
                yield from self._of_service(service, port)

    def _service_ports(self) -> Iterator[tuple[Service, ServicePort]]:
        for service in self.egress.services:
            if service.resolution is not Resolution.ALIAS:
                yield from ((service, port) for port in service.ports if port.protocol is not Protocol.UDP)

    def _of_port(self, number: int) -> Iterator[Any]:
        """Those of a Sidecar's egress port, at the address it says; TCP services else at their own."""
        bind = self.egress.bind or (LOCALHOST if self.egress.bound else "")
        if self.egress.protocol.is_http:
            yield self._http(bind or WILDCARD_ADDRESS, number)
            return
        for service, port in self._service_ports():
            if port.port != number:
                continue
            if bind:
                yield self._at_address(service, port, bind)
            else:
                yield from self._of_service(service, port)

    def _of_service(self, service: Service, port: ServicePort) -> Iterator[Any]:
        addresses = service.addresses
        if port.protocol.is_http or (not addresses and port.protocol is Protocol.UNSUPPORTED):
            yield self._http(WILDCARD_ADDRESS, port.port)
            return
        if service.address_ranges or not (addresses or service.kubernetes):
            yield self._without_address(service, port)
            if not addresses:
                return
        if not addresses:
            # A headless TCP service is called by the addresses of its pods.
            endpoints = self.filters.push.registry.endpoints(service, port)
            addresses = tuple(each.address for each in endpoints if each.port == port.port)
        for bind in addresses:
            yield self._at_address(service, port, bind)

    def _http(self, bind: str, port: int) -> Any:
        """HTTP of all services of a port; what is no HTTP goes to where it was going."""
        listener = self._captured(bind, port)
        self._add_http_chain(listener, str(port))
        listener.default_filter_chain.CopyFrom(_stranger_chain(self.filters, self.scope))
        return listener

    def _without_address(self, service: Service, port: ServicePort) -> Any:
        """A service outside the mesh without an address of its own: known by the subnets that it lives in, by
        the name in the TLS hello, or by its port."""
        listener = self._captured(WILDCARD_ADDRESS, port.port)
        chains = self._l4_chains(service, port)
        ranges = [cidr_range(each) for each in service.address_ranges]
        for chain in chains:
            if not chain.filter_chain_match.prefix_ranges:
                chain.filter_chain_match.prefix_ranges.extend(ranges)
        self._add_l4_chains(listener, chains)
        return listener

    def _at_address(self, service: Service, port: ServicePort, bind: str) -> Any:
        """One service at its own address: TCP, or where nothing says so whatever it turns out to be."""
        proxy = self.filters.proxy
        listener = self._captured(bind, port.port)
        _write_names(listener, service_domains(service, 0, proxy.dns_domain, ipv6=proxy.is_ipv6)[0])
        if port.protocol is Protocol.UNSUPPORTED:
            self._add_http_chain(listener, f"{service.hostname}:{port.port}")
        self._add_l4_chains(listener, self._l4_chains(service, port))
        return listener

    def _captured(self, bind: str, port: int) -> Any:
        """A listener that binds nothing: connections come to it from `virtualOutbound`."""
        proxy, push = self.filters.proxy, self.filters.push
        return m.listener_pb2.Listener(
            name=resource_names.listener_name(bind, port),
            address=address(bind, port),
            bind_to_port=boolean(False),
            traffic_direction=m.base_pb2.TrafficDirection.OUTBOUND,
            continue_on_listener_filters_timeout=True,
            listener_filters_timeout=duration(push.mesh.protocol_detection_timeout_s),
            access_log=build_listener_access_logs(proxy, push, TrafficMode.CLIENT),
        )

    def _add_http_chain(self, listener: Any, route_name: str) -> None:
        """A chain for what turns out to be plain HTTP, and who finds that out."""
        chain = listener.filter_chains.add(
            filters=[self.filters.outbound_http(f"outbound_{listener.name}", route_name)]
        )
        chain.filter_chain_match.transport_protocol = "raw_buffer"
        chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP_PROTOCOLS)
        add_tls_inspector(listener)
        add_http_inspector(listener)

    def _l4_chains(self, service: Service, port: ServicePort) -> list[Any]:
        """Chains for the TLS or TCP rules of the service's VirtualServices; the rest goes straight to it."""
        filters = self.filters
        rules = [
            rule
            for rule in self.egress.virtual_services
            if any(overlaps(service.hostname, host) for host in rule.hosts)
        ]
        if port.protocol in (Protocol.TLS, Protocol.HTTPS):
            routes = sidecar_tls_routes(rules, port.port, filters.proxy)
            if routes:
                return [filters.l4_chain(route, port.port) for route in routes]
            return [_straight_chain(filters, service, port, () if service.addresses else (service.hostname,))]
        routes = sidecar_tcp_routes(rules, port.port, filters.proxy)
        chains = [filters.l4_chain(route, port.port) for route in routes]
        if all(route.subnets for route in routes):
            chains.append(_straight_chain(filters, service, port))
        return chains

    def _add_l4_chains(self, listener: Any, chains: Sequence[Any]) -> None:
        """Add chains, of which one may take every connection; what none takes is a stranger's.

        Chains told apart by server names need somebody to read the hello.
        """
        if any(chain.filter_chain_match.server_names for chain in chains):
            add_tls_inspector(listener)
        listener.filter_chains.extend(chains)
        taking_all = [
            i for i, c in enumerate(listener.filter_chains) if not c.filter_chain_match.ListFields()
        ]
        if not taking_all:
            listener.default_filter_chain.CopyFrom(_stranger_chain(self.filters, self.scope))
        elif len(listener.filter_chains) > 1:
            # Beside others it is the default: else a connection that fits the first half of another chain's
            # match and not the second would be dropped.
            listener.default_filter_chain.CopyFrom(listener.filter_chains.pop(taking_all[0]))


def _straight_chain(
    filters: FilterBuilder, service: Service, port: ServicePort, server_names: Sequence[str] = ()
) -> Any:
    cluster = resource_names.outbound(port.port, service.hostname)
    network_filter = filters.tcp(cluster, TrafficMode.CLIENT, policy=filters.policy_of(cluster))
    chain = m.listener_components_pb2.FilterChain(filters=[network_filter])
    if server_names:
        chain.filter_chain_match.server_names.extend(server_names)
    return chain


def _merge_listener(known: Any, other: Any) -> None:
    """Let services told apart by name or by subnet share a port; else the first one keeps it."""
    chains = (*known.filter_chains, *other.filter_chains)
    if not all(_told_apart_by(chain) != {("", "")} for chain in chains):
        return
    taken = {each for chain in known.filter_chains for each in _told_apart_by(chain)}
    for chain in other.filter_chains:
        if taken.isdisjoint(_told_apart_by(chain)):
            known.filter_chains.append(chain)
    for listener_filter in other.listener_filters:
        if all(each.name != listener_filter.name for each in known.listener_filters):
            known.listener_filters.append(listener_filter)


def _told_apart_by(chain: Any) -> set[tuple[str, str]]:
    """The names and subnets that a chain asks for, in pairs; empty text where it asks for none."""
    match = chain.filter_chain_match
    names = [*match.server_names] or [""]
    subnets = [f"{each.address_prefix}/{each.prefix_len.value}" for each in match.prefix_ranges] or [""]
    return {(name, subnet) for name in names for subnet in subnets}


def _write_names(listener: Any, names: Sequence[str]) -> None:
    """Under which names the application knows the listener's address; Envoy pays no heed to it.

    A client that asks the explicit proxy for a tunnel names the service, where a redirected one has asked DNS
    for its address.
    """
    listener.metadata.filter_metadata["minimesh"].update({"names": list(names)})


def _stranger_chain(filters: FilterBuilder, scope: SidecarScope) -> Any:
    return m.listener_components_pb2.FilterChain(
        name="PassthroughFilterChain",
        filters=[filters.tcp(_stranger_cluster(scope), TrafficMode.CLIENT)],
    )


def _stranger_cluster(scope: SidecarScope) -> str:
    return resource_names.PASSTHROUGH_CLUSTER if scope.allows_any else resource_names.BLACK_HOLE_CLUSTER


def _virtual_outbound(filters: FilterBuilder, scope: SidecarScope) -> Any:
    """Where captured connections arrive. One that was meant for this very port goes nowhere, lest it loop."""
    proxy, push = filters.proxy, filters.push
    port = push.mesh.proxy_listen_port
    black_hole = m.listener_components_pb2.FilterChain(
        name="virtualOutbound-blackhole",
        filter_chain_match=destination_port_match(port),
        filters=[filters.tcp(resource_names.BLACK_HOLE_CLUSTER, TrafficMode.CLIENT, logged=False)],
    )
    catch_all = m.listener_components_pb2.FilterChain(
        name="virtualOutbound-catchall-tcp",
        filters=[filters.tcp(_stranger_cluster(scope), TrafficMode.CLIENT)],
    )
    return m.listener_pb2.Listener(
        name=resource_names.VIRTUAL_OUTBOUND_LISTENER,
        address=address(WILDCARD_ADDRESS, port),
        use_original_dst=boolean(True),
        traffic_direction=m.base_pb2.TrafficDirection.OUTBOUND,
        filter_chains=[black_hole, catch_all],
        access_log=build_listener_access_logs(proxy, push, TrafficMode.CLIENT),
    )


def _http_proxy(filters: FilterBuilder) -> Any:
    """The listener for clients that were told to use a proxy (`http_proxy=http://127.0.0.1:15080`)."""
    proxy, push = filters.proxy, filters.push
    port = push.mesh.proxy_http_port
    name = resource_names.listener_name(LOCALHOST, port)
    chain = m.listener_components_pb2.FilterChain(
        filters=[filters.outbound_http(f"outbound_{name}", resource_names.HTTP_PROXY_ROUTE)]
    )
    listener = m.listener_pb2.Listener(
        name=name,
        address=address(LOCALHOST, port),
        traffic_direction=m.base_pb2.TrafficDirection.OUTBOUND,
        filter_chains=[chain],
        access_log=build_listener_access_logs(proxy, push, TrafficMode.CLIENT),
    )
    if named_destinations.is_wanted(proxy, push):
        named_destinations.let_tunnel(listener)
    return listener
