"""Rules that types cannot say: what the API server and Istio's webhook refuse in a well-typed resource.

Each rule reads one resource and yields findings by field path. Knows nothing about YAML, nor about other
resources (for these see `references`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from minimesh.config.diagnostics import Severity
from minimesh.config.source_map import join
from minimesh.config.suggestions import nearest

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import DestinationRule, TrafficPolicy
    from minimesh.config.istio.gateway import Gateway, Server
    from minimesh.config.istio.service_entry import ServiceEntry
    from minimesh.config.istio.virtual_service import (
        Headers,
        HTTPMatchRequest,
        HTTPRoute,
        HTTPRouteDestination,
        RouteDestination,
        StringMatch,
        VirtualService,
    )
    from minimesh.config.kinds import Kind
    from minimesh.config.kubernetes.apps import DeploymentSpec
    from minimesh.config.kubernetes.core import ServiceSpec
    from minimesh.config.kubernetes.pod import PodSpec
    from minimesh.config.resources import Resource


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the field at `path`, and what to do."""

    path: str
    code: str
    message: str
    severity: Severity = Severity.ERROR
    suggestion: str | None = None


Findings = Iterator[Finding]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?").fullmatch
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*").fullmatch
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?").fullmatch
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?").fullmatch
_HEADER_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch


# --- Every resource ----------------------------------------------------------------------------------------


def check_metadata(resource: Resource, kind: Kind) -> Findings:
    """Name, namespace and labels, as the API server wants them."""
    metadata = resource.metadata
    if not metadata.name:
        if not metadata.generate_name:
            yield Finding("metadata.name", "missing-field", "is missing; every object needs a name")
        return
    strict = {"Service": _SERVICE_NAME, "Namespace": _LABEL}.get(kind.name, _SUBDOMAIN)
    if not strict(metadata.name) or len(metadata.name) > 253:
        yield Finding(
            "metadata.name",
            "bad-name",
            f'"{metadata.name}" must be lower case letters, digits and dashes'
            + (", at most 63, and begin with a letter" if kind.name == "Service" else ""),
            suggestion=_as_name(metadata.name),
        )
    if kind.namespaced and not _LABEL(metadata.namespace):
        yield Finding(
            "metadata.namespace",
            "bad-name",
            f'"{metadata.namespace}" must be lower case letters, digits and dashes',
            suggestion=_as_name(metadata.namespace),
        )
    yield from _labels("metadata.labels", metadata.labels)


def _as_name(text: str) -> str | None:
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    return name or None


def _labels(path: str, labels: Mapping[str, str]) -> Findings:
    for key, value in labels.items():
        if not _LABEL_KEY(key):
            yield Finding(
                join(path, key), "bad-label", f'"{key}" is no label name: letters, digits, - _ . only'
            )
        if not _LABEL_VALUE(value):
            yield Finding(
                join(path, key),
                "bad-label",
                f'"{value}" is no label value: at most 63 letters, digits, - _ . only',
            )


def check_resource(resource: Resource) -> Findings:
    """The rules of the resource's kind."""
    rules = _RULES.get(resource.kind)
    return rules(resource.spec) if rules is not None else iter(())


def _port(path: str, number: int) -> Findings:
    if not 1 <= number <= 65535:
        yield Finding(path, "bad-port", f"must be a port from 1 to 65535, not {number}")


# --- Kubernetes --------------------------------------------------------------------------------------------


