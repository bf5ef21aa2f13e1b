"""Every field of the traffic API, walked from the message classes: its path, its type, whether it acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minimesh.config.istio.mesh_config import MeshConfigFile
from minimesh.config.kinds import DECODED, KUBERNETES_GATEWAY
from minimesh.config.schema import FieldType, Message, schema_of
from minimesh.config.simulated import not_simulated

KINDS = (
    "Gateway",
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    "Sidecar",
    "ProxyConfig",
    "MeshConfig",
    "EnvoyFilter",
    "Telemetry",
    "Ingress",
    "IngressClass",
    "GatewayClass",
    KUBERNETES_GATEWAY,
    "HTTPRoute",
    "GRPCRoute",
    "TCPRoute",
    "TLSRoute",
    "ReferenceGrant",
)
"""As the store has them: Istio's Gateway is `Gateway`, that of Kubernetes has its group in its name."""

WITHOUT_EFFECT = frozenset(
    {
        "Gateway.spec.servers[].name",
        "Gateway.spec.servers[].port.targetPort",
        "Sidecar.spec.egress[].port.name",
        "Sidecar.spec.ingress[].port.name",
        "Ingress.spec.defaultBackend.service.name",
        "Ingress.spec.defaultBackend.service.port.name",
        "Ingress.spec.defaultBackend.service.port.number",
        "GatewayClass.spec.description",
        "TCPRoute.spec.rules[].name",
        "TLSRoute.spec.rules[].name",
    }
)
"""Names and texts for people, and what istiod does not read: accepted here as there, nothing to be noted."""


@dataclass(frozen=True, slots=True)
class ApiField:
    """One field. `[]` in its path stands for any item of a list; a map's path is that of the map."""

    kind: str
    path: str
    type: str
    is_leaf: bool

    @property
    def state(self) -> str:
        if f"{self.kind}.{self.path}" in WITHOUT_EFFECT:
            return "no effect in Istio"
        if self.path.endswith(".outlierDetection.consecutiveErrors"):
            return "no effect in Istio"  # given up long ago; the webhook warns
        return "not simulated" if not_simulated(self.kind, [self.path]) else "acts"

    @property
    def acts(self) -> bool:
        return self.state == "acts"


def fields_of(kind: str) -> list[ApiField]:
    """All fields of a kind below `spec`, in the order of its classes; a MeshConfig has no `spec`."""
    if kind == "MeshConfig":
        return list(_walk(kind, MeshConfigFile, "", ()))
    (spec_class,) = {known.spec_class for known in DECODED.values() if known.stored_as == kind}
    return list(_walk(kind, spec_class, "spec", ()))


def _walk(kind: str, cls: type[Message], path: str, outer: tuple[type[Message], ...]) -> Iterator[ApiField]:
    for name, field in schema_of(cls).fields.items():
        shape = field.type
        inner = shape.element or shape
        below = f"{path}.{name}".removeprefix(".") + (
            "[]" if shape.shape == "list" and inner.is_message else ""
        )
        nested = inner.is_message and inner.python not in outer
        yield ApiField(kind, below, _described(shape), not nested)
        if nested:
            entry = f"{below}.*" if shape.shape == "map" else below
            yield from _walk(kind, inner.python, entry, (*outer, cls))


def _described(shape: FieldType) -> str:
    if shape.shape == "list":
        return f"list of {_described(shape.element)}" if shape.element is not None else "list"
    if shape.shape == "map":
        return f"map to {_described(shape.element)}" if shape.element is not None else "map"
    if shape.is_enum:
        return " / ".join(shape.python)
    return {"timedelta": "duration", "object": "anything", "str": "string"}.get(
        getattr(shape.python, "__name__", ""), getattr(shape.python, "__name__", "int or string")
    )
