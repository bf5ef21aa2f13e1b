"""Route configurations (RDS): the ones a proxy's listeners refer to, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.sharing import Sharing, Unshared
from minimesh.control_plane.translation.gateway_routes import build_gateway_route_config
from minimesh.control_plane.translation.protobuf_values import boolean
from minimesh.control_plane.translation.proxy import container_ports
from minimesh.control_plane.translation.sidecar_routes import build_sidecar_route_config
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy


def build_routes(
    proxy: Proxy, push: PushContext, names: Iterable[str], share: Sharing | None = None
) -> list[Any]:
    """One RouteConfiguration for each name, in order of the names sorted, with parts that `share` gives.

    A name that nothing stands behind gets an empty configuration: a listener that waits for it would else
    never come up.
    """
    if proxy.type == "router":
        merged = push.merged_gateway(proxy.namespace, proxy.labels, container_ports(proxy, push))
        return [build_gateway_route_config(proxy, push, merged, name) for name in sorted(set(names))]
    scope = push.sidecar_scope(proxy.namespace, proxy.labels)
    share = share or Unshared()
    return [
        build_sidecar_route_config(proxy, push, scope, name, share) or _empty(name)
        for name in sorted(set(names))
    ]


def _empty(name: str) -> Any:
    return m.route_pb2.RouteConfiguration(name=name, validate_clusters=boolean(False))
