"""Destinations that lead nowhere: missing subsets, services, ports; and ports that are not taken for HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.explain.causes.alike import nearest
from minimesh.explain.causes.hosts import name_of
from minimesh.explain.causes.meant import rule_of
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.patches import document_of, new_object, spec_patch
from minimesh.explain.upstream_steps import chosen_cluster
from minimesh.explain.world import names_of
from minimesh.xds.resource_names import (
    BLACK_HOLE_CLUSTER,
    PASSTHROUGH_CLUSTER,
    ClusterName,
    parse_cluster_name,
)

if TYPE_CHECKING:
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig
    from minimesh.control_plane.service_registry.services import Service
    from minimesh.explain.situation import Situation

_UNROUTED = frozenset({PASSTHROUGH_CLUSTER, BLACK_HOLE_CLUSTER})


def _missing(situation: Situation) -> tuple[VirtualServiceConfig, int, ClusterName] | None:
    """(VirtualService, number of the rule, the cluster that is not there) of a request that failed by it."""
    first = situation.first
    if first is None or first.info is None or "NC" not in first.info.response_flags.split(","):
        return None
    rule, cluster = rule_of(situation, first), parse_cluster_name(chosen_cluster(first))
    return None if rule is None or cluster is None else (rule[0], rule[1], cluster)


def _service(situation: Situation, hostname: str) -> Service | None:
    return situation.world.push.registry.service(hostname)


def other_namespace(situation: Situation) -> Iterator[Finding]:
    """A short name means a service of the rule's namespace, and the service is in another."""
    found = _missing(situation)
    if found is None or _service(situation, found[2].hostname) is not None:
        return
    rule, number, cluster = found
    short = cluster.hostname.partition(".")[0]
    others = [each for each in situation.world.push.registry.services if each.name == short]
    written = [each for each in document_of(rule.resource)["spec"]["http"][number].get("route", [])
               if each["destination"]["host"].partition(".")[0] == short]  # fmt: skip
    if not others or not written:
        return
    http = document_of(rule.resource)["spec"]["http"]
    for each in http[number]["route"]:
        if each["destination"]["host"].partition(".")[0] == short:
            each["destination"]["host"] = others[0].hostname
    said = written[0]["destination"]["host"]
    yield Finding(
        "short-name",
        f'"{said}" in a rule of namespace {rule.namespace} means {cluster.hostname}, which does not exist; '
        f"{others[0].hostname} does: write that.",
        code="IST0101",
        origin=Origin.of(rule.resource, f"spec.http[{number}].route[0].destination.host"),
        patch=spec_patch(rule.resource, {"http": http}),
    )


def port_needed(situation: Situation) -> Iterator[Finding]:
    """The destination names no port, or one that the service does not have."""
    found = _missing(situation)
    service = _service(situation, found[2].hostname) if found is not None else None
    if found is None or service is None or service.port(found[2].port) is not None:
        return
    rule, number, cluster = found
    ports = ", ".join(str(each.port) for each in service.ports)
    http = document_of(rule.resource)["spec"]["http"]
    named = True
    for each in http[number]["route"]:
        if each["destination"]["host"].partition(".")[0] == service.name:
            named = "port" in each["destination"]
            each["destination"]["port"] = {"number": service.ports[0].port}
    said = (
        f"{service.hostname} has no port {cluster.port}; it has {ports}"
        if named
        else f"{service.hostname} has ports {ports} and the destination names none, so that it is taken for "
        f"port {cluster.port}, that of the listener"
    )
    yield Finding(
        "port-needed" if not named else "port-unknown",
        f"{said}: write port: {{number: {service.ports[0].port}}}.",
        code="IST0112" if not named else "",
        origin=Origin.of(rule.resource, f"spec.http[{number}].route[0].destination"),
        patch=spec_patch(rule.resource, {"http": http}),
    )


def missing_subset(situation: Situation) -> Iterator[Finding]:
    """The route names a subset that no DestinationRule has."""
    found = _missing(situation)
    service = _service(situation, found[2].hostname) if found is not None else None
    pod = situation.pod
    if found is None or service is None or pod is None or pod.proxy is None or not found[2].subset:
        return
    rule, number, cluster = found
    if service.port(cluster.port) is None:
        return
    known = situation.world.push.destination_rule(cluster.hostname, pod.proxy.namespace, pod.proxy.labels)
    labels = _labels_for(situation, service, cluster.subset)
    subset = {"name": cluster.subset, "labels": labels or {"version": cluster.subset}}
    http, index = document_of(rule.resource)["spec"]["http"], 0
    for at, each in enumerate(http[number].get("route", [])):
        if each["destination"].get("subset") == cluster.subset:
            index = at
    origin = Origin.of(rule.resource, f"spec.http[{number}].route[{index}].destination.subset")
    said = f"{name_of(rule)} routes to subset {cluster.subset} of {service.name}"
    if known is None:
        spec = {"host": service.hostname, "subsets": [subset]}
        patch = new_object("networking.istio.io/v1", "DestinationRule", service.namespace, service.name, spec)
        text = f"{said}, and no DestinationRule for {service.hostname} says what that is: add one."
        if not labels:
            text += f" No pod of {service.name} has a label {cluster.subset} yet."
    elif not labels and known.subsets:
        near = nearest(cluster.subset, [each.name for each in known.subsets])
        http[number]["route"][index]["destination"]["subset"] = near
        patch = spec_patch(rule.resource, {"http": http})
        names = ", ".join(each.name for each in known.subsets)
        text = (
            f"{said}; DestinationRule {known.namespace}/{known.name} has {names}, and no pod has a label "
            f"{cluster.subset}: write subset: {near}."
        )
    else:
        subsets = [*document_of(known.resource)["spec"].get("subsets", []), subset]
        patch = spec_patch(known.resource, {"subsets": subsets})
        names = ", ".join(each.name for each in known.subsets) or "none"
        text = f"{said}; DestinationRule {known.namespace}/{known.name} has {names}: add it, or name one."
    yield Finding("missing-subset", text, code="IST0101", origin=origin, patch=patch)


