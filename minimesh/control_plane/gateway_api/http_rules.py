"""Rules of HTTPRoute and GRPCRoute as Istio's HTTP routes, one for each match, and their precedence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from minimesh.config.checks.http_fields import check_regex
from minimesh.config.istio.virtual_service import (
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRetry,
    HTTPRoute,
    HTTPRouteDestination,
    StringMatch,
)
from minimesh.control_plane.gateway_api.backends import weighted
from minimesh.control_plane.gateway_api.conditions import Fault
from minimesh.control_plane.gateway_api.filters import backend_headers, with_filters

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.backends import Backends

_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"
_DEFAULT_ATTEMPTS = 2
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A rule of Istio's, and where it comes from: one match of a rule of a route."""

    rule: HTTPRoute
    route: Resource
    number: int
    match: int


def http_rules(route: Resource, backends: Backends) -> list[PlacedRule] | Fault:
    """All rules of a route, in its order; a Fault when one of them cannot be had."""
    found: list[PlacedRule] = []
    for number, rule in enumerate(route.spec.rules):
        name = rule.name or f"{route.namespace}.{route.name}.{number}"
        made = _rule(name, rule, backends)
        if isinstance(made, Fault):
            return made
        matches = rule.matches or (None,)
        for each in rule.matches:
            for expression in _expressions(each):
                wrong = next(check_regex("", expression), None)
                if wrong is not None:
                    # The proxies would refuse all their routes because of it.
                    return Fault("UnsupportedValue", f"regular expression: {wrong.message}")
        found += [
            PlacedRule(replace(made, match=tuple(_match(route.kind, each))), route, number, position)
            for position, each in enumerate(matches)
        ]
    return found


def _expressions(match: Any) -> Iterator[str]:
    """The regular expressions of one match."""
    conditions = [getattr(match, "path", None), *match.headers, *getattr(match, "query_params", ())]
    for each in conditions:
        if each is not None and each.type == "RegularExpression":
            yield each.value or ""
    if getattr(match.method, "type", None) == "RegularExpression":
        yield from filter(None, (match.method.service, match.method.method))


def sorted_by_precedence(rules: Iterable[PlacedRule]) -> list[PlacedRule]:
    """The specification's order: exact paths, longer prefixes, methods, more headers, more parameters.

    The rules come in the order of their routes' age, which stays among equals.
    """
    return sorted(rules, key=lambda each: _precedence(each.rule))


def _precedence(rule: HTTPRoute) -> tuple[bool, int, int, bool, int, int]:
    if not rule.match:
        return (True, 0, 0, False, 0, 0)
    match = rule.match[0]
    rank, length = _path_rank(match.uri)
    return (
        False,
        rank,
        -length,
        match.method is None,
        -len(match.headers),
        -len(match.query_params),
    )


def _path_rank(uri: StringMatch | None) -> tuple[int, int]:
    if uri is None:
        return (3, 0)
    if uri.exact is not None:
        return (0, len(uri.exact))
    if uri.prefix is not None:
        return (1, len(uri.prefix))
    return (2, len(uri.regex or ""))


def _rule(name: str, rule: Any, backends: Backends) -> HTTPRoute | Fault:
    route = with_filters(HTTPRoute(name=name), rule.filters, backends)
    if isinstance(route, Fault):
        return route
    shares = weighted(rule.backend_refs)
    destinations = []
    for reference, share in shares:
        headers = backend_headers(reference.filters)
        if isinstance(headers, Fault):
            return headers
        destination = backends.destination(reference)
        destinations.append(HTTPRouteDestination(destination=destination, weight=share, headers=headers))
    if destinations:
        route = replace(route, route=tuple(destinations))
    elif route.redirect is None:
        route = replace(route, direct_response=HTTPDirectResponse(status=500))
    return replace(route, **_timing(rule))


def _timing(rule: Any) -> dict[str, Any]:
    """Timeouts and retries, which gRPC's rules do not have."""
    timeouts, retry = getattr(rule, "timeouts", None), getattr(rule, "retry", None)
    whole = _duration(timeouts.request) if timeouts is not None else None
    each_try = _duration(timeouts.backend_request) if timeouts is not None else None
    if retry is None:
        # Without retries, the one try may take no longer than a try may.
        limit = each_try if each_try is not None else whole
        return {"timeout": limit} if limit is not None else {}
    codes = ",".join(map(str, retry.codes))
    found: dict[str, Any] = {
        "retries": HTTPRetry(
            attempts=retry.attempts if retry.attempts is not None else _DEFAULT_ATTEMPTS,
            retry_on=f"{_RETRY_ON},{codes}" if codes else _RETRY_ON,
            backoff=_duration(retry.backoff),
            per_try_timeout=each_try,
        )
    }
    return {**found, "timeout": whole} if whole is not None else found


def _duration(text: str | None) -> timedelta | None:
    """`1h30m`, `500ms`: the Gateway API's durations."""
    if text is None:
        return None
    parts = re.findall(r"([0-9]+)(ms|h|m|s)", text)
    return timedelta(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def _match(kind: str, match: Any | None) -> Iterator[HTTPMatchRequest]:
    """The conditions of one match; none when it matches everything."""
    if match is None:
        return
    found = HTTPMatchRequest(headers=_by_name(match.headers))
    if kind == "GRPCRoute":
        found = replace(found, uri=_call_match(match.method))
    else:
        found = replace(
            found,
            uri=_path_match(match.path),
            query_params=_by_name(match.query_params),
            method=StringMatch(exact=match.method) if match.method else None,
        )
    if found != HTTPMatchRequest():
        yield found


def _by_name(conditions: Iterable[Any]) -> dict[str, StringMatch]:
    """By name, of which the first counts."""
    found: dict[str, StringMatch] = {}
    for each in conditions:
        wanted = StringMatch(exact=each.value)
        if each.type == "RegularExpression":
            wanted = StringMatch(regex=each.value)
        found.setdefault(each.name, wanted)
    return found


def _path_match(path: Any | None) -> StringMatch | None:
    if path is None:
        return StringMatch(prefix="/")
    value = path.value if path.value is not None else "/"
    if path.type == "Exact":
        return StringMatch(exact=value)
    if path.type == "RegularExpression":
        return StringMatch(regex=value)
    # "/" is said too: a match of every path comes before a rule without any match.
    return StringMatch(prefix=value.rstrip("/") or "/")


def _call_match(method: Any | None) -> StringMatch | None:
    """The path of a gRPC call is `/service/method`."""
    if method is None or not (method.service or method.method):
        return None
    service, name = method.service or "", method.method or ""
    if method.type == "RegularExpression":
        return StringMatch(regex=f"/{service or '[^/]+'}/{name or '[^/]+'}")
    if service and name:
        return StringMatch(exact=f"/{service}/{name}")
    return StringMatch(prefix=f"/{service}/") if service else StringMatch(regex=f"/[^/]+/{name}")
