"""The steps from a route to a host: the cluster, its endpoints, the application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import RouteAction
from minimesh.data_plane.upstream.host import Health, HealthFlag
from minimesh.explain.ladder import Candidate, CandidateState, Origin, State, Step
from minimesh.explain.likeliest import shares
from minimesh.explain.origins import cluster_origin, destination_origin, service_resource
from minimesh.explain.routing_steps import proxy_name
from minimesh.xds.resource_names import BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER, parse_cluster_name

if TYPE_CHECKING:
    from minimesh.control_plane.service_registry.services import Service, ServicePort
    from minimesh.control_plane.service_registry.workloads import Workload
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.explain.rehearsal import AppCall, Hop, Rehearsal
    from minimesh.explain.world import Pod, World

_POLICIES = {
    "ROUND_ROBIN": "each in turn",
    "LEAST_REQUEST": "of two drawn by lot, the one with fewer requests under way",
    "RANDOM": "by lot",
    "RING_HASH": "by a hash of the request",
    "MAGLEV": "by a hash of the request",
}


def chosen_cluster(hop: Hop) -> str:
    """The name of the cluster that the rehearsed request went to, whether there is one or not; else empty."""
    route = hop.routing.route
    if route is None or not isinstance(route.action, RouteAction):
        return ""
    found = shares(route.action)
    if len(found) == 1:
        return found[0][0].handle.name
    if hop.info is not None and hop.info.upstream_cluster:
        return hop.info.upstream_cluster
    missing = [choice.handle.name for choice, share in found if choice.handle.cluster is None and share > 0]
    return missing[0] if missing else ""


def cluster_step(world: World, hop: Hop) -> Step:
    """Which cluster, of which shares, and whether it is there."""
    route = hop.routing.route
    assert route is not None
    assert isinstance(route.action, RouteAction)
    name = chosen_cluster(hop)
    found = shares(route.action)
    candidates = tuple(
        Candidate(
            choice.handle.name,
            CandidateState.CHOSEN
            if choice.handle.name == name
            else (CandidateState.POSSIBLE if share > 0 else CandidateState.REJECTED),
            f"{share:g} % of the requests",
            share_percent=share,
            origin=destination_origin(world, route, choice.handle.name),
        )
        for choice, share in found
    )
    own_share = next((share for choice, share in found if choice.handle.name == name), 100.0)
    cluster = hop.tables.cluster(name)
    if cluster is None:
        origin = destination_origin(world, route, name)
        text = f"The route leads to {name}, and there is no such cluster{_why_missing(world, hop.pod, name)}."
        return Step("cluster", name, State.FAILED, text, proxy_name(hop.pod), candidates, origin=origin)
    share_text = f"{own_share:g} % of this route's requests go there. " if len(found) > 1 else ""
    text = f"{share_text}{what_cluster_is(name)}{''.join(_copies(route.action))}"
    envoy = {"cluster": name}
    origin = cluster_origin(world, hop.pod, name)
    return Step(
        "cluster", name, State.PASSED, text, proxy_name(hop.pod), candidates, envoy=envoy, origin=origin
    )


def _copies(action: RouteAction) -> Iterator[str]:
    """The mirrors of a route."""
    for mirror in action.mirrors:
        share = 100.0 * mirror.fraction.numerator / mirror.fraction.denominator
        many = "each request" if share >= 100 else f"{share:g} % of the requests"
        yield f" A copy of {many} goes to {mirror.cluster.name}; what answers it is thrown away."


def what_cluster_is(name: str) -> str:
    """What a cluster's name means, in a sentence."""
    if name == PASSTHROUGH_CLUSTER:
        return "No service has this host: the request goes to wherever the client wanted, past all rules."
    if name == BLACK_HOLE_CLUSTER:
        return "It leads nowhere."
    parsed = parse_cluster_name(name)
    if parsed is None:
        return "A cluster of its own."
    if parsed.direction == "inbound":
        return f"The application behind port {parsed.port} of this pod."
    subset = f"subset {parsed.subset} of " if parsed.subset else ""
    return f"Port {parsed.port} of {subset}{parsed.hostname}."


def _why_missing(world: World, pod: Pod, name: str) -> str:
    parsed = parse_cluster_name(name)
    if parsed is None or pod.proxy is None:
        return ""
    service = world.push.service_for(parsed.hostname, pod.namespace, pod.namespace)
    if service is None:
        return f": no Service is called {parsed.hostname}"
    if service.port(parsed.port) is None:
        ports = ", ".join(str(each.port) for each in service.ports)
        return f": {parsed.hostname} has no port {parsed.port} (it has {ports or 'none'})"
    if parsed.subset:
        rule = world.push.destination_rule(parsed.hostname, pod.proxy.namespace, pod.proxy.labels)
        known = ", ".join(each.name for each in rule.subsets) if rule is not None else ""
        which = (
            f"the DestinationRule has {known or 'none'}" if rule is not None else "it has no DestinationRule"
        )
        return f": {parsed.hostname} has no subset {parsed.subset}, as {which}"
    return ""


# --- endpoints ------------------------------------------------------------------------------------------