def _labels_for(situation: Situation, service: Service, subset: str) -> dict[str, str]:
    """The label of the service's pods that has the subset's name for its value; empty where none has."""
    for workload in situation.world.push.registry.workloads:
        if service.selector.items() <= workload.labels.items():
            for key, value in workload.labels.items():
                if value.lower() == subset.lower() and key not in service.selector:
                    return {key: value}
    return {}


def missing_service(situation: Situation) -> Iterator[Finding]:
    """The route leads to a host that nothing declares."""
    found = _missing(situation)
    if (
        found is None
        or _service(situation, found[2].hostname) is not None
        or list(other_namespace(situation))
    ):
        return
    rule, number, cluster = found
    services = [each for each in situation.world.push.registry.services
                if each.kubernetes and each.namespace == rule.namespace]  # fmt: skip
    known = ", ".join(each.name for each in services) or "none"
    near = nearest(cluster.hostname.partition(".")[0], [each.name for each in services])
    http, index = document_of(rule.resource)["spec"]["http"], 0
    for at, each in enumerate(http[number].get("route", [])):
        host = each["destination"]["host"]
        if host.partition(".")[0] == cluster.hostname.partition(".")[0]:
            each["destination"]["host"], index = ".".join([near, *host.split(".")[1:]]), at
    yield Finding(
        "unknown-host",
        f"{name_of(rule)} routes to {cluster.hostname}, which no Service or ServiceEntry declares; in "
        f"namespace {rule.namespace} there are: {known}." + (f" Did you mean {near}?" if near else ""),
        code="IST0101",
        origin=Origin.of(rule.resource, f"spec.http[{number}].route[{index}].destination.host"),
        patch=spec_patch(rule.resource, {"http": http}) if near else "",
    )


def unknown_port_or_name(situation: Situation) -> Iterator[Finding]:
    """A pod's call that is for no service's host and port, so that it leaves the mesh unrouted."""
    first, pod = situation.first, situation.pod
    if first is None or pod is None or pod.is_gateway or chosen_cluster(first) not in _UNROUTED:
        return
    number = decimal(situation.question.authority.rpartition(":")[2]) or 80
    host = situation.host.lower()
    services = [each for each in situation.world.push.registry.services if each.kubernetes]
    for service in services:
        if host in names_of(service) and (host != service.name or service.namespace == pod.namespace):
            if service.port(number) is not None:
                return
            ports = ", ".join(str(each.port) for each in service.ports)
            yield Finding(
                "service-port",
                f"Service {service.namespace}/{service.name} has no port {number}; it has {ports}: ask "
                f"http://{host}:{service.ports[0].port}/.",
                origin=Origin.of(service.resource, "spec.ports"),
            )
            return
    if "." in host:
        return
    known = [each.name for each in services if each.namespace == pod.namespace]
    near = nearest(host, known)
    elsewhere = next((each for each in services if each.name == host), None)
    hint = f" Did you mean {near}?" if near else ""
    if elsewhere is not None:
        hint = f" One is in namespace {elsewhere.namespace}: ask for {host}.{elsewhere.namespace}."
    yield Finding(
        "unknown-service",
        f'No Service of namespace {pod.namespace} is called "{host}"; there are: '
        f"{', '.join(known) or 'none'}.{hint}",
    )


_CONVENTION = "http, http2, grpc or the like, alone or before a hyphen"


def not_http(situation: Situation) -> Iterator[Finding]:
    """A port that the mesh takes for TCP: HTTP rules do not apply to it."""
    pod, first = situation.pod, situation.first
    if pod is None or pod.is_gateway or first is None:
        return
    host, _, number = situation.question.authority.rpartition(":")
    wanted = decimal(number)
    if wanted is None:
        host, wanted = situation.question.authority, 80
    for service in situation.world.push.registry.services:
        if host not in (service.name, service.hostname, f"{service.name}.{service.namespace}"):
            continue
        port = service.port(wanted)
        if port is None or port.protocol.is_http_or_sniffed:
            continue
        resource: Any = service.resource
        index = next(i for i, each in enumerate(resource.spec.ports) if each.port == port.port)
        ports = document_of(resource)["spec"]["ports"]
        ports[index]["name"] = f"http-{port.name.partition('-')[2] or 'web'}"
        why = (
            f'it is called "{port.name}"'
            if port.protocol is not Protocol.TCP or port.name
            else "it has no name"
        )
        yield Finding(
            "port-not-http",
            f"Port {port.port} of {service.name} is {port.protocol} to the mesh, because {why}: no rule on "
            "hosts, paths or "
            f"headers applies to it. A name for HTTP is {_CONVENTION}: write name: {ports[index]['name']}.",
            Severity.CAUSE if situation.verdict.answered_by != "application" else Severity.WARNING,
            "IST0118",
            Origin.of(resource, f"spec.ports[{index}].name"),
            spec_patch(resource, {"ports": ports}),
        )
