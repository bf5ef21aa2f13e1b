"""Listeners of a gateway: one for each of its own ports that some Gateway opens.

A port that no Gateway names has no listener, so that connections to it are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.telemetry import TrafficMode
from minimesh.control_plane.translation.access_logs import build_listener_access_logs
from minimesh.control_plane.translation.gateway_tls import build_tls_chains
from minimesh.control_plane.translation.l4_routes import gateway_tcp_route
from minimesh.control_plane.translation.listener_filters import add_tls_inspector
from minimesh.control_plane.translation.network_filters import FilterBuilder
from minimesh.control_plane.translation.protobuf_values import address
from minimesh.control_plane.translation.proxy import container_ports
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.gateways import GatewayServer, ServerPort
    from minimesh.control_plane.translation.proxy import Proxy

_FIRST_UNPRIVILEGED_PORT = 1024


def build_gateway_listeners(proxy: Proxy, push: PushContext) -> Iterator[Any]:
    """A listener for each port with servers, plain or TLS."""
    merged = push.merged_gateway(proxy.namespace, proxy.labels, container_ports(proxy, push))
    for port, servers in merged.plain_servers.items():
        if proxy.unprivileged and port.port < _FIRST_UNPRIVILEGED_PORT:
            continue
        chain = _filter_chain(proxy, push, port, servers)
        if chain is not None:
            yield _listener(proxy, push, port, [chain])
    for port, servers in merged.tls_servers.items():
        if proxy.unprivileged and port.port < _FIRST_UNPRIVILEGED_PORT:
            continue
        filters = FilterBuilder(proxy, push)
        chains = build_tls_chains(filters, port, servers, partial(_tcp_filter, filters))
        if chains:
            listener = _listener(proxy, push, port, chains)
            add_tls_inspector(listener)
            yield listener


def _tcp_filter(filters: FilterBuilder, server: GatewayServer) -> Any | None:
    chain = _tcp_chain(filters, server)
    return None if chain is None else chain.filters[0]


def _filter_chain(
    proxy: Proxy, push: PushContext, port: ServerPort, servers: Sequence[GatewayServer]
) -> Any | None:
    filters = FilterBuilder(proxy, push)
    if servers[0].protocol.is_http:
        route_name = servers[0].route_name(port)
        stat_prefix = f"outbound_{resource_names.listener_name(port.bind, port.port)}"
        return m.listener_components_pb2.FilterChain(filters=[filters.gateway_http(stat_prefix, route_name)])
    return _tcp_chain(filters, servers[0])


def _tcp_chain(filters: FilterBuilder, server: GatewayServer) -> Any | None:
    """Bytes to where a bound VirtualService sends them; without one the port stays closed."""
    rules = filters.push.gateway_rules(filters.proxy.namespace, server.gateway)
    route = gateway_tcp_route(rules, server)
    return None if route is None else filters.l4_chain(route, server.port)


def _listener(proxy: Proxy, push: PushContext, port: ServerPort, chains: Sequence[Any]) -> Any:
    return m.listener_pb2.Listener(
        name=resource_names.listener_name(port.bind, port.port),
        address=address(port.bind, port.port),
        traffic_direction=m.base_pb2.TrafficDirection.OUTBOUND,
        filter_chains=chains,
        access_log=build_listener_access_logs(proxy, push, TrafficMode.CLIENT),
    )
