"""Rules for what an HTTP route does on the way: faults, mirrors, CORS, and the authority that it sends."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, check_duration, check_port
from minimesh.config.checks.hosts import check_wildcard_host, is_dns_label
from minimesh.config.checks.http_fields import check_header_name, check_regex
from minimesh.config.diagnostics import Severity
from minimesh.config.source_map import join
from minimesh.config.suggestions import nearest
from minimesh.xds.grpc_statuses import GRPC_STATUSES

if TYPE_CHECKING:
    from minimesh.config.istio.traffic import Destination
    from minimesh.config.istio.virtual_service import Abort, CorsPolicy, Delay, HTTPFaultInjection, HTTPRoute

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")


def check_filters(path: str, route: HTTPRoute) -> Findings:
    """Faults, mirrors, CORS, and who sets the authority."""
    if route.fault is not None:
        yield from _fault(f"{path}.fault", route.fault)
    if route.cors_policy is not None:
        yield from _cors(f"{path}.corsPolicy", route.cors_policy)
    yield from _mirrors(path, route)
    yield from _authority(path, route)


def check_destination(path: str, destination: Destination) -> Findings:
    """Where requests go; an empty host is reported as a missing field."""
    if destination.host == "*":
        yield Finding(f"{path}.host", "bad-host", "`*` is no destination; name a service")
    elif destination.host:
        yield from check_wildcard_host(f"{path}.host", destination.host)
    if destination.subset and not is_dns_label(destination.subset):
        yield Finding(f"{path}.subset", "bad-name", f"subset name is invalid: {destination.subset}")
    if destination.port is not None:
        yield from check_port(f"{path}.port.number", destination.port.number)


def _percentage(path: str, value: float) -> Findings:
    if not 0 <= value <= 100:
        yield Finding(path, "bad-value", f"must be a percentage from 0 to 100, not {value:g}")


def _mirrors(path: str, route: HTTPRoute) -> Findings:
    if route.mirror is not None:
        yield from check_destination(f"{path}.mirror", route.mirror)
    if route.mirror_percentage is not None:
        yield from _percentage(f"{path}.mirrorPercentage.value", route.mirror_percentage.value)
    if route.mirror_percent is not None:
        yield from _percentage(f"{path}.mirrorPercent", route.mirror_percent)
        message = 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'
        yield Finding(f"{path}.mirrorPercent", "deprecated", message, Severity.WARNING)
    for index, mirror in enumerate(route.mirrors):
        at = f"{path}.mirrors[{index}]"
        if mirror.destination is not None:
            yield from check_destination(f"{at}.destination", mirror.destination)
        if mirror.percentage is not None:
            yield from _percentage(f"{at}.percentage.value", mirror.percentage.value)
    if route.mirror is not None and route.mirrors:
        message = "HTTP route cannot contain both mirror and mirrors"
        yield Finding(f"{path}.mirrors", "several-actions", message)


def _fault(path: str, fault: HTTPFaultInjection) -> Findings:
    if fault.delay is None and fault.abort is None:
        message = "HTTP fault injection must have an abort and/or a delay"
        yield Finding(path, "missing-field", message)
    if fault.delay is not None:
        yield from _delay(f"{path}.delay", fault.delay)
    if fault.abort is not None:
        yield from _abort(f"{path}.abort", fault.abort)


def _delay(path: str, delay: Delay) -> Findings:
    if delay.percentage is not None:
        yield from _percentage(f"{path}.percentage.value", delay.percentage.value)
    yield from check_duration(f"{path}.fixedDelay", delay.fixed_delay)
    if delay.exponential_delay is not None:
        yield Finding(f"{path}.exponentialDelay", "bad-value", "exponentialDelay not supported yet")


def _abort(path: str, abort: Abort) -> Findings:
    if abort.percentage is not None:
        yield from _percentage(f"{path}.percentage.value", abort.percentage.value)
    status = abort.http_status
    if status is not None and not 200 <= status <= 600:
        yield Finding(f"{path}.httpStatus", "bad-value", f"must be from 200 to 599, not {status}")
    if abort.grpc_status is not None and abort.grpc_status not in GRPC_STATUSES:
        message = f'gRPC status "{abort.grpc_status}" is not supported; write a name such as UNAVAILABLE'
        hint = nearest(abort.grpc_status, GRPC_STATUSES)
        yield Finding(f"{path}.grpcStatus", "bad-value", message, suggestion=hint)
    if abort.http2_error is not None:
        message = "HTTP/2 abort fault injection not supported yet"
        yield Finding(f"{path}.http2Error", "bad-value", message)
    if status is None and abort.grpc_status is None and abort.http2_error is None:
        message = "abort configured, but error type not set; give it httpStatus or grpcStatus"
        yield Finding(path, "missing-field", message, Severity.WARNING)


def _cors(path: str, cors: CorsPolicy) -> Findings:
    for index, origin in enumerate(cors.allow_origins):
        at = f"{path}.allowOrigins[{index}]"
        if not (origin.exact or origin.prefix or origin.regex):
            message = (
                "'' is not a valid match type for CORS allow origins; give it one of exact, prefix, regex"
            )
            yield Finding(at, "no-match", message)
        elif origin.regex is not None:
            yield from check_regex(f"{at}.regex", origin.regex)
    for index, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            message = f'"{method}" is not a supported HTTP method'
            hint = nearest(method, _METHODS)
            yield Finding(f"{path}.allowMethods[{index}]", "bad-value", message, suggestion=hint)
    for field, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
        for index, name in enumerate(names):
            if name != "*":
                yield from check_header_name(f"{path}.{field}[{index}]", name)
    yield from check_duration(f"{path}.maxAge", cors.max_age)
    if cors.max_age is not None and cors.max_age % timedelta(seconds=1):
        message = "max_age duration is accurate only to seconds precision"
        yield Finding(f"{path}.maxAge", "bad-duration", message)


def _authority(path: str, route: HTTPRoute) -> Findings:
    """The authority is rewritten in one place: by `rewrite`, or by setting the header."""
    operations = route.headers.request if route.headers is not None else None
    current = route.rewrite.authority if route.rewrite is not None else ""
    for verb in ("set", "add") if operations is not None else ():
        for name, value in getattr(operations, verb).items():
            if name.lower() not in (":authority", "host"):
                continue
            if current:
                message = (
                    "authority header cannot be set multiple times: "
                    f'have "{current}", attempting to set "{value}"'
                )
                yield Finding(join(f"{path}.headers.request.{verb}", name), "several-actions", message)
            current = value
