"""Dumps as Envoy writes them: proto names, any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
_ADMIN = "type.googleapis.com/envoy.admin.v3"


def config_dump(
    *,
    listeners: Sequence[Json] = (),
    clusters: Sequence[Json] = (),
    routes: Sequence[Json] = (),
    node: Json | None = None,
) -> Json:
    """A /config_dump whose resources all came over xDS."""
    return {
        "configs": [
            {"@type": f"{_ADMIN}.BootstrapConfigDump", "bootstrap": {"node": node or {}}},
            {
                "@type": f"{_ADMIN}.ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": each} for each in clusters],
            },
            {
                "@type": f"{_ADMIN}.ListenersConfigDump",
                "dynamic_listeners": [{"active_state": {"listener": each}} for each in listeners],
            },
            {
                "@type": f"{_ADMIN}.RoutesConfigDump",
                "dynamic_route_configs": [{"route_config": each} for each in routes],
            },
        ]
    }


def listener(name: str, address: str, port: int, *chains: Json, default: Json | None = None) -> Json:
    found: Json = {
        "name": name,
        "filter_chains": list(chains),
        "address": {"socket_address": {"port_value": port, "address": address}},
    }
    return {**found, **({"default_filter_chain": default} if default else {})}


def http_chain(config: Json, match: Json | None = None) -> Json:
    """A chain with an HTTP connection manager of this configuration."""
    return _chain("http_connection_manager", "HttpConnectionManager", config, match)


def tcp_chain(cluster: str, match: Json | None = None) -> Json:
    """A chain that forwards to the cluster."""
    return _chain("tcp_proxy", "TcpProxy", {"cluster": cluster}, match)


def _chain(name: str, message: str, config: Json, match: Json | None) -> Json:
    full_name = f"type.googleapis.com/envoy.extensions.filters.network.{name}.v3.{message}"
    typed = {"@type": full_name, **config}
    filters = [{"name": f"envoy.filters.network.{name}", "typed_config": typed}]
    return {"filters": filters, **({"filter_chain_match": match} if match else {})}


def virtual_host(name: str, domains: list[str], *routes: Json) -> Json:
    return {"name": name, "domains": domains, "routes": list(routes)}


def origin(kind: str, name: str, namespace: str) -> Json:
    """The metadata by which istiod says what a resource was made of."""
    path = f"/apis/networking.istio.io/v1alpha3/namespaces/{namespace}/{kind}/{name}"
    return {"filter_metadata": {"istio": {"config": path}}}
