"""What two proxies' /config_dump say of configuration from the control plane, and in what they differ.

All of every entry counts: the resource, that it has a version, where it stands. Left out are times, and what
the control plane tells a real Envoy otherwise than the asyncio proxy, as `without_tunnels` and `_PLACES` name
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from minimesh.control_plane.translation.named_destinations import BY_NAME_CLUSTER
from minimesh.xds.resource_names import PASSTHROUGH_CLUSTER

#: Entry of the dump -> its lists of what came from the control plane, and the way to the resource in one.
_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ClustersConfigDump": (("dynamic_active_clusters", "dynamic_warming_clusters"), ("cluster",)),
    "ListenersConfigDump": (("dynamic_listeners",), ("active_state", "listener")),
    "RoutesConfigDump": (("static_route_configs", "dynamic_route_configs"), ("route_config",)),
    "EndpointsConfigDump": (("dynamic_endpoint_configs",), ("endpoint_config",)),
    "SecretsConfigDump": (("dynamic_active_secrets", "dynamic_warming_secrets"), ("secret",)),
    "ScopedRoutesConfigDump": ((), ()),
}
#: Where Envoy's listeners are and whence it calls: the asyncio proxy puts its pod's addresses there itself.
_PLACES = frozenset({"address", "additional_addresses", "upstream_bind_config"})
_TIMES = frozenset({"last_updated"})
_TUNNEL_FILTERS = frozenset(
    {"envoy.filters.http.set_filter_state", "envoy.filters.http.dynamic_forward_proxy"}
)
_TUNNEL_CLUSTER_PREFIX = "tunnel|"
#: The explicit proxy, and what it routes by.
_EXPLICIT_PROXY = frozenset({"127.0.0.1_15080", "http_proxy"})
_ITSELF = "itself|"
_ABSENT = "nothing"

Entries = dict[str, dict[str, Any]]


def entries(dump: Mapping[str, Any]) -> dict[str, Entries]:
    """Part -> list and name -> entry, of all that came from the control plane."""
    found: dict[str, Entries] = {}
    for entry in dump["configs"]:
        part = entry["@type"].rpartition(".")[2]
        if part in _PARTS:
            found[part] = dict(_named(entry, *_PARTS[part]))
    return found


def _named(
    entry: Mapping[str, Any], lists: tuple[str, ...], way: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in lists:
        for each in entry.get(name, ()):
            *steps, last = way
            place = each
            for step in steps:
                place = place[step]
            resource = place[last] = without_tunnels(place[last])
            called = resource.get("cluster_name") or resource.get("name", "")
            if not called:
                continue  # of listeners in Envoy's own bootstrap
            if not called.startswith(_TUNNEL_CLUSTER_PREFIX) and called != BY_NAME_CLUSTER:
                yield f"{name} {called}", each


def without_tunnels(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without what an Envoy needs to do an application's bidding as its explicit proxy: filters
    and routes for CONNECT, and a cluster that resolves the names of requests. The asyncio proxy has it built
    in."""
    if resource.get("name") not in _EXPLICIT_PROXY:
        return resource
    for chain in resource.get("filter_chains", ()):
        for each in chain["filters"]:
            _without_tunnel_filters(each["typed_config"])
    if "virtual_hosts" in resource:
        hosts = [each for each in resource["virtual_hosts"] if not _is_for_tunnels(each)]
        resource["virtual_hosts"] = [_without_tunnel_routes(each) for each in hosts]
    return resource


def _is_for_tunnels(host: Mapping[str, Any]) -> bool:
    """Whether a virtual host is there for tunnels alone: one more for each name of what speaks no HTTP, and
    those that end calls of the explicit proxy to itself."""
    return host["domains"] == [host["name"]] or host["name"].startswith(_ITSELF)


def _without_tunnel_filters(manager: dict[str, Any]) -> None:
    kept = [each for each in manager["http_filters"] if each["name"] not in _TUNNEL_FILTERS]
    manager["http_filters"] = kept
    upgrades = [each for each in manager["upgrade_configs"] if each["upgrade_type"] != "CONNECT"]
    manager["upgrade_configs"] = upgrades
    for log in manager["access_log"]:
        log.pop("filter", None)  # by it, tunnels are logged at the listener that they go on at


def _without_tunnel_routes(host: dict[str, Any]) -> dict[str, Any]:
    routes = [each for each in host["routes"] if "connect_matcher" not in each["match"]]
    for each in routes:
        if each.get("route", {}).get("cluster") == BY_NAME_CLUSTER:
            each["route"]["cluster"] = PASSTHROUGH_CLUSTER
    return {**host, "routes": routes}


def differences(ours: Any, other: Any, place: str = "") -> Iterator[str]:
    """One line for each value that is not the same in both."""
    if isinstance(ours, dict) and isinstance(other, dict):
        for key in sorted((ours.keys() | other.keys()) - _TIMES - _PLACES):
            if key == "version_info" and key in ours and key in other:
                continue  # Envoy is told by increments: each resource has a version of its own
            yield from differences(ours.get(key, _ABSENT), other.get(key, _ABSENT), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(other, list):
        for number, (one, two) in enumerate(zip_longest(ours, other, fillvalue=_ABSENT)):
            yield from differences(one, two, f"{place}[{number}]")
    elif ours != other:
        yield f"{place}: {ours} here, {other} in Envoy"
