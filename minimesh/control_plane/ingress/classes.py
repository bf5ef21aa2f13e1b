"""Which Ingresses are this mesh's to serve: by annotation, by class, or by having none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.config.istio.mesh_config import IngressControllerMode
from minimesh.config.resources import ResourceKey

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot
    from minimesh.control_plane.mesh_config import MeshConfig

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
CONTROLLER = "istio.io/ingress-controller"


def served_ingresses(snapshot: Snapshot, mesh: MeshConfig) -> list[Resource]:
    """The Ingresses that the mesh's gateway serves, oldest first."""
    found = (each for each in snapshot.by_kind("Ingress") if _is_served(each, snapshot, mesh))
    return sorted(found, key=creation_order)


def _is_served(ingress: Resource, snapshot: Snapshot, mesh: MeshConfig) -> bool:
    mode = mesh.ingress_controller_mode
    if mode is IngressControllerMode.OFF:
        return False
    annotated = ingress.metadata.annotations.get(CLASS_ANNOTATION)
    if annotated is not None:
        return bool(annotated == mesh.ingress_class)
    name = ingress.spec.ingress_class_name
    if not name:
        return mode is IngressControllerMode.DEFAULT
    class_: Any = snapshot.get(ResourceKey("IngressClass", "", name))
    if class_ is None:  # files alone need not declare what every mesh has
        return bool(name == mesh.ingress_class)
    return bool(class_.spec.controller == CONTROLLER)