def _service(spec: ServiceSpec) -> Findings:
    if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != "None":
        yield Finding("spec.ports", "missing-field", "is missing; a service needs at least one port")
    if spec.type == "ExternalName" and not spec.external_name:
        yield Finding("spec.externalName", "missing-field", "is missing; type ExternalName needs it")
    yield from _labels("spec.selector", spec.selector)
    names: set[str] = set()
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        yield from _port(f"{path}.port", port.port)
        if isinstance(port.target_port, int):
            yield from _port(f"{path}.targetPort", port.target_port)
        if not port.name and len(spec.ports) > 1:
            yield Finding(f"{path}.name", "missing-field", "is missing; each of several ports needs a name")
        elif port.name and not _LABEL(port.name):
            yield Finding(
                f"{path}.name",
                "bad-name",
                f'"{port.name}" must be lower case letters, digits and dashes',
                suggestion=_as_name(port.name),
            )
        if port.name and port.name in names:
            yield Finding(f"{path}.name", "duplicate-name", f'another port is called "{port.name}" too')
        names.add(port.name)


def _deployment(spec: DeploymentSpec) -> Findings:
    if spec.replicas < 0:
        yield Finding("spec.replicas", "bad-value", f"must not be negative, it is {spec.replicas}")
    selector = spec.selector.match_labels if spec.selector else {}
    if spec.selector is not None and not selector and not spec.selector.match_expressions:
        yield Finding("spec.selector", "missing-field", "is empty; it must select the pods of the template")
    if spec.template is None:
        return
    labels = spec.template.metadata.labels if spec.template.metadata else {}
    yield from _labels("spec.template.metadata.labels", labels)
    for key, value in selector.items():
        if labels.get(key) != value:
            yield Finding(
                "spec.selector.matchLabels",
                "selector-mismatch",
                f"asks for {key}={value}, which spec.template.metadata.labels does not have",
            )
    yield from _pod("spec.template.spec", spec.template.spec)


def _pod(path: str, spec: PodSpec | None) -> Findings:
    if spec is None:
        yield Finding(path, "missing-field", "is missing; it lists the containers")
        return
    if not spec.containers:
        yield Finding(f"{path}.containers", "missing-field", "is empty; a pod needs at least one container")
    names: set[str] = set()
    for index, container in enumerate(spec.containers):
        at = f"{path}.containers[{index}]"
        if not container.image:
            yield Finding(f"{at}.image", "missing-field", "is missing; it says what the container runs")
        if container.name and not _LABEL(container.name):
            yield Finding(
                f"{at}.name",
                "bad-name",
                f'"{container.name}" must be lower case letters, digits and dashes',
                suggestion=_as_name(container.name),
            )
        if container.name in names:
            yield Finding(
                f"{at}.name", "duplicate-name", f'another container is called "{container.name}" too'
            )
        names.add(container.name)
        for number, port in enumerate(container.ports):
            yield from _port(f"{at}.ports[{number}].containerPort", port.container_port)


# --- Gateway -----------------------------------------------------------------------------------------------

GATEWAY_PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS")
_PLAIN_TEXT = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")


def _gateway(spec: Gateway) -> Findings:
    if not spec.servers:
        yield Finding("spec.servers", "missing-field", "is empty; a gateway needs at least one server")
    port_names: set[str] = set()
    for index, server in enumerate(spec.servers):
        path = f"spec.servers[{index}]"
        yield from _server(path, server)
        name = server.port.name if server.port else ""
        if name and name in port_names:
            yield Finding(
                f"{path}.port.name", "duplicate-name", f'another server\'s port is called "{name}" too'
            )
        port_names.add(name)


