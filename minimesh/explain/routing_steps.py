"""The steps at one proxy that choose: listener, filter chain, virtual host, route, what the route does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.routing.actions import (
    DirectResponseAction,
    RedirectAction,
    RouteAction,
    SslRedirectAction,
)
from minimesh.explain.ladder import NO_ORIGIN, Candidate, CandidateState, Origin, State, Step
from minimesh.explain.likeliest import fault_shares, faults_of, percent, shares
from minimesh.explain.origins import (
    documents_of,
    route_field,
    route_origin,
    route_resource,
    server_origin,
    servers_at,
    service_resource,
)

if TYPE_CHECKING:
    from minimesh.control_plane.push_context.gateways import GatewayServer
    from minimesh.data_plane.routing.route_table import Route, VirtualHost
    from minimesh.explain.observation import Routing, TriedRoute
    from minimesh.explain.rehearsal import Hop
    from minimesh.explain.tables import ChosenChain
    from minimesh.explain.world import Pod, World

_SHOWN_HOSTS = 12


def proxy_name(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"


def listener_step(world: World, pod: Pod, chosen: ChosenChain, log: str = "") -> Step:
    """The listener that accepted the connection."""
    settings, port = chosen.listener, chosen.destination_port
    address, configured = settings.configured_address
    servers = servers_at(world, pod, port) if pod.is_gateway else []
    origin = server_origin(servers[0]) if servers else NO_ORIGIN
    if pod.is_gateway:
        text = _opened_by(servers, port)
    elif settings.name == "virtualInbound":
        text = f"The sidecar takes what comes for port {port} of the pod."
    else:
        text = "The pod's own calls go to its sidecar's HTTP proxy."
    return Step(
        "listener",
        f"{settings.name} ({address}:{configured})",
        State.PASSED,
        text,
        proxy_name(pod),
        envoy={"listener": settings.name},
        origin=origin,
        log=log,
    )


def _opened_by(servers: list[GatewayServer], port: int) -> str:
    """Which Gateways open a listener, by the ports that they name."""
    names = list(dict.fromkeys(documents_of(each.resource) for each in servers))
    if not names:
        return f"A listener of its own, at port {port}."
    written = ", ".join(dict.fromkeys(str(each.port) for each in servers))
    of_pod = "" if written == str(port) else f", which is port {port} of the pod"
    return f"{' and '.join(names)} {'open' if len(names) > 1 else 'opens'} port {written}{of_pod}."


def chain_step(world: World, pod: Pod, chosen: ChosenChain) -> Step:
    """The filter chain of the connection."""
    chain, settings = chosen.chain, chosen.listener
    candidates = tuple(
        Candidate(
            each.name or f"chain {number}",
            CandidateState.CHOSEN if each is chain else CandidateState.REJECTED,
            _chain_criteria(each.match),
        )
        for number, each in enumerate((*settings.filter_chains, settings.default_filter_chain), 1)
        if each is not None
    )
    if chain is None:
        text = "No filter chain takes the connection, which is closed: server name and protocol fit none."
        return Step("filter-chain", "no filter chain", State.FAILED, text, proxy_name(pod), candidates)
    if chosen.manager is None:
        text = (
            "This chain passes bytes on without reading HTTP: no host, path or header decides anything here."
        )
        return Step("filter-chain", chain.name or "TCP", State.PASSED, text, proxy_name(pod), candidates)
    kind = "TLS ends here, then HTTP" if chain.tls is not None else "HTTP"
    name = chain.name or settings.name
    only = len(candidates) == 1
    text = (
        f"{kind}: the only chain of this listener."
        if only
        else f"{kind}: port and first bytes fit this chain."
    )
    envoy = {"filter_chain": name}
    return Step("filter-chain", name, State.PASSED, text, proxy_name(pod), candidates, envoy=envoy)


def _chain_criteria(match: Any) -> str:
    found = []
    if match.destination_port:
        found.append(f"port {match.destination_port}")
    if match.server_names:
        found.append(f"server name {', '.join(match.server_names)}")
    if match.transport_protocol:
        found.append(match.transport_protocol)
    if match.application_protocols:
        found.append(f"protocol {', '.join(match.application_protocols)}")
    return "; ".join(found) or "any connection"


# --- virtual host and route -----------------------------------------------------------------------------


def virtual_host_step(world: World, hop: Hop) -> Step:
    """Which virtual host the Host header leads to."""
    routing, pod = hop.routing, hop.pod
    found = routing.virtual_host
    candidates = tuple(_host_candidates(routing))
    servers = servers_at(world, pod, hop.chosen.destination_port) if pod.is_gateway else []
    envoy = {"route_config": routing.table.name}
    if found is None:
        known = list(dict.fromkeys(d for host in routing.table.virtual_hosts for d in host.domains))
        text = f'No virtual host is for "{routing.authority}". There are: {_some_of(known, 12) or "none"}.'
        origin = server_origin(servers[0], ".hosts") if servers else NO_ORIGIN
        return Step(
            "virtual-host",
            f'none for "{routing.authority}"',
            State.FAILED,
            text,
            proxy_name(pod),
            candidates,
            envoy=envoy,
            origin=origin,
        )
    domain = _matched_domain(routing)
    ignored = routing.table.ignore_port and ":" in routing.authority and domain != "*"
    text = f'Host "{routing.authority}" fits "{domain}"{", its port is ignored" if ignored else ""}.'
    if found.name.startswith("blackhole"):
        text = "No VirtualService is bound here: the virtual host is an empty one that takes all hosts."
    return Step(
        "virtual-host",
        found.name,
        State.PASSED,
        text,
        proxy_name(pod),
        candidates,
        envoy={**envoy, "virtual_host": found.name},
        origin=_host_origin(world, hop, domain),
    )


def _host_candidates(routing: Routing) -> Iterator[Candidate]:
    for host in _hosts_to_show(routing):
        chosen = host is routing.virtual_host
        state = CandidateState.CHOSEN if chosen else CandidateState.REJECTED
        if not chosen and routing.virtual_host is not None and _takes(routing, host):
            which = _some_of(sorted(host.domains, key=len))
            yield Candidate(
                host.name, state, f"{which} fits too, and {routing.virtual_host.name} is more exact"
            )
            continue
        yield Candidate(
            host.name,
            state,
            subject="host",
            wanted=_some_of(sorted(host.domains, key=len)),
            actual=routing.authority,
        )


def _hosts_to_show(routing: Routing) -> list[VirtualHost]:
    """The first virtual hosts, and the chosen one wherever it stands."""
    hosts = list(routing.table.virtual_hosts)
    chosen = [each for each in hosts[_SHOWN_HOSTS:] if each is routing.virtual_host]
    return hosts[:_SHOWN_HOSTS] + chosen


def _takes(routing: Routing, host: VirtualHost) -> bool:
    """Whether a virtual host would take the request, were it alone."""
    alone = type(routing.table)("", [host], ignore_port=routing.table.ignore_port)
    return alone.find_virtual_host(routing.authority) is not None


def _matched_domain(routing: Routing) -> str:
    """The domain because of which the table chose the virtual host: each is asked in a table of its own."""
    host = routing.virtual_host
    assert host is not None
    if len(host.domains) == 1:
        return host.domains[0]
    table = type(routing.table)
    for domain in sorted(
        host.domains, key=lambda each: (each.startswith("*") or each.endswith("*"), -len(each))
    ):
        alone = type(host)(host.name, [domain], ())
        if table("", [alone], ignore_port=routing.table.ignore_port).find_virtual_host(routing.authority):
            return domain
    return host.domains[0]


def _host_origin(world: World, hop: Hop, domain: str) -> Origin:
    """The `hosts` that made the virtual host: of its first route's VirtualService, else of a Service."""
    host = hop.routing.virtual_host
    assert host is not None
    for _, route in host.routes:
        resource = route_resource(world, route)
        if resource is not None:
            return Origin.of(resource, "spec.hosts")
        if isinstance(route.action, RouteAction):
            choices = shares(route.action)
            return Origin.of(service_resource(world, choices[0][0].handle.name)) if choices else NO_ORIGIN
    servers = servers_at(world, hop.pod, hop.chosen.destination_port) if hop.pod.is_gateway else []
    return server_origin(servers[0], ".hosts") if servers else NO_ORIGIN


