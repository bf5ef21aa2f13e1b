"""The bootstrap of a proxy under stress: one listener, a route by first path segment to each cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_TYPE = "type.googleapis.com/envoy.extensions."


def bootstrap(
    port: int,
    admin: int,
    clusters: Mapping[str, int],
    *,
    manager: Mapping[str, Any] | None = None,
    buffer_limit_bytes: int = 1024 * 1024,
    cluster: Mapping[str, Any] | None = None,
    timeouts: Mapping[str, str] | None = None,
) -> str:
    """JSON (which is YAML) of a file with `/name` leading to the cluster `name` on that port of 127.0.0.1.

    `timeouts`: of the routes to some clusters, as Envoy writes them; the others have none.
    """
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _manager(list(clusters), manager or {}, timeouts or {}),
            }
        ]
    }
    listener = {
        "name": "stressed",
        "address": address(port),
        "per_connection_buffer_limit_bytes": buffer_limit_bytes,
        "filter_chains": [chain],
    }
    made = [
        _cluster(name, to) | {"per_connection_buffer_limit_bytes": buffer_limit_bytes} | dict(cluster or {})
        for name, to in clusters.items()
    ]
    return json.dumps(
        {
            "admin": {"address": address(admin)},
            "static_resources": {"listeners": [listener], "clusters": made},
        }
    )


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 100000)
    endpoint = {"endpoint": {"address": address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _manager(names: list[str], more: Mapping[str, Any], timeouts: Mapping[str, str]) -> dict[str, Any]:
    routes = [
        {"match": {"prefix": f"/{name}"}, "route": {"cluster": name, "timeout": timeouts.get(name, "0s")}}
        for name in names
    ]
    return {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "stressed",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"},
            }
        ],
    } | dict(more)
