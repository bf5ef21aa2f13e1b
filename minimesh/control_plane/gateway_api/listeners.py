"""Gateways taken apart into listeners: what each serves, which routes it takes, and what is wrong with it.

Each sound listener becomes a Gateway of Istio's with one server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.gateway_api.gateway import RouteGroupKind
from minimesh.config.istio.gateway import Gateway, Port, Server
from minimesh.config.kinds import GATEWAY_API
from minimesh.control_plane import internal_annotations
from minimesh.control_plane.gateway_api.addresses import GatewayAddresses, gateway_addresses
from minimesh.control_plane.gateway_api.conditions import Fault, Verdict, verdict
from minimesh.control_plane.gateway_api.listener_tls import ListenerTls, listener_tls
from minimesh.control_plane.gateway_api.world import GENERATED, World, internal

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.grants import Grants

_HTTP_KINDS = ("HTTPRoute", "GRPCRoute")
_FINE = "No errors found"
_NOBODY = "~"


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener of a Gateway. `hosts` are `namespace/host`; `kinds` those of the routes that it takes."""

    gateway: Resource
    name: str
    hostname: str
    port: int
    protocol: str
    hosts: tuple[str, ...]
    kinds: tuple[str, ...]
    tls: ListenerTls
    protocol_fault: Fault | None
    kinds_fault: Fault | None

    @property
    def internal_name(self) -> str:
        """`namespace/name` of the Gateway that it becomes."""
        return f"{self.gateway.namespace}/{self.gateway.name}~{GENERATED}~{self.name}"

    @property
    def is_sound(self) -> bool:
        """Whether anything can be served by it."""
        return not (self.protocol_fault or self.tls.certificate or self.tls.authorities)

    @property
    def verdicts(self) -> list[Verdict]:
        """Its conditions."""
        broken = self.tls.certificate or self.tls.authorities
        unprogrammed = Fault("Invalid", "Bad TLS configuration") if broken is not None else None
        unaccepted = None
        if self.tls.authorities is not None or (broken is not None and broken.reason == "RefNotPermitted"):
            # istiod has this one word for both.
            unaccepted = Fault("NoValidCACertificate", broken.message if broken is not None else "")
        return [
            verdict("Accepted", self.protocol_fault or unaccepted, _FINE),
            verdict("Conflicted", None, _FINE, reason="NoConflicts", status=False),
            verdict("Programmed", unprogrammed, _FINE),
            verdict("ResolvedRefs", broken or self.kinds_fault, _FINE),
        ]

    @property
    def supported_kinds(self) -> tuple[RouteGroupKind, ...]:
        return tuple(RouteGroupKind(group=GATEWAY_API, kind=kind) for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class ConvertedGateway:
    """A Gateway of ours with its listeners. `fault` makes nothing of it serve."""

    resource: Resource
    addresses: GatewayAddresses
    listeners: tuple[Listener, ...]
    parameters_fault: Fault | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """Its own conditions, beside those of its listeners."""
        return [
            self._accepted(),
            self.addresses.programmed,
            verdict("ResolvedRefs", None, "All references resolved"),
        ]

    def _accepted(self) -> Verdict:
        sound = sum(listener.is_sound for listener in self.listeners)
        if self.addresses.fault is not None:
            return verdict("Accepted", self.addresses.fault, "")
        if self.parameters_fault is not None:
            return verdict("Accepted", self.parameters_fault, "")
        if self.listeners and not sound:
            fault = Fault("ListenersNotValid", "None of the Gateway's listeners are valid")
            return verdict("Accepted", fault, "")
        if sound < len(self.listeners):
            message = "One or more of the Gateway's listeners are invalid"
            return verdict("Accepted", None, message, reason="ListenersNotValid")
        return verdict("Accepted", None, "Resource accepted")


def convert_gateway(gateway: Resource, world: World, grants: Grants) -> ConvertedGateway:
    """The listeners of a Gateway, and where they are found."""
    addresses = gateway_addresses(gateway, world)
    written = gateway.spec.listeners if addresses.fault is None else ()
    listeners = tuple(_listener(gateway, each, world, grants) for each in written)
    return ConvertedGateway(gateway, addresses, listeners, _parameters_fault(gateway, world))


def istio_gateways(converted: ConvertedGateway) -> Iterator[Resource]:
    """One Gateway of Istio's for each sound listener."""
    gateway = converted.resource
    for number, listener in enumerate(converted.listeners):
        if not listener.is_sound:
            continue
        parent = f"Gateway/{gateway.name}/{listener.name}.{gateway.namespace}"
        annotations = {
            internal_annotations.GATEWAY_SEMANTICS: "gateway",
            internal_annotations.GATEWAY_SERVICE: ",".join(converted.addresses.hostnames),
            internal_annotations.PARENTS: parent,
            internal_annotations.SERVICE_ACCOUNT: converted.addresses.service_account,
        }
        port = Port(name="default", number=listener.port, protocol=listener.protocol)
        server = Server(hosts=listener.hosts, port=port, tls=listener.tls.settings)
        name = listener.internal_name.partition("/")[2]
        made_of = {"": (gateway, f"spec.listeners[{number}]")}
        spec = Gateway(servers=(server,))
        yield internal("Gateway", gateway.namespace, name, annotations, spec, made_of)


def _parameters_fault(gateway: Resource, world: World) -> Fault | None:
    """What is wrong with the settings that a Gateway names for what is deployed for it."""
    infrastructure = gateway.spec.infrastructure
    reference = infrastructure.parameters_ref if infrastructure is not None else None
    if reference is None:
        return None
    if (reference.group or "", reference.kind) != ("", "ConfigMap"):
        shown = f"{reference.group or ''}/{reference.kind}"
        why = f"Unsupported parametersRef group/kind {shown}, only ConfigMap is supported"
        return Fault("InvalidParameters", why)
    if world.get("ConfigMap", gateway.namespace, reference.name) is None:
        why = f"parametersRef ConfigMap {gateway.namespace}/{reference.name} does not exist"
        return Fault("InvalidParameters", why)
    return None


def _listener(gateway: Resource, listener: Any, world: World, grants: Grants) -> Listener:
    mode = listener.tls.mode if listener.tls is not None else None
    supported = _supported_kinds(listener.protocol, mode)
    allowed = listener.allowed_routes
    asked = tuple(
        each.kind if (each.group or GATEWAY_API) == GATEWAY_API else f"{each.kind}.{each.group}"
        for each in (allowed.kinds if allowed is not None else ())
    )
    kinds = tuple(each for each in asked if each in supported) if asked else supported
    invalid = Fault("InvalidRouteKinds", "Invalid route kinds") if len(kinds) < len(asked) else None
    return Listener(
        gateway=gateway,
        name=listener.name,
        hostname=listener.hostname or "",
        port=listener.port,
        protocol=listener.protocol,
        hosts=_hosts(gateway, listener, world),
        kinds=kinds,
        tls=listener_tls(gateway, listener, world, grants) if supported else ListenerTls(),
        protocol_fault=_protocol_fault(listener.protocol) if not supported else None,
        kinds_fault=invalid,
    )


def _supported_kinds(protocol: str, tls_mode: str | None) -> tuple[str, ...]:
    """The kinds of routes that make sense for a protocol; none for a protocol that is not served."""
    if protocol in ("HTTP", "HTTPS"):
        return _HTTP_KINDS
    if protocol == "TCP":
        return ("TCPRoute",)
    if protocol == "TLS":
        return ("TLSRoute",) if tls_mode == "Passthrough" else ("TLSRoute", "TCPRoute")
    return ()


def _protocol_fault(protocol: str) -> Fault:
    message = f'protocol "{protocol}" is unsupported'
    if _supported_kinds(protocol.upper(), None):
        message += f'. hint: "{protocol.upper()}" (uppercase) may be supported'
    return Fault("UnsupportedProtocol", message)


def _hosts(gateway: Resource, listener: Any, world: World) -> tuple[str, ...]:
    hostname = listener.hostname or "*"
    return tuple(f"{each}/{hostname}" for each in _namespaces(gateway, listener, world))


def _namespaces(gateway: Resource, listener: Any, world: World) -> list[str]:
    """The namespaces whose routes may attach: `*` for all, `~` for none."""
    allowed = listener.allowed_routes.namespaces if listener.allowed_routes is not None else None
    from_ = (allowed.from_ if allowed is not None else None) or "Same"
    if from_ == "All":
        return ["*"]
    if from_ == "Same":
        return [gateway.namespace]
    if from_ == "Selector" and allowed is not None and allowed.selector is not None:
        chosen = [name for name, labels in world.namespaces.items() if _selects(allowed.selector, labels)]
        return chosen or [_NOBODY]
    return [_NOBODY]


def _selects(selector: Any, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    return all(_holds(each, labels) for each in selector.match_expressions)


def _holds(requirement: Any, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    if requirement.operator == "In":
        return value in requirement.values
    if requirement.operator == "NotIn":
        return value is None or value not in requirement.values
    return (value is not None) is (requirement.operator == "Exists")
