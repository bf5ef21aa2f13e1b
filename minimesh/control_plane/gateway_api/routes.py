"""Routes of the Gateway API as VirtualServices: one for each parent and host.

HTTP and gRPC routes that share a parent and a host share a VirtualService, whose rules are in the order that
the specification asks for. Names are istiod's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from minimesh.config.istio.virtual_service import HTTPMatchRequest, VirtualService
from minimesh.control_plane import internal_annotations
from minimesh.control_plane.gateway_api.backends import Backends
from minimesh.control_plane.gateway_api.conditions import Fault
from minimesh.control_plane.gateway_api.http_rules import PlacedRule, http_rules, sorted_by_precedence
from minimesh.control_plane.gateway_api.l4_rules import tcp_rules, tls_rules
from minimesh.control_plane.gateway_api.parents import Attachment, attachments
from minimesh.control_plane.gateway_api.world import GENERATED, World, internal

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import HTTPRoute
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.grants import Grants
    from minimesh.control_plane.gateway_api.listeners import Listener


@dataclass(frozen=True, slots=True)
class ConvertedRoute:
    """A route with the parents that it names.

    `invalid` is why it cannot be had anywhere, `unresolved` what is wrong with its backends.
    """

    resource: Resource
    attachments: Sequence[Attachment]
    invalid: Fault | None = None
    unresolved: Fault | None = None


@dataclass(slots=True)
class _Shared:
    """A VirtualService in the making, which several routes share."""

    namespace: str
    host: str
    gateway: str
    rules: list[PlacedRule] = field(default_factory=list)
    origins: list[Resource] = field(default_factory=list)


@dataclass(slots=True)
class Routes:
    """Converts routes one after another, the oldest first; then gives the VirtualServices."""

    world: World
    grants: Grants
    listeners: Mapping[tuple[str, str], Sequence[Listener]]
    _shared: dict[tuple[str, str, str], _Shared] = field(default_factory=dict)
    _others: list[Resource] = field(default_factory=list)

    def convert_http(self, route: Resource) -> ConvertedRoute:
        """An HTTPRoute or a GRPCRoute."""
        found = attachments(route, self.world, self.listeners)
        invalid = unresolved = None
        for is_mesh in (False, True):
            wanted = [each for each in found if each.is_mesh is is_mesh]
            if not wanted:
                continue
            backends = Backends(route, self.world, self.grants, checks_grants=not is_mesh)
            rules = http_rules(route, backends)
            unresolved = backends.fault or unresolved
            if isinstance(rules, Fault):
                invalid = rules
                continue
            for attachment in wanted:
                if attachment.fault is None:
                    self._share(route, attachment, rules)
        return ConvertedRoute(route, found, invalid, unresolved)

    def convert_l4(self, route: Resource) -> ConvertedRoute:
        """A TCPRoute or a TLSRoute."""
        found = attachments(route, self.world, self.listeners)
        backends = Backends(route, self.world, self.grants, checks_grants=not all(a.is_mesh for a in found))
        spec = VirtualService()
        if route.kind == "TCPRoute":
            spec = replace(spec, tcp=tcp_rules(route, backends))
        else:
            spec = replace(spec, tls=tls_rules(route, backends))
        short = route.kind.removesuffix("Route").lower()
        targets = ((each, host) for each in found if each.fault is None for host in _l4_hosts(route, each))
        for number, (attachment, host) in enumerate(targets):
            name = f"{route.name}~{short}~{number}~{GENERATED}"
            own = replace(spec, hosts=(host,), gateways=(attachment.internal_name,))
            made_of = {"": (route, ""), "spec.hosts": (route, "spec.hostnames")}
            for place in range(len(route.spec.rules)):
                made_of[f"spec.{short}[{place}]"] = (route, f"spec.rules[{place}].backendRefs")
            annotations = _annotations([route])
            self._others.append(internal("VirtualService", route.namespace, name, annotations, own, made_of))
        return ConvertedRoute(route, found, None, backends.fault)

    def virtual_services(self) -> Iterator[Resource]:
        """All that the routes so far have become."""
        for (_, name, _), shared in self._shared.items():
            rules = sorted_by_precedence(shared.rules)
            spec = VirtualService(
                hosts=(shared.host,), gateways=(shared.gateway,), http=tuple(each.rule for each in rules)
            )
            annotations = _annotations(shared.origins)
            made_of = _made_of(shared.origins[0], rules)
            yield internal("VirtualService", shared.namespace, name, annotations, spec, made_of)
        yield from self._others

    def _share(self, route: Resource, attachment: Attachment, rules: Sequence[PlacedRule]) -> None:
        if attachment.listener is not None:
            hosts: Sequence[str] = [
                host for host in route.spec.hostnames or ("*",) if attachment.serves(host)
            ]
            owner, prefix = "", attachment.internal_name.replace("/", "~")
        else:
            # Callers of other namespaces than the service's may have rules of their own.
            hosts, owner = attachment.mesh_hosts, route.namespace
            prefix = f"{route.namespace}~{attachment.port}" if attachment.port else route.namespace
        for host in hosts:
            name = f"{prefix}~{host}"
            key = (owner, name, host)
            shared = self._shared.get(key)
            if shared is None:
                shared = _Shared(route.namespace, host, attachment.internal_name)
                self._shared[key] = shared
            shared.rules += _at_port(rules, attachment.port if attachment.is_mesh else None)
            shared.origins.append(route)


def _l4_hosts(route: Resource, attachment: Attachment) -> Sequence[str]:
    if attachment.is_mesh:
        return attachment.mesh_hosts
    hostnames: Sequence[str] = getattr(route.spec, "hostnames", ())
    return hostnames or ("*",)


def _at_port(rules: Sequence[PlacedRule], port: int | None) -> Sequence[PlacedRule]:
    """The rules for calls to one port only; None for calls to any."""
    if port is None:
        return rules
    return [replace(each, rule=_limited(each.rule, port)) for each in rules]


def _limited(rule: HTTPRoute, port: int) -> HTTPRoute:
    matches = rule.match or (HTTPMatchRequest(),)
    return replace(rule, match=tuple(replace(each, port=port) for each in matches))


def _made_of(first: Resource, rules: Sequence[PlacedRule]) -> dict[str, tuple[Resource, str]]:
    """Where the rules of a VirtualService that several routes may share are written."""
    found = {
        "": (first, ""),
        "spec.hosts": (first, "spec.hostnames"),
        "spec.gateways": (first, "spec.parentRefs"),
    }
    for index, each in enumerate(rules):
        rule = f"spec.rules[{each.number}]"
        found[f"spec.http[{index}]"] = (each.route, f"{rule}.matches[{each.match}]")
        found[f"spec.http[{index}].route"] = (each.route, f"{rule}.backendRefs")
    return found


def _annotations(origins: Iterable[Resource]) -> Mapping[str, str]:
    parents = sorted({f"{each.kind}/{each.name}.{each.namespace}" for each in origins})
    return {
        internal_annotations.PARENTS: ",".join(parents),
        internal_annotations.ROUTE_SEMANTICS: "gateway",
    }
