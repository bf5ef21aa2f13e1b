"""The names of xDS resources as istiod spells them, and the type URLs they travel under.

Owns only spelling: a name goes in or comes out, nothing is looked up. The pipe form
(`outbound|8000|v2|httpbin.default.svc.cluster.local`) names clusters, load assignments and inbound route
configurations; the SNI form (`outbound_.8000_.v2_.httpbin...`) carries the same four parts where a pipe is
not allowed, in the server name of a TLS hello.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

CLUSTER_TYPE_URL = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT_TYPE_URL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE_URL = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE_TYPE_URL = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
RUNTIME_TYPE_URL = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
SECRET_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type

SHORT_TYPE_NAMES = {
    CLUSTER_TYPE_URL: "CDS",
    ENDPOINT_TYPE_URL: "EDS",
    LISTENER_TYPE_URL: "LDS",
    ROUTE_TYPE_URL: "RDS",
}
"""Type URL -> the name operators use, in the order in which a first configuration is delivered."""

WILDCARD_TYPE_URLS = frozenset({CLUSTER_TYPE_URL, LISTENER_TYPE_URL})
"""The types of which a proxy may ask for everything by naming nothing."""

WATCH_LAYER = "minimesh"
"""The runtime layer in which this control plane says how many requests proxies are to tell of."""
WATCH_SHARE_KEY = "minimesh.traffic_watch"
"""Its key: a share in millionths."""
CONTROL_PLANE_CLUSTER = "xds-grpc"
"""The cluster of a proxy's bootstrap that leads to the control plane, as Istio's agent calls it."""

_PORT_DIGITS = 5
BLACK_HOLE_CLUSTER = "BlackHoleCluster"
PASSTHROUGH_CLUSTER = "PassthroughCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"

VIRTUAL_OUTBOUND_LISTENER = "virtualOutbound"
VIRTUAL_INBOUND_LISTENER = "virtualInbound"
HTTP_PROXY_ROUTE = "http_proxy"


class TrafficDirection(StrEnum):
    """The first part of a cluster name."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class ClusterName:
    """The four parts of a name; `str()` gives the pipe form. An absent subset or hostname is empty."""

    direction: TrafficDirection
    port: int
    subset: str = ""
    hostname: str = ""

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.hostname}"

    def sni(self) -> str:
        """The form for a TLS server name."""
        return f"{self.direction}_.{self.port}_.{self.subset}_.{self.hostname}"


def outbound(port: int, hostname: str, subset: str = "") -> str:
    """`outbound|8000|v2|host`: traffic from this proxy to a service port, or to one subset of it."""
    return str(ClusterName(TrafficDirection.OUTBOUND, port, subset, hostname))


def inbound(port: int) -> str:
    """`inbound|5000||`: traffic from this proxy to a port of its own application."""
    return str(ClusterName(TrafficDirection.INBOUND, port))


@lru_cache(maxsize=65536)
def parse_cluster_name(text: str) -> ClusterName | None:
    """Take apart a name in pipe or SNI form; None for a name that is neither (`BlackHoleCluster`)."""
    parts = text.split("|") if "|" in text else text.split("_.", 3)
    if len(parts) != 4:
        return None
    direction, port, subset, hostname = parts
    known = direction in (TrafficDirection.INBOUND, TrafficDirection.OUTBOUND)
    if not known or not (port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS):
        return None
    return ClusterName(TrafficDirection(direction), int(port), subset, hostname)


def listener_name(address: str, port: int) -> str:
    """`0.0.0.0_8080`: istiod names a listener after what it binds."""
    return f"{address}_{port}"


def gateway_http_route_name(port: int, bind: str = "") -> str:
    """`http.8080`: one route configuration serves every plain HTTP server on a gateway's port.

    Servers that `bind` an address of their own share one for that address: `http.8080.10.0.0.1`.
    """
    return f"http.{port}{_bind_suffix(bind)}"


def gateway_https_route_name(port: int, port_name: str, gateway: str, namespace: str, bind: str = "") -> str:
    """`https.443.https-gs.gs-gateway.default`: a server that ends TLS has a configuration of its own.

    `port` is the one that the Gateway declares.
    """
    return f"https.{port}.{port_name}.{gateway}.{namespace}{_bind_suffix(bind)}"


def _bind_suffix(bind: str) -> str:
    return f".{bind}" if bind else ""


def sidecar_route_name(port: int) -> str:
    """`8000`: all HTTP services with this port share a sidecar's outbound route configuration."""
    return str(port)
