"""The bootstrap with which a real Envoy joins a control plane as one pod's proxy. Pure; plain JSON data.

The shape is that of Istio's agent: everything over ADS, the probe's port 15021 and the scrape's port 15090 in
front of the admin API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minimesh.config.ip_addresses import is_ip_address
from minimesh.xds.resource_names import CONTROL_PLANE_CLUSTER, WATCH_LAYER

_ADMIN_CLUSTER = "prometheus_stats"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"

#: As in Istio's bootstrap: no limit of connections, and room for the regular expressions that people write.
_LIMITS = {
    "overload.global_downstream_max_connections": "2147483647",
    "re2.max_program_size.error_level": "32768",
}

#: Lets listeners stand inside the proxy, as those do that tunnels lead to.
_INTERNAL_LISTENERS = {
    "name": "envoy.bootstrap.internal_listener",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    },
}


@dataclass(frozen=True, slots=True)
class ControlPlaneTls:
    """How to reach a control plane that speaks TLS; all are paths of PEM files where Envoy runs."""

    ca: str
    cert: str = ""
    key: str = ""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class EnvoyNode:
    """Who the proxy is, and where it listens. Addresses are pairs of host and port; None leaves one out."""

    id: str
    cluster: str
    metadata: Mapping[str, Any]
    admin: tuple[str, int]
    health: tuple[str, int] | None = None
    metrics: tuple[str, int] | None = None


def envoy_bootstrap(
    node: EnvoyNode, xds: tuple[str, int], *, delta: bool = True, tls: ControlPlaneTls | None = None
) -> dict[str, Any]:
    """The bootstrap as JSON data. `delta`: only changes are sent (Istio's default), else whole states."""
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    listeners = [
        _front("health", node.health, "/healthz/ready", "/ready"),
        _front("metrics", node.metrics, "/stats/prometheus", "/stats/prometheus"),
    ]
    return {
        "node": {"id": node.id, "cluster": node.cluster, "metadata": dict(node.metadata)},
        "admin": {"address": _address(*node.admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": CONTROL_PLANE_CLUSTER}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _LIMITS}, _watch_layer()]},
        "bootstrap_extensions": [_INTERNAL_LISTENERS],
        "static_resources": {
            "clusters": [_control_plane(*xds, tls), _admin_cluster(*node.admin)],
            "listeners": [each for each in listeners if each],
        },
    }


def _watch_layer() -> dict[str, Any]:
    """The layer by which the control plane says how many requests to tell of.

    Envoy waits for it before it asks for clusters: not for long, because other control planes have none.
    """
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "1s"}
    return {"name": WATCH_LAYER, "rtds_layer": {"name": WATCH_LAYER, "rtds_config": source}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _endpoints(name: str, host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _control_plane(host: str, port: int, tls: ControlPlaneTls | None) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": CONTROL_PLANE_CLUSTER,
        "type": "STATIC" if is_ip_address(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": _endpoints(CONTROL_PLANE_CLUSTER, host, port),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
                    }
                },
            }
        },
    }
    if tls is not None:
        cluster["transport_socket"] = _tls_socket(host, tls)
    return cluster


def _tls_socket(host: str, tls: ControlPlaneTls) -> dict[str, Any]:
    name = tls.server_name or host
    kind = "IP_ADDRESS" if is_ip_address(name) else "DNS"
    context: dict[str, Any] = {
        "validation_context": {
            "trusted_ca": {"filename": tls.ca},
            "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": name}}],
        },
        "alpn_protocols": ["h2"],
    }
    if tls.cert:
        pair = {"certificate_chain": {"filename": tls.cert}, "private_key": {"filename": tls.key}}
        context["tls_certificates"] = [pair]
    config: dict[str, Any] = {"@type": _TLS_CONTEXT, "common_tls_context": context}
    if not is_ip_address(name):
        config["sni"] = name
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _admin_cluster(host: str, port: int) -> dict[str, Any]:
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _endpoints(_ADMIN_CLUSTER, host, port),
    }


def _front(name: str, at: tuple[str, int] | None, path: str, admin_path: str) -> dict[str, Any] | None:
    """A listener that shows one page of the admin API, and nothing else of it."""
    if at is None:
        return None
    route = {
        "match": {"path": path},
        "route": {"cluster": _ADMIN_CLUSTER, "regex_rewrite": _rewrite(admin_path)},
    }
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": f"minimesh-{name}", "address": _address(*at), "filter_chains": [chain]}


def _rewrite(path: str) -> dict[str, Any]:
    return {"pattern": {"regex": "^[^?]*"}, "substitution": path}
