"""What an analyzer says: Istio's codes, levels and texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from minimesh.config.analysis.document import Document, Path


class Level(IntEnum):
    """How bad; the worst is the lowest, as messages are sorted."""

    ERROR = 0
    WARNING = 1
    INFO = 2

    @property
    def word(self) -> str:
        return self.name.title()


@dataclass(frozen=True, slots=True)
class MessageType:
    """One code. `template` has a `{}` for each argument."""

    code: str
    level: Level
    template: str


@dataclass(frozen=True, slots=True)
class Message:
    """One finding about one document."""

    type: MessageType
    document: Document
    arguments: tuple[str, ...] = ()
    path: Path = ()

    @property
    def text(self) -> str:
        return self.type.template.format(*self.arguments)

    @property
    def resource(self) -> str:
        """`KIND NAMESPACE/NAME`."""
        return f"{self.document.kind} {self.document.full_name}"

    @property
    def origin(self) -> str:
        """The resource, and the file and line where there is one."""
        if not self.document.file:
            return self.resource
        return f"{self.resource} {self.document.file}:{self.document.line(self.path)}"

    def __str__(self) -> str:
        return f"{self.type.level.word} [{self.type.code}] ({self.origin}) {self.text}"

    def sort_key(self) -> tuple[Level, str, str, str]:
        return self.type.level, self.type.code, self.resource, self.text


def quoted(text: str) -> str:
    """As Go's %q."""
    return json.dumps(text, ensure_ascii=False)


def listed(items: object) -> str:
    """As Go's %v of a list: `[a b]`."""
    return f"[{' '.join(map(str, items))}]" if isinstance(items, list | tuple) else str(items)


