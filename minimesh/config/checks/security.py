"""Rules for AuthorizationPolicy, PeerAuthentication and RequestAuthentication."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings
from minimesh.config.checks.hosts import is_subnet
from minimesh.config.checks.selectors import check_match_labels, check_targets
from minimesh.config.diagnostics import Severity
from minimesh.config.schema import schema_of

if TYPE_CHECKING:
    from minimesh.config.istio.security import (
        AuthorizationPolicy,
        AuthorizationRule,
        Condition,
        JWTRule,
        Operation,
        PeerAuthentication,
        RequestAuthentication,
        Source,
    )

_L4_SOURCES = (
    "principals",
    "not_principals",
    "namespaces",
    "not_namespaces",
    "service_accounts",
    "not_service_accounts",
    "ip_blocks",
    "not_ip_blocks",
    "remote_ip_blocks",
    "not_remote_ip_blocks",
    "trust_domains",
    "not_trust_domains",
)
"""What of a caller is known for plain TCP connections too."""
_NOT_FOR_CUSTOM = (
    "principals",
    "not_principals",
    "namespaces",
    "not_namespaces",
    "request_principals",
    "not_request_principals",
)


def check_authorization_policy(spec: AuthorizationPolicy) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)
    yield from check_targets(spec.target_ref, spec.target_refs)
    yield from _action(spec)
    for index, rule in enumerate(spec.rules or ()):
        path = f"spec.rules[{index}]"
        yield from _rule(path, rule)
        if spec.action == "CUSTOM":
            yield from _custom_rule(path, rule)
        if spec.action == "DENY" and _denies_all_tcp(rule):
            message = (
                "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to "
                "the use of only HTTP attributes in a DENY rule; "
                "it is recommended to explicitly specify the port"
            )
            yield Finding(path, "denies-tcp", message, Severity.WARNING)


def _action(spec: AuthorizationPolicy) -> Findings:
    if spec.action in ("CUSTOM", "DENY") and spec.rules is None:
        message = (
            f"{spec.action} action without `rules` is meaningless as it will never be triggered, "
            "add an empty rule `{}` if you want it be triggered for every request"
        )
        yield Finding("spec.rules", "missing-field", message)
    if spec.action == "CUSTOM":
        if spec.rules is not None and (spec.provider is None or not spec.provider.name):
            yield Finding("spec.provider.name", "missing-field", "`provider.name` must not be empty")
    elif spec.provider is not None:
        message = f"`provider` must not be with non CUSTOM action, found {spec.action or 'ALLOW'}"
        yield Finding("spec.provider", "several-matches", message)


def _rule(path: str, rule: AuthorizationRule) -> Findings:
    if rule.from_ == ():
        yield Finding(f"{path}.from", "missing-field", "`from` must not be empty; remove it, or add a source")
    if rule.to == ():
        yield Finding(f"{path}.to", "missing-field", "`to` must not be empty; remove it, or add an operation")
    for index, one in enumerate(rule.from_ or ()):
        yield from _filled(f"{path}.from[{index}].source", "from.source", one.source)
    for index, to in enumerate(rule.to or ()):
        yield from _filled(f"{path}.to[{index}].operation", "to.operation", to.operation)
    for index, condition in enumerate(rule.when):
        yield from _condition(f"{path}.when[{index}]", condition)


def _filled(path: str, name: str, message: Source | Operation | None) -> Findings:
    """A source or an operation says something, and nothing that is empty or malformed."""
    if message is None:
        yield Finding(path, "missing-field", f"`{name}` must not be nil")
        return
    lists = {
        field.name: getattr(message, field.attribute) for field in schema_of(type(message)).fields.values()
    }
    if not any(lists.values()):
        yield Finding(path, "missing-field", f"`{name}` must not be empty")
    for field, values in lists.items():
        check = _ITEM_CHECKS.get(field.removeprefix("not").lower(), _no_problem)
        for index, value in enumerate(values):
            problem = "empty value not allowed" if not value else check(value)
            if problem is not None:
                yield Finding(f"{path}.{field}[{index}]", "bad-value", problem)


def _no_problem(value: str) -> str | None:
    return None


def _ip_problem(value: str) -> str | None:
    return None if is_subnet(value) else f'invalid IP or CIDR range: "{value}"'


def _port_problem(value: str) -> str | None:
    valid = value.isascii() and value.isdecimal() and 0 < int(value) <= 65535
    return None if valid else f'invalid port "{value}": must be a number from 1 to 65535'


_ITEM_CHECKS: dict[str, Callable[[str], str | None]] = {
    "ipblocks": _ip_problem,
    "remoteipblocks": _ip_problem,
    "ports": _port_problem,
}
_CONDITIONS: dict[str, Callable[[str], str | None]] = {
    "source.ip": _ip_problem,
    "remote.ip": _ip_problem,
    "destination.ip": _ip_problem,
    "destination.port": _port_problem,
}
_KNOWN_KEYS = {
    *_CONDITIONS,
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "connection.sni",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
}
_KEYS_WITH_NAME = ("request.headers", "request.auth.claims", "experimental.envoy.filters.", "experimental.")


def _condition(path: str, condition: Condition) -> Findings:
    key = condition.key
    if not key:
        return  # a required field, which is reported as such
    if not condition.values and not condition.not_values:
        message = f"at least one of `values` or `notValues` must be set for key {key}"
        yield Finding(path, "missing-field", message)
    if key not in _KNOWN_KEYS and not key.startswith(_KEYS_WITH_NAME):
        yield Finding(f"{path}.key", "bad-value", f"unknown attribute: {key}")
        return
    check = _CONDITIONS.get(key, _no_problem)
    for field, name, values in (
        ("values", "value", condition.values),
        ("notValues", "notValue", condition.not_values),
    ):
        for index, value in enumerate(values):
            problem = "empty value not allowed" if not value else check(value)
            if problem is not None:
                message = f"invalid `{name}` for `key` {key}: {problem}"
                yield Finding(f"{path}.{field}[{index}]", "bad-value", message)


def _custom_rule(path: str, rule: AuthorizationRule) -> Findings:
    """An external authorizer is asked before the sidecar knows who calls."""
    for index, one in enumerate(rule.from_ or ()):
        for field in schema_of(type(one.source)).fields.values() if one.source is not None else ():
            if field.attribute in _NOT_FOR_CUSTOM and getattr(one.source, field.attribute):
                message = f"From.{field.name} is currently not supported with CUSTOM action"
                yield Finding(f"{path}.from[{index}].source.{field.name}", "several-matches", message)
    for index, condition in enumerate(rule.when):
        key = condition.key
        if key in ("source.namespace", "source.principal") or key.startswith("request.auth."):
            message = f"{key} is currently not supported with CUSTOM action"
            yield Finding(f"{path}.when[{index}].key", "several-matches", message)


def _denies_all_tcp(rule: AuthorizationRule) -> bool:
    """A rule that asks only for what HTTP has holds for every plain connection: what is not there matches."""
    sources = [one.source for one in rule.from_ or () if one.source is not None]
    operations = [to.operation for to in rule.to or () if to.operation is not None]
    if operations:
        return not any(one.ports or one.not_ports for one in operations)
    return bool(sources) and not any(getattr(one, name) for one in sources for name in _L4_SOURCES)


def check_peer_authentication(spec: PeerAuthentication) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)


def check_request_authentication(spec: RequestAuthentication) -> Findings:
    yield from check_match_labels("spec.selector", spec.selector)
    yield from check_targets(spec.target_ref, spec.target_refs)
    for index, rule in enumerate(spec.jwt_rules):
        yield from _jwt_rule(f"spec.jwtRules[{index}]", rule)


def _jwt_rule(path: str, rule: JWTRule) -> Findings:
    if not rule.issuer:
        yield Finding(f"{path}.issuer", "missing-field", "issuer must be set")
    if rule.jwks:
        yield from _jwks(f"{path}.jwks", rule.jwks)


def _jwks(path: str, text: str) -> Findings:
    try:
        found = json.loads(text)
        keys = found.get("keys", [found])
        known = all("kty" in key for key in keys)
    except (ValueError, AttributeError, TypeError) as error:
        yield Finding(path, "bad-value", f"jwks parse error: {error}")
        return
    if not known:
        yield Finding(path, "bad-value", "jwks parse error: a key has no kty")
    elif any("d" in key or key["kty"] == "oct" for key in keys):
        message = "contains private key material, which whoever reads the mesh's configuration sees"
        yield Finding(path, "private-key", message, Severity.WARNING)
