"""Translation: (Proxy, PushContext) -> Envoy v3 resources, named and shaped as istiod does it.

Pure functions, one module for each xDS type. Equal inputs give equal bytes: names are sorted, maps serialized
in order, nothing depends on time or on what was pushed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.sharing import Sharing, Unshared
from minimesh.control_plane.translation import named_destinations
from minimesh.control_plane.translation.clusters import build_clusters, eds_cluster_names
from minimesh.control_plane.translation.endpoints import build_endpoints, update_endpoints
from minimesh.control_plane.translation.envoy_filters import Patching
from minimesh.control_plane.translation.layers import Layers
from minimesh.control_plane.translation.listeners import build_listeners, route_names
from minimesh.control_plane.translation.routes import build_routes
from minimesh.control_plane.translation.secrets import (
    build_secrets,
    names_of_clusters,
    names_of_listeners,
)
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
    clusters, listeners = build_clusters(proxy, push, share), build_listeners(proxy, push, share)
    if patching.any:
        clusters = Layers({}, _by_name(patching.clusters([*clusters.values()])))
        listeners = Layers({}, _by_name(patching.listeners([*listeners.values()])))
    names = _of_layers("endpoints asked for", clusters, eds_cluster_names, proxy, share)
    routes = _of_layers("routes asked for", listeners, route_names, proxy, share)
    secrets = _of_layers("listeners' secrets", listeners, names_of_listeners, proxy, share)
    secrets |= _of_layers("clusters' secrets", clusters, names_of_clusters, proxy, share)
    made = Resources(
        clusters=clusters,
        endpoints=share.following(
            names,
            proxy,
            lambda seen: build_endpoints(seen, push, names, share),
            lambda seen, before, hosts: update_endpoints(seen, push, before, hosts, share),
        ),
        listeners=listeners,
        routes=share.of(
            f"routes {' '.join(sorted(routes))}",
            proxy,
            lambda seen: _by_name(patching.routes(build_routes(seen, push, routes, share))),
        ),
        secrets=_by_name(build_secrets(proxy, push, secrets)),
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


def _of_layers(
    part: str, layers: Layers, look: Callable[[Iterable[Any]], Iterable[str]], proxy: Proxy, share: Sharing
) -> frozenset[str]:
    """The names that `look` finds in resources; in those of a shared layer once for all who share it."""
    shared = share.lasting(
        part, (layers.shared,), proxy, lambda _seen: frozenset(look(layers.shared.values()))
    )
    own = frozenset(look(layers.own.values()))
    return shared | own if own else shared


def _by_name(messages: Iterable[Any]) -> dict[str, Any]:
    return {str(message.name): message for message in messages}
