"""The network filters that end a filter chain: HTTP connection managers and TCP proxies, as istiod's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.mesh_config import PathNormalization
from minimesh.control_plane.push_context.telemetry import TrafficMode
from minimesh.control_plane.translation.access_logs import build_access_logs
from minimesh.control_plane.translation.http_filters import CORS_FILTER, FAULT_FILTER
from minimesh.control_plane.translation.http_routes import destination_cluster
from minimesh.control_plane.translation.protobuf_values import (
    ads,
    any_of,
    boolean,
    cidr_range,
    duration,
    origin_metadata,
    uint32,
)
from minimesh.control_plane.translation.proxy import num_trusted_proxies
from minimesh.control_plane.translation.traffic_policies import (
    ClusterPolicy,
    policy_of_cluster,
)
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.l4_routes import L4Route
    from minimesh.control_plane.translation.proxy import Proxy

SERVER_NAME = "istio-envoy"
HTTP_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
TCP_PROXY = "envoy.filters.network.tcp_proxy"


@dataclass(frozen=True, slots=True)
class FilterBuilder:
    """Builds filters for one proxy and one push."""

    proxy: Proxy
    push: PushContext

    def gateway_http(self, stat_prefix: str, route_name: str) -> Any:
        """Requests from outside: the peer's address is the client's, certificate headers are not believed."""
        manager = self._manager(stat_prefix, TrafficMode.CLIENT)
        _use_rds(manager, route_name)
        manager.server_name = SERVER_NAME
        manager.use_remote_address.value = True
        manager.xff_num_trusted_hops = num_trusted_proxies(self.proxy, self.push)
        manager.forward_client_cert_details = manager.SANITIZE_SET
        _forward_certificate_details(manager, cert=True)
        manager.http_protocol_options.SetInParent()
        return _http_filter(manager)

    def outbound_http(self, stat_prefix: str, route_name: str) -> Any:
        """Requests of the own application. istiod leaves the server name to Envoy here."""
        manager = self._manager(stat_prefix, TrafficMode.CLIENT)
        _use_rds(manager, route_name)
        manager.use_remote_address.value = False
        return _http_filter(manager)

    def inbound_http(self, stat_prefix: str, route_config: Any) -> Any:
        """Requests for the own application, with the routes inside: they never change on their own."""
        manager = self._manager(stat_prefix, TrafficMode.SERVER)
        manager.route_config.CopyFrom(route_config)
        manager.server_name = SERVER_NAME
        manager.use_remote_address.value = False
        manager.forward_client_cert_details = manager.APPEND_FORWARD
        _forward_certificate_details(manager, cert=False)
        return _http_filter(manager)

    def tcp(
        self,
        cluster: str,
        mode: TrafficMode,
        *,
        logged: bool = True,
        stat_prefix: str = "",
        policy: ClusterPolicy | None = None,
    ) -> Any:
        """Bytes to one cluster. `policy` is what a DestinationRule says of connections to it."""
        message = m.tcp_proxy_pb2.TcpProxy(stat_prefix=stat_prefix or cluster, cluster=cluster)
        if policy is not None:
            _apply_policy(message, policy)
        if logged:
            message.access_log.extend(build_access_logs(self.proxy, self.push, mode, tcp=True))
        return m.listener_components_pb2.Filter(name=TCP_PROXY, typed_config=any_of(message))

    def tcp_to(self, destination: Any, rule_namespace: str, listen_port: int) -> Any:
        """Bytes to the one destination of a rule."""
        cluster = self._cluster_of(destination, rule_namespace, listen_port)
        return self.tcp(cluster, TrafficMode.CLIENT, policy=self.policy_of(cluster))

    def tcp_routes(self, routes: Sequence[Any], rule_namespace: str, listen_port: int, name: str) -> Any:
        """Bytes to the destinations of a VirtualService's TCP or TLS rule, by weight."""
        if len(routes) == 1:
            return self.tcp_to(routes[0].destination, rule_namespace, listen_port)
        message = m.tcp_proxy_pb2.TcpProxy(stat_prefix=name)
        for route in routes:
            if route.weight:
                cluster = self._cluster_of(route.destination, rule_namespace, listen_port)
                message.weighted_clusters.clusters.add(name=cluster, weight=route.weight)
        policy = self.policy_of(self._cluster_of(routes[0].destination, rule_namespace, listen_port))
        if policy is not None:
            # One proxy has one such setting: istiod takes that of the first destination.
            _apply_policy(message, policy)
        message.access_log.extend(build_access_logs(self.proxy, self.push, TrafficMode.CLIENT, tcp=True))
        return m.listener_components_pb2.Filter(name=TCP_PROXY, typed_config=any_of(message))

    def l4_chain(self, route: L4Route, listen_port: int) -> Any:
        """A filter chain for a TCP or TLS rule, with the names and subnets that it asks for."""
        name = f"{route.rule.name}.{route.rule.namespace}"
        network_filter = self.tcp_routes(route.destinations, route.rule.namespace, listen_port, name)
        chain = m.listener_components_pb2.FilterChain(
            filters=[network_filter], metadata=origin_metadata(route.rule.resource)
        )
        match = chain.filter_chain_match
        if "*" not in route.server_names:
            match.server_names.extend(dict.fromkeys(route.server_names))
        match.prefix_ranges.extend(cidr_range(subnet) for subnet in route.subnets)
        if not match.ListFields():
            chain.ClearField("filter_chain_match")
        return chain

    def policy_of(self, cluster: str) -> ClusterPolicy | None:
        """The traffic policy that applies to an outbound cluster; None without a DestinationRule."""
        name = resource_names.parse_cluster_name(cluster)
        if name is None:
            return None
        rule = self.push.destination_rule(name.hostname, self.proxy.namespace, self.proxy.labels)
        if rule is None:
            return None
        return policy_of_cluster(rule, name.port, rule.subset(name.subset) if name.subset else None)

    def _cluster_of(self, destination: Any, rule_namespace: str, listen_port: int) -> str:
        service = self.push.service_for(destination.host, rule_namespace, self.proxy.namespace)
        return destination_cluster(destination, service, listen_port)

    def _manager(self, stat_prefix: str, mode: TrafficMode) -> Any:
        """What all three managers have in common."""
        manager = m.http_connection_manager_pb2.HttpConnectionManager(
            stat_prefix=stat_prefix,
            stream_idle_timeout=duration(0),
            proxy_100_continue=True,
        )
        _normalize_paths(manager, self.push.mesh.path_normalization)
        manager.upgrade_configs.add(upgrade_type="websocket")
        manager.access_log.extend(build_access_logs(self.proxy, self.push, mode))
        for name, config in _http_filters():
            manager.http_filters.add(name=name, typed_config=any_of(config))
        return manager


