"""EnvoyFilter: patches to finished resources, made after translation and before anything is sent.

A patch that names an extension our own proxy does not have is left out for it and made for a real Envoy,
which is told apart by the user agent of its node. What is left out was named when the file was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.envoy_filters.clusters import patch_clusters
from minimesh.control_plane.translation.envoy_filters.listeners import patch_listeners
from minimesh.control_plane.translation.envoy_filters.patches import ProxyPatches
from minimesh.control_plane.translation.envoy_filters.routes import GatewayPorts, patch_route_config

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

__all__ = ["Patching"]


class Patching:
    """The patches of one proxy, made on whole lists of resources. Lists come back changed in place."""

    def __init__(self, proxy: Proxy, push: PushContext) -> None:
        self._proxy = proxy
        self._push = push
        self._patches = ProxyPatches.of(proxy, push)

    @property
    def any(self) -> bool:
        """Whether there are any patches."""
        return bool(self._patches.by_target)

    def clusters(self, clusters: list[Any]) -> list[Any]:
        return patch_clusters(clusters, self._patches, self._proxy, self._push)

    def listeners(self, listeners: list[Any]) -> list[Any]:
        return patch_listeners(listeners, self._patches)

    def routes(self, route_configs: list[Any]) -> list[Any]:
        if self._patches.of_routes:
            ports = GatewayPorts.of(self._proxy, self._push)
            for route_config in route_configs:
                patch_route_config(route_config, self._patches, self._patches.outbound, ports)
        return route_configs
