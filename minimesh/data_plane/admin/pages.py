"""The ports of a pod that show one page of the admin API each, and what a dump says of them.

An Envoy beside Istio's agent has these ports as listeners of its bootstrap; people who read a dump look for
them there.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from minimesh.xds import messages as m

_MANAGER = "envoy.filters.network.http_connection_manager"
_MANAGER_TYPE = (
    f"type.googleapis.com/{m.http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR.full_name}"
)
_ROUTER_TYPE = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


class Page(NamedTuple):
    """One page: its path, the pod's port that shows it, and Istio's name for the cluster behind."""

    path: str
    port: int
    cluster: str


HEALTH = Page("/healthz/ready", 15021, "agent")
METRICS = Page("/stats/prometheus", 15090, "prometheus_stats")


@cache
def listener_of(page: Page) -> Any:
    """The Listener message that does what the port does."""
    manager = {
        "@type": _MANAGER_TYPE,
        "stat_prefix": page.cluster,
        "route_config": m.json_format.MessageToDict(routes_of(page), preserving_proto_field_name=True),
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER_TYPE}}],
    }
    listener = {
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": page.port}},  # noqa: S104 the pod's
        "filter_chains": [{"filters": [{"name": _MANAGER, "typed_config": manager}]}],
    }
    return m.json_format.ParseDict(listener, m.listener_pb2.Listener())


@cache
def routes_of(page: Page) -> Any:
    """Its RouteConfiguration, which Envoy shows a second time among the routes."""
    route = {"match": {"prefix": page.path}, "route": {"cluster": page.cluster}}
    host = {"name": "backend", "domains": ["*"], "routes": [route]}
    return m.json_format.ParseDict({"virtual_hosts": [host]}, m.route_pb2.RouteConfiguration())
