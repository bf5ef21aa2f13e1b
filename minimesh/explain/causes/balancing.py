"""Shares and balancing: what is meant by weights, and why counts are not even."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import RouteAction, WeightedClusters
from minimesh.explain.causes.meant import rule_of
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.likeliest import shares as shares_of
from minimesh.explain.origins import service_resource
from minimesh.explain.upstream_steps import chosen_cluster
from minimesh.xds.resource_names import parse_cluster_name

if TYPE_CHECKING:
    from minimesh.explain.situation import Situation

_SAMPLE = 100
_TWO_SIDED_95 = 1.96


def shares(situation: Situation) -> Iterator[Finding]:
    """Weights as shares, and how far chance may carry a count from them."""
    first = situation.first
    route = first.routing.route if first is not None else None
    if first is None or route is None or not isinstance(route.action, RouteAction):
        return
    if not isinstance(route.action.clusters, WeightedClusters):
        return
    if max(share for _, share in shares_of(route.action)) == 100:
        return
    found, total = shares_of(route.action), route.action.clusters.upper_bounds[-1]
    parts = []
    for choice, share in found:
        parsed = parse_cluster_name(choice.handle.name)
        name = (
            (parsed.subset or parsed.hostname.partition(".")[0]) if parsed is not None else choice.handle.name
        )
        parts.append(f"{name} {share:.3g} % ({_between(share)} of {_SAMPLE} requests)")
    rule = rule_of(situation, first)
    origin = Origin.of(rule[0].resource, f"spec.http[{rule[1]}].route") if rule is not None else Origin()
    need = "" if total == 100 else f" They add up to {total}, which need not be 100."
    yield Finding(
        "weights",
        f"The weights mean shares: {', '.join(parts)}; chance allows that much in 95 of 100 cases.{need}",
        Severity.NOTE,
        origin=origin,
    )


def _between(share: float) -> str:
    """How many of a sample are to be expected."""
    p = share / 100
    spread = _TWO_SIDED_95 * sqrt(_SAMPLE * p * (1 - p))
    low, high = max(0, round(_SAMPLE * p - spread)), min(_SAMPLE, round(_SAMPLE * p + spread))
    return str(low) if low == high else f"{low} to {high}"


def policy(situation: Situation) -> Iterator[Finding]:
    """Least request among several: what it is, and what it is called."""
    first, pod = situation.first, situation.pod
    name = chosen_cluster(first) if first is not None else ""
    cluster = first.tables.cluster(name) if first is not None else None
    parsed = parse_cluster_name(name)
    if cluster is None or parsed is None or len(cluster.hosts) < 2 or pod is None or pod.proxy is None:
        return
    if first is None or first.info is None or not first.info.upstream_host:
        return  # it came to no endpoint
    if cluster.settings.load_balancing.policy.name != "LEAST_REQUEST":
        return
    rule = situation.world.push.destination_rule(parsed.hostname, pod.proxy.namespace, pod.proxy.labels)
    written = (
        rule.traffic_policy.load_balancer if rule is not None and rule.traffic_policy is not None else None
    )
    simple = str(written.simple) if written is not None and written.simple is not None else ""
    called = "" if simple != "LEAST_CONN" else " LEAST_CONN is its old name."
    default = "" if simple else " It is what Istio does unless told otherwise."
    origin = Origin.of(service_resource(situation.world, name))
    if rule is not None and simple:
        origin = Origin.of(rule.resource, "spec.trafficPolicy.loadBalancer")
    yield Finding(
        "least-request",
        f"{len(cluster.hosts)} endpoints are balanced by LEAST_REQUEST: two are drawn by lot and the one "
        "with fewer "
        "requests under way gets the next. One request at a time is as good as drawn by lot: counts "
        f"differ.{called}"
        f"{default}",
        Severity.NOTE,
        "IST0002" if called else "",
        origin,
    )
