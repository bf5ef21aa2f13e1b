"""Routes of the Gateway API that cannot be had: they cost nobody else a route, and say why."""

from __future__ import annotations

import pytest

from minimesh.control_plane.gateway_api.status import with_statuses
from minimesh.control_plane.translation import build_resources
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push

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
