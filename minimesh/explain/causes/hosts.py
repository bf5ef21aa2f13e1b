"""Rules that do not reach the proxy: VirtualServices bound elsewhere, hosts that no Gateway lets in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.hostnames import (
    MESH_GATEWAY,
    intersection,
    is_subset,
    resolve_gateway_name,
)
from minimesh.explain.causes.alike import nearest
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.origins import documents_of, route_resource, servers_at
from minimesh.explain.patches import document_of, spec_patch

if TYPE_CHECKING:
    from minimesh.control_plane.push_context.gateways import GatewayServer
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.explain.situation import Situation


def name_of(rule: VirtualServiceConfig) -> str:
    return documents_of(rule.resource)


def _unrouted(situation: Situation) -> bool:
    """Whether no virtual host or route took the request."""
    first = situation.first
    return (
        first is not None and first.routing.route is None and situation.verdict.details == "route_not_found"
    )


def _at_gateway(situation: Situation) -> bool:
    return situation.pod is not None and situation.pod.is_gateway


def _for_host(situation: Situation) -> list[VirtualServiceConfig]:
    """The VirtualServices with rules for HTTP that mean the request's host."""
    host = situation.host.lower()
    return [r for r in _written(situation) if r.http and any(is_subset(host, each) for each in r.hosts)]


def _written(situation: Situation) -> list[VirtualServiceConfig]:
    """The VirtualServices that somebody wrote: what others were translated into nobody can change."""
    return [r for r in situation.world.push.virtual_services if r.resource.made_of is None]


def _servers(situation: Situation) -> list[GatewayServer]:
    """The servers of Gateways at the port that the request came by."""
    first = situation.first
    if first is None or not first.pod.is_gateway:
        return []
    return servers_at(situation.world, first.pod, first.chosen.destination_port)


def gateway_elsewhere(situation: Situation) -> Iterator[Finding]:
    """A VirtualService names a Gateway that is in another namespace, or nowhere."""
    if not (_at_gateway(situation) and _unrouted(situation)):
        return
    known = {f"{each.namespace}/{each.name}" for each in situation.world.snapshot.by_kind("Gateway")}
    for rule in _for_host(situation):
        spec: Any = rule.resource.spec
        for index, written in enumerate(spec.gateways):
            meant = resolve_gateway_name(written, rule.namespace)
            if meant in known or meant == MESH_GATEWAY:
                continue
            alike = sorted(each for each in known if each.partition("/")[2] == meant.partition("/")[2])
            said = f'{name_of(rule)} names gateway "{written}", which resolves to {meant} and does not exist'
            if not alike:
                others = ", ".join(sorted(known)) or "none"
                near = nearest(meant, sorted(each.gateway for each in _servers(situation)) or sorted(known))
                gateways = [near if each == written else each for each in spec.gateways]
                yield Finding(
                    "gateway-unknown",
                    f"{said}; there are: {others}." + (f" Write {near}." if near else ""),
                    code="IST0101",
                    origin=Origin.of(rule.resource, f"spec.gateways[{index}]"),
                    patch=spec_patch(rule.resource, {"gateways": gateways}) if near else "",
                )
                continue
            gateways = [alike[0] if each == written else each for each in spec.gateways]
            yield Finding(
                "gateway-in-other-namespace",
                f"{said}; {alike[0]} does: write {alike[0]}.",
                code="IST0101",
                origin=Origin.of(rule.resource, f"spec.gateways[{index}]"),
                patch=spec_patch(rule.resource, {"gateways": gateways}),
            )


def host_not_let_in(situation: Situation) -> Iterator[Finding]:
    """A VirtualService is bound to a Gateway whose hosts do not cover its own."""
    if not (_at_gateway(situation) and _unrouted(situation)):
        return
    for rule in _for_host(situation):
        servers = [each for each in _servers(situation) if each.gateway in rule.gateways]
        if any(intersection(each.hosts_for(rule.namespace), rule.hosts) for each in servers):
            continue
        for server in servers:
            spec: Any = server.resource.spec
            index = next(i for i, each in enumerate(spec.servers)
                         if each.port is not None and each.port.name == server.port_name)  # fmt: skip
            changed = document_of(server.resource)["spec"]["servers"]
            changed[index]["hosts"] = [*changed[index]["hosts"], *rule.hosts]
            yield Finding(
                "host-not-in-gateway",
                f"{name_of(rule)} is for {', '.join(rule.hosts)}; Gateway {server.gateway} lets in "
                f"{', '.join(server.hosts)} at port {server.port}, and the two have no host in common: add "
                "it to the "
                "Gateway's hosts.",
                code="IST0132",
                origin=Origin.of(server.resource, f"spec.servers[{index}].hosts"),
                patch=spec_patch(server.resource, {"servers": changed}),
            )


def not_bound_to_gateway(situation: Situation) -> Iterator[Finding]:
    """A VirtualService for this host that names no gateway, so that it holds inside the mesh only."""
    if not (_at_gateway(situation) and _unrouted(situation)):
        return
    gateways = sorted({server.gateway for server in _servers(situation)})
    for rule in _for_host(situation):
        if rule.gateways != (MESH_GATEWAY,) or not gateways:
            continue
        yield Finding(
            "not-bound-to-gateway",
            f"{name_of(rule)} is for {', '.join(rule.hosts)} and names no gateway, so that it holds for "
            "calls inside the "
            f"mesh only: add gateways: [{gateways[0]}].",
            origin=Origin.of(rule.resource, "spec"),
            patch=spec_patch(rule.resource, {"gateways": [gateways[0], MESH_GATEWAY]}),
        )


