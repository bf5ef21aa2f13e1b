"""What rules would do if they were asked: translated and compiled as the proxy's own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from minimesh.control_plane.translation.http_routes import RouteContext, build_http_routes
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.xds_client.compile.match import compile_route_match
from minimesh.explain.conditions import Check, checks
from minimesh.explain.origins import metadata_of, servers_at

if TYPE_CHECKING:
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.explain.rehearsal import Hop
    from minimesh.explain.situation import Situation


@dataclasses.dataclass(frozen=True, slots=True)
class Meant:
    """One match of one rule, and how the request stands to it."""

    rule: int
    field: str
    checks: tuple[Check, ...]

    @property
    def fits(self) -> bool:
        return all(each.holds for each in self.checks)


def meant_routes(
    situation: Situation, rule: VirtualServiceConfig, hop: Hop, first_rule: int = 0
) -> list[Meant]:
    """Each match of a VirtualService's rules from `first_rule` on, whatever stands before it."""
    head = hop.routing.head
    if head is None or hop.routing.virtual_host is None or hop.pod.proxy is None:
        return []
    found = []
    for number, http in enumerate(rule.http[first_rule:], first_rule):
        alone = dataclasses.replace(rule, http=(http,))
        for route in build_http_routes(alone, _context(situation, rule, hop)):
            field = str(dict(route.metadata.filter_metadata["minimesh"]).get("field", ""))
            match = compile_route_match(route.match, "match", Runtime())
            found.append(Meant(number, field, tuple(checks(match, hop.routing.virtual_host, head, 0))))
    return found


def _context(situation: Situation, rule: VirtualServiceConfig, hop: Hop) -> RouteContext:
    proxy = hop.pod.proxy
    assert proxy is not None
    servers = servers_at(situation.world, hop.pod, hop.chosen.destination_port) if hop.pod.is_gateway else []
    return RouteContext(
        listen_port=servers[0].port if servers else hop.chosen.destination_port,
        gateway_names=frozenset(rule.gateways),
        proxy_labels=proxy.labels,
        proxy_namespace=proxy.namespace,
        mesh=situation.world.push.mesh,
    )


def rule_of(situation: Situation, hop: Hop) -> tuple[VirtualServiceConfig, int, int] | None:
    """(VirtualService, number of the rule, number of the match or -1) whose route took the request."""
    route = hop.routing.route
    if route is None:
        return None
    ours = metadata_of(route.metadata, "minimesh")
    rule = next((r for r in situation.world.push.virtual_services
                 if f"{r.namespace}/{r.name}" == ours.get("resource")), None)  # fmt: skip
    number, _, match = str(ours.get("field", "")).removeprefix("spec.http[").partition("]")
    if rule is None or not number.isdigit():
        return None
    position = match.partition(".match[")[2].rstrip("]")
    return rule, int(number), int(position) if position.isdigit() else -1
