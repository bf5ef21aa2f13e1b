"""GatewayClass and Gateway: what kind of gateway there is to be, and which ports and hosts it listens on."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from minimesh.config.gateway_api.references import (
    Annotations,
    Group,
    Hostname,
    KindName,
    LocalObjectReference,
    NamespaceFrom,
    ObjectName,
    ObjectReference,
    Options,
    Port,
    SectionName,
)
from minimesh.config.gateway_api.rules import (
    HAS_CERTIFICATE,
    LISTENER_NAMES,
    LISTENER_PLACES,
    LISTENERS_THAT_END_HTTPS,
    LISTENERS_WITHOUT_HOST,
    LISTENERS_WITHOUT_TLS,
)
from minimesh.config.kubernetes.meta import LabelSelector
from minimesh.config.schema import Length, Message, OneOf, Pattern, Req, message

_PROTOCOL = r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]+"
ProtocolName = Annotated[str, Length(1, 255), Pattern(_PROTOCOL)]


@message
class ParametersReference(Message):
    """An object with settings for all gateways of a class."""

    group: Group | None = None
    kind: Req[KindName] = ""
    name: Req[ObjectName] = ""
    namespace: str | None = None


@message
class GatewayClass(Message):
    """A sort of gateways, and the controller that makes them."""

    controller_name: Req[Annotated[str, Length(1, 253)]] = ""
    parameters_ref: ParametersReference | None = None
    description: Annotated[str, Length(0, 64)] = ""


@message
class RouteNamespaces(Message):
    """The namespaces from which routes may attach."""

    from_: NamespaceFrom | None = None
    selector: LabelSelector | None = None


@message
class RouteGroupKind(Message):
    """A kind of route."""

    group: Group | None = None
    kind: Req[KindName] = ""


@message
class AllowedRoutes(Message):
    """Which routes may attach to a listener."""

    namespaces: RouteNamespaces | None = None
    kinds: Annotated[tuple[RouteGroupKind, ...], Length(0, 8)] = ()


@message
class ListenerTLS(Message):
    """How a listener treats TLS: whether it ends here, and with which certificates."""

    schema_rules = (HAS_CERTIFICATE,)

    mode: Annotated[str, OneOf(("Terminate", "Passthrough"))] | None = None
    certificate_refs: Annotated[tuple[ObjectReference, ...], Length(0, 64)] = ()
    options: Options = field(default_factory=dict)


@message
class Listener(Message):
    """One port with the host name, protocol and TLS of what is served there."""

    name: Req[SectionName] = ""
    hostname: Hostname | None = None
    port: Req[Port] = 0
    protocol: Req[ProtocolName] = ""
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes | None = None


@message
class GatewaySpecAddress(Message):
    """Where the gateway is wanted: an address, or the name of a service that is there already."""

    type: str | None = None
    value: str = ""


@message
class GatewayInfrastructure(Message):
    """What the deployment that is made for the gateway should bear."""

    labels: Annotations = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)
    parameters_ref: LocalObjectReference | None = None


@message
class ClientValidation(Message):
    """Which authorities clients' certificates must come from."""

    ca_certificate_refs: Annotated[tuple[ObjectReference, ...], Length(1, 8)] = ()
    mode: Annotated[str, OneOf(("AllowValidOnly", "AllowInsecureFallback"))] | None = None


@message
class FrontendTLSConfig(Message):
    """How clients are validated."""

    validation: ClientValidation | None = None


@message
class PortFrontendTLS(Message):
    """How clients of one port are validated."""

    port: Req[Port] = 0
    tls: Req[FrontendTLSConfig | None] = None


@message
class FrontendTLS(Message):
    """How clients are validated, by default and at some ports."""

    default: FrontendTLSConfig | None = None
    per_port: tuple[PortFrontendTLS, ...] = ()


@message
class BackendTLS(Message):
    """The certificate that the gateway shows to backends."""

    client_certificate_ref: ObjectReference | None = None


@message
class GatewayTLS(Message):
    """TLS for the whole gateway."""

    backend: BackendTLS | None = None
    frontend: FrontendTLS | None = None


@message
class AllowedListeners(Message):
    """The namespaces whose ListenerSets may add listeners."""

    namespaces: RouteNamespaces | None = None


@message
class Gateway(Message):
    """An instance of a class: listeners, and where they are to be found."""

    gateway_class_name: Req[ObjectName] = ""
    listeners: Annotated[
        tuple[Listener, ...],
        Length(0, 64),
        LISTENERS_WITHOUT_TLS,
        LISTENERS_THAT_END_HTTPS,
        LISTENERS_WITHOUT_HOST,
        LISTENER_NAMES,
        LISTENER_PLACES,
    ] = ()
    addresses: Annotated[tuple[GatewaySpecAddress, ...], Length(0, 16)] = ()
    infrastructure: GatewayInfrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    tls: GatewayTLS | None = None
    default_scope: str = ""
