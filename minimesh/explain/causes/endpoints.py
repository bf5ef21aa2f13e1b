"""Clusters without a host that answers: labels, selectors, replicas, ports of containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.explain.causes.alike import alike, nearest
from minimesh.explain.causes.meant import rule_of
from minimesh.explain.ladder import Finding, Origin
from minimesh.explain.patches import document_of, spec_patch
from minimesh.explain.upstream_steps import chosen_cluster, why_no_endpoint
from minimesh.xds.resource_names import ClusterName, parse_cluster_name

if TYPE_CHECKING:
    from minimesh.control_plane.service_registry.services import Service
    from minimesh.control_plane.service_registry.workloads import Workload
    from minimesh.explain.situation import Situation


def _without_host(situation: Situation) -> tuple[Service, ClusterName] | None:
    """The service whose cluster had no healthy host."""
    first = situation.first
    if first is None or first.info is None or "UH" not in first.info.response_flags.split(","):
        return None
    cluster = parse_cluster_name(chosen_cluster(first))
    service = situation.world.push.registry.service(cluster.hostname) if cluster is not None else None
    return None if cluster is None or service is None else (service, cluster)


def subset_without_pods(situation: Situation) -> Iterator[Finding]:
    """The labels of a subset are no pod's."""
    found, pod = _without_host(situation), situation.pod
    if found is None or pod is None or pod.proxy is None or not found[1].subset:
        return
    service, cluster = found
    rule = situation.world.push.destination_rule(cluster.hostname, pod.proxy.namespace, pod.proxy.labels)
    subset = rule.subset(cluster.subset) if rule is not None else None
    members = _members(situation, service)
    if rule is None or subset is None or not members:
        return
    labels = dict(subset.labels)
    had = "; ".join(f"{each.name} has {_some(each, labels)}" for each in members[:6])
    index = next(i for i, each in enumerate(rule.resource.spec.subsets) if each.name == cluster.subset)
    subsets = document_of(rule.resource)["spec"]["subsets"]
    subsets[index]["labels"] = better = _better(labels, members)
    patch, advice = spec_patch(rule.resource, {"subsets": subsets}), f"Write {_text(better)}."
    served = [
        each.name for each in rule.subsets if any(each.labels.items() <= m.labels.items() for m in members)
    ]
    if any(dict(each.labels) == better for each in rule.subsets) and served:
        near = nearest(cluster.subset, served)
        patch = _routed_to(situation, cluster.subset, near)
        advice = f"Start pods that have it, or route to a subset that has pods ({', '.join(served)})."
    yield Finding(
        "subset-without-pods",
        f"Subset {cluster.subset} of DestinationRule {rule.namespace}/{rule.name} wants {_text(labels)}, "
        f"and of the pods of {service.name} none has that: {had}. {advice}",
        code="IST0173",
        origin=Origin.of(rule.resource, f"spec.subsets[{index}].labels"),
        patch=patch,
    )


def _routed_to(situation: Situation, subset: str, other: str) -> str:
    """The rule that took the request, with another subset in the place of one."""
    found = rule_of(situation, situation.first) if situation.first is not None else None
    if found is None:
        return ""
    http = document_of(found[0].resource)["spec"]["http"]
    for each in http[found[1]].get("route", []):
        if each["destination"].get("subset") == subset:
            each["destination"]["subset"] = other
    return spec_patch(found[0].resource, {"http": http})


def _better(labels: dict[str, str], members: list[Workload]) -> dict[str, str]:
    """The labels of a pod that come closest to those wanted."""

    def closeness(member: Workload) -> tuple[int, int]:
        have = member.labels
        same = sum(have.get(key) == value for key, value in labels.items())
        return same, sum(have.get(key, "").lower() == value.lower() for key, value in labels.items())

    best = max(members, key=closeness)
    found = {key: best.labels[key] for key in labels if key in best.labels}
    return found or {key: value for key, value in best.labels.items() if key in ("app", "version")}


