"""ROUTE_CONFIGURATION, VIRTUAL_HOST and HTTP_ROUTE patches of one route configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.control_plane.translation.envoy_filters.merge import MERGES, merge_patch, place, set_list
from minimesh.control_plane.translation.envoy_filters.patches import GATEWAY
from minimesh.control_plane.translation.proxy import container_ports
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.gateways import GatewayServer
    from minimesh.control_plane.translation.envoy_filters.patches import Patch, ProxyPatches
    from minimesh.control_plane.translation.proxy import Proxy

_ACTIONS = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


@dataclass(frozen=True, slots=True)
class GatewayPorts:
    """Which servers stand behind a gateway's route configuration, by its name; none on a sidecar."""

    servers: Mapping[str, tuple[GatewayServer, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, proxy: Proxy, push: PushContext) -> GatewayPorts:
        if proxy.type != "router":
            return cls()
        merged = push.merged_gateway(proxy.namespace, proxy.labels, container_ports(proxy, push))
        return cls(merged.servers_by_route)


def patch_route_config(route_config: Any, patches: ProxyPatches, context: str, ports: GatewayPorts) -> None:
    """Make all patches of routes on one configuration, from the outside in."""

    def concerning(target: str) -> list[Patch]:
        return [
            patch
            for patch in patches.to(target)
            if patch.concerns(context) and _fits_config(route_config.name, patch, context, ports)
        ]

    for patch in concerning("ROUTE_CONFIGURATION"):
        if patch.operation in MERGES:
            merge_patch(route_config, patch)
    _patch_virtual_hosts(route_config, concerning("VIRTUAL_HOST"))
    routes = concerning("HTTP_ROUTE")
    if routes:
        for virtual_host in route_config.virtual_hosts:
            _patch_routes(virtual_host, routes)


def _fits_config(name: str, patch: Patch, context: str, ports: GatewayPorts) -> bool:
    match = patch.match("route_configuration")
    if match is None:
        return True
    if match.name not in ("", name):
        return False
    if context != GATEWAY:
        return match.port_number in (0, _sidecar_port(name))
    servers = ports.servers.get(name, ())
    return (
        (not match.port_number or any(server.port == match.port_number for server in servers))
        and (not match.port_name or any(server.port_name == match.port_name for server in servers))
        and (not match.gateway or any(server.gateway == match.gateway for server in servers))
    )


def _sidecar_port(name: str) -> int | None:
    """`8000` and `inbound|8000||` both are about port 8000; None for a name without one."""
    cluster = resource_names.parse_cluster_name(name)
    if cluster is not None:
        return cluster.port
    return decimal(name)


def _patch_virtual_hosts(route_config: Any, patches: list[Patch]) -> None:
    if not patches:
        return
    kept = [
        host
        for host in route_config.virtual_hosts
        if not any(p.operation == "REMOVE" and _fits_host(host, p) for p in patches)
    ]
    for host in kept:
        for patch in patches:
            if patch.operation in MERGES and _fits_host(host, patch):
                merge_patch(host, patch)
    kept += [patch.value for patch in patches if patch.operation == "ADD"]
    set_list(route_config.virtual_hosts, kept)


def _fits_host(virtual_host: Any, patch: Patch) -> bool:
    match = patch.match("route_configuration")
    wanted = match.vhost if match is not None else None
    if wanted is None:
        return True
    return wanted.name in ("", virtual_host.name) and (
        not wanted.domain_name or wanted.domain_name in virtual_host.domains
    )


def _patch_routes(virtual_host: Any, patches: list[Patch]) -> None:
    concerning = [patch for patch in patches if _fits_host(virtual_host, patch)]
    if not concerning:
        return
    routes = list(virtual_host.routes)
    for patch in concerning:
        wanted = _wanted_route(patch)
        place(routes, patch, None if wanted is None else partial(_fits_route, wanted=wanted))
    for patch in concerning:
        wanted = _wanted_route(patch)
        fitting = [route for route in routes if wanted is None or _fits_route(route, wanted)]
        if patch.operation == "REMOVE":
            routes = [route for route in routes if route not in fitting]
        elif patch.operation in MERGES:
            for route in fitting:
                merge_patch(route, patch)
    set_list(virtual_host.routes, routes)


def _wanted_route(patch: Patch) -> Any | None:
    match = patch.match("route_configuration")
    return match.vhost.route if match is not None and match.vhost is not None else None


def _fits_route(route: Any, wanted: Any) -> bool:
    action = _ACTIONS.get(str(wanted.action or "ANY"))
    return (action is None or route.WhichOneof("action") == action) and wanted.name in ("", route.name)
