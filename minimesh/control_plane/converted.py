"""Ingresses and the Gateway API in Istio's own terms, before a push context is made of the snapshot.

Their modules are loaded when there are such objects: most meshes have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.config.kinds import KUBERNETES_GATEWAY

if TYPE_CHECKING:
    from minimesh.config.resources import Resource, ResourceKey
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.gateway_api.conversion import Conversion
    from minimesh.control_plane.mesh_config import MeshConfig
    from minimesh.control_plane.service_registry import ServiceRegistry

_GATEWAY_API = frozenset({KUBERNETES_GATEWAY, "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"})
#: All that the translation reads.
_READ = frozenset(
    {"Ingress", "IngressClass", "GatewayClass", "ReferenceGrant", *_GATEWAY_API}
    | {"Namespace", "Service", "ServiceEntry", "Secret", "ConfigMap"}
)
#: Kinds whose status this control plane writes, and reads nothing from.
STATUS_WRITTEN = frozenset({"Ingress", "GatewayClass", *_GATEWAY_API})


@dataclass(frozen=True, slots=True)
class Converted:
    """What such objects of one snapshot mean, and what is to be written back to them."""

    snapshot: Snapshot
    mesh: MeshConfig
    resources: Mapping[ResourceKey, Resource]
    """Gateways and VirtualServices of Istio's."""
    gateway_api: Conversion | None
    """None where nobody uses it."""

    def with_statuses(self, now: str) -> Iterator[Resource]:
        """Each object with the status that it should have. `now` is a timestamp as objects carry it."""
        if "Ingress" in self.snapshot.kinds:
            from minimesh.control_plane.ingress.serving import with_ingress_statuses

            yield from with_ingress_statuses(self.snapshot, self.mesh)
        classes = self.snapshot.by_kind("GatewayClass")
        if classes:
            from minimesh.control_plane.gateway_api.status import with_class_statuses

            yield from with_class_statuses(classes, now)
        if self.gateway_api is not None:
            from minimesh.control_plane.gateway_api.status import with_statuses

            yield from with_statuses(self.gateway_api, now)


def converted(
    snapshot: Snapshot, registry: ServiceRegistry, mesh: MeshConfig, before: Converted | None = None
) -> Converted:
    """Translate all Ingresses that are this mesh's to serve, and the Gateway API.

    What was converted `before` is returned again where nothing has changed that the translation reads.
    """
    if before is not None and before.mesh == mesh and _same(before.snapshot, snapshot):
        return before
    resources: list[Resource] = []
    conversion = None
    if "Ingress" in snapshot.kinds:
        from minimesh.control_plane.ingress.serving import ingress_resources

        resources += ingress_resources(snapshot, registry, mesh)
    if not _GATEWAY_API.isdisjoint(snapshot.kinds):
        from minimesh.control_plane.gateway_api.conversion import convert
        from minimesh.control_plane.gateway_api.world import World

        conversion = convert(World(snapshot, registry, mesh.domain_suffix))
        resources += conversion.resources
    return Converted(snapshot, mesh, {each.key: each for each in resources}, conversion)


def _same(old: Snapshot, new: Snapshot) -> bool:
    return all(same_objects(old.by_kind(kind), new.by_kind(kind)) for kind in _READ)


def same_objects(old: Sequence[Resource], new: Sequence[Resource]) -> bool:
    """Whether these are the very same objects, but for statuses that were written back."""
    return old is new or (len(old) == len(new) and all(map(same_but_status, old, new)))


def same_but_status(one: Resource, other: Resource) -> bool:
    """Whether two states of an object mean the same to proxies: only what we wrote back may differ."""
    return one is other or (
        one.kind in STATUS_WRITTEN
        and one.spec is other.spec
        and one.metadata.labels is other.metadata.labels
        and one.metadata.annotations is other.metadata.annotations
    )
