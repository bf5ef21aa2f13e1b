"""A bootstrap that needs no control plane, out of a configuration dump: the state of a proxy to take along.

Works on the JSON of Envoy's /config_dump?include_eds. What came by EDS and RDS is put where it is used. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MANAGER_SUFFIX = "HttpConnectionManager"


class DumpError(ValueError):
    """A dump that no bootstrap can be made from."""


def static_bootstrap(dump: Mapping[str, Any]) -> dict[str, Any]:
    """The bootstrap. Raises DumpError when it is no dump, or names what it does not hold."""
    parts = dict(_parts(dump))
    if "BootstrapConfigDump" not in parts:
        raise DumpError("no configuration dump: it has no BootstrapConfigDump")
    known = parts["BootstrapConfigDump"]["bootstrap"]
    endpoints = dict(_endpoints(parts.get("EndpointsConfigDump", {})))
    routes = dict(_routes(parts.get("RoutesConfigDump", {})))
    clusters = [
        _with_endpoints(each["cluster"], endpoints)
        for each in parts.get("ClustersConfigDump", {}).get("dynamic_active_clusters", ())
    ]
    listeners = [
        _with_routes(each["active_state"]["listener"], routes)
        for each in parts.get("ListenersConfigDump", {}).get("dynamic_listeners", ())
        if "active_state" in each
    ]
    static = {"clusters": clusters, "listeners": listeners}
    return {"node": known.get("node", {}), "admin": known.get("admin", {}), "static_resources": static}


def _parts(dump: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sections of a dump by the last word of their type; none of what is no dump."""
    configs = dump.get("configs") if isinstance(dump, Mapping) else None
    for each in configs if isinstance(configs, list) else ():
        if isinstance(each, Mapping):
            yield str(each.get("@type", "")).rpartition(".")[2], each


def _endpoints(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for entry in part.get("dynamic_endpoint_configs", ()):
        assignment = entry["endpoint_config"]
        yield assignment["cluster_name"], _without_type(assignment)


def _routes(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for entry in part.get("dynamic_route_configs", ()):
        yield entry["route_config"]["name"], _without_type(entry["route_config"])


def _with_endpoints(cluster: Mapping[str, Any], endpoints: Mapping[str, Any]) -> dict[str, Any]:
    found = _without_type(cluster)
    if found.get("type") != "EDS":
        return found
    eds = found.pop("eds_cluster_config", {})
    name = eds.get("service_name") or found["name"]
    found["type"] = "STATIC"
    found["load_assignment"] = endpoints.get(name, {"cluster_name": name})
    return found


def _with_routes(listener: Mapping[str, Any], routes: Mapping[str, Any]) -> dict[str, Any]:
    found = _without_type(listener)
    # Many values may share one object of the dump; only what changes is made anew.
    if "filter_chains" in found:
        found["filter_chains"] = [_chain(each, routes) for each in found["filter_chains"]]
    if "default_filter_chain" in found:
        found["default_filter_chain"] = _chain(found["default_filter_chain"], routes)
    return found


def _chain(chain: Mapping[str, Any], routes: Mapping[str, Any]) -> dict[str, Any]:
    return {**chain, "filters": [_filter(each, routes) for each in chain.get("filters", ())]}


def _filter(network_filter: Mapping[str, Any], routes: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(network_filter.get("typed_config", {}))
    if str(config.get("@type", "")).endswith(_MANAGER_SUFFIX) and "rds" in config:
        name = config.pop("rds")["route_config_name"]
        if name not in routes:
            raise DumpError(f"a listener uses the route configuration {name!r}, which is not there")
        config["route_config"] = routes[name]
    return {**network_filter, "typed_config": config}


def _without_type(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "@type"}
