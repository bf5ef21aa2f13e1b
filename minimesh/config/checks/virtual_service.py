"""Rules for VirtualService."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import (
    Finding,
    Findings,
    check_duration,
    check_labels,
    check_port,
)
from minimesh.config.checks.hosts import (
    check_gateway_names,
    check_subnets,
    check_wildcard_host,
    is_dns_label,
    is_subset_of,
    matches,
)
from minimesh.config.checks.http_fields import check_header_name, check_regex, check_string_match
from minimesh.config.checks.http_filters import check_destination, check_filters
from minimesh.config.diagnostics import Severity
from minimesh.config.ip_addresses import is_ip_address
from minimesh.config.source_map import join
from minimesh.config.suggestions import nearest
from minimesh.xds.retry_conditions import RETRY_CONDITIONS

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import (
        Headers,
        HTTPMatchRequest,
        HTTPRoute,
        HTTPRouteDestination,
        L4MatchAttributes,
        RouteDestination,
        TLSMatchAttributes,
        TLSRoute,
        VirtualService,
    )


def check_virtual_service(spec: VirtualService) -> Findings:
    if not spec.hosts:
        yield from _without_hosts(spec)
    if not (spec.http or spec.tls or spec.tcp):
        yield Finding("spec.http", "missing-field", "no routes; give at least one of http, tls, tcp")
    yield from _hosts(spec)
    yield from check_gateway_names("spec.gateways", spec.gateways)
    for index, route in enumerate(spec.http):
        yield from _http_route(f"spec.http[{index}]", route)
        for number, condition in enumerate(route.match):
            yield from _claims(f"spec.http[{index}].match[{number}]", condition, spec.gateways)
    for index, tls in enumerate(spec.tls):
        yield from _tls_matches(f"spec.tls[{index}]", tls, spec)
    for index, tcp in enumerate(spec.tcp):
        for number, match in enumerate(tcp.match):
            yield from _connection_match(f"spec.tcp[{index}].match[{number}]", match)
    destinations = {f"spec.tcp[{index}]": route.route for index, route in enumerate(spec.tcp)}
    destinations |= {f"spec.tls[{index}]": route.route for index, route in enumerate(spec.tls)}
    for path, connections_go_to in destinations.items():
        if not connections_go_to:
            yield Finding(f"{path}.route", "missing-field", "is empty; say where the connections go")
        yield from _weighted(path, connections_go_to)


def _without_hosts(spec: VirtualService) -> Findings:
    """Only a delegate has no hosts."""
    if spec.gateways or not spec.http:
        yield Finding("spec.hosts", "missing-field", "is empty; list the hosts that the routes are for")
    else:
        why = "is empty; only a delegate, which another VirtualService names, has no hosts"
        yield Finding("spec.hosts", "missing-field", why, Severity.WARNING)
    if spec.tls or spec.tcp:
        message = "delegate virtual service must have no tls or tcp route specified"
        yield Finding("spec.hosts", "missing-field", message)
    for index, route in enumerate(spec.http):
        if route.delegate is not None:
            message = "delegate HTTP route cannot contain delegate"
            yield Finding(f"spec.http[{index}].delegate", "several-actions", message)


_CLAIM = ("@request.auth.claims.", "@request.auth.claims[")
"""What stands for a claim of the request's token where the name of a header is meant."""


def _claims(path: str, condition: HTTPMatchRequest, gateways: tuple[str, ...]) -> Findings:
    """Only gateways know the claims when they choose a route."""
    if gateways and "mesh" not in gateways:
        return
    for field, names in (("headers", condition.headers), ("withoutHeaders", condition.without_headers)):
        for name in names:
            if name.startswith(_CLAIM):
                message = f"JWT claim based routing (key: {name}) is only supported for gateway"
                yield Finding(join(f"{path}.{field}", name), "bad-header", message)


def _hosts(spec: VirtualService) -> Findings:
    names, wildcards = Counter[str](), list[str]()
    for index, host in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        if host == "*" and (not spec.gateways or "mesh" in spec.gateways):
            message = "wildcard host * is not allowed for virtual services bound to the mesh gateway"
            yield Finding(path, "bad-host", message)
        elif not host.startswith("outbound_"):  # the names that gateways between clusters match
            yield from check_wildcard_host(path, host)
        # Of names only the same one can match: there may be thousands.
        same = names if host.startswith("*") else [host] * names[host]
        for earlier in (*same, *wildcards):
            if host == earlier:
                yield Finding(path, "duplicate-name", f'"{host}" is listed twice')
            elif matches(host, earlier):
                message = f"duplicate hosts in virtual service: {earlier} & {host}"
                yield Finding(path, "duplicate-name", message)
        if host.startswith("*"):
            wildcards.append(host)
        else:
            names[host] += 1


