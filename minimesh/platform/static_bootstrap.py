"""A bootstrap that needs no control plane, out of a configuration dump: the state of a proxy to take along.

Works on the JSON of Envoy's /config_dump?include_eds. What came by EDS and RDS is put where it is used; what
needs a secret that came by SDS is left out, since no dump holds keys. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MANAGER_SUFFIX = "HttpConnectionManager"


class DumpError(ValueError):
    """A dump that no bootstrap can be made from."""


@dataclass(frozen=True, slots=True)
class StaticBootstrap:
    """The bootstrap, and a sentence for each part of the dump that is not in it."""

    bootstrap: dict[str, Any]
    left_out: tuple[str, ...] = ()


def static_bootstrap(dump: Any) -> StaticBootstrap:
    """The bootstrap. Raises DumpError when it is no dump, or names what it does not hold."""
    parts = dict(_parts(dump))
    if "BootstrapConfigDump" not in parts:
        raise DumpError("no configuration dump: it has no BootstrapConfigDump")
    known = parts["BootstrapConfigDump"]["bootstrap"]
    endpoints = dict(_endpoints(parts.get("EndpointsConfigDump", {})))
    routes = dict(_routes(parts.get("RoutesConfigDump", {})))
    left_out: list[str] = []
    clusters = [
        _with_endpoints(each, endpoints)
        for each in _clusters_without_secrets(parts.get("ClustersConfigDump", {}), left_out)
    ]
    listeners = [
        _with_routes(each, routes)
        for each in _listeners_without_secrets(parts.get("ListenersConfigDump", {}), left_out)
    ]
    kept = {name: known[name] for name in ("node", "admin", "bootstrap_extensions") if name in known}
    static = {"clusters": clusters, "listeners": listeners}
    return StaticBootstrap({**kept, "static_resources": static}, tuple(left_out))


def _clusters_without_secrets(part: Mapping[str, Any], left_out: list[str]) -> Iterator[Any]:
    for each in part.get("dynamic_active_clusters", ()):
        if secrets := _secrets(each["cluster"]):
            left_out.append(_without(f"cluster {each['cluster']['name']}", secrets))
        else:
            yield each["cluster"]


def _listeners_without_secrets(part: Mapping[str, Any], left_out: list[str]) -> Iterator[Any]:
    """The listeners with those of their chains that need no secrets, as far as any is left."""
    for each in part.get("dynamic_listeners", ()):
        if "active_state" not in each:
            continue
        listener = each["active_state"]["listener"]
        chains = []
        for chain in listener.get("filter_chains", ()):
            if secrets := _secrets(chain):
                names = ", ".join(chain.get("filter_chain_match", {}).get("server_names", ()))
                called = f"listener {listener['name']} for {names or 'any name'}"
                left_out.append(_without(called, secrets))
            else:
                chains.append(chain)
        if len(chains) == len(listener.get("filter_chains", ())):
            yield listener
        elif chains or "default_filter_chain" in listener:
            yield {**listener, "filter_chains": chains}


def _without(what: str, secrets: list[str]) -> str:
    return f"{what} needs {', '.join(dict.fromkeys(secrets))}, and no dump holds secrets"


def _secrets(part: Any) -> list[str]:
    """The names of all secrets that a part of the configuration gets by ADS."""
    if isinstance(part, Mapping):
        if "ads" in (part.get("sds_config") or {}):
            return [str(part.get("name"))]
        return [name for value in part.values() for name in _secrets(value)]
    return [name for value in part for name in _secrets(value)] if isinstance(part, list) else []


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