def endpoint_step(world: World, hop: Hop, rehearsal: Rehearsal) -> Step:
    """The hosts of the cluster with their health, and the pods that are none."""
    name = chosen_cluster(hop)
    cluster = hop.tables.cluster(name)
    assert cluster is not None
    chosen = hop.info.upstream_host if hop.info is not None else None
    candidates = (*hosts_of(world, cluster, chosen), *_left_out(world, hop.pod, name))
    origin = Origin.of(service_resource(world, name))
    flags = (hop.info.response_flags if hop.info is not None else "").split(",")
    usable = [each for each in cluster.hosts if each.health is not Health.UNHEALTHY]
    policy = _POLICIES.get(cluster.settings.load_balancing.policy.name, "")
    if "UH" in flags or not chosen:
        count = len(cluster.hosts)
        text = "The cluster has no endpoint." if not count else f"None of {count} endpoints is healthy."
        return Step("endpoint", "none", State.FAILED, text, proxy_name(hop.pod), candidates, origin=origin)
    refusal = next((reason for address, reason in rehearsal.refusals if address == chosen), "")
    if "UF" in flags:
        text = f"No connection to {chosen}: {refusal}." if refusal else f"{chosen} cannot be reached."
        return Step("endpoint", chosen, State.FAILED, text, proxy_name(hop.pod), candidates, origin=origin)
    how = f", chosen {policy}" if len(usable) > 1 and policy else ""
    text = (
        f"One of {len(usable)} healthy endpoints{how}." if len(usable) > 1 else "The only healthy endpoint."
    )
    if name == PASSTHROUGH_CLUSTER:
        text = "The address that the client asked for."
    return Step("endpoint", chosen, State.PASSED, text, proxy_name(hop.pod), candidates, origin=origin)


def hosts_of(world: World, cluster: Cluster, chosen: str | None) -> Iterator[Candidate]:
    """The hosts of a cluster, with their health."""
    for host in cluster.hosts:
        there = [each for each in world.pods if host.address in (each.ip, each.app_address)]
        name = f"{host.name} ({there[0].name})" if len(there) == 1 else host.name
        if host.health is Health.UNHEALTHY:
            words = ", ".join(flag.name.lower() for flag in HealthFlag if flag & host.flags and flag.name)
            yield Candidate(name, CandidateState.REJECTED, f"unhealthy: {words}")
        else:
            state = CandidateState.CHOSEN if host.name == chosen else CandidateState.POSSIBLE
            yield Candidate(name, state, host.health.value)


def _left_out(world: World, pod: Pod, cluster: str) -> Iterator[Candidate]:
    """Pods of the service, or near it, that are no endpoints of the cluster."""
    parsed = parse_cluster_name(cluster)
    if parsed is None or not parsed.hostname or pod.proxy is None:
        return
    service = world.push.service_for(parsed.hostname, pod.namespace, pod.namespace)
    port = service.port(parsed.port) if service is not None else None
    if service is None or port is None or not service.selector:
        return
    wanted = subset_labels(world, pod, parsed.hostname, parsed.subset)
    for workload in world.push.registry.workloads:
        if workload.namespace != service.namespace:
            continue
        another = _serves_another(world, service, workload)
        reason = "" if another else why_no_endpoint(service, port, wanted, workload)
        if reason:
            yield Candidate(
                f"{workload.address} ({workload.name})",
                CandidateState.REJECTED,
                reason,
                origin=Origin.of(world.resource("Pod", workload.namespace, workload.name)),
            )


def _serves_another(world: World, service: Service, workload: Workload) -> bool:
    """Whether a pod is some other service's, so that nobody expects it here."""
    return any(
        each is not service
        and each.namespace == workload.namespace
        and bool(each.selector)
        and each.selector.items() <= workload.labels.items()
        for each in world.push.registry.services
    ) and not (service.selector.items() <= workload.labels.items())


def subset_labels(world: World, pod: Pod, hostname: str, subset: str) -> Mapping[str, str]:
    """The labels of a subset as this pod's proxy knows it; empty for none."""
    if not subset or pod.proxy is None:
        return {}
    rule = world.push.destination_rule(hostname, pod.proxy.namespace, pod.proxy.labels)
    found = rule.subset(subset) if rule is not None else None
    return dict(found.labels) if found is not None else {}


def why_no_endpoint(
    service: Service, port: ServicePort, subset: Mapping[str, str], workload: Workload
) -> str:
    """Why a pod of the service's namespace is no endpoint; empty when it is one, or is of no concern."""
    missing = [_difference(key, value, workload.labels) for key, value in service.selector.items()
               if workload.labels.get(key) != value]  # fmt: skip
    if missing:
        alike = workload.name.startswith(service.name) or workload.labels.get("app") == service.name
        return f"the Service selects {', '.join(missing)}" if alike else ""
    missing = [_difference(key, value, workload.labels) for key, value in subset.items()
               if workload.labels.get(key) != value]  # fmt: skip
    if missing:
        return f"the subset wants {', '.join(missing)}"
    if workload.resolve(port) is None:
        return f"no container port is called {port.target_port}"
    if not (workload.ready or service.publish_not_ready):
        return "not ready"
    return ""


def _difference(key: str, wanted: str, labels: Mapping[str, str]) -> str:
    return (
        f"{key}={wanted}, the pod has {key}={labels[key]}"
        if key in labels
        else f"{key}={wanted}, the pod has none"
    )


# --- the application ------------------------------------------------------------------------------------


def application_step(call: AppCall) -> Step:
    """What the application is asked."""
    routing = call.routing
    asked = f"{routing.method} {routing.path}, Host {routing.authority}"
    if call.pod is None:
        text = f"{call.address} outside the mesh is asked: {asked}. What it answers nobody here can tell."
        return Step("application", call.address, State.PASSED, text)
    text = f"The application is asked: {asked}. Its answer goes back the same way."
    return Step("application", f"{call.pod.name} at {call.address}", State.PASSED, text, proxy_name(call.pod))
