"""Rules of TCPRoute and TLSRoute as Istio's routes: connections to backends, without a look inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.config.istio.traffic import Destination, PortSelector
from minimesh.config.istio.virtual_service import RouteDestination, TCPRoute, TLSMatchAttributes, TLSRoute
from minimesh.control_plane.gateway_api.backends import weighted

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.backends import Backends

_NOWHERE = RouteDestination(
    destination=Destination(
        host="internal.cluster.local", subset="zero-weight", port=PortSelector(number=65535)
    )
)
"""Where connections go whose backends all have weight zero: a cluster that is not there."""


def tcp_rules(route: Resource, backends: Backends) -> tuple[TCPRoute, ...]:
    """The rules of a TCPRoute."""
    return tuple(TCPRoute(route=_destinations(rule, backends)) for rule in route.spec.rules)


def tls_rules(route: Resource, backends: Backends) -> tuple[TLSRoute, ...]:
    """The rules of a TLSRoute, all for the same names."""
    match = (TLSMatchAttributes(sni_hosts=tuple(route.spec.hostnames) or ("*",)),)
    return tuple(TLSRoute(match=match, route=_destinations(rule, backends)) for rule in route.spec.rules)


def _destinations(rule: Any, backends: Backends) -> tuple[RouteDestination, ...]:
    found = tuple(
        RouteDestination(destination=backends.destination(reference), weight=share)
        for reference, share in weighted(rule.backend_refs)
    )
    return found or (_NOWHERE,)
