"""`proxy-config route`: route configurations, a line for each route of each virtual host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.cli.istioctl.tabwriter import tabulate

Json = dict[str, Any]
_SHOWN_DOMAINS = 2
_PREFIX = "/apis/networking.istio.io/"
_CONFIG_PATH_PIECES = 8


def route_table(routes: Sequence[Json], *, verbose: bool = True, named: bool = False) -> str:
    """NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE; with `verbose` off a count of virtual hosts."""
    prefix = "route/" if named else ""
    if not verbose:
        counts = [(prefix + each.get("name", ""), str(len(each.get("virtualHosts", ())))) for each in routes]
        return tabulate(("NAME", "VIRTUAL HOSTS"), counts)
    rows = [
        (
            prefix + each.get("name", ""),
            host.get("name", ""),
            describe_domains(host.get("domains", [])),
            *cells,
        )
        for each in routes
        for host in each.get("virtualHosts", ())
        for cells in _route_cells(host)
    ]
    return tabulate(("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"), rows)


def in_istioctl_order(routes: Sequence[Json]) -> list[Json]:
    """Those whose names are numbers in their order, the others where they are.

    istioctl compares by a relation that says nothing about other names, so the outcome is that of Go's
    algorithm: for short lists an insertion sort.
    """
    ordered: list[Json] = []
    for route in routes:
        place = len(ordered)
        while place and _comes_before(route, ordered[place - 1]):
            place -= 1
        ordered.insert(place, route)
    return ordered


def describe_match(match: Json) -> str:
    """A route's path condition; headers and parameters are not shown."""
    parts = []
    if match.get("prefix"):
        parts.append(f"{match['prefix']}*")
    if match.get("pathSeparatedPrefix"):
        parts.append(f"PathPrefix:{match['pathSeparatedPrefix']}")
    if match.get("path"):
        parts.append(match["path"])
    if "safeRegex" in match:
        parts.append(f"regex {match['safeRegex'].get('regex', '')}")
    return " ".join(parts)


def describe_domains(domains: Sequence[str]) -> str:
    """At most two of a virtual host's domains: without ports, and without longer forms of shown ones."""
    if len(domains) <= 1:
        return "".join(domains)
    shown = _without_longer_forms([each for each in domains if _has_no_port(each)])
    more = len(shown) - _SHOWN_DOMAINS
    text = ", ".join(shown[:_SHOWN_DOMAINS])
    return f"{text} + {more} more..." if more > 0 else text


def describe_origin(resource: Json) -> str:
    """NAME.NAMESPACE of the Istio resource that a route or cluster was made of, empty where there is none."""
    metadata = resource.get("metadata", {}).get("filterMetadata", {})
    path = metadata.get("istio", {}).get("config", "")
    if not path:
        return ""
    pieces = str(path).split("/")
    if not path.startswith(_PREFIX) or pieces[4:5] != ["namespaces"]:
        return "<unknown>"
    return f"{pieces[7]}.{pieces[5]}" if len(pieces) == _CONFIG_PATH_PIECES else ""


def _comes_before(route: Json, other: Json) -> bool:
    name, other_name = route.get("name", ""), other.get("name", "")
    return name.isdecimal() and other_name.isdecimal() and int(name) < int(other_name)


def _route_cells(host: Json) -> list[tuple[str, str]]:
    routes = host.get("routes", ())
    if not routes:
        return [("/*", "404")]
    return [
        (describe_match(each.get("match", {})), describe_origin(each))
        for each in routes
        if each.get("route", {}).get("cluster") != "PassthroughCluster"
    ]


def _has_no_port(domain: str) -> bool:
    colons = domain.count(":")
    return colons == 0 or (colons > 2 and domain.endswith("]"))


def _without_longer_forms(domains: list[str]) -> list[str]:
    names = set(domains)
    longer = {
        each
        for each in domains
        for suffix in (".svc.cluster.local", ".svc")
        if each.endswith(suffix) and each.removesuffix(suffix) in names
    }
    return [each for each in domains if each not in longer]
