"""What the schemas of the Gateway API refuse, in the words of their published rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Severity

BACKEND = {"name": "app", "port": 80}
PREFIX = {"path": {"type": "PathPrefix", "value": "/a"}}
TO_B = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}


def refusals(kind: str, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and words of each error."""
    document = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": "default"},
        "spec": spec,
    }
    found = decode(json.dumps(document), "x.yaml").diagnostics
    return [(each.field, each.message) for each in found if each.severity is Severity.ERROR]


def of_rule(rule: dict[str, Any]) -> list[tuple[str, str]]:
    return refusals("HTTPRoute", {"rules": [rule]})


def of_listeners(*listeners: dict[str, Any]) -> list[tuple[str, str]]:
    return refusals("Gateway", {"gatewayClassName": "istio", "listeners": list(listeners)})


@pytest.mark.parametrize(
    "rule",
    [
        {"backendRefs": [BACKEND]},
        {"backendRefs": [{"group": "networking.istio.io", "kind": "Hostname", "name": "a.example"}]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "a//b"}}]},
        {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": TO_B}}]},
        {"matches": [PREFIX], "filters": [{"type": "RequestRedirect", "requestRedirect": {"path": TO_B}}]},
        {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}}] * 2},
    ],
)
def test_a_sound_rule_is_taken(rule: dict[str, Any]) -> None:
    assert of_rule(rule) == []


@pytest.mark.parametrize(
    ("rule", "field", "words"),
    [
        ({"backendRefs": [{"name": "app"}]}, "backendRefs[0]", "Must have port for Service reference"),
        (
            {"matches": [{"path": {"value": "a"}}]},
            "matches[0].path",
            "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
        ),
        (
            {"matches": [{"path": {"type": "Exact", "value": "/a//b"}}]},
            "matches[0].path",
            "must not contain '//' when type one of ['Exact', 'PathPrefix']",
        ),
        (
            {"filters": [{"type": "URLRewrite"}]},
            "filters[0]",
            "filter.urlRewrite must be specified for URLRewrite filter.type",
        ),
        (
            {"filters": [{"type": "CORS", "cors": {}, "urlRewrite": {"hostname": "a"}}]},
            "filters[0]",
            "filter.urlRewrite must be nil if the filter.type is not URLRewrite",
        ),
        (
            {"filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath"}}}]},
            "filters[0].urlRewrite.path",
            "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        ),
        (
            {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}] * 2},
            "filters",
            "RequestHeaderModifier filter cannot be repeated",
        ),
        (
            {"filters": [{"type": "RequestRedirect", "requestRedirect": {}}], "backendRefs": [BACKEND]},
            "",
            "RequestRedirect filter must not be used together with backendRefs",
        ),
        (
            {
                "filters": [
                    {"type": "RequestRedirect", "requestRedirect": {}},
                    {"type": "URLRewrite", "urlRewrite": {}},
                ]
            },
            "filters",
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, "
            "but not both",
        ),
        (
            {"matches": [PREFIX] * 2, "filters": [{"type": "URLRewrite", "urlRewrite": {"path": TO_B}}]},
            "",
            "When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be "
            "specified",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule: dict[str, Any], field: str, words: str) -> None:
    ((found, message),) = of_rule(rule)
    assert found == ".".join(filter(None, ("spec.rules[0]", field)))
    assert message.endswith(f": {words}")


HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}


@pytest.mark.parametrize(
    ("listeners", "words"),
    [
        ([HTTP, {**HTTP, "port": 81}], "Listener name must be unique within the Gateway"),
        (
            [HTTP, {**HTTP, "name": "other"}],
            "Combination of port, protocol and hostname must be unique for each listener",
        ),
        (
            [{**HTTP, "tls": {"mode": "Passthrough"}}],
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        ),
        (
            [{**HTTP, "protocol": "HTTPS", "tls": {"mode": "Passthrough"}}],
            "tls mode must be Terminate for protocol HTTPS",
        ),
        (
            [{**HTTP, "protocol": "TCP", "hostname": "a.example"}],
            "hostname must not be specified for protocols ['TCP', 'UDP']",
        ),
        (
            [{**HTTP, "protocol": "HTTPS", "tls": {}}],
            "certificateRefs or options must be specified when mode is Terminate",
        ),
    ],
)
def test_listeners_that_contradict_each_other_are_refused(
    listeners: list[dict[str, Any]], words: str
) -> None:
    ((_, message),) = of_listeners(*listeners)
    assert message.endswith(f": {words}")


def test_listeners_may_share_a_port_with_other_names_and_hosts() -> None:
    assert of_listeners(HTTP, {**HTTP, "name": "b", "hostname": "b.example"}) == []
