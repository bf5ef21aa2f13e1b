"""What goes wrong with routes of the Gateway API: no listener takes them, or they lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from minimesh.control_plane.hostnames import is_subset
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.origins import route_field, route_resource

if TYPE_CHECKING:
    from minimesh.control_plane.gateway_api.routes import ConvertedRoute
    from minimesh.explain.situation import Situation


def route_not_attached(situation: Situation) -> Iterator[Finding]:
    """A route for this host that a Gateway does not take."""
    for route in _routes(situation):
        hostnames = getattr(route.resource.spec, "hostnames", ()) or ("*",)
        if not any(is_subset(situation.host, each) for each in hostnames):
            continue
        if route.invalid is not None:
            said = f"{route.resource.key} is not accepted: {route.invalid.message}."
            yield _finding(situation, "route-not-accepted", said, Origin.of(route.resource, "spec.rules"))
        for attached in route.attachments:
            if attached.fault is None:
                continue
            parent = attached.reference.name
            said = f"{route.resource.key} is not attached to {parent}: {attached.fault.message}."
            index = list(route.resource.spec.parent_refs).index(attached.reference)
            origin = Origin.of(route.resource, f"spec.parentRefs[{index}]")
            yield _finding(situation, "route-not-attached", said, origin)


def backend_unresolved(situation: Situation) -> Iterator[Finding]:
    """The route that took the request leads to no backend, or to one that it may not refer to: 500."""
    if situation.verdict.status != 500 or situation.verdict.answered_by == "application":
        return
    taken = situation.first.routing.route if situation.first is not None else None
    resource = route_resource(situation.world, taken) if taken is not None else None
    if taken is None or resource is None or resource.made_of is None:
        return
    written, field = resource.written(route_field(taken))
    for route in _routes(situation):
        if route.resource.key == written.key and route.unresolved is not None:
            said = f"{written.key}: {route.unresolved.message}."
            yield _finding(situation, "backend-unresolved", said, Origin.of(written, field))


def _routes(situation: Situation) -> Sequence[ConvertedRoute]:
    meant = situation.world.push.converted
    return meant.gateway_api.routes if meant is not None and meant.gateway_api is not None else ()


def _finding(situation: Situation, kind: str, said: str, origin: Origin) -> Finding:
    """A cause where nobody but a proxy answered."""
    failed = situation.verdict.answered_by != "application"
    return Finding(kind, said, Severity.CAUSE if failed else Severity.WARNING, origin=origin)