_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO
DEPRECATED = MessageType("IST0002", _W, "Deprecated: {}")
NOT_FOUND = MessageType("IST0101", _E, "Referenced {} not found: {}")
NAMESPACE_NOT_INJECTED = MessageType(
    "IST0102",
    _I,
    "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {0} "
    "istio-injection=enabled'"
    " to enable it, or 'kubectl label namespace {0} istio-injection=disabled' to explicitly mark it as not "
    "needing injection.",
)
POD_MISSING_PROXY = MessageType(
    "IST0103",
    _W,
    "The pod {} is missing the Istio proxy. This can often be resolved by restarting or "
    "redeploying the workload.",
)
SCHEMA_ERROR = MessageType("IST0106", _E, "Schema validation error: {}")
CONFLICTING_MESH_HOSTS = MessageType(
    "IST0109",
    _E,
    "The VirtualServices {} associated with mesh gateway define the same host {} which can lead to undefined "
    "behavior. This can be fixed by merging the conflicting VirtualServices into a single resource.",
)
CONFLICTING_SIDECARS = MessageType(
    "IST0110",
    _E,
    "The Sidecars {} in namespace {} select the same workload pod {}, which can lead to undefined behavior.",
)
SIDECARS_WITHOUT_SELECTOR = MessageType(
    "IST0111",
    _E,
    "The Sidecars {} in namespace {} have no workload selector, which can lead to undefined behavior.",
)
PORT_REQUIRED = MessageType(
    "IST0112",
    _E,
    "This VirtualService routes to a service {} that exposes multiple ports {}. Specifying a port in the "
    "destination is required to disambiguate.",
)
DIFFERENT_PROTOCOLS = MessageType(
    "IST0116",
    _W,
    "This deployment {} is associated with multiple services using port {} but different protocols: {}",
)
PORT_NAME = MessageType(
    "IST0118",
    _I,
    "Port name {} (port: {}, targetPort: {}) doesn't follow the naming convention of Istio port.",
)
MULTIPLE_INJECTION_LABELS = MessageType(
    "IST0123",
    _W,
    "The namespace has more than one type of injection labels {}, which may lead to undefined behavior. Make "
    "sure only one injection label exists.",
)
NO_WORKLOADS = MessageType(
    "IST0127", _W, "No matching workloads for this resource with the following labels: {}"
)
NO_CA_FOR_DESTINATION = MessageType(
    "IST0128",
    _W,
    "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set "
    "to validate server "
    "identity for host: {}",
)
NO_CA_FOR_PORT = MessageType(
    "IST0129",
    _W,
    "DestinationRule {} in namespace {} has TLS mode set to {} but no caCertificates are set "
    "to validate server "
    "identity for host: {} at port {}",
)
UNREACHABLE_RULE = MessageType("IST0130", _W, "VirtualService rule {} not used ({}).")
INEFFECTIVE_MATCH = MessageType(
    "IST0131",
    _I,
    "VirtualService rule {} match {} is not used (duplicate/overlapping match in rule {}).",
)
HOST_NOT_IN_GATEWAY = MessageType(
    "IST0132", _W, "one or more host {} defined in VirtualService {} not found in Gateway {}."
)
ADDRESSES_REQUIRED = MessageType("IST0134", _W, "ServiceEntry addresses are required for this protocol.")
CONFLICTING_PORTS = MessageType(
    "IST0137",
    _W,
    "This deployment {} is associated with multiple services {} using targetPort {} but different ports: {}.",
)
DUPLICATE_CERTIFICATE = MessageType(
    "IST0138",
    _W,
    "Duplicate certificate in multiple gateways {} may cause 404s if clients re-use HTTP2 connections.",
)
SUBSET_WITHOUT_EFFECT = MessageType(
    "IST0140", _W, "Subset in virtual service {} has no effect on ingress gateway {} requests"
)
RESERVED_UID = MessageType("IST0144", _W, "User ID (UID) 1337 is reserved for the sidecar proxy.")
CONFLICTING_GATEWAYS = MessageType(
    "IST0145", _E, "Conflict with gateways {} (workload selector {}, port {}, hosts {})."
)
JWT_WITHOUT_AUTHENTICATION = MessageType(
    "IST0149",
    _E,
    "The virtual service uses the JWT claim based routing (key: {}) but found no request "
    "authentication for the "
    "gateway ({}) pod ({}). The request authentication must first be applied for the gateway "
    "pods to validate "
    "the JWT token and make the claims available for routing.",
)
EXTERNAL_NAME_PORT = MessageType(
    "IST0150",
    _W,
    "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and "
    "unmatched traffic for "
    "ports serving TCP protocol from being forwarded correctly",
)
TELEMETRY_WITHOUT_PROVIDER = MessageType(
    "IST0157", _W, "The Telemetry {} in namespace {} with empty providers will be ignored."
)
CONFLICTING_TELEMETRIES = MessageType(
    "IST0159",
    _E,
    "The Telemetries {} in namespace {} select the same workload pod {}, which can lead to undefined "
    "behavior.",
)
TELEMETRIES_WITHOUT_SELECTOR = MessageType(
    "IST0160",
    _E,
    "The Telemetries {} in namespace {} have no workload selector, which can lead to undefined behavior.",
)
INVALID_CREDENTIAL = MessageType(
    "IST0161",
    _E,
    "The credential referenced by the Gateway {} in namespace {} is invalid, which can cause "
    "the traffic not to "
    "work as expected.",
)
PORT_NOT_ON_SERVICE = MessageType(
    "IST0162",
    _W,
    "The gateway is listening on a target port (port {}) that is not defined in the Service "
    "associated with its "
    "workload instances (Pod selector {}). If you need to access the gateway port through the "
    "gateway Service, "
    "it will not be available.",
)
INEFFECTIVE_SELECTOR = MessageType(
    "IST0166", _W, "Ineffective selector on Kubernetes Gateway {}. Use the TargetRef field instead."
)
INEFFECTIVE_POLICY = MessageType("IST0167", _W, "The policy has no impact: {}.")
SUBSET_WITHOUT_PODS = MessageType(
    "IST0173",
    _E,
    "The Subset {} defined in the DestinationRule does not select any pods. Which may lead to 503 UH "
    "(NoHealthyUpstream).",
)
UNKNOWN_RULE_HOST = MessageType(
    "IST0174",
    _W,
    "The host {} defined in the DestinationRule does not match any services in the mesh.",
)
CRD_TOO_OLD = MessageType(
    "IST0176",
    _W,
    "Gateway API CRD {} is at version {} but Istio requires at least {}; resources of this kind will not be "
    "processed. Upgrade the Gateway API CRDs to satisfy the minimum version.",
)
CONFLICTING_PROTOCOLS = MessageType(
    "IST0177",
    _W,
    "Multiple ServiceEntries ({}) define the same host {} and port {} with conflicting protocols ({}).",
)
