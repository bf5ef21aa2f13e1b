"""Envoy resources in a form short enough to read in a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minimesh.control_plane.translation import Resources
from minimesh.xds import messages as m


def describe_listeners(resources: Resources) -> list[str]:
    """`0.0.0.0_8080 -> rds http.8080`, one line for each filter chain."""
    return [
        f"{name}{_chain_match(chain)} -> {_target(chain)}"
        for name, listener in resources.listeners.items()
        for chain in _chains(listener)
    ]


def describe_routes(config: Any) -> list[str]:
    """The virtual hosts and routes of one configuration."""
    lines = []
    for virtual_host in config.virtual_hosts:
        lines.append(f"{virtual_host.name} [{', '.join(virtual_host.domains)}]")
        lines.extend(f"  {describe_route(route)}" for route in virtual_host.routes)
    return lines


def describe_route(route: Any) -> str:
    kind = route.match.WhichOneof("path_specifier")
    path = route.match.safe_regex.regex if kind == "safe_regex" else getattr(route.match, kind)
    return f"{kind} {path} -> {_action(route)}"


def describe_endpoints(resources: Resources) -> list[str]:
    """`cluster: address:port ...` for each load assignment that is not empty."""
    lines = []
    for name, assignment in resources.endpoints.items():
        found = [
            f"{e.endpoint.address.socket_address.address}:{e.endpoint.address.socket_address.port_value}"
            for locality in assignment.endpoints
            for e in locality.lb_endpoints
        ]
        if found:
            lines.append(f"{name}: {' '.join(found)}")
    return lines


def connection_manager(chain: Any) -> Any:
    """The HTTP connection manager that ends a filter chain."""
    manager = m.http_connection_manager_pb2.HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    return manager


def _chains(listener: Any) -> Iterator[Any]:
    yield from listener.filter_chains
    if listener.HasField("default_filter_chain"):
        yield listener.default_filter_chain


def _chain_match(chain: Any) -> str:
    match = chain.filter_chain_match
    parts = []
    if match.HasField("destination_port"):
        parts.append(str(match.destination_port.value))
    parts.extend(f"sni {name}" for name in match.server_names)
    parts.extend(f"{each.address_prefix}/{each.prefix_len.value}" for each in match.prefix_ranges)
    parts.extend(match.application_protocols)
    return f" ({' '.join(parts)})" if parts else ""


def _target(chain: Any) -> str:
    last = chain.filters[-1]
    if last.name.endswith("tcp_proxy"):
        tcp = m.tcp_proxy_pb2.TcpProxy()
        last.typed_config.Unpack(tcp)
        weighted = ", ".join(f"{c.weight} {c.name}" for c in tcp.weighted_clusters.clusters)
        return f"tcp {tcp.cluster or weighted}"
    manager = connection_manager(chain)
    if manager.HasField("rds"):
        return f"rds {manager.rds.route_config_name}"
    return f"routes {manager.route_config.name}"


def _action(route: Any) -> str:
    kind = route.WhichOneof("action")
    if kind == "redirect":
        return f"redirect {route.redirect.host_redirect}{route.redirect.path_redirect}"
    if kind == "direct_response":
        return f"status {route.direct_response.status}"
    action = route.route
    rewrite = f" rewrite {action.prefix_rewrite}" if action.prefix_rewrite else ""
    if action.HasField("weighted_clusters"):
        clusters = [f"{c.weight.value} {c.name}" for c in action.weighted_clusters.clusters]
        return ", ".join(clusters) + rewrite
    return f"{action.cluster}{rewrite}"
