"""Routes of the Gateway API that cannot be had: they cost nobody else a route, and say why."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.gateway_api.status import with_statuses
from minimesh.control_plane.translation import build_resources
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push
from tests.proofs import proves

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: default}
spec: {ports: [{name: http, port: 80}]}
"""


def route(name: str, match: str, kind: str = "HTTPRoute") -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: [{name}.example]
  rules: [{{matches: [{match}], backendRefs: [{{name: app, port: 80}}]}}]
"""


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("HTTPRoute", "{path: {type: RegularExpression, value: '/(a'}}"),
        ("HTTPRoute", "{headers: [{type: RegularExpression, name: x, value: '(?=a)'}]}"),
        ("HTTPRoute", "{queryParams: [{type: RegularExpression, name: x, value: '*'}]}"),
        ("GRPCRoute", "{method: {type: RegularExpression, service: '['}}"),
    ],
)
def test_an_expression_that_is_none_is_left_out(kind: str, match: str) -> None:
    sound = route("sound", "{path: {type: RegularExpression, value: '/a+'}}")
    context = push(INGRESS_GATEWAY, GATEWAY, route("broken", match, kind), sound)
    (table,) = build_resources(gateway_proxy(), context).routes.values()
    assert {domain for host in table.virtual_hosts for domain in host.domains} >= {"sound.example"}
    assert "broken.example" not in str(table)
    assert context.converted is not None
    assert context.converted.gateway_api is not None
    statuses = {each.name: each.status for each in with_statuses(context.converted.gateway_api, "now")}
    accepted = {name: statuses[name].parents[0].conditions[0] for name in ("broken", "sound")}
    assert (accepted["broken"].status, accepted["broken"].reason) == ("False", "UnsupportedValue")
    assert accepted["sound"].status == "True"


def only_route(kind: str, rule: str) -> Any:
    """The one Envoy route of a route with this rule."""
    document = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: only, namespace: default}}
spec: {{parentRefs: [{{name: web}}], rules: [{rule}]}}
"""
    (table,) = build_resources(gateway_proxy(), push(INGRESS_GATEWAY, GATEWAY, document)).routes.values()
    (host,) = table.virtual_hosts
    (found,) = host.routes
    return found


@proves("HTTPRoute", "spec.rules[].filters[].type")
@proves("GRPCRoute", "spec.rules[].filters[].type")
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_filter_is_what_its_type_says(kind: str) -> None:
    def with_filter(filter_: str) -> Any:
        return only_route(kind, f"{{backendRefs: [{{name: app, port: 80}}], filters: [{filter_}]}}")

    on_request = with_filter("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a]}}")
    assert list(on_request.request_headers_to_remove) == ["x-a"]
    assert not on_request.response_headers_to_remove
    on_response = with_filter("{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-a]}}")
    assert not on_response.request_headers_to_remove
    assert list(on_response.response_headers_to_remove) == ["x-a"]


@proves("HTTPRoute", "spec.rules[].backendRefs[].filters[].type")
@proves("GRPCRoute", "spec.rules[].backendRefs[].filters[].type")
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_filter_of_a_backend_is_what_its_type_says(kind: str) -> None:
    def with_filter(filter_: str) -> Any:
        backends = f"[{{name: app, port: 80, filters: [{filter_}]}}, {{name: app, port: 80}}]"
        return only_route(kind, f"{{backendRefs: {backends}}}").route.weighted_clusters.clusters[0]

    on_request = with_filter("{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-a]}}")
    assert list(on_request.request_headers_to_remove) == ["x-a"]
    assert not on_request.response_headers_to_remove
    on_response = with_filter("{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-a]}}")
    assert not on_response.request_headers_to_remove
    assert list(on_response.response_headers_to_remove) == ["x-a"]


@proves("HTTPRoute", "spec.rules[].filters[].requestRedirect.path.type")
def test_a_redirect_replaces_what_its_type_says() -> None:
    def redirect(path: str) -> Any:
        filters = f"[{{type: RequestRedirect, requestRedirect: {{path: {path}}}}}]"
        rule = f"{{matches: [{{path: {{type: PathPrefix, value: /old}}}}], filters: {filters}}}"
        return only_route("HTTPRoute", rule).redirect

    assert redirect("{type: ReplaceFullPath, replaceFullPath: /a}").path_redirect == "/a"
    assert redirect("{type: ReplacePrefixMatch, replacePrefixMatch: /a}").prefix_rewrite == "/a"


@proves("HTTPRoute", "spec.rules[].filters[].urlRewrite.path.type")
def test_a_rewrite_replaces_what_its_type_says() -> None:
    def action(path: str) -> Any:
        filters = f"[{{type: URLRewrite, urlRewrite: {{path: {path}}}}}]"
        matches = "[{path: {type: PathPrefix, value: /old}}]"
        rule = f"{{matches: {matches}, filters: {filters}, backendRefs: [{{name: app, port: 80}}]}}"
        return only_route("HTTPRoute", rule).route

    whole = action("{type: ReplaceFullPath, replaceFullPath: /a}").regex_rewrite
    assert (whole.pattern.regex, whole.substitution) == ("/.*", "/a")
    assert action("{type: ReplacePrefixMatch, replacePrefixMatch: /a}").prefix_rewrite == "/a"
