"""Translation: (Proxy, PushContext) -> Envoy v3 resources, named and shaped as istiod does it.

Pure functions, one module for each xDS type. Equal inputs give equal bytes: names are sorted, maps serialized
in order, nothing depends on time or on what was pushed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.clusters import build_clusters, eds_cluster_names
from minimesh.control_plane.translation.endpoints import build_endpoints
from minimesh.control_plane.translation.envoy_filters import Patching
from minimesh.control_plane.translation.listeners import build_listeners, route_names
from minimesh.control_plane.translation.routes import build_routes
from minimesh.control_plane.translation.secrets import build_secrets

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

__all__ = ["Resources", "build_resources"]


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
    clusters = patching.clusters(build_clusters(proxy, push))
    listeners = patching.listeners(build_listeners(proxy, push))
    return Resources(
        clusters=_by_name(clusters),
        endpoints={e.cluster_name: e for e in build_endpoints(proxy, push, eds_cluster_names(clusters))},
        listeners=_by_name(listeners),
        routes=_by_name(patching.routes(build_routes(proxy, push, route_names(listeners)))),
        secrets=_by_name(build_secrets(proxy, push, listeners, clusters)),
    )


def _by_name(messages: Iterable[Any]) -> dict[str, Any]:
    return {str(message.name): message for message in messages}