def _server(path: str, server: Server) -> Findings:
    if not server.hosts:
        yield Finding(f"{path}.hosts", "missing-field", 'is empty; list the hosts to serve, or "*" for all')
    for index, host in enumerate(server.hosts):
        yield from _host(f"{path}.hosts[{index}]", host.rpartition("/")[2], short_names=False)
    if server.port is None:
        return
    protocol = server.port.protocol.upper()
    yield from _port(f"{path}.port.number", server.port.number)
    if protocol not in GATEWAY_PROTOCOLS and server.port.protocol:
        yield Finding(
            f"{path}.port.protocol",
            "bad-value",
            f'must be one of {", ".join(GATEWAY_PROTOCOLS)}, not "{server.port.protocol}"',
        )
    tls = server.tls
    if tls is None:
        if protocol in ("HTTPS", "TLS"):
            yield Finding(
                f"{path}.tls", "missing-field", f"is missing; a server for {protocol} needs tls settings"
            )
        return
    if protocol in _PLAIN_TEXT and not tls.https_redirect and tls.mode is not None:
        yield Finding(
            f"{path}.tls", "tls-on-plain-port", f"does not go with protocol {protocol}; write HTTPS"
        )
    certificate = (
        tls.credential_name or tls.credential_names or tls.tls_certificates or tls.server_certificate
    )
    if (
        protocol in ("HTTPS", "TLS")
        and tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
        and not certificate
    ):
        yield Finding(
            f"{path}.tls",
            "missing-field",
            f"mode {tls.mode} needs a server certificate: credentialName, or serverCertificate and privateKey",
        )


def _host(path: str, host: str, *, short_names: bool = True) -> Findings:
    """A DNS name, with `*` only as its whole or as its first label."""
    rest = host.removeprefix("*.")
    if host == "*" or (not short_names and host.count(":") > 1):
        return
    if "*" in rest:
        yield Finding(
            path, "bad-host", f'"{host}": `*` may only stand alone or as the first part, as in *.example.com'
        )
    elif not rest or not re.fullmatch(r"[A-Za-z0-9_]([-A-Za-z0-9_.:/]*[A-Za-z0-9_.])?", rest):
        yield Finding(path, "bad-host", f'"{host}" is no host name')
    elif not short_names and "." not in rest:
        yield Finding(path, "bad-host", f'"{host}" has no dot; a gateway needs full host names, or "*"')


# --- VirtualService ----------------------------------------------------------------------------------------


def _virtual_service(spec: VirtualService) -> Findings:
    if not spec.hosts and not spec.http:
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
        yield from _host(f"spec.hosts[{index}]", host)
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
            yield from _host(f"{at}.destination.host", one.destination.host)
        if one.destination.port is not None:
            yield from _port(f"{at}.destination.port.number", one.destination.port.number)
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
        yield from _port(f"{path}.port", condition.port)


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
    if not _HEADER_NAME(name):
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


RETRY_CONDITIONS = (
    "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited",
    "retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
    "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
)  # fmt: skip


def _timeouts(path: str, route: HTTPRoute) -> Findings:
    # The published schema asks for 1ms; its validation in Istio lets 0s through, which switches a timeout off.
    yield from _duration(f"{path}.timeout", route.timeout, zero_is_fine=True)
    retries = route.retries
    if retries is None:
        return
    yield from _duration(f"{path}.retries.perTryTimeout", retries.per_try_timeout, zero_is_fine=True)
    yield from _duration(f"{path}.retries.backoff", retries.backoff)
    if retries.attempts < 0:
        yield Finding(
            f"{path}.retries.attempts", "bad-value", f"must not be negative, it is {retries.attempts}"
        )
    if retries.attempts == 0 and (retries.retry_on or retries.per_try_timeout):
        yield Finding(
            f"{path}.retries.attempts", "bad-value", "is 0, which switches retries off; remove the rest"
        )
    for word in retries.retry_on.split(","):
        known = word.strip() in RETRY_CONDITIONS or (word.strip().isdigit() and 100 <= int(word) <= 599)
        if word and not known:
            message = f'"{word.strip()}" is no retry condition and no status code'
            yield Finding(
                f"{path}.retries.retryOn", "bad-value", message, suggestion=nearest(word, RETRY_CONDITIONS)
            )


def _duration(path: str, value: timedelta | None, *, zero_is_fine: bool = False) -> Findings:
    if value is None or (zero_is_fine and not value):
        return
    if value < timedelta(milliseconds=1):
        yield Finding(path, "bad-duration", "must be at least 1ms")
    elif value % timedelta(milliseconds=1):
        yield Finding(path, "bad-duration", "must be whole milliseconds")


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


