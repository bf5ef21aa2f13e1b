"""What a route does to its requests on purpose: faults that it injects, and the time that it allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import RouteAction
from minimesh.explain.causes.hosts import name_of
from minimesh.explain.causes.meant import rule_of
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.patches import document_of, spec_patch

if TYPE_CHECKING:
    from minimesh.explain.situation import Situation


def injected(situation: Situation) -> Iterator[Finding]:
    """A fault answered instead of the service."""
    first = situation.first
    if first is None or first.info is None or "FI" not in first.info.response_flags.split(","):
        return
    found = rule_of(situation, first)
    if found is None:
        return
    rule, number, _ = found
    http = document_of(rule.resource)["spec"]["http"]
    http[number].get("fault", {}).pop("abort", None)
    if not http[number].get("fault"):
        http[number].pop("fault", None)
    yield Finding(
        "fault-injected",
        f"Rule {number + 1} of {name_of(rule)} has requests aborted: no service was asked, and nothing is "
        "wrong with one. Take the fault out when it has served its purpose.",
        origin=Origin.of(rule.resource, f"spec.http[{number}].fault.abort"),
        patch=spec_patch(rule.resource, {"http": http}),
    )


def timeout(situation: Situation) -> Iterator[Finding]:
    """A route that waits for the answer only so long."""
    first = situation.first
    route = first.routing.route if first is not None else None
    found = rule_of(situation, first) if first is not None else None
    if route is None or found is None or not isinstance(route.action, RouteAction):
        return
    limit_s, retry = route.action.timeout_s, route.action.retry_policy
    if not limit_s or situation.verdict.answered_by != "application":
        return
    tries = f", its {retry.num_retries} retries included" if retry is not None and retry.num_retries else ""
    yield Finding(
        "timeout",
        f"The route waits {limit_s:g} s for the whole answer{tries}. An application that takes longer is "
        "answered for: 504 upstream request timeout, flag UT.",
        Severity.NOTE,
        origin=Origin.of(found[0].resource, f"spec.http[{found[1]}].timeout"),
    )
