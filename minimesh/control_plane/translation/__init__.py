"""Translation: (Proxy, PushContext) -> Envoy v3 resources, named and shaped as istiod does it.

Pure functions, one module for each xDS type. Equal inputs give equal bytes: names are sorted, maps serialized
in order, nothing depends on time or on what was pushed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.sharing import Unshared
from minimesh.control_plane.translation import named_destinations
from minimesh.control_plane.translation.clusters import build_clusters, eds_cluster_names
from minimesh.control_plane.translation.endpoints import build_endpoints
from minimesh.control_plane.translation.envoy_filters import Patching
from minimesh.control_plane.translation.listeners import build_listeners, route_names
from minimesh.control_plane.translation.routes import build_routes
from minimesh.control_plane.translation.secrets import build_secrets
from minimesh.xds.resource_names import HTTP_PROXY_ROUTE

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

__all__ = ["Resources", "build_endpoints", "build_resources"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything one proxy needs: messages by resource name, one mapping for each xDS type."""

    clusters: Mapping[str, Any]
    endpoints: Mapping[str, Any]
    listeners: Mapping[str, Any]
    routes: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(default_factory=dict)


def build_resources(proxy: Proxy, push: PushContext) -> Resources:
    """Translate a push for one proxy, complete in itself: each name referred to is there."""
    patching = Patching(proxy, push)
    # Patches change what was made, which then cannot be given to others as well.
    share = Unshared() if patching.any else push.shared
    clusters = patching.clusters(build_clusters(proxy, push, share))
    listeners = patching.listeners(build_listeners(proxy, push, share))
    names, routes = tuple(eds_cluster_names(clusters)), tuple(route_names(listeners))
    made = Resources(
        clusters=_by_name(clusters),
        endpoints=share.of(
            ("endpoints", names), proxy, lambda seen: build_endpoints(seen, push, names, share)
        ),
        listeners=_by_name(listeners),
        routes=share.of(
            f"routes {' '.join(routes)}",
            proxy,
            lambda seen: _by_name(patching.routes(build_routes(seen, push, routes, share))),
        ),
        secrets=_by_name(build_secrets(proxy, push, listeners, clusters)),
    )
    return _tunnelling(made, proxy, push) if named_destinations.is_wanted(proxy, push) else made


def _tunnelling(made: Resources, proxy: Proxy, push: PushContext) -> Resources:
    """The same with what an Envoy needs to open tunnels to its listeners."""
    if proxy.addresses is None or HTTP_PROXY_ROUTE not in made.routes:
        return made  # an EnvoyFilter may have taken the listener away
    outside = list(made.listeners.values())
    inside = named_destinations.tunnel_listeners(outside)
    itself = named_destinations.own_places(proxy.addresses, push.mesh.proxy_http_port)
    route = named_destinations.with_tunnels(made.routes[HTTP_PROXY_ROUTE], outside, itself)
    return replace(
        made,
        clusters={**made.clusters, **_by_name(named_destinations.tunnel_clusters(inside))},
        listeners={**made.listeners, **_by_name(inside)},
        routes={**made.routes, HTTP_PROXY_ROUTE: route},
    )


def _by_name(messages: Iterable[Any]) -> dict[str, Any]:
    return {str(message.name): message for message in messages}
