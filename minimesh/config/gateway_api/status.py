"""What a controller tells about objects of the Gateway API."""

from __future__ import annotations

from minimesh.config.gateway_api.gateway import RouteGroupKind
from minimesh.config.gateway_api.references import ParentReference
from minimesh.config.kubernetes.meta import Condition
from minimesh.config.schema import Int32, Json, Message, message


@message
class GatewayClassStatus(Message):
    """Whether a controller takes care of the class."""

    conditions: tuple[Condition, ...] = ()
    supported_features: tuple[Json, ...] = ()


@message
class GatewayStatusAddress(Message):
    """Where a gateway is found."""

    type: str = ""
    value: str = ""


@message
class ListenerStatus(Message):
    """What became of one listener."""

    name: str = ""
    supported_kinds: tuple[RouteGroupKind, ...] = ()
    attached_routes: Int32 | None = None
    conditions: tuple[Condition, ...] = ()


@message
class GatewayStatus(Message):
    """Where a gateway is found, and what became of its listeners."""

    addresses: tuple[GatewayStatusAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    attached_listener_sets: Int32 | None = None


@message
class RouteParentStatus(Message):
    """What one parent says of a route."""

    parent_ref: ParentReference | None = None
    controller_name: str = ""
    conditions: tuple[Condition, ...] = ()


@message
class RouteStatus(Message):
    """What each parent says of a route."""

    parents: tuple[RouteParentStatus, ...] = ()
