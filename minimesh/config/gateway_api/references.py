"""How objects of the Gateway API name each other, and the words that are limited everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from minimesh.config.gateway_api.rules import HAS_PORT
from minimesh.config.schema import Length, Message, OneOf, Pattern, Range, Req, message

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

Group = Annotated[str, Length(0, 253), Pattern(rf"^$|^{_SUBDOMAIN}$")]
KindName = Annotated[str, Length(1, 63), Pattern(r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
ObjectName = Annotated[str, Length(1, 253)]
NamespaceName = Annotated[str, Length(1, 63), Pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
SectionName = Annotated[str, Length(1, 253), Pattern(rf"^{_SUBDOMAIN}$")]
Hostname = Annotated[str, Length(1, 253), Pattern(rf"^(\*\.)?{_SUBDOMAIN}$")]
Port = Annotated[int, Range(1, 65535)]
Weight = Annotated[int, Range(0, 1_000_000)]
GatewayDuration = Annotated[str, Pattern(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
Annotations = Annotated[Mapping[str, str], Length(0, 8)]
Options = Annotated[Mapping[str, str], Length(0, 16)]


@message
class ParentReference(Message):
    """What a route wants to be attached to: a Gateway, one of its listeners, or a Service of the mesh."""

    group: Group | None = None
    kind: KindName | None = None
    namespace: NamespaceName | None = None
    name: Req[ObjectName] = ""
    section_name: SectionName | None = None
    port: Port | None = None


@message
class BackendObjectReference(Message):
    """An object that requests are sent to; a Service unless it says otherwise."""

    schema_rules = (HAS_PORT,)

    group: Group | None = None
    kind: KindName | None = None
    name: Req[ObjectName] = ""
    namespace: NamespaceName | None = None
    port: Port | None = None


@message
class BackendRef(Message):
    """An object that a share of the connections is sent to."""

    schema_rules = (HAS_PORT,)

    group: Group | None = None
    kind: KindName | None = None
    name: Req[ObjectName] = ""
    namespace: NamespaceName | None = None
    port: Port | None = None
    weight: Weight | None = None


@message
class ObjectReference(Message):
    """An object of any kind, such as a Secret or a ConfigMap."""

    group: Group | None = None
    kind: KindName | None = None
    name: Req[ObjectName] = ""
    namespace: NamespaceName | None = None


@message
class LocalObjectReference(Message):
    """An object of the same namespace."""

    group: Group | None = None
    kind: Req[KindName] = ""
    name: Req[ObjectName] = ""


NamespaceFrom = Annotated[str, OneOf(("All", "Selector", "Same", "None"))]
ParentRefs = Annotated[tuple[ParentReference, ...], Length(0, 32)]
Hostnames = Annotated[tuple[Hostname, ...], Length(0, 16)]