def route_step(world: World, hop: Hop) -> Step:
    """Each route tried, in order."""
    routing, pod = hop.routing, hop.pod
    candidates = tuple(
        [_tried(world, each, routing) for each in routing.tried]
        + [_unreachable(world, each) for each in routing.after]
    )
    if routing.route is None:
        host = routing.virtual_host
        count = len(host.routes) if host is not None else 0
        text = f"None of {count} routes fits." if count != 1 else "The only route does not fit."
        if count == 0:
            text = "There are no routes."
        return Step("route", "no route", State.FAILED, text, proxy_name(pod), candidates)
    if not routing.tried or routing.tried[-1].route is not routing.route:
        text = "The virtual host wants TLS: plain requests are sent to https."
        return Step("route", "redirect to https", State.PASSED, text, proxy_name(pod), candidates)
    taken = routing.tried[-1]
    first = f"route {taken.number}"
    why = "; ".join(_held(each) for each in taken.checks)
    text = f"The first that fits is {first}: {why}."
    title = taken.route.name or first
    origin = route_origin(world, taken.route)
    envoy = {"route": taken.route.name}
    return Step("route", title, State.PASSED, text, proxy_name(pod), candidates, envoy=envoy, origin=origin)


def _held(check: Any) -> str:
    if check.actual is None:
        return f"{check.subject} {check.wanted}"
    return f'{check.subject} "{check.actual}" fits {check.wanted}'


