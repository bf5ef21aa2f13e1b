"""What the real Envoy needs so that an application which was told to use a proxy gets where it wants to go.

The asyncio proxy answers such an application by itself: a request for a host that nobody declared goes to the
host that it names, and a client that asks for a tunnel (`CONNECT tcp-echo:9000`) goes on at the listener that
a redirected connection would have come to. Envoy has extensions for both, and they are configured here, for
Envoys alone:

* a cluster that resolves the host of each request (a dynamic forward proxy), for what nobody declared;
* for each listener to which redirection leads connections a second one inside the proxy (an internal
  listener), the same but for its address; a cluster that leads to it; and a route to that cluster for CONNECT
  to the names that stand for the first one's address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.config.ip_addresses import is_ip_address
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.protobuf_values import any_of, duration
from minimesh.xds import messages as m
from minimesh.xds import resource_names
from minimesh.xds.type_registry import message_class

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.pod_addresses import PodAddresses
    from minimesh.control_plane.translation.proxy import Proxy

#: Where requests and tunnels for undeclared hosts go. Logs and counters show it as the passthrough cluster.
BY_NAME_CLUSTER = "PassthroughCluster|by-name"
_TUNNEL_PREFIX = "tunnel|"
_TUNNEL_ROUTE = "tunnel"
_ITSELF = "itself"
_WILDCARD = "0.0.0.0"  # noqa: S104 - compared, not bound
_NOWHERE = "240.240.0.0"
"""Stands for the address of a service that has none: what logs show as the destination."""

_SET_FILTER_STATE = "envoy.filters.http.set_filter_state"
_FORWARD_PROXY = "envoy.filters.http.dynamic_forward_proxy"
_LOCAL_IP = "envoy.filters.listener.original_dst.local_ip"
_REMOTE_IP = "envoy.filters.listener.original_dst.remote_ip"
_EXTENSIONS = "envoy.extensions."


def is_wanted(proxy: Proxy, push: PushContext) -> bool:
    """Whether a proxy is an Envoy that applications use as their proxy: one without redirection."""
    without_redirection = proxy.is_envoy and proxy.type == "sidecar" and proxy.addresses is not None
    return bool(without_redirection and push.mesh.proxy_http_port)


def by_name_cluster(connect_timeout_s: float) -> Any:
    """The cluster whose hosts are whatever requests name."""
    config = _message("clusters.dynamic_forward_proxy.v3.ClusterConfig")
    config.dns_cache_config.CopyFrom(_dns_cache())
    cluster = m.cluster_pb2.Cluster(
        name=BY_NAME_CLUSTER,
        alt_stat_name=resource_names.PASSTHROUGH_CLUSTER,
        connect_timeout=duration(connect_timeout_s),
        lb_policy=m.cluster_pb2.Cluster.CLUSTER_PROVIDED,
    )
    cluster.cluster_type.name = "envoy.clusters.dynamic_forward_proxy"
    cluster.cluster_type.typed_config.CopyFrom(any_of(config))
    return cluster


def let_tunnel(listener: Any) -> None:
    """Make the explicit proxy's listener open tunnels and resolve the hosts that requests name.

    A tunnel to another listener of the proxy is logged there, as a redirected connection is.
    """
    (network_filter,) = listener.filter_chains[0].filters
    manager = m.http_connection_manager_pb2.HttpConnectionManager()
    network_filter.typed_config.Unpack(manager)
    manager.upgrade_configs.add(upgrade_type="CONNECT")
    router = m.http_connection_manager_pb2.HttpFilter()
    router.CopyFrom(manager.http_filters.pop())
    forward = _message("filters.http.dynamic_forward_proxy.v3.FilterConfig")
    forward.dns_cache_config.CopyFrom(_dns_cache())
    manager.http_filters.add(name=_SET_FILTER_STATE, typed_config=any_of(_filter_state("")))
    manager.http_filters.add(name=_FORWARD_PROXY, typed_config=any_of(forward))
    manager.http_filters.append(router)
    for log in manager.access_log:
        _leave_out_tunnels(log)
    network_filter.typed_config.CopyFrom(any_of(manager))


def tunnel_listeners(listeners: Iterable[Any]) -> list[Any]:
    """The listeners inside the proxy, one for each that redirection leads connections to."""
    return [_inside(listener) for listener in listeners if _is_captured(listener)]


def tunnel_clusters(listeners: Iterable[Any]) -> list[Any]:
    """The clusters that lead to the listeners inside the proxy."""
    return [_leading_to(listener.name) for listener in listeners]


def own_places(addresses: PodAddresses, http_port: int) -> list[str]:
    """`host:port` of the explicit proxy itself, by every address of its pod."""
    port = addresses.real_port(http_port)
    hosts = (addresses.app_address or addresses.pod_ip, "127.0.0.1", "localhost")
    return [f"{host}:{port}" for host in dict.fromkeys(hosts)]


def with_tunnels(config: Any, listeners: Iterable[Any], itself: Sequence[str]) -> Any:
    """The routes of an explicit proxy with those for CONNECT added, and an end to calls to itself.

    `listeners` are the proxy's own, of which some have a second one inside.
    """
    found = m.route_pb2.RouteConfiguration()
    found.CopyFrom(config)
    captured = [listener for listener in listeners if _is_captured(listener)]
    places = {name: place for listener in captured for name, place in _places(listener)}
    by_port = {each.address.socket_address.port_value: each for each in captured if _is_wildcard(each)}
    otherwise = next(host for host in found.virtual_hosts if "*" in host.domains)
    usual = list(otherwise.routes)
    for virtual_host in found.virtual_hosts:
        place = _place_of(virtual_host.domains, places, by_port)
        if place is not None:
            _put_first(virtual_host, _tunnel_route(place))
    known = {domain.lower() for host in found.virtual_hosts for domain in host.domains}
    for name, place in sorted(places.items()):
        if name.lower() not in known:
            found.virtual_hosts.add(name=name, domains=[name], routes=[_tunnel_route(place), *usual])
    _put_first(otherwise, _undeclared_tunnel(usual, captured))
    for address in itself:
        if address not in known and address not in places:
            found.virtual_hosts.add(name=f"{_ITSELF}|{address}", domains=[address], routes=_dead_ends())
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tunnel leads: the name of the listener, and the destination that it is told of."""

    listener: str
    address: str
    port: int

    @property
    def destination(self) -> str:
        host = _NOWHERE if self.address == _WILDCARD else self.address
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