# --- DestinationRule and ServiceEntry ----------------------------------------------------------------------


def _destination_rule(spec: DestinationRule) -> Findings:
    if not spec.host:
        yield Finding("spec.host", "missing-field", "is empty; name the service that the rule is for")
    else:
        yield from _host("spec.host", spec.host)
    yield from _traffic_policy("spec.trafficPolicy", spec.traffic_policy)
    names: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if subset.name and not _LABEL_VALUE(subset.name):
            yield Finding(f"{path}.name", "bad-name", f'"{subset.name}" must be letters, digits, - _ . only')
        if subset.name and subset.name in names:
            yield Finding(f"{path}.name", "duplicate-name", f'another subset is called "{subset.name}" too')
        names.add(subset.name)
        yield from _labels(f"{path}.labels", subset.labels)
        yield from _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy)


_LIMITS = {
    "tcp": ("maxConnections",),
    "http": ("http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries"),
}
_POOL_DURATIONS = {"tcp": ("connectTimeout", "maxConnectionDuration"), "http": ("idleTimeout",)}


def _traffic_policy(path: str, policy: TrafficPolicy | None) -> Findings:
    if policy is None:
        return
    yield from _port_policy(path, policy)
    for index, setting in enumerate(policy.port_level_settings):
        at = f"{path}.portLevelSettings[{index}]"
        if setting.port is None:
            yield Finding(f"{at}.port", "missing-field", "is missing; say which port the settings are for")
        else:
            yield from _port(f"{at}.port.number", setting.port.number)
        yield from _port_policy(at, setting)


def _port_policy(path: str, policy: Any) -> Findings:
    """Rules for what a traffic policy and the policy of one port have in common."""
    balancer = policy.load_balancer
    if balancer is not None and balancer.simple is not None and balancer.consistent_hash is not None:
        yield Finding(
            f"{path}.loadBalancer.consistentHash", "several-matches", "does not go with simple; keep one"
        )
    pool = policy.connection_pool
    for side in ("tcp", "http"):
        settings = getattr(pool, side, None)
        if settings is None:
            continue
        for name in _LIMITS[side]:
            value = getattr(settings, _snake(name))
            if value < 0:
                yield Finding(
                    f"{path}.connectionPool.{side}.{name}",
                    "bad-value",
                    f"must not be negative, it is {value}",
                )
        for name in _POOL_DURATIONS[side]:
            yield from _duration(f"{path}.connectionPool.{side}.{name}", getattr(settings, _snake(name)))
    detection = policy.outlier_detection
    if detection is None:
        return
    for name in ("interval", "baseEjectionTime"):
        yield from _duration(f"{path}.outlierDetection.{name}", getattr(detection, _snake(name)))
    for name in ("maxEjectionPercent", "minHealthPercent"):
        value = getattr(detection, _snake(name))
        if not 0 <= value <= 100:
            message = f"must be a percentage from 0 to 100, not {value}"
            yield Finding(f"{path}.outlierDetection.{name}", "bad-value", message)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _service_entry(spec: ServiceEntry) -> Findings:
    if not spec.hosts:
        yield Finding("spec.hosts", "missing-field", "is empty; list the names of the service")
    if spec.workload_selector is not None and spec.endpoints:
        yield Finding(
            "spec.endpoints", "several-matches", "does not go with workloadSelector; keep one of them"
        )
    for index, port in enumerate(spec.ports):
        yield from _port(f"spec.ports[{index}].number", port.number)


_RULES: dict[str, Callable[[Any], Findings]] = {
    "Service": _service,
    "Deployment": _deployment,
    "Pod": lambda spec: _pod("spec", spec),
    "Gateway": _gateway,
    "VirtualService": _virtual_service,
    "DestinationRule": _destination_rule,
    "ServiceEntry": _service_entry,
}