def _tls_matches(path: str, route: TLSRoute, spec: VirtualService) -> Findings:
    if not route.match:
        message = "TLS route must have at least one match condition"
        yield Finding(f"{path}.match", "missing-field", message)
    for number, match in enumerate(route.match):
        at = f"{path}.match[{number}]"
        if not match.sni_hosts:
            message = "TLS match must have at least one SNI host"
            yield Finding(f"{at}.sniHosts", "missing-field", message)
        for index, host in enumerate(match.sni_hosts):
            yield from _sni_host(f"{at}.sniHosts[{index}]", host, spec)
        yield from _connection_match(at, match)


def _sni_host(path: str, host: str, spec: VirtualService) -> Findings:
    if is_ip_address(host):
        message = f'using an IP address ("{host}") goes against SNI spec and most clients do not support this'
        yield Finding(path, "bad-host", message, Severity.WARNING)
    elif not any(is_subset_of(host, of) for of in spec.hosts):
        message = (
            f'SNI host "{host}" is not a compatible subset of any of the virtual service hosts: '
            f"[{', '.join(spec.hosts)}]"
        )
        yield Finding(path, "bad-host", message)
    elif not host.startswith("outbound_"):
        yield from check_wildcard_host(path, host)


def _connection_match(path: str, match: TLSMatchAttributes | L4MatchAttributes) -> Findings:
    """What TCP and TLS routes match alike."""
    yield from check_subnets(f"{path}.destinationSubnets", match.destination_subnets)
    if match.port:
        yield from check_port(f"{path}.port", match.port)
    yield from check_labels(f"{path}.sourceLabels", match.source_labels)
    yield from check_gateway_names(f"{path}.gateways", match.gateways)


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
    yield from check_filters(path, route)


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
        yield from check_destination(f"{at}.destination", one.destination)
    if len(routes) > 1 and total == 0 and all(one.weight >= 0 for one in routes):
        yield Finding(
            f"{path}.route", "bad-weight", "the weights add up to 0, so no destination would get anything"
        )


_STRING_MATCHES = ("uri", "scheme", "method", "authority")


def _http_match(path: str, condition: HTTPMatchRequest) -> Findings:
    for name in _STRING_MATCHES:
        match = getattr(condition, name)
        if match is not None:
            yield from check_string_match(f"{path}.{name}", match)
    for name, conditions in (
        ("headers", condition.headers),
        ("withoutHeaders", condition.without_headers),
        ("queryParams", condition.query_params),
    ):
        for key, match in conditions.items():
            # Istio itself writes "any value" as the expression `*` here.
            if match.regex != "*" or name == "queryParams":
                yield from check_string_match(join(f"{path}.{name}", key), match, presence=True)
            if name != "queryParams" and not key.startswith(_CLAIM):
                yield from check_header_name(join(f"{path}.{name}", key), key)
            if match.prefix == "":
                yield Finding(
                    join(f"{path}.{name}", key) + ".prefix",
                    "bad-value",
                    "an empty prefix matches all; remove it",
                )
    if condition.port:
        yield from check_port(f"{path}.port", condition.port)
    yield from check_labels(f"{path}.sourceLabels", condition.source_labels)
    yield from check_gateway_names(f"{path}.gateways", condition.gateways)
    namespace = condition.source_namespace
    if namespace and not is_dns_label(namespace):
        message = f"sourceNamespace match {namespace} is invalid"
        yield Finding(f"{path}.sourceNamespace", "bad-name", message)


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
                yield from check_header_name(at, name)
                if re.search(
                    r"%(?!%|[A-Z][A-Z0-9_]*(\([^)]*\))?(:\d+)?%)",
                    re.sub(r"%%|%[A-Z][A-Z0-9_]*(\([^)]*\))?(:\d+)?%", "", value),
                ):
                    yield Finding(at, "bad-header", f'"{value}": a single % must be written %%')
        for index, name in enumerate(operations.remove):
            yield from check_header_name(f"{path}.{side}.remove[{index}]", name)


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
        code = redirect.redirect_code
        if code not in (0, 301, 302, 303, 307, 308):
            message = f"must be one of 301, 302, 303, 307, 308, not {code}"
            # Istio takes any 3xx, and sends 301 for what Envoy cannot send.
            severity = Severity.WARNING if 300 <= code <= 399 else Severity.ERROR
            yield Finding(f"{path}.redirect.redirectCode", "bad-value", message, severity)
        if redirect.scheme not in ("", "http", "https"):
            message = 'invalid redirect scheme, must be "http" or "https"'
            yield Finding(f"{path}.redirect.scheme", "bad-value", message)
        if route.fault is not None:
            message = "HTTP route cannot contain both fault and redirect"
            yield Finding(f"{path}.fault", "several-actions", message)
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
        yield from check_regex(f"{path}.rewrite.uriRegexRewrite.match", by_regex.match)


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