# --- listeners and clusters inside the proxy --------------------------------------------------------


def _is_captured(listener: Any) -> bool:
    """Whether redirection brings connections: the entrance, and what it hands connections on to."""
    if listener.name == resource_names.VIRTUAL_OUTBOUND_LISTENER:
        return True
    outbound = listener.traffic_direction == m.base_pb2.TrafficDirection.OUTBOUND
    return bool(outbound and listener.HasField("bind_to_port") and not listener.bind_to_port.value)


def _inside(listener: Any) -> Any:
    inside = m.listener_pb2.Listener()
    inside.CopyFrom(listener)
    inside.name = f"{_TUNNEL_PREFIX}{listener.name}"
    for name in ("address", "additional_addresses", "bind_to_port", "use_original_dst", "metadata"):
        inside.ClearField(name)
    inside.internal_listener.SetInParent()
    filters = list(inside.listener_filters)
    del inside.listener_filters[:]
    restoring = any_of(m.original_dst_pb2.OriginalDst())
    inside.listener_filters.add(name="envoy.filters.listener.original_dst", typed_config=restoring)
    inside.listener_filters.extend(filters)
    return inside


def _leading_to(listener_name: str) -> Any:
    cluster = m.cluster_pb2.Cluster(
        name=listener_name, type=m.cluster_pb2.Cluster.STATIC, connect_timeout=duration(1)
    )
    cluster.load_assignment.cluster_name = listener_name
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.envoy_internal_address.server_listener_name = listener_name
    socket = _message("transport_sockets.internal_upstream.v3.InternalUpstreamTransport")
    socket.transport_socket.name = "envoy.transport_sockets.raw_buffer"
    socket.transport_socket.typed_config.CopyFrom(any_of(m.raw_buffer_pb2.RawBuffer()))
    cluster.transport_socket.name = "envoy.transport_sockets.internal_upstream"
    cluster.transport_socket.typed_config.CopyFrom(any_of(socket))
    return cluster


def _is_wildcard(listener: Any) -> bool:
    entrance = listener.name == resource_names.VIRTUAL_OUTBOUND_LISTENER
    return bool(listener.address.socket_address.address == _WILDCARD and not entrance)


# --- routes -----------------------------------------------------------------------------------------


