"""Hand-made Envoy resources, and a translation that gives out what a test put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minimesh.xds import messages as m


@dataclass
class Resources:
    """What translation would give for one proxy."""

    clusters: dict[str, Any] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)
    listeners: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)


def ads_source() -> Any:
    return m.config_source_pb2.ConfigSource(
        ads=m.config_source_pb2.AggregatedConfigSource(), resource_api_version=m.config_source_pb2.V3
    )


def cluster(name: str, connect_timeout_s: int = 1) -> Any:
    made = m.cluster_pb2.Cluster(name=name, type=m.cluster_pb2.Cluster.EDS)
    made.connect_timeout.seconds = connect_timeout_s
    made.eds_cluster_config.eds_config.CopyFrom(ads_source())
    return made


def assignment(name: str, *ports: int) -> Any:
    made = m.endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    locality = made.endpoints.add()
    for port in ports:
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = "127.0.0.1", port
    return made


def route_configuration(name: str, cluster_name: str) -> Any:
    made = m.route_pb2.RouteConfiguration(name=name)
    host = made.virtual_hosts.add(name="all", domains=["*"])
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.cluster = cluster_name
    return made


def listener(name: str, port: int, route_name: str) -> Any:
    made = m.listener_pb2.Listener(name=name)
    made.address.socket_address.address = "127.0.0.1"
    made.address.socket_address.port_value = port
    manager = m.http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = route_name
    manager.rds.config_source.CopyFrom(ads_source())
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.Pack(m.router_pb2.Router())
    http = made.filter_chains.add().filters.add(name="envoy.filters.network.http_connection_manager")
    http.typed_config.Pack(manager)
    return made


def one_route(cluster_name: str, upstream_port: int = 1, listener_port: int = 8080) -> Resources:
    """A listener whose one route leads to one cluster with one endpoint."""
    return Resources(
        clusters={cluster_name: cluster(cluster_name)},
        endpoints={cluster_name: assignment(cluster_name, upstream_port)},
        listeners={"front": listener("front", listener_port, "http.8080")},
        routes={"http.8080": route_configuration("http.8080", cluster_name)},
    )