def no_pods(situation: Situation) -> Iterator[Finding]:
    """A service selects no pod, or none that is ready."""
    found = _without_host(situation)
    if found is None or (found[1].subset and _members(situation, found[0])):
        return
    service, cluster = found
    members = _members(situation, service)
    port = service.port(cluster.port)
    if members and port is not None:
        reasons = "; ".join(f"{each.name}: {why_no_endpoint(service, port, {}, each)}" for each in members)
        yield Finding("no-ready-pod", f"No pod of {service.name} takes requests: {reasons}.", code="KIA0701",
                      origin=Origin.of(service.resource))  # fmt: skip
        return
    scaled = list(_scaled_to_zero(situation, service))
    yield from scaled or _selector(situation, service)


def _scaled_to_zero(situation: Situation, service: Service) -> Iterator[Finding]:
    for deployment in situation.world.snapshot.by_kind("Deployment"):
        template: Any = deployment.spec.template
        labels = template.metadata.labels if template is not None and template.metadata else {}
        if deployment.namespace == service.namespace and deployment.spec.replicas == 0:
            if not service.selector.items() <= labels.items():
                continue
            yield Finding(
                "scaled-to-zero",
                f"Deployment {deployment.namespace}/{deployment.name}, whose pods Service {service.name} "
                "selects, has 0 "
                "replicas: scale it to 1.",
                code="KIA0701",
                origin=Origin.of(deployment, "spec.replicas"),
                patch=spec_patch(deployment, {"replicas": 1}),
            )


def _selector(situation: Situation, service: Service) -> Iterator[Finding]:
    wanted = dict(service.selector)
    near = [w for w in situation.world.push.registry.workloads
            if w.namespace == service.namespace and any(key in w.labels for key in wanted)]  # fmt: skip
    if service.resource is None:
        return
    said = f"Service {service.namespace}/{service.name} selects {_text(wanted)}, and no pod has that"
    if not near:
        yield Finding(
            "selects-no-pod", f"{said}.", code="KIA0701", origin=Origin.of(service.resource, "spec.selector")
        )
        return
    best = max(near, key=lambda w: max(alike(w.labels.get(key, ""), value) for key, value in wanted.items()))
    better = {key: best.labels.get(key, value) for key, value in wanted.items()}
    yield Finding(
        "selects-no-pod",
        f"{said}; {best.name} has {_text(better)}: write that.",
        code="KIA0701",
        origin=Origin.of(service.resource, "spec.selector"),
        patch=spec_patch(service.resource, {"selector": better}),
    )


def nobody_listens(situation: Situation) -> Iterator[Finding]:
    """The pod is there, and its application listens at another port."""
    rehearsal = situation.rehearsal
    failing = [hop for hop in rehearsal.hops if hop.info is not None
               and "UF" in hop.info.response_flags.split(",")] if rehearsal is not None else []  # fmt: skip
    if not failing or rehearsal is None or not rehearsal.refusals:
        return
    hop = failing[-1]
    pod, asked = hop.pod, parse_cluster_name(chosen_cluster(hop))
    if asked is None or not pod.app_ports:
        return
    real = ", ".join(map(str, sorted(pod.app_ports)))
    for service in situation.world.push.registry.services:
        for index, port in enumerate(service.ports):
            target = port.target_port or port.port
            if (
                target != asked.port
                or service.resource is None
                or not service.selector.items() <= pod.labels.items()
            ):
                continue
            ports = document_of(service.resource)["spec"]["ports"]
            ports[index]["targetPort"] = min(pod.app_ports)
            yield Finding(
                "nobody-listens",
                f"Port {port.port} of Service {service.name} leads to targetPort {target} of {pod.name}, "
                "and its "
                f"application listens at {real}: nothing accepts the connection (errno 111). Write "
                "targetPort: "
                f"{min(pod.app_ports)}.",
                origin=Origin.of(service.resource, f"spec.ports[{index}].targetPort"),
                patch=spec_patch(service.resource, {"ports": ports}),
            )


def _members(situation: Situation, service: Service) -> list[Workload]:
    """The pods that a service selects."""
    return [w for w in situation.world.push.registry.workloads
            if w.namespace == service.namespace and service.selector
            and service.selector.items() <= w.labels.items()]  # fmt: skip


def _some(workload: Workload, labels: dict[str, str]) -> str:
    return ", ".join(
        f"{key}={workload.labels[key]}" if key in workload.labels else f"no {key}" for key in labels
    )


def _text(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())