def _normalize_paths(manager: Any, wanted: PathNormalization) -> None:
    manager.normalize_path.value = wanted is not PathNormalization.NONE
    manager.path_with_escaped_slashes_action = manager.KEEP_UNCHANGED
    if wanted in (PathNormalization.MERGE_SLASHES, PathNormalization.DECODE_AND_MERGE_SLASHES):
        manager.merge_slashes = True
    if wanted is PathNormalization.DECODE_AND_MERGE_SLASHES:
        manager.path_with_escaped_slashes_action = manager.UNESCAPE_AND_FORWARD


def destination_port_match(port: int) -> Any:
    """Matches connections whose original destination was this port."""
    return m.listener_components_pb2.FilterChainMatch(destination_port=uint32(port))


def _http_filters() -> list[tuple[str, Any]]:
    """istiod's filters without those that speak of certificates, metadata between proxies and tracing."""
    return [
        (
            "envoy.filters.http.grpc_stats",
            m.grpc_stats_pb2.FilterConfig(emit_filter_state=True, stats_for_all_methods=boolean(False)),
        ),
        (FAULT_FILTER, m.fault_pb2.HTTPFault()),
        (CORS_FILTER, m.cors_pb2.Cors()),
        ("envoy.filters.http.router", m.router_pb2.Router()),
    ]


def _apply_policy(message: Any, policy: ClusterPolicy) -> None:
    """How long plain connections may idle, and what chooses a host for them."""
    tcp = policy.connection_pool.tcp if policy.connection_pool is not None else None
    if tcp is not None and tcp.idle_timeout is not None:
        message.idle_timeout.CopyFrom(duration(tcp.idle_timeout))
    hashed = policy.load_balancer.consistent_hash if policy.load_balancer is not None else None
    if hashed is not None and hashed.use_source_ip:
        message.hash_policy.add().source_ip.SetInParent()


def _use_rds(manager: Any, route_name: str) -> None:
    manager.rds.route_config_name = route_name
    manager.rds.config_source.CopyFrom(ads())


def _forward_certificate_details(manager: Any, *, cert: bool) -> None:
    details = manager.set_current_client_cert_details
    details.subject.value = True
    details.cert = cert
    details.dns = True
    details.uri = True


def _http_filter(manager: Any) -> Any:
    return m.listener_components_pb2.Filter(name=HTTP_CONNECTION_MANAGER, typed_config=any_of(manager))
