"""VirtualServices made ready for translation: names resolved, delegates put in, ordered, visible or not.

Short names are resolved in the rule's own namespace, once, so that translation only ever sees full names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.hostnames import (
    MESH_GATEWAY,
    resolve_gateway_name,
    resolve_short_name,
)
from minimesh.control_plane.internal_annotations import ROUTE_SEMANTICS
from minimesh.control_plane.push_context.delegates import delegated_rules, is_delegate
from minimesh.control_plane.service_registry.services import is_exported

if TYPE_CHECKING:
    from minimesh.config.istio.traffic import Destination
    from minimesh.config.istio.virtual_service import Delegate, HTTPRoute, TCPRoute, TLSRoute, VirtualService
    from minimesh.config.resources import Resource
    from minimesh.control_plane.mesh_config import MeshConfig


RouteT = TypeVar("RouteT", "HTTPRoute", "TCPRoute", "TLSRoute")


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One entry of `spec.http`, resolved, with the place it was written (a delegate has its own file)."""

    route: HTTPRoute
    resource: Resource
    index: int


@dataclass(frozen=True, slots=True)
class VirtualServiceConfig:
    """A resolved VirtualService. `gateways` are `namespace/name` or `mesh`; hosts are lower case."""

    name: str
    namespace: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    export_to: tuple[str, ...]
    http: tuple[HttpRule, ...]
    tcp: tuple[TCPRoute, ...]
    tls: tuple[TLSRoute, ...]
    resource: Resource

    @property
    def gateway_semantics(self) -> bool:
        """Whether it was made from the Gateway API, whose prefixes end at path segments."""
        return bool(self.resource.metadata.annotations.get(ROUTE_SEMANTICS) == "gateway")

    @property
    def ingress_semantics(self) -> bool:
        """Whether it was made from a Kubernetes Ingress."""
        return bool(self.resource.metadata.annotations.get(ROUTE_SEMANTICS) == "ingress")

    def visible_from(self, namespace: str) -> bool:
        return is_exported(self.export_to, self.namespace, namespace)

    def destination_hosts(self) -> set[str]:
        """The hosts that its routes and mirrors lead to."""
        found = [each.destination for tcp in self.tcp for each in tcp.route]
        found += [each.destination for tls in self.tls for each in tls.route]
        for http in self.http:
            found += [each.destination for each in http.route.route]
            found += [each.destination for each in http.route.mirrors]
            found.append(http.route.mirror)
        return {destination.host for destination in found if destination is not None}


def resolve_virtual_services(
    resources: Iterable[Resource], mesh: MeshConfig, before: Iterable[VirtualServiceConfig] = ()
) -> tuple[VirtualServiceConfig, ...]:
    """All VirtualServices that carry hosts, oldest first, those that delegate after all others.

    Those without hosts are delegates. One that comes out as it did `before` is the very same object.
    """
    ordered = sorted(resources, key=creation_order)
    by_name = {(r.namespace, r.name): r for r in ordered}
    known = {id(each.resource): each for each in before}
    roots = sorted((r for r in ordered if not is_delegate(r.spec)), key=_delegates)
    resolved = (resolve_virtual_service(each, by_name, mesh) for each in roots)
    return tuple(_kept(each, known.get(id(each.resource))) for each in resolved)


def _delegates(resource: Resource) -> bool:
    spec: VirtualService = resource.spec
    return any(route.delegate is not None for route in spec.http)


def in_order_of_audience(rules: Iterable[VirtualServiceConfig], namespace: str) -> list[VirtualServiceConfig]:
    """Those that proxies of a namespace may see, in the order in which they count.

    Those private to the namespace come first, then those exported to it by name, then the public ones, of
    which routes of the Gateway API come first where they are the namespace's own.
    """
    visible = [each for each in rules if each.visible_from(namespace)]
    return sorted(visible, key=lambda each: _audience(each, namespace))


