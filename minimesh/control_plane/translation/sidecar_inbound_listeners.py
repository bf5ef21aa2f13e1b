"""The listener for calls to a sidecar's own application: `virtualInbound`, a filter chain for each port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.gateways import WILDCARD_ADDRESS
from minimesh.control_plane.push_context.telemetry import TrafficMode
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.translation.access_logs import build_listener_access_logs
from minimesh.control_plane.translation.http_routes import default_inbound_route, trace_operation
from minimesh.control_plane.translation.inbound_ports import InboundPort, inbound_ports
from minimesh.control_plane.translation.listener_filters import (
    PLAIN_HTTP_PROTOCOLS,
    add_http_inspector,
    add_original_destination,
)
from minimesh.control_plane.translation.network_filters import FilterBuilder, destination_port_match
from minimesh.control_plane.translation.protobuf_values import address, boolean, duration
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy


def build_virtual_inbound(proxy: Proxy, push: PushContext) -> Any:
    """The listener at port 15006 with the proxy's own services, and chains that let other ports through."""
    chains = [*_passthrough_chains(proxy, push)]
    for port in inbound_ports(proxy, push):
        if not port.bind:
            chains.extend(_port_chains(proxy, push, port, captured=True))
    listener = m.listener_pb2.Listener(
        name=resource_names.VIRTUAL_INBOUND_LISTENER,
        address=address(WILDCARD_ADDRESS, push.mesh.proxy_inbound_listen_port),
        traffic_direction=m.base_pb2.TrafficDirection.INBOUND,
        filter_chains=chains,
        continue_on_listener_filters_timeout=True,
        listener_filters_timeout=duration(push.mesh.protocol_detection_timeout_s),
        access_log=build_listener_access_logs(proxy, push, TrafficMode.SERVER),
    )
    add_original_destination(listener)
    if any(chain.filter_chain_match.application_protocols for chain in chains):
        add_http_inspector(listener)
    return listener


def build_bound_inbound(proxy: Proxy, push: PushContext) -> Iterator[Any]:
    """Listeners of their own for the ports to which a Sidecar says that nothing is redirected."""
    for port in inbound_ports(proxy, push):
        if not port.bind:
            continue
        listener = m.listener_pb2.Listener(
            name=resource_names.listener_name(port.bind, port.number),
            address=address(port.bind, port.number),
            traffic_direction=m.base_pb2.TrafficDirection.INBOUND,
            filter_chains=_port_chains(proxy, push, port, captured=False),
            continue_on_listener_filters_timeout=True,
            listener_filters_timeout=duration(push.mesh.protocol_detection_timeout_s),
            access_log=build_listener_access_logs(proxy, push, TrafficMode.SERVER),
        )
        if any(chain.filter_chain_match.application_protocols for chain in listener.filter_chains):
            add_http_inspector(listener)
        yield listener


def _port_chains(proxy: Proxy, push: PushContext, port: InboundPort, *, captured: bool) -> Iterator[Any]:
    """HTTP, bytes, or first a look which; `captured`: chosen by the connection's original destination."""
    filters = FilterBuilder(proxy, push)
    name = resource_names.listener_name(port.bind or WILDCARD_ADDRESS, port.number)
    cluster = resource_names.inbound(port.number)
    destination = port.number if captured else None
    if port.protocol.is_http_or_sniffed:
        operation = trace_operation(port.hostname, port.service_port)
        route_config = _inbound_route_config(cluster, port.service_port, operation)
        chain = _chain(name, filters.inbound_http(f"inbound_{name}", route_config), destination)
        if port.protocol is Protocol.UNSUPPORTED:
            chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP_PROTOCOLS)
        yield chain
    if not port.protocol.is_http:
        yield _chain(name, filters.tcp(cluster, TrafficMode.SERVER), destination)


def _passthrough_chains(proxy: Proxy, push: PushContext) -> Iterator[Any]:
    """Ports of no service go through as they are; the listener's own port goes nowhere, lest it loop."""
    filters = FilterBuilder(proxy, push)
    black_hole = resource_names.BLACK_HOLE_CLUSTER
    yield _chain(
        "virtualInbound-blackhole",
        filters.tcp(black_hole, TrafficMode.SERVER, logged=False),
        push.mesh.proxy_inbound_listen_port,
    )
    cluster = resource_names.INBOUND_PASSTHROUGH_CLUSTER
    route_config = _inbound_route_config(cluster, 0, ":0/*")
    http = _chain("virtualInbound-catchall-http", filters.inbound_http(cluster, route_config))
    http.filter_chain_match.application_protocols.extend(PLAIN_HTTP_PROTOCOLS)
    yield http
    yield _chain(resource_names.VIRTUAL_INBOUND_LISTENER, filters.tcp(cluster, TrafficMode.SERVER))


def _chain(name: str, network_filter: Any, port: int | None = None) -> Any:
    chain = m.listener_components_pb2.FilterChain(name=name, filters=[network_filter])
    if port is not None:
        chain.filter_chain_match.CopyFrom(destination_port_match(port))
    return chain


def _inbound_route_config(cluster: str, port: int, operation: str) -> Any:
    """One virtual host for every name: whoever got here means this application."""
    virtual_host = m.route_components_pb2.VirtualHost(
        name=f"inbound|http|{port}", domains=["*"], routes=[default_inbound_route(cluster, operation)]
    )
    return m.route_pb2.RouteConfiguration(
        name=cluster, virtual_hosts=[virtual_host], validate_clusters=boolean(False)
    )
