"""Listeners (LDS) of a proxy, and which route configurations they refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.sharing import Sharing, Unshared
from minimesh.control_plane.translation.gateway_listeners import build_gateway_listeners
from minimesh.control_plane.translation.layers import Layers
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.pod_addresses import at_pod_addresses
from minimesh.control_plane.translation.sidecar_inbound_listeners import (
    build_bound_inbound,
    build_virtual_inbound,
)
from minimesh.control_plane.translation.sidecar_outbound_listeners import build_outbound_listeners
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy


def build_listeners(proxy: Proxy, push: PushContext, share: Sharing | None = None) -> Layers:
    """All listeners of a proxy.

    `share` gives what was made for other proxies: then the listeners must not be changed.
    """
    share = share or Unshared()
    alike = share.of("listeners", proxy, lambda seen: {each.name: each for each in _alike(seen, push)})
    own: dict[str, Any] = {}
    if proxy.type != "router":
        inbound = (*build_bound_inbound(proxy, push), build_virtual_inbound(proxy, push))
        own = {each.name: each for each in inbound}
    if proxy.addresses is None:
        return Layers(alike, own)
    moved = at_pod_addresses([*alike.values(), *own.values()], proxy.addresses)
    return Layers({}, {each.name: each for each in moved})


def _alike(proxy: Proxy, push: PushContext) -> Iterable[Any]:
    """The listeners that proxies of the same kind mostly have in common."""
    if proxy.type == "router":
        return build_gateway_listeners(proxy, push)
    return build_outbound_listeners(proxy, push)


def route_names(listeners: Iterable[Any]) -> list[str]:
    """The route configurations that listeners fetch by RDS, sorted."""
    found = set()
    for listener in listeners:
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for network_filter in chain.filters:
                if network_filter.name != HTTP_CONNECTION_MANAGER:
                    continue
                manager = m.http_connection_manager_pb2.HttpConnectionManager()
                network_filter.typed_config.Unpack(manager)
                if manager.HasField("rds"):
                    found.add(str(manager.rds.route_config_name))
    return sorted(found)
