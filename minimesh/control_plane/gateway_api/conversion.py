"""The Gateway API of one snapshot as a whole: what it means in Istio's terms, what became of each object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.control_plane.gateway_api.grants import Grants
from minimesh.control_plane.gateway_api.listeners import ConvertedGateway, convert_gateway, istio_gateways
from minimesh.control_plane.gateway_api.routes import ConvertedRoute, Routes
from minimesh.control_plane.gateway_api.world import ROUTE_KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.world import World


@dataclass(frozen=True, slots=True)
class Conversion:
    """`resources` are Istio's Gateways and VirtualServices; the rest says what became of what was written."""

    resources: Sequence[Resource]
    gateways: Sequence[ConvertedGateway]
    routes: Sequence[ConvertedRoute]


def convert(world: World) -> Conversion:
    """Translate all Gateways of our classes and all routes attached to them or to the mesh."""
    grants = Grants(world.snapshot.by_kind("ReferenceGrant"))
    gateways = [convert_gateway(each, world, grants) for each in world.gateways()]
    listeners = {(each.resource.namespace, each.resource.name): each.listeners for each in gateways}
    routes = Routes(world, grants, listeners)
    converted = [
        routes.convert_http(each) if kind in ("HTTPRoute", "GRPCRoute") else routes.convert_l4(each)
        for kind in ROUTE_KINDS
        for each in world.by_age(kind)
    ]
    resources = [one for each in gateways for one in istio_gateways(each)]
    return Conversion([*resources, *routes.virtual_services()], gateways, converted)
