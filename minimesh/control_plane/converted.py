"""Ingresses and the Gateway API in Istio's own terms, before a push context is made of the snapshot.

Their modules are loaded when there are such objects: most meshes have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.push_context.mesh_config import MeshConfig
    from minimesh.control_plane.service_registry import ServiceRegistry

GATEWAY_API_KINDS = frozenset(
    {"Gateway.gateway.networking.k8s.io", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"}
)


def converted_resources(
    snapshot: Snapshot, registry: ServiceRegistry, mesh: MeshConfig
) -> Iterator[Resource]:
    """The Gateways and VirtualServices that Ingresses and the Gateway API mean."""
    if "Ingress" in snapshot.kinds:
        from minimesh.control_plane.ingress.serving import ingress_resources

        yield from ingress_resources(snapshot, registry, mesh)
    if not GATEWAY_API_KINDS.isdisjoint(snapshot.kinds):
        from minimesh.control_plane.gateway_api.conversion import convert
        from minimesh.control_plane.gateway_api.world import World

        yield from convert(World(snapshot, registry, mesh.domain_suffix)).resources
