"""Paths: asterisks that are no wildcards, prefixes that are no path segments, rewrites that leave a rest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.routing.matchers import PathKind
from minimesh.explain.causes.alike import alike
from minimesh.explain.causes.meant import rule_of
from minimesh.explain.conditions import ABSENT, PRESENT
from minimesh.explain.ladder import Finding, Origin, Severity
from minimesh.explain.origins import route_origin, route_resource
from minimesh.explain.patches import document_of, spec_patch

if TYPE_CHECKING:
    from minimesh.explain.conditions import Check
    from minimesh.explain.observation import TriedRoute
    from minimesh.explain.rehearsal import Hop
    from minimesh.explain.situation import Situation


def asterisk_in_path(situation: Situation) -> Iterator[Finding]:
    """A prefix or exact path with an asterisk, which stands for itself."""
    first = situation.first
    if first is None or first.routing.route is not None:
        return
    for tried in first.routing.tried:
        check = tried.checks[0]
        value = check.wanted.partition('"')[2].rstrip('"')
        if check.holds or "*" not in value or check.wanted.startswith("regex"):
            continue
        plain = value.partition("*")[0]
        if not (check.actual or "").startswith(plain):
            continue
        place = _place(situation, tried)
        yield Finding(
            "asterisk-in-path",
            f"{check.wanted} of {place.resource} asks for an asterisk in the path: it is no wildcard. "
            f'"{plain}" as a prefix '
            f"takes everything that begins so: write prefix: {plain}.",
            origin=place,
            patch=_with_match(situation, tried, {"uri": {"prefix": plain}}),
        )


def nearest_route(situation: Situation) -> Iterator[Finding]:
    """No route fits: the one that came closest, and by what it failed."""
    first = situation.first
    if first is None or first.routing.route is not None or not first.routing.tried:
        return
    nearest = max(first.routing.tried, key=_closeness)
    failed = nearest.failed
    if failed is None:
        return
    place = _place(situation, nearest)
    count = len(first.routing.tried)
    which = "The only route" if count == 1 else f"Of {count} routes the nearest is number {nearest.number}"
    had = "the request has none" if failed.actual is None else f'the request has "{failed.actual}"'
    subject = "" if failed.wanted.startswith(failed.subject) else f"{failed.subject} "
    asks = f"asks for {subject}{failed.wanted}"
    if failed.wanted in (PRESENT, ABSENT):
        asks = f"wants {'a' if failed.wanted == PRESENT else 'no'} {failed.subject}"
    advice, match = _almost(failed)
    patch = _with_match(situation, nearest, match) if match else ""
    yield Finding(
        "nearest-route",
        f"{which} ({place}){'' if count == 1 else ': it'} {asks}; {had}.{advice}",
        origin=place,
        patch=patch,
    )


def _closeness(tried: TriedRoute) -> tuple[bool, float, float]:
    """How near a route came: whether its path fits, how far it agrees, and what else of it holds."""
    path = tried.checks[0]
    value, actual = _quoted(path.wanted).lower(), (path.actual or "/").lower()
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(value, actual, strict=False)))
    holding = sum(each.holds for each in tried.checks) / len(tried.checks)
    return path.holds, max(same / len(actual), alike(value, actual)), holding


def _almost(failed: Check) -> tuple[str, dict[str, Any]]:
    """(what to do about it, the fields of the match) where a path fails by its case or by what follows it."""
    kind, value, actual = failed.wanted.partition(" ")[0], _quoted(failed.wanted), failed.actual or ""
    if failed.subject != "path" or kind not in ("exact", "prefix") or failed.wanted.endswith("case"):
        return "", {}
    if (actual.lower() if kind == "exact" else actual.lower()[: len(value)]) == value.lower():
        return " They differ in case only: add ignoreUriCase: true.", {"ignoreUriCase": True}
    if kind == "exact" and value != "/" and actual.startswith(value.rstrip("/") + "/"):
        words = f" exact takes this very path and none below it: write prefix: {value}."
        return words, {"uri": {"prefix": value}}
    return "", {}


def _quoted(wanted: str) -> str:
    """The value of a condition, without its quotation marks."""
    return wanted.partition('"')[2].rpartition('"')[0]


def text_prefix(situation: Situation) -> Iterator[Finding]:
    """A prefix took a path that only begins with the same letters."""
    first = situation.first
    found = _taken_prefix(first)
    if first is None or found is None:
        return
    tried, prefix, rest = found
    if prefix.endswith("/") or not rest or rest[0] in "/?":
        return
    place = route_origin(situation.world, tried.route)
    yield Finding(
        "text-prefix",
        f'prefix "{prefix}" is a text and no path segment: it takes "{prefix + rest}" as well. To take '
        f"{prefix} and what "
        f"is below it, write two matches: exact {prefix} and prefix {prefix}/.",
        Severity.WARNING,
        origin=place,
        patch=_with_matches(situation, [{"exact": prefix}, {"prefix": f"{prefix}/"}]),
    )


def double_slash(situation: Situation) -> Iterator[Finding]:
    """A rewrite left two slashes where the prefix was."""
    first = situation.first
    found, after = _taken_prefix(first), _rewritten(first)
    if first is None or found is None or not after.startswith("//") or first.routing.path.startswith("//"):
        return
    tried, prefix, _ = found
    place = route_origin(situation.world, tried.route)
    yield Finding(
        "double-slash",
        f'rewrite "/" stands in place of prefix "{prefix}" only, so that "{first.routing.path}" becomes '
        f'"{after}": the '
        f"slash behind the prefix stays. Write two matches, prefix {prefix}/ before prefix {prefix}, with "
        "rewrite /.",
        Severity.WARNING,
        origin=place,
        patch=_with_matches(situation, [{"prefix": f"{prefix}/"}, {"prefix": prefix}]),
    )


def rest_of_prefix(situation: Situation) -> Iterator[Finding]:
    """A rewrite replaced the prefix, and what followed it is still there."""
    first = situation.first
    found, after = _taken_prefix(first), _rewritten(first)
    if first is None or found is None or not after or after.startswith("//"):
        return
    tried, prefix, rest = found
    if not rest.partition("?")[0]:
        return
    yield Finding(
        "rest-of-prefix",
        f'A rewrite replaces the prefix "{prefix}" and keeps what follows it, "{rest}": the application is '
        "asked for "
        f'"{after}". If it does not know that, the 404 is its own (via_upstream), not the gateway\'s.',
        Severity.NOTE,
        origin=route_origin(situation.world, tried.route),
    )


def _taken_prefix(hop: Hop | None) -> tuple[TriedRoute, str, str] | None:
    """(the route, its prefix, what of the path follows) of a request that a prefix took."""
    if hop is None or hop.routing.route is None or hop.routing.virtual_host is None or not hop.routing.tried:
        return None
    tried = hop.routing.tried[-1]
    match = next((match for match, route in hop.routing.virtual_host.routes if route is tried.route), None)
    if match is None or match.path.kind is not PathKind.PREFIX or match.path.value == "/":
        return None
    return tried, match.path.value, hop.routing.path[len(match.path.value) :]


def _rewritten(hop: Hop | None) -> str:
    """The path that goes upstream; empty when it is the client's."""
    info = hop.info if hop is not None else None
    head: Any = info.request if info is not None else None
    return head.path if hop is not None and head is not None and head.path != hop.routing.path else ""


def _place(situation: Situation, tried: TriedRoute) -> Origin:
    return route_origin(situation.world, tried.route)


def _with_match(situation: Situation, tried: TriedRoute, fields: dict[str, Any]) -> str:
    """The match of a route with some fields otherwise."""
    resource = route_resource(situation.world, tried.route)
    field = route_origin(situation.world, tried.route).field
    rule, _, match = field.removeprefix("spec.http[").partition("]")
    position = match.partition("[")[2].rstrip("]")
    if resource is None or not rule.isdigit() or not position.isdigit():
        return ""
    http = document_of(resource)["spec"]["http"]
    http[int(rule)]["match"][int(position)] |= fields
    return spec_patch(resource, {"http": http})


def _with_matches(situation: Situation, uris: list[dict[str, str]]) -> str:
    """The match that took the request, in place of its one path these."""
    found = rule_of(situation, situation.first) if situation.first is not None else None
    if found is None or found[2] < 0:
        return ""
    rule, number, position = found
    http = document_of(rule.resource)["spec"]["http"]
    matches = http[number]["match"]
    matches[position : position + 1] = [{**matches[position], "uri": uri} for uri in uris]
    return spec_patch(rule.resource, {"http": http})