def _audience(rule: VirtualServiceConfig, namespace: str) -> tuple[bool, bool]:
    is_own = rule.namespace == namespace
    if not rule.export_to or "*" in rule.export_to:
        return True, not (is_own and rule.gateway_semantics)
    return False, not is_own


def _kept(resolved: VirtualServiceConfig, before: VirtualServiceConfig | None) -> VirtualServiceConfig:
    # Equal resources may be written at different places, which routes tell.
    if before is None or before != resolved:
        return resolved
    same = all(one.resource is other.resource for one, other in zip(before.http, resolved.http, strict=True))
    return before if same else resolved


def resolve_virtual_service(
    resource: Resource, by_name: Mapping[tuple[str, str], Resource], mesh: MeshConfig
) -> VirtualServiceConfig:
    """Resolve one. `by_name` finds its delegates by (namespace, name)."""
    spec: VirtualService = resource.spec
    namespace = resource.namespace
    gateways = spec.gateways or (MESH_GATEWAY,)
    return VirtualServiceConfig(
        name=resource.name,
        namespace=namespace,
        hosts=tuple(resolve_short_name(h, namespace, mesh.domain_suffix) for h in spec.hosts),
        gateways=tuple(resolve_gateway_name(g, namespace) for g in gateways),
        export_to=tuple(spec.export_to) or mesh.default_virtual_service_export_to,
        http=tuple(_http_rules(resource, by_name, mesh)),
        tcp=tuple(_resolve_route(r, namespace, mesh) for r in spec.tcp),
        tls=tuple(_resolve_route(r, namespace, mesh) for r in spec.tls),
        resource=resource,
    )


def _http_rules(
    resource: Resource, by_name: Mapping[tuple[str, str], Resource], mesh: MeshConfig
) -> Iterable[HttpRule]:
    spec: VirtualService = resource.spec
    for index, written in enumerate(spec.http):
        route = _resolve_http_route(written, resource.namespace, mesh)
        if route.delegate is None:
            yield HttpRule(route, resource, index)
            continue
        delegate = _delegate_of(route.delegate, resource, by_name, mesh)
        if delegate is not None:
            resolved = (_resolve_http_route(each, delegate.namespace, mesh) for each in delegate.spec.http)
            for position, rule in delegated_rules(route, resolved):
                yield HttpRule(rule, delegate, position)


def _delegate_of(
    named: Delegate, root: Resource, by_name: Mapping[tuple[str, str], Resource], mesh: MeshConfig
) -> Resource | None:
    """The VirtualService a route is handed to, if there is one, of the right kind, and shown to the root."""
    delegate = by_name.get((named.namespace or root.namespace, named.name))
    if delegate is None or not is_delegate(delegate.spec):
        return None
    export_to = tuple(delegate.spec.export_to) or mesh.default_virtual_service_export_to
    return delegate if is_exported(export_to, delegate.namespace, root.namespace) else None


def _resolve_http_route(route: HTTPRoute, namespace: str, mesh: MeshConfig) -> HTTPRoute:
    mirrors = (
        replace(each, destination=_resolve_destination(each.destination, namespace, mesh))
        for each in route.mirrors
    )
    return replace(
        _resolve_route(route, namespace, mesh),
        mirror=_resolve_destination(route.mirror, namespace, mesh),
        mirrors=tuple(mirrors),
    )


def _resolve_route(route: RouteT, namespace: str, mesh: MeshConfig) -> RouteT:
    """A copy of an HTTP, TCP or TLS route in which every destination and gateway has its full name."""
    matches = (
        replace(each, gateways=tuple(resolve_gateway_name(name, namespace) for name in each.gateways))
        for each in route.match
    )
    destinations = (
        replace(each, destination=_resolve_destination(each.destination, namespace, mesh))
        for each in route.route
    )
    return replace(route, match=tuple(matches), route=tuple(destinations))


def _resolve_destination(
    destination: Destination | None, namespace: str, mesh: MeshConfig
) -> Destination | None:
    if destination is None:
        return None
    return replace(destination, host=resolve_short_name(destination.host, namespace, mesh.domain_suffix))