def _places(listener: Any) -> Iterator[tuple[str, _Place]]:
    """(`name:port` that a client may ask a tunnel for, where it leads)."""
    if listener.name == resource_names.VIRTUAL_OUTBOUND_LISTENER:
        return
    socket = listener.address.socket_address
    port = socket.port_value
    place = _Place(listener.name, socket.address, port)
    if not _is_wildcard(listener):
        own = listener.metadata.filter_metadata["minimesh"] if listener.HasField("metadata") else {}
        names = list(own["names"]) if "names" in own else []
        for name in dict.fromkeys([socket.address, *names]):
            yield f"[{name}]:{port}" if ":" in name else f"{name}:{port}", place
        return
    for chain in listener.filter_chains:
        if any(each.name == HTTP_CONNECTION_MANAGER for each in chain.filters):
            continue  # its hosts are those of the virtual hosts
        match = chain.filter_chain_match
        for name in match.server_names or (() if match.prefix_ranges else ("*",)):
            yield f"{name}:{port}", place


def _place_of(
    domains: Iterable[str], places: Mapping[str, _Place], by_port: Mapping[int, Any]
) -> _Place | None:
    """Where a tunnel to a virtual host leads: to the listener of its name, else of its port."""
    address = _WILDCARD
    listener = None
    for domain in domains:
        if domain in places:
            return places[domain]
        host, _, port = domain.rpartition(":")
        number = decimal(port)
        if number is not None and number in by_port:
            listener = by_port[number]
            address = host if is_ip_address(host.strip("[]")) else address
    if listener is None:
        return None
    return _Place(listener.name, address, listener.address.socket_address.port_value)


def _tunnel_route(place: _Place) -> Any:
    route = _connect_route(f"{_TUNNEL_PREFIX}{place.listener}")
    route.name = _TUNNEL_ROUTE
    route.typed_per_filter_config[_SET_FILTER_STATE].CopyFrom(any_of(_filter_state(place.destination)))
    return route


def _undeclared_tunnel(usual: Sequence[Any], captured: Sequence[Any]) -> Any:
    """CONNECT to what nobody declared: to the place itself where that is allowed, else into nothing."""
    if any(route.route.cluster == BY_NAME_CLUSTER for route in usual):
        return _connect_route(BY_NAME_CLUSTER)
    entrance = next(each for each in captured if each.name == resource_names.VIRTUAL_OUTBOUND_LISTENER)
    return _tunnel_route(_Place(entrance.name, _NOWHERE, 1))


def _connect_route(cluster: str) -> Any:
    route = m.route_components_pb2.Route()
    route.match.connect_matcher.SetInParent()
    route.route.cluster = cluster
    route.route.timeout.CopyFrom(duration(0))
    upgrade = route.route.upgrade_configs.add(upgrade_type="CONNECT")
    upgrade.connect_config.SetInParent()
    return route


def _dead_ends() -> list[Any]:
    """What is meant for the proxy itself would go round for ever."""
    route = m.route_components_pb2.Route()
    route.match.prefix = "/"
    route.route.cluster = resource_names.BLACK_HOLE_CLUSTER
    return [_connect_route(resource_names.BLACK_HOLE_CLUSTER), route]


def _put_first(virtual_host: Any, route: Any) -> None:
    routes = list(virtual_host.routes)
    del virtual_host.routes[:]
    virtual_host.routes.extend([route, *routes])


# --- Envoy's extensions -----------------------------------------------------------------------------


def _message(name: str) -> Any:
    found = message_class(f"{_EXTENSIONS}{name}")
    assert found is not None, name
    return found()


def _dns_cache() -> Any:
    cache = _message("common.dynamic_forward_proxy.v3.DnsCacheConfig")
    cache.name = "undeclared"
    cache.dns_lookup_family = m.cluster_pb2.Cluster.V4_PREFERRED
    return cache


def _filter_state(destination: str) -> Any:
    """Tells the listener inside the proxy where the connection was going, and whose it is; "" nothing."""
    config = _message("filters.http.set_filter_state.v3.Config")
    if destination:
        for key, text in ((_LOCAL_IP, destination), (_REMOTE_IP, "%DOWNSTREAM_REMOTE_ADDRESS%")):
            value = config.on_request_headers.add(object_key=key)
            value.format_string.text_format_source.inline_string = text
            value.shared_with_upstream = value.ONCE
    return config


def _leave_out_tunnels(log: Any) -> None:
    known = m.accesslog_pb2.AccessLogFilter()
    known.CopyFrom(log.filter)
    config = m.cel_filter_pb2.ExpressionFilter(
        expression=f'!(request.method == "CONNECT" && xds.route_name == "{_TUNNEL_ROUTE}")'
    )
    condition = m.accesslog_pb2.AccessLogFilter()
    condition.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    condition.extension_filter.typed_config.CopyFrom(any_of(config))
    if known.ListFields():
        log.filter.CopyFrom(
            m.accesslog_pb2.AccessLogFilter(and_filter=m.accesslog_pb2.AndFilter(filters=[known, condition]))
        )
    else:
        log.filter.CopyFrom(condition)
