"""`proxy-config listener`: where a proxy listens, what a connection must match, and where it then goes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.cli.istioctl.route_table import describe_match
from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]
_HTTP = "envoy.filters.network.http_connection_manager"
_TCP = "envoy.filters.network.tcp_proxy"
_BLACK_HOLE = "BlackHoleCluster"
_PADDING = 1
#: Lists of application protocols that istioctl has a name for.
_PROTOCOL_NAMES = {
    ("http/1.0", "http/1.1", "h2c"): "App: HTTP",
    ("istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"): "App: Istio HTTP Plain",
    ("http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"): "App: HTTP TLS",
    ("istio-peer-exchange", "istio"): "App: TCP TLS",
}


@dataclass(frozen=True, slots=True)
class ListenerFilter:
    """What `--address`, `--port` and `--type` ask for; unset ones let everything pass."""

    address: str = ""
    port: int = 0
    type: str = ""

    def passes(self, listener: Json) -> bool:
        if self.address and self.address.lower() not in (each.lower() for each in addresses(listener)):
            return False
        if self.port and port(listener) != self.port:
            return False
        return not self.type or listener_type(listener).lower() == self.type.lower()


def listener_table(listeners: Sequence[Json], *, verbose: bool = True, named: bool = False) -> str:
    """One line a filter chain, or with `verbose` off one a listener. `named`: as in `proxy-config all`."""
    ordered = sorted(listeners, key=lambda each: (port(each), ",".join(addresses(each)), listener_type(each)))
    columns = ("MATCH", "DESTINATION") if verbose else ("TYPE",)
    rows = []
    for listener in ordered:
        front = ([f"listener/{listener.get('name', '')}"] if named else []) + [
            ",".join(addresses(listener)),
            str(port(listener)),
        ]
        cells = _matches(listener) if verbose else [(listener_type(listener),)]
        rows += [[*front, *each] for each in cells]
    return tabulate([*(["NAME"] if named else []), "ADDRESSES", "PORT", *columns], rows, _PADDING)


def addresses(listener: Json) -> list[str]:
    """The main address and the additional ones; an internal listener has an empty one."""
    further = [each.get("address", {}) for each in listener.get("additionalAddresses", ())]
    return [
        each.get("socketAddress", {}).get("address", "") for each in (listener.get("address", {}), *further)
    ]


def port(listener: Json) -> int:
    """The main address's port, 0 where it has none."""
    return int(listener.get("address", {}).get("socketAddress", {}).get("portValue", 0))


def listener_type(listener: Json) -> str:
    """HTTP, TCP, HTTP+TCP or UNKNOWN; what leads to the black hole does not count."""
    filters = [each for chain in _chains(listener) for each in chain.get("filters", ())]
    http = any(each.get("name") == _HTTP for each in filters)
    tcp = any(each.get("name") == _TCP and not _is_black_hole(each) for each in filters)
    if http:
        return "HTTP+TCP" if tcp else "HTTP"
    return "TCP" if tcp else "UNKNOWN"


def _chains(listener: Json) -> list[Json]:
    default = listener.get("defaultFilterChain")
    return [*listener.get("filterChains", ()), *([default] if default else [])]


def _is_black_hole(network_filter: Json) -> bool:
    return _BLACK_HOLE in json.dumps(network_filter.get("typedConfig", {}))


def _matches(listener: Json) -> list[tuple[str, str]]:
    chains = _chains(listener)
    cells = [(_describe_chain_match(each.get("filterChainMatch", {})), _destination(each)) for each in chains]
    return sorted(cells, key=lambda cell: cell[1], reverse=True)


def _describe_chain_match(match: Json) -> str:
    parts = []
    if match.get("serverNames"):
        parts.append(f"SNI: {','.join(match['serverNames'])}")
    if match.get("transportProtocol"):
        parts.append(f"Trans: {match['transportProtocol']}")
    protocols = tuple(match.get("applicationProtocols", ()))
    if protocols:
        parts.append(_PROTOCOL_NAMES.get(protocols) or f"App: {','.join(protocols)}")
    port_text = f":{match['destinationPort']}" if "destinationPort" in match else ""
    ranges = [
        f"{each.get('addressPrefix', '')}/{each.get('prefixLen', 0)}"
        for each in match.get("prefixRanges", ())
    ]
    if ranges or port_text:
        parts.append(f"Addr: {','.join(ranges) or '*'}{port_text}")
    return "; ".join(parts) or "ALL"


def _destination(chain: Json) -> str:
    for each in chain.get("filters", ()):
        config = each.get("typedConfig", {})
        if each.get("name") == _HTTP:
            return _http_destination(config)
        if each.get("name") == _TCP and not _is_black_hole(each):
            return _named_cluster(config.get("cluster", ""))
    return "Non-HTTP/Non-TCP"


def _http_destination(manager: Json) -> str:
    if "routeConfig" in manager:
        return _describe_inline_routes(manager["routeConfig"])
    name = manager.get("rds", {}).get("routeConfigName", "")
    return f"Route: {name}" if name else "HTTP"


def _named_cluster(name: str) -> str:
    return name if "Cluster" in name else f"Cluster: {name}"


def _describe_inline_routes(route_config: Json) -> str:
    hosts = route_config.get("virtualHosts", ())
    cluster = _only_cluster(hosts)
    if cluster:
        return _named_cluster(cluster)
    described = []
    for host in hosts:
        domains = host.get("domains", [])
        routes = ", ".join(describe_match(each.get("match", {})) for each in host.get("routes", ()))
        described.append(routes if domains == ["*"] else f"{'/'.join(domains)} {routes}")
    return f"Inline Route: {'; '.join(described)}"


def _only_cluster(hosts: Sequence[Json]) -> str:
    """The cluster of a configuration that sends everything to one."""
    if len(hosts) != 1 or hosts[0].get("domains") != ["*"] or len(hosts[0].get("routes", ())) != 1:
        return ""
    route = hosts[0]["routes"][0]
    if route.get("match", {}).get("prefix") != "/":
        return ""
    return str(route.get("route", {}).get("cluster", ""))
