"""Which TCP and TLS rules of VirtualServices serve a port, and what each asks of a connection.

Conditions that are known beforehand (gateway, port, labels and namespace of the caller) are decided here;
what only a connection can tell (the name in its TLS hello, the address it was going to) is left for filter
chains.
The order is istiod's: VirtualServices as they are given, rules and matches as they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.control_plane.hostnames import MESH_GATEWAY, intersection

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import L4MatchAttributes, RouteDestination, TLSMatchAttributes
    from minimesh.control_plane.push_context.gateways import GatewayServer
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.translation.proxy import Proxy


@dataclass(frozen=True, slots=True)
class L4Route:
    """Destinations for connections with one of these names going to one of these subnets; empty: any."""

    rule: VirtualServiceConfig
    destinations: Sequence[RouteDestination]
    server_names: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()


def sidecar_tls_routes(rules: Iterable[VirtualServiceConfig], port: int, proxy: Proxy) -> list[L4Route]:
    """The TLS rules for a caller. Of two that no connection can tell apart the first stays."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], L4Route] = {}
    for rule in rules:
        for tls in rule.tls:
            for match in tls.match if tls.route else ():
                if _admits(match, port, proxy):
                    key = (tuple(match.sni_hosts), tuple(match.destination_subnets))
                    found.setdefault(key, L4Route(rule, tls.route, *key))
    return list(found.values())


def sidecar_tcp_routes(rules: Iterable[VirtualServiceConfig], port: int, proxy: Proxy) -> list[L4Route]:
    """The TCP rules for a caller; the first without subnets takes every connection and ends the list."""
    found: list[L4Route] = []
    for rule in rules:
        for tcp in rule.tcp:
            if not tcp.route:
                continue
            matches = [match for match in tcp.match if _admits(match, port, proxy)]
            if not tcp.match or any(not match.destination_subnets for match in matches):
                return [*found, L4Route(rule, tcp.route)]
            if matches:
                subnets = dict.fromkeys(subnet for match in matches for subnet in match.destination_subnets)
                found.append(L4Route(rule, tcp.route, (), tuple(subnets)))
    return found


def gateway_tcp_route(rules: Iterable[VirtualServiceConfig], server: GatewayServer) -> L4Route | None:
    """The one TCP rule of a server: the first that fits, of the VirtualServices that share a host with it."""
    for rule in _bound(rules, server):
        for tcp in rule.tcp:
            if tcp.route and any(_is_for(match, server) for match in tcp.match or (None,)):
                return L4Route(rule, tcp.route)
    return None


def gateway_tls_routes(rules: Iterable[VirtualServiceConfig], server: GatewayServer) -> Iterator[L4Route]:
    """One for each TLS match of a server that passes connections through."""
    for rule in _bound(rules, server):
        for tls in rule.tls:
            for match in tls.match if tls.route else ():
                if _is_for(match, server):
                    names = tuple(name.lower() for name in match.sni_hosts)
                    yield L4Route(rule, tls.route, names)


def _admits(match: TLSMatchAttributes | L4MatchAttributes, port: int, proxy: Proxy) -> bool:
    """All conditions must hold, where an HTTP match with gateways forgets the others."""
    if match.port not in (0, port) or (match.gateways and MESH_GATEWAY not in match.gateways):
        return False
    if any(proxy.labels.get(key) != value for key, value in match.source_labels.items()):
        return False
    return match.source_namespace in ("", proxy.namespace)


def _bound(rules: Iterable[VirtualServiceConfig], server: GatewayServer) -> Iterator[VirtualServiceConfig]:
    for rule in rules:
        if intersection(server.hosts_for(rule.namespace), rule.hosts):
            yield rule


def _is_for(match: TLSMatchAttributes | L4MatchAttributes | None, server: GatewayServer) -> bool:
    if match is None:
        return True
    if match.port and match.port != server.port:
        return False
    return not match.gateways or server.gateway in match.gateways