def not_bound_to_mesh(situation: Situation) -> Iterator[Finding]:
    """At a sidecar: a rule for this host that names gateways and not `mesh`."""
    first = situation.first
    if _at_gateway(situation) or first is None:
        return
    names = _names_of_host(situation)
    for rule in _written(situation):
        hosts = [host for host in rule.hosts if host != "*"]  # which no rule of the mesh may be for
        if MESH_GATEWAY in rule.gateways or not any(
            is_subset(name, host) for name in names for host in hosts
        ):
            continue
        written = list(rule.resource.spec.gateways)
        yield Finding(
            "not-bound-to-mesh",
            f"{name_of(rule)} applies to {', '.join(rule.gateways)} and not to sidecars, so that this call "
            "ignores it: "
            f"add mesh to its gateways.",
            Severity.CAUSE if situation.verdict.answered_by != "application" else Severity.WARNING,
            origin=Origin.of(rule.resource, "spec.gateways"),
            patch=spec_patch(rule.resource, {"gateways": [*written, MESH_GATEWAY]}),
        )


def _names_of_host(situation: Situation) -> set[str]:
    """The host as written, and the full name of the service that it means to the calling pod."""
    host, pod = situation.host.lower(), situation.pod
    names = {host}
    for service in situation.world.push.registry.services:
        short = {
            service.name,
            f"{service.name}.{service.namespace}",
            f"{service.name}.{service.namespace}.svc",
        }
        if host in short and (host != service.name or pod is None or pod.namespace == service.namespace):
            names.add(service.hostname)
    return names


def ignored_in_mesh(situation: Situation) -> Iterator[Finding]:
    """At a sidecar: several VirtualServices for one host, of which only the oldest counts."""
    if _at_gateway(situation) or situation.first is None:
        return
    names = _names_of_host(situation)
    rules = [r for r in situation.world.push.virtual_services
             if MESH_GATEWAY in r.gateways and any(name in r.hosts for name in names)]  # fmt: skip
    if len(rules) < 2:
        return
    kept, *ignored = rules
    merged = [
        rule for each in (*ignored, kept) for rule in document_of(each.resource)["spec"].get("http", [])
    ]
    yield Finding(
        "ignored-in-mesh",
        f"{', '.join(map(name_of, rules))} are all for {', '.join(kept.hosts)}; a sidecar heeds one of them, "
        f"{kept.namespace}/{kept.name}, and ignores "
        f"{', '.join(f'{r.namespace}/{r.name}' for r in ignored)}: put all "
        "rules into one.",
        Severity.CAUSE if situation.verdict.status == 404 else Severity.WARNING,
        "IST0109",
        Origin.of(ignored[0].resource, "spec.hosts"),
        spec_patch(kept.resource, {"http": sorted(merged, key=lambda rule: "match" not in rule)}),
    )


def merged_on_gateway(situation: Situation) -> Iterator[Finding]:
    """At a gateway: several VirtualServices for one host, whose rules follow each other by age."""
    first = situation.first
    if first is None or not _at_gateway(situation) or first.routing.virtual_host is None:
        return
    found = {}
    for _, route in first.routing.virtual_host.routes:
        resource = route_resource(situation.world, route)
        if resource is not None and resource.made_of is None and resource.spec.hosts:  # a delegate has none
            found[resource.key] = resource
    if len(found) < 2:
        return
    names = ", ".join(f"{each.namespace}/{each.name}" for each in found.values())
    yield Finding(
        "merged-on-gateway",
        f"The routes of this host come from {len(found)} VirtualServices, in this order: {names}. On a "
        "gateway they "
        "follow each other by age, what matches everything last; inside the mesh only the first would count.",
        Severity.NOTE,
        origin=Origin.of(next(iter(found.values())), "spec.hosts"),
    )


def wrong_host_header(situation: Situation) -> Iterator[Finding]:
    """Nothing is for the host that the client sent."""
    first = situation.first
    if first is None or not (_at_gateway(situation) and _unrouted(situation)):
        return
    bound = {server.gateway for server in _servers(situation)}
    rules = [r for r in situation.world.push.virtual_services if r.http and bound & set(r.gateways)]
    host = situation.host.lower()
    if any(is_subset(host, each) for rule in rules for each in rule.hosts):
        return
    if any("*" not in rule.hosts for rule in _for_host(situation)):  # bound elsewhere: that is the cause
        return
    hosts = [host for rule in rules for host in rule.hosts]
    if not hosts:
        gateways = ", ".join(sorted(bound))
        yield Finding(
            "nothing-bound",
            f"No VirtualService is bound to Gateway {gateways}: it has nothing to route by.",
            origin=Origin.of(_servers(situation)[0].resource) if bound else Origin(),
        )
        return
    listed = ", ".join(dict.fromkeys(hosts))
    near = nearest(situation.host.lower(), hosts) or hosts[0]
    example = near.replace("*", "www", 1) if near.startswith("*.") else near
    below = (
        f" {near} is for names below {near[2:]}, not for {near[2:]}." if near[2:] == situation.host else ""
    )
    yield Finding(
        "host-header",
        f'The Host header is "{situation.question.authority}", and the rules at this gateway are for '
        f"{listed}: send -H 'Host: {example}'.{below}",
    )


def port_in_host(situation: Situation) -> Iterator[Finding]:
    """The Host header has a port, which a gateway does not look at."""
    first = situation.first
    if first is None or not _at_gateway(situation) or first.routing.virtual_host is None:
        return
    if first.routing.table.ignore_port and situation.host != situation.question.authority:
        yield Finding(
            "port-in-host",
            f'The Host header has a port, "{situation.question.authority}". Istio has gateways ignore it '
            "(ignore_port_in_host_matching); a plain Envoy would answer 404.",
            Severity.NOTE,
        )
