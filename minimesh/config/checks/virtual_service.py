"""Rules for VirtualService."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import (
    Finding,
    Findings,
    check_duration,
    check_host,
    check_port,
    is_header_name,
)
from minimesh.config.diagnostics import Severity
from minimesh.config.source_map import join
from minimesh.config.suggestions import nearest
from minimesh.xds.retry_conditions import RETRY_CONDITIONS

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import (
        Headers,
        HTTPMatchRequest,
        HTTPRoute,
        HTTPRouteDestination,
        RouteDestination,
        StringMatch,
        VirtualService,
    )


def check_virtual_service(spec: VirtualService) -> Findings:
    if not spec.hosts and (spec.gateways or not spec.http):
        yield Finding("spec.hosts", "missing-field", "is empty; list the hosts that the routes are for")
    elif not spec.hosts:
        severity, why = (
            Severity.WARNING,
            "is empty; only a delegate, which another VirtualService names, has no hosts",
        )
        yield Finding("spec.hosts", "missing-field", why, severity)
    if not (spec.http or spec.tls or spec.tcp):
        yield Finding("spec.http", "missing-field", "no routes; give at least one of http, tls, tcp")
    seen: set[str] = set()
    for index, host in enumerate(spec.hosts):
        yield from check_host(f"spec.hosts[{index}]", host)
        if host in seen:
            yield Finding(f"spec.hosts[{index}]", "duplicate-name", f'"{host}" is listed twice')
        seen.add(host)
    for index, name in enumerate(spec.gateways):
        if not name or name.count("/") > 1 or "*" in name or name.endswith("/"):
            message = f'"{name}" must be the name of a Gateway, `namespace/name`, or `mesh`'
            yield Finding(f"spec.gateways[{index}]", "bad-reference", message)
    for index, route in enumerate(spec.http):
        yield from _http_route(f"spec.http[{index}]", route)
    destinations = {f"spec.tcp[{index}]": route.route for index, route in enumerate(spec.tcp)}
    destinations |= {f"spec.tls[{index}]": route.route for index, route in enumerate(spec.tls)}
    for path, connections_go_to in destinations.items():
        if not connections_go_to:
            yield Finding(f"{path}.route", "missing-field", "is empty; say where the connections go")
        yield from _weighted(path, connections_go_to)


def _http_route(path: str, route: HTTPRoute) -> Findings:
    given = {
        "route": bool(route.route),
        "redirect": route.redirect is not None,
        "directResponse": route.direct_response is not None,
        "delegate": route.delegate is not None,
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if not chosen:
        yield Finding(
            path, "no-action", "does nothing; give it one of route, redirect, directResponse, delegate"
        )
    elif len(chosen) > 1:
        message = f"has {' and '.join(chosen)}; keep one of them"
        yield Finding(f"{path}.{chosen[-1]}", "several-actions", message)
    for index, condition in enumerate(route.match):
        yield from _http_match(f"{path}.match[{index}]", condition)
    yield from _weighted(path, route.route)
    for index, destination in enumerate(route.route):
        yield from _header_operations(f"{path}.route[{index}].headers", destination.headers)
    yield from _header_operations(f"{path}.headers", route.headers)
    yield from _redirect_and_response(path, route)
    yield from _rewrite(path, route)
    yield from _timeouts(path, route)
    yield from _percentages(path, route)


def _weighted(path: str, destinations: Iterable[HTTPRouteDestination | RouteDestination]) -> Findings:
    routes = list(destinations)
    total = 0
    for index, one in enumerate(routes):
        at = f"{path}.route[{index}]"
        if one.weight < 0:
            yield Finding(f"{at}.weight", "bad-weight", f"must not be negative, it is {one.weight}")
        total += max(one.weight, 0)
        if one.destination is None:
            continue
        if one.destination.host == "*":
            yield Finding(f"{at}.destination.host", "bad-host", "`*` is no destination; name a service")
        elif one.destination.host:
            yield from check_host(f"{at}.destination.host", one.destination.host)
        if one.destination.port is not None:
            yield from check_port(f"{at}.destination.port.number", one.destination.port.number)
    if len(routes) > 1 and total == 0 and all(one.weight >= 0 for one in routes):
        yield Finding(
            f"{path}.route", "bad-weight", "the weights add up to 0, so no destination would get anything"
        )


_STRING_MATCHES = ("uri", "scheme", "method", "authority")


def _http_match(path: str, condition: HTTPMatchRequest) -> Findings:
    for name in _STRING_MATCHES:
        match = getattr(condition, name)
        if match is not None:
            yield from _string_match(f"{path}.{name}", match)
    for name, matches in (
        ("headers", condition.headers),
        ("withoutHeaders", condition.without_headers),
        ("queryParams", condition.query_params),
    ):
        for key, match in matches.items():
            # Istio itself writes "any value" as the expression `*` here.
            if match.regex != "*" or name == "queryParams":
                yield from _string_match(join(f"{path}.{name}", key), match, presence=True)
            if name != "queryParams":
                yield from _header_name(join(f"{path}.{name}", key), key)
            if match.prefix == "":
                yield Finding(
                    join(f"{path}.{name}", key) + ".prefix",
                    "bad-value",
                    "an empty prefix matches all; remove it",
                )
    if condition.port:
        yield from check_port(f"{path}.port", condition.port)


def _string_match(path: str, match: StringMatch, *, presence: bool = False) -> Findings:
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield Finding(
            f"{path}.{given[-1]}", "several-matches", f"has {' and '.join(given)}; keep one of them"
        )
    if not given and not presence:
        yield Finding(path, "no-match", "is empty; give it one of exact, prefix, regex")
    if match.regex is not None:
        yield from _regex(f"{path}.regex", match.regex)


def _regex(path: str, expression: str) -> Findings:
    if not expression:
        yield Finding(path, "bad-regex", "is empty; write .* to match anything")
        return
    if len(expression) > 1024:
        yield Finding(path, "bad-regex", "is longer than 1024 characters, which Istio refuses")
    for unsupported in ("(?=", "(?!", "(?<=", "(?<!"):
        if unsupported in expression:
            yield Finding(path, "bad-regex", f"{unsupported}...) is not known to RE2, the engine of Envoy")
            return
    try:
        # RE2 and Python differ in `\\z`, in named Unicode classes and in the place of flags; what only RE2
        # knows is written so that Python can check the rest.
        re.compile(re.sub(r"\\pN|\\p\{\w+\}|\\P\{\w+\}", r"\\w", expression).replace(r"\z", r"\Z"))
    except (re.error, RecursionError, OverflowError) as error:
        yield Finding(path, "bad-regex", f'"{expression}" is no regular expression: {error}')


def _header_name(path: str, name: str) -> Findings:
    if not is_header_name(name):
        yield Finding(path, "bad-header", f'"{name}" is no header name')


def _header_operations(path: str, headers: Headers | None) -> Findings:
    if headers is None:
        return
    for side in ("request", "response"):
        operations = getattr(headers, side)
        if operations is None:
            continue
        for verb in ("set", "add"):
            for name, value in getattr(operations, verb).items():
                at = join(f"{path}.{side}.{verb}", name)
                yield from _header_name(at, name)
                if re.search(
                    r"%(?!%|[A-Z][A-Z0-9_]*(\([^)]*\))?(:\d+)?%)",
                    re.sub(r"%%|%[A-Z][A-Z0-9_]*(\([^)]*\))?(:\d+)?%", "", value),
                ):
                    yield Finding(at, "bad-header", f'"{value}": a single % must be written %%')
        for index, name in enumerate(operations.remove):
            yield from _header_name(f"{path}.{side}.remove[{index}]", name)


def _redirect_and_response(path: str, route: HTTPRoute) -> Findings:
    redirect = route.redirect
    if redirect is not None:
        if not any(
            (
                redirect.uri,
                redirect.authority,
                redirect.port,
                redirect.derive_port,
                redirect.scheme,
                redirect.prefix_rewrite,
            )
        ):
            yield Finding(
                f"{path}.redirect", "missing-field", "changes nothing; give it a uri or an authority"
            )
        if redirect.prefix_rewrite and any(one.uri and one.uri.regex for one in route.match):
            message = "does not go with a match by regex; there is no prefix to replace"
            yield Finding(f"{path}.redirect.prefixRewrite", "several-matches", message)
        if redirect.redirect_code not in (0, 301, 302, 303, 307, 308):
            message = f"must be one of 301, 302, 303, 307, 308, not {redirect.redirect_code}"
            yield Finding(f"{path}.redirect.redirectCode", "bad-value", message)
        if redirect.port is not None and redirect.derive_port is not None:
            yield Finding(f"{path}.redirect.derivePort", "several-matches", "does not go with port; keep one")
    response = route.direct_response
    if response is not None and not 200 <= response.status <= 599:
        message = f"must be a status from 200 to 599, not {response.status}"
        yield Finding(f"{path}.directResponse.status", "bad-value", message)


def _rewrite(path: str, route: HTTPRoute) -> Findings:
    rewrite = route.rewrite
    if rewrite is None:
        return
    by_regex = rewrite.uri_regex_rewrite
    if not (rewrite.uri or rewrite.authority or by_regex):
        yield Finding(f"{path}.rewrite", "missing-field", "changes nothing; give it a uri or an authority")
    if route.redirect is not None:
        yield Finding(f"{path}.rewrite", "several-actions", "does not go with redirect; keep one of them")
    if by_regex is None:
        return
    if rewrite.uri:
        yield Finding(f"{path}.rewrite.uriRegexRewrite", "several-actions", "does not go with uri; keep one")
    for name in ("match", "rewrite"):
        if not getattr(by_regex, name):
            yield Finding(f"{path}.rewrite.uriRegexRewrite.{name}", "missing-field", "is missing")
    if by_regex.match:
        yield from _regex(f"{path}.rewrite.uriRegexRewrite.match", by_regex.match)


def _timeouts(path: str, route: HTTPRoute) -> Findings:
    # The published schema asks for 1ms, but 0s is the documented way to switch a timeout off.
    yield from check_duration(f"{path}.timeout", route.timeout, zero_is_fine=True)
    retries = route.retries
    if retries is None:
        return
    yield from check_duration(f"{path}.retries.perTryTimeout", retries.per_try_timeout, zero_is_fine=True)
    yield from check_duration(f"{path}.retries.backoff", retries.backoff)
    if retries.attempts < 0:
        yield Finding(
            f"{path}.retries.attempts", "bad-value", f"must not be negative, it is {retries.attempts}"
        )
    if retries.attempts == 0 and (retries.retry_on or retries.per_try_timeout):
        yield Finding(
            f"{path}.retries.attempts", "bad-value", "is 0, which switches retries off; remove the rest"
        )
    for word in retries.retry_on.split(","):
        known = word.strip() in RETRY_CONDITIONS or re.fullmatch(r"[1-5][0-9][0-9]", word.strip())
        if word and not known:
            message = f'"{word.strip()}" is no retry condition and no status code'
            yield Finding(
                f"{path}.retries.retryOn", "bad-value", message, suggestion=nearest(word, RETRY_CONDITIONS)
            )


def _percentages(path: str, route: HTTPRoute) -> Findings:
    fault, found = route.fault, []
    if route.mirror_percentage is not None:
        found.append((f"{path}.mirrorPercentage.value", route.mirror_percentage.value))
    if route.mirror_percent is not None:
        found.append((f"{path}.mirrorPercent", float(route.mirror_percent)))
    if fault is not None and fault.delay is not None and fault.delay.percentage is not None:
        found.append((f"{path}.fault.delay.percentage.value", fault.delay.percentage.value))
    if fault is not None and fault.abort is not None:
        if fault.abort.percentage is not None:
            found.append((f"{path}.fault.abort.percentage.value", fault.abort.percentage.value))
        status = fault.abort.http_status
        if status is not None and not 200 <= status <= 599:
            yield Finding(
                f"{path}.fault.abort.httpStatus", "bad-value", f"must be from 200 to 599, not {status}"
            )
    for at, value in found:
        if not 0 <= value <= 100:
            yield Finding(at, "bad-value", f"must be a percentage from 0 to 100, not {value:g}")