def _tried(world: World, tried: TriedRoute, routing: Routing) -> Candidate:
    name = tried.route.name or f"route {tried.number}"
    failed = tried.failed
    origin = route_origin(world, tried.route)
    if failed is None:
        return Candidate(
            name, CandidateState.CHOSEN, "; ".join(_held(each) for each in tried.checks), origin=origin
        )
    return Candidate(
        name,
        CandidateState.REJECTED,
        str(failed),
        failed.subject,
        failed.wanted,
        failed.actual,
        origin=origin,
    )


def _unreachable(world: World, tried: TriedRoute) -> Candidate:
    name = tried.route.name or f"route {tried.number}"
    reason = "would fit too, but an earlier route has taken the request"
    return Candidate(name, CandidateState.UNREACHABLE, reason, origin=route_origin(world, tried.route))


# --- what the route does --------------------------------------------------------------------------------


def _rule_part(world: World, route: Route, part: str) -> Origin:
    """Where a rule says what else is done to its requests; the rule where it does not."""
    resource = route_resource(world, route)
    rule = route_field(route).partition(".match")[0]
    if resource is None or not rule.startswith("spec.http["):
        return route_origin(world, route)
    field = f"{rule}.{part}"
    return Origin.of(resource, field) if field in resource.source.places else route_origin(world, route)


def fault_step(world: World, hop: Hop) -> Step | None:
    """Faults that the route wants injected; None where there are none."""
    route, info = hop.routing.route, hop.info
    if route is None or info is None:
        return None
    wanted = [(kind, percent(share)) for each in faults_of(route) for kind, share in fault_shares(each)]
    if not wanted:
        return None
    flags = info.response_flags.split(",")
    aborted = "FI" in flags
    shares_text = ", ".join(f"{kind} for {share:g} % of the requests" for kind, share in wanted)
    text = f"The route has faults injected: {shares_text}."
    if "DI" in flags:
        text += " This request waits first."
    if aborted:
        text += f" This request is answered {info.response_code} here."
    origin = _rule_part(world, route, "fault")
    state = State.FAILED if aborted else State.PASSED
    return Step("fault", shares_text, state, text, proxy_name(hop.pod), origin=origin)


def answer_step(world: World, hop: Hop) -> Step | None:
    """A route that answers by itself; None for one that forwards."""
    route = hop.routing.route
    if route is None or isinstance(route.action, RouteAction):
        return None
    action = route.action
    if isinstance(action, DirectResponseAction):
        title, text = f"answers {action.status}", f"The route itself is the answer: {action.status}."
    elif isinstance(action, RedirectAction | SslRedirectAction):
        location = _response_header(hop, "location")
        title, text = f"redirects, {action.status}", f"The client is sent to {location} ({action.status})."
    else:
        title, text = "says nothing", "The route matches and does not say what to do."
    return Step("answer", title, State.PASSED, text, proxy_name(hop.pod), origin=route_origin(world, route))


def _response_header(hop: Hop, name: str) -> str:
    headers = hop.info.response_headers if hop.info is not None else None
    values = headers.header_values(name) if headers is not None else ()
    return values[0] if values else ""


def rewrite_step(world: World, hop: Hop) -> Step | None:
    """What of path, host and headers goes on changed; None where nothing does."""
    routing, info = hop.routing, hop.info
    head: Any = info.request if info is not None else None
    if head is None or routing.route is None or not isinstance(routing.route.action, RouteAction):
        return None
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if head.path != routing.path:
        before["path"], after["path"] = routing.path, head.path
    if head.authority != routing.authority:
        before["host"], after["host"] = routing.authority, head.authority
    old, new = _headers(routing.headers), _headers(head.copy().mutable_fields())
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if changed:
        before["headers"] = {name: old[name] for name in changed if name in old}
        after["headers"] = {name: new[name] for name in changed if name in new}
    if not after and not before:
        return None
    text = "; ".join(_change_texts(before, after))
    origin = _rule_part(world, routing.route, "rewrite" if {"path", "host"} & after.keys() else "headers")
    return Step(
        "rewrite",
        _rewrite_title(before, after),
        State.PASSED,
        text,
        proxy_name(hop.pod),
        before=before,
        after=after,
        origin=origin,
    )


def _headers(fields: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _rewrite_title(before: dict[str, Any], after: dict[str, Any]) -> str:
    changed = [word for word in ("path", "host", "headers") if word in after or word in before]
    return f"changes {' and '.join(changed)}"


def _change_texts(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for word in ("path", "host"):
        if word in after:
            yield f'{word} "{before[word]}" becomes "{after[word]}"'
    old, new = before.get("headers", {}), after.get("headers", {})
    for name in {**old, **new}:
        if name not in new:
            yield f"{name} is removed"
        elif name not in old:
            yield f"{name}: {new[name]} is added"
        else:
            yield f"{name} becomes {new[name]}"


def _some_of(names: Sequence[str], shown: int = 3) -> str:
    """The first of some names, and how many more there are."""
    left = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {left} more" if left > 0 else "")
