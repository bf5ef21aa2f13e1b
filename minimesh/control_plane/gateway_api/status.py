"""The status of the Gateway API's objects, as a conversion tells it. Pure; who calls it gives the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.config.gateway_api.classes import CONTROLLER_NAME
from minimesh.config.gateway_api.references import ParentReference
from minimesh.config.gateway_api.status import (
    GatewayClassStatus,
    GatewayStatus,
    ListenerStatus,
    RouteParentStatus,
    RouteStatus,
)
from minimesh.config.kinds import GATEWAY_API
from minimesh.control_plane.gateway_api.conditions import Fault, Verdict, verdict, written
from minimesh.control_plane.gateway_api.world import group_of

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.conversion import Conversion
    from minimesh.control_plane.gateway_api.listeners import ConvertedGateway, Listener
    from minimesh.control_plane.gateway_api.parents import Attachment
    from minimesh.control_plane.gateway_api.routes import ConvertedRoute

_RESOLVED = "All references resolved"


def with_class_statuses(classes: Sequence[Resource], now: str) -> Iterator[Resource]:
    """Each GatewayClass of ours with the status that it should have."""
    for class_ in classes:
        if class_.spec.controller_name == CONTROLLER_NAME:
            yield replace(class_, status=_class_status(class_, now))


def with_statuses(conversion: Conversion, now: str) -> Iterator[Resource]:
    """Each Gateway and route with the status that it should have. `now` is a timestamp of the API."""
    attached = _attached(conversion.routes)
    for gateway in conversion.gateways:
        yield replace(gateway.resource, status=_gateway_status(gateway, attached, now))
    for route in conversion.routes:
        status = _route_status(route, now)
        if status.parents or route.resource.status is not None:
            yield replace(route.resource, status=status)


def _class_status(class_: Resource, now: str) -> GatewayClassStatus:
    before = class_.status or GatewayClassStatus()
    accepted = verdict("Accepted", None, "Handled by Istio controller")
    conditions = written([accepted], before.conditions, class_.metadata.generation, now)
    return replace(before, conditions=conditions)


def _attached(routes: Sequence[ConvertedRoute]) -> Counter[str]:
    """How many routes each listener has, by its internal name."""
    found: Counter[str] = Counter()
    for route in routes:
        names = {a.internal_name for a in route.attachments if a.fault is None and a.listener is not None}
        found.update(names)
    return found


def _gateway_status(gateway: ConvertedGateway, attached: Counter[str], now: str) -> GatewayStatus:
    resource = gateway.resource
    before = resource.status or GatewayStatus()
    known = {each.name: each for each in before.listeners}
    generation = resource.metadata.generation
    return GatewayStatus(
        addresses=gateway.addresses.shown,
        conditions=written(gateway.verdicts, before.conditions, generation, now),
        listeners=tuple(
            _listener_status(each, attached[each.internal_name], known.get(each.name), generation, now)
            for each in gateway.listeners
        ),
    )


def _listener_status(
    listener: Listener, attached: int, before: ListenerStatus | None, generation: int | None, now: str
) -> ListenerStatus:
    conditions = before.conditions if before is not None else ()
    return ListenerStatus(
        name=listener.name,
        supported_kinds=listener.supported_kinds,
        attached_routes=attached,
        conditions=written(listener.verdicts, conditions, generation, now),
    )


def _route_status(route: ConvertedRoute, now: str) -> RouteStatus:
    """What our parents say, beside what other controllers have said of theirs."""
    resource = route.resource
    before: tuple[RouteParentStatus, ...] = getattr(resource.status, "parents", ())
    foreign = tuple(each for each in before if each.controller_name != CONTROLLER_NAME)
    ours = {
        _named(each.parent_ref, resource): each for each in before if each.controller_name == CONTROLLER_NAME
    }
    found = []
    for reference, attachments in _by_reference(route.attachments):
        old = ours.get(_named(reference, resource))
        conditions = written(
            _parent_verdicts(route, attachments),
            old.conditions if old is not None else (),
            resource.metadata.generation,
            now,
        )
        found.append(
            RouteParentStatus(parent_ref=reference, controller_name=CONTROLLER_NAME, conditions=conditions)
        )
    return RouteStatus(parents=(*foreign, *found))


def _named(reference: Any, route: Resource) -> tuple[Any, ...]:
    """What a parentRef means, however much of it is written."""
    group = group_of(reference, GATEWAY_API)
    kind, namespace = reference.kind or "Gateway", reference.namespace or route.namespace
    return (group, kind, namespace, reference.name, reference.section_name, reference.port)


def _by_reference(attachments: Sequence[Attachment]) -> list[tuple[ParentReference, list[Attachment]]]:
    found: list[tuple[Any, list[Attachment]]] = []
    for each in attachments:
        known = next((group for reference, group in found if reference == each.reference), None)
        if known is None:
            found.append((each.reference, [each]))
        else:
            known.append(each)
    return found


def _parent_verdicts(route: ConvertedRoute, attachments: Sequence[Attachment]) -> list[Verdict]:
    bound = sum(each.fault is None for each in attachments)
    message = f"Route was valid, bound to {bound} parents" if bound > 1 else "Route was valid"
    return [
        verdict("Accepted", route.invalid or _refusal(attachments), message),
        verdict("ResolvedRefs", route.unresolved, _RESOLVED),
    ]


_NEAREST_FIRST = ("NotAllowedByListeners", "NoMatchingListenerHostname", "NoMatchingParent")


def _refusal(attachments: Sequence[Attachment]) -> Fault | None:
    """Why none takes the route: what those say that come nearest to taking it."""
    faults = [each.fault for each in attachments if each.fault is not None]
    if len(faults) < len(attachments):
        return None
    for reason in _NEAREST_FIRST:
        said = [each.message for each in faults if each.reason == reason]
        if said:
            return Fault(reason, "; ".join(said))
    return None
