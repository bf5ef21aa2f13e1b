"""Which rule comes first, and what a list of matches means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minimesh.explain.causes.hosts import name_of
from minimesh.explain.causes.meant import meant_routes, rule_of
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.patches import document_of, spec_patch

if TYPE_CHECKING:
    from minimesh.explain.situation import Situation


def hidden_rule(situation: Situation) -> Iterator[Finding]:
    """A later rule asks more of the request, and holds: it is never asked."""
    first = situation.first
    found = rule_of(situation, first) if first is not None else None
    if first is None or found is None:
        return
    rule, number, _ = found
    taken = first.routing.tried[-1] if first.routing.tried else None
    asked = len([each for each in taken.checks if each.wanted != 'prefix "/"']) if taken is not None else 0
    for meant in meant_routes(situation, rule, first, number + 1):
        wanted = [each for each in meant.checks if each.wanted != 'prefix "/"']
        if not meant.fits or not _narrower(wanted, taken.checks if taken is not None else (), asked):
            continue
        http = document_of(rule.resource)["spec"]["http"]
        http.insert(number, http.pop(meant.rule))
        why = "; ".join(f"{each.subject} {each.wanted}" for each in wanted)
        yield Finding(
            "hidden-rule",
            f"Rule {number + 1} of {name_of(rule)} takes this request first, so that rule {meant.rule + 1}, "
            "which is for "
            f"it too ({why}), is never asked: put it before.",
            Severity.WARNING,
            "IST0130",
            Origin.of(rule.resource, f"spec.http[{meant.rule}]"),
            spec_patch(rule.resource, {"http": http}),
        )
        return


def _narrower(wanted: list[Any], taken: Any, asked: int) -> bool:
    """Whether a rule asks for more than the one that took the request."""
    if len(wanted) != asked:
        return len(wanted) > asked
    old = taken[0].wanted.partition('"')[2] if taken else ""
    return bool(wanted) and len(wanted[0].wanted.partition('"')[2]) > len(old)


def alternatives_instead_of_both(situation: Situation) -> Iterator[Finding]:
    """A match list whose items ask for different things: one of them is enough."""
    first = situation.first
    found = rule_of(situation, first) if first is not None else None
    if found is None:
        return
    rule, number, position = found
    matches = document_of(rule.resource)["spec"]["http"][number].get("match") or []
    if len(matches) < 2 or position < 0:
        return
    fields = [set(each) - {"name"} for each in matches]
    if any(one & other for index, one in enumerate(fields) for other in fields[:index]):
        return
    merged: dict[str, Any] = {}
    for each in matches:
        merged |= each
    http = document_of(rule.resource)["spec"]["http"]
    http[number]["match"] = [merged]
    written = " OR ".join(f"({_expression(each)})" for each in matches)
    yield Finding(
        "alternatives",
        f"The matches of rule {number + 1} of {name_of(rule)} are alternatives: {written}. This request "
        "fits number "
        f"{position + 1} alone. To ask for all of it at once write one item: drop the hyphen before the "
        "second.",
        Severity.WARNING,
        origin=Origin.of(rule.resource, f"spec.http[{number}].match[{position}]"),
        patch=spec_patch(rule.resource, {"http": http}),
    )


def _expression(match: dict[str, Any]) -> str:
    """A match as a boolean expression."""
    parts = []
    for name, wanted in match.items():
        if name in ("headers", "withoutHeaders", "queryParams"):
            parts += [f"{name[:-1]} {key} {_test(value)}" for key, value in wanted.items()]
        elif name != "name":
            parts.append(f"{name} {_test(wanted)}")
    return " AND ".join(parts)


def _test(wanted: Any) -> str:
    if isinstance(wanted, dict):
        return " ".join(f"{kind} {value}" for kind, value in wanted.items()) or "present"
    return str(wanted)
