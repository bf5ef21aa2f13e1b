"""For each field of the Gateway API that acts: a value that makes a difference to what proxies are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.config.kinds import GATEWAY_API, KUBERNETES_GATEWAY
from tests.control_plane.effects.effect import Effect, Table, given

_ADDRESS = "edge.istio-system.svc.cluster.local"
_PEM = "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n"
AROUND = f"""
apiVersion: v1
kind: Service
metadata: {{name: edge, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  ports:
  - {{name: http, port: 80}}
  - {{name: http-more, port: 81}}
  - {{name: https, port: 443}}
  - {{name: more, port: 8080}}
  - {{name: far, port: 8888}}
  - {{name: tcp, port: 9000}}
  - {{name: tcp-more, port: 9001}}
  - {{name: tls, port: 9443}}
  - {{name: tls-more, port: 9444}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: far, labels: {{tier: a}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: far}}
spec: {{ports: [{{name: http, port: 80}}, {{name: tcp, port: 9000}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: certificate, namespace: far}}
stringData: {{tls.crt: "{_PEM}", tls.key: "{_PEM}", ca.crt: "{_PEM}"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: certificate, namespace: far}}
data: {{ca.crt: "{_PEM}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: near, namespace: default}}
stringData: {{tls.crt: "{_PEM}", tls.key: "{_PEM}", ca.crt: "{_PEM}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: beside, namespace: default}}
stringData: {{tls.crt: "{_PEM}", tls.key: "{_PEM}", ca.crt: "{_PEM}"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: near, namespace: default}}
data: {{ca.crt: "{_PEM}"}}
---
apiVersion: {GATEWAY_API}/v1
kind: Gateway
metadata: {{name: edge, namespace: far}}
spec:
  gatewayClassName: istio
  addresses: [{{type: Hostname, value: {_ADDRESS}}}]
  listeners: [{{name: only, port: 8888, protocol: HTTP, allowedRoutes: {{namespaces: {{from: All}}}}}}]
"""
GRANT = f"""
apiVersion: {GATEWAY_API}/v1beta1
kind: ReferenceGrant
metadata: {{name: all, namespace: far}}
spec:
  from:
  - {{group: {GATEWAY_API}, kind: Gateway, namespace: default}}
  - {{group: {GATEWAY_API}, kind: HTTPRoute, namespace: default}}
  - {{group: {GATEWAY_API}, kind: GRPCRoute, namespace: default}}
  - {{group: {GATEWAY_API}, kind: TCPRoute, namespace: default}}
  - {{group: {GATEWAY_API}, kind: TLSRoute, namespace: default}}
  to: [{{group: "", kind: Service}}, {{group: "", kind: Secret}}, {{group: "", kind: ConfigMap}}]
"""
EDGE = f"""
apiVersion: {GATEWAY_API}/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  gatewayClassName: istio
  addresses: [{{type: Hostname, value: {_ADDRESS}}}]
  listeners:
  - {{name: http, port: 80, protocol: HTTP}}
  - {{name: more, port: 8080, protocol: HTTP}}
  - {{name: tcp, port: 9000, protocol: TCP}}
  - {{name: tcp-more, port: 9001, protocol: TCP}}
  - {{name: tls, port: 9443, protocol: TLS, tls: {{mode: Passthrough}}}}
  - {{name: tls-more, port: 9444, protocol: TLS, tls: {{mode: Passthrough}}}}
"""
ROUTE_TO_WEB = f"""
apiVersion: {GATEWAY_API}/v1
kind: {{kind}}
metadata: {{{{name: to-web-{{port}}, namespace: {{namespace}}}}}}
spec:
  parentRefs: [{{{{name: subject, namespace: default}}}}]
  {{hostnames}}
  rules: [{{{{backendRefs: [{{{{name: web, port: {{port}}}}}}]}}}}]
"""
_ATTACHED = (
    ROUTE_TO_WEB.format(kind="HTTPRoute", namespace="default", port=80, hostnames="hostnames: [near.com]"),
    ROUTE_TO_WEB.format(kind="HTTPRoute", namespace="far", port=80, hostnames="hostnames: [far.com]"),
    ROUTE_TO_WEB.format(
        kind="HTTPRoute", namespace="default", port=81, hostnames="hostnames: [section.com]"
    ).replace("name: subject,", "name: subject, sectionName: http,"),
    ROUTE_TO_WEB.format(kind="TCPRoute", namespace="default", port=9000, hostnames=""),
    ROUTE_TO_WEB.format(kind="TLSRoute", namespace="default", port=9000, hostnames="hostnames: [near.com]"),
)

# --- Gateway --------------------------------------------------------------------------------------------

_LISTENER = "spec.listeners[]"
_PLAIN = {
    "spec.gatewayClassName": "istio",
    "spec.addresses": [{"type": "Hostname", "value": _ADDRESS}],
    _LISTENER: {"name": "http", "port": 80, "protocol": "HTTP"},
}
_SECURE = {
    **_PLAIN,
    _LISTENER: {
        "name": "https",
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": "near"}]},
    },
}
_CERTIFICATE = f"{_LISTENER}.tls.certificateRefs[]"
_SELECTED = {**_PLAIN, f"{_LISTENER}.allowedRoutes.namespaces.from": "Selector"}
_SELECTOR = f"{_LISTENER}.allowedRoutes.namespaces.selector"
_EXPRESSION = {"key": "tier", "operator": "In", "values": ["b"]}
_OF_TIER = {"key": "tier", "operator": "Exists"}
_EXPRESSED = {**_SELECTED, f"{_SELECTOR}.matchExpressions": [_EXPRESSION]}
_KINDS = {**_PLAIN, f"{_LISTENER}.allowedRoutes.kinds": [{"group": GATEWAY_API, "kind": "HTTPRoute"}]}


def _validation(path: str) -> dict[str, Any]:
    """The fields that say how clients' certificates are checked."""
    reference = f"{path}.caCertificateRefs[]"
    checked = {**_SECURE, reference: {"group": "", "kind": "ConfigMap", "name": "near"}}
    if "perPort[]" in path:
        checked = {**checked, f"{path.partition('[]')[0]}[].port": 443}
    return {
        f"{reference}.group": given("example.com", checked),
        f"{reference}.kind": given("Secret", checked),
        f"{reference}.name": given("nowhere", checked),
        f"{reference}.namespace": given("far", {**checked, f"{reference}.name": "certificate"}),
        f"{path}.mode": given("AllowInsecureFallback", checked),
    }


_PER_PORT = "spec.tls.frontend.perPort[]"
_ONE_PORT = {
    **_SECURE,
    f"{_PER_PORT}.port": 443,
    f"{_PER_PORT}.tls.validation.caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "near"}],
}
GATEWAY: Table = {
    "spec.gatewayClassName": given("another", _PLAIN),
    f"{_LISTENER}.name": given("another", _PLAIN),
    f"{_LISTENER}.hostname": given("a.com", _PLAIN),
    f"{_LISTENER}.port": given(81, _PLAIN),
    f"{_LISTENER}.protocol": given("TCP", _PLAIN),
    f"{_LISTENER}.tls.mode": given("Passthrough", {**_SECURE, f"{_LISTENER}.protocol": "TLS"}),
    f"{_CERTIFICATE}.group": given("example.com", _SECURE),
    f"{_CERTIFICATE}.kind": given("ConfigMap", _SECURE),
    f"{_CERTIFICATE}.name": given("beside", _SECURE),
    f"{_CERTIFICATE}.namespace": given("far", {**_SECURE, f"{_CERTIFICATE}.name": "certificate"}),
    f"{_LISTENER}.tls.options": given({"gateway.istio.io/tls-terminate-mode": "MUTUAL"}, _SECURE),
    f"{_LISTENER}.allowedRoutes.namespaces.from": given("All", _PLAIN),
    f"{_SELECTOR}.matchLabels": given({"tier": "a"}, _SELECTED),
    f"{_SELECTOR}.matchExpressions[].key": given(
        "absent", {**_SELECTED, f"{_SELECTOR}.matchExpressions": [_OF_TIER]}
    ),
    f"{_SELECTOR}.matchExpressions[].operator": given("NotIn", _EXPRESSED),
    f"{_SELECTOR}.matchExpressions[].values": given(["a"], _EXPRESSED),
    f"{_LISTENER}.allowedRoutes.kinds[].group": given("example.com", _KINDS),
    f"{_LISTENER}.allowedRoutes.kinds[].kind": given("GRPCRoute", _KINDS),
    "spec.addresses[].type": given("IPAddress", _PLAIN),
    "spec.addresses[].value": given("nowhere.far.svc.cluster.local", _PLAIN),
    **_validation("spec.tls.frontend.default.validation"),
    f"{_PER_PORT}.port": given(8443, _ONE_PORT),
    **_validation(f"{_PER_PORT}.tls.validation"),
}

# --- Routes ---------------------------------------------------------------------------------------------

_RULE = "spec.rules[]"
_PARENT = "spec.parentRefs[]"
_BACKEND = f"{_RULE}.backendRefs[]"
_SERVICE_ENTRY = {"group": "networking.istio.io", "kind": "ServiceEntry"}


def _routed(section: str, port: int) -> dict[str, Any]:
    return {_PARENT: {"name": "edge", "sectionName": section}, _BACKEND: {"name": "web", "port": port}}


def _two(routed: Mapping[str, Any], port: int) -> dict[str, Any]:
    backends = [{"name": "web", "port": port, "weight": 1}, {"name": "other", "port": port, "weight": 1}]
    return {**routed, f"{_RULE}.backendRefs": backends}


def _attachment(routed: Mapping[str, Any], port: int, section: str, second_port: int) -> dict[str, Any]:
    """The fields by which every kind of route finds its parents and its backends."""
    return {
        f"{_PARENT}.group": given("", {**routed, f"{_PARENT}.kind": "Service", f"{_PARENT}.name": "web"}),
        f"{_PARENT}.kind": given("Service", routed),
        f"{_PARENT}.namespace": given("far", routed),
        f"{_PARENT}.name": given("nowhere", routed),
        f"{_PARENT}.sectionName": given(section, routed),
        f"{_PARENT}.port": given(second_port, routed),
        f"{_BACKEND}.group": given("example.com", routed),
        f"{_BACKEND}.kind": given("Other", routed),
        f"{_BACKEND}.name": given("other", routed),
        f"{_BACKEND}.namespace": given("far", routed),
        f"{_BACKEND}.port": given(81 if port == 80 else 80, {**routed, f"{_BACKEND}.name": "other"}),
        f"{_BACKEND}.weight": given(7, _two(routed, port)),
    }


def _modified(path: str, routed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the filters that modify headers."""
    found = {}
    for side, modifier in (("Request", "requestHeaderModifier"), ("Response", "responseHeaderModifier")):
        typed = {**routed, f"{path}.type": f"{side}HeaderModifier"}
        for operation in ("set", "add"):
            header = f"{path}.{modifier}.{operation}"
            named = {**typed, f"{header}[]": {"name": "x-a", "value": "b"}}
            found[f"{header}[].name"] = given("x-b", named)
            found[f"{header}[].value"] = given("c", named)
        removal = f"{path}.{modifier}.remove"
        found[removal] = given(["x-b"], {**typed, removal: ["x-a"]})
    return found


def _mirrored(path: str, routed: Mapping[str, Any]) -> dict[str, Any]:
    reference = f"{path}.requestMirror.backendRef"
    typed = {**routed, f"{path}.type": "RequestMirror", f"{reference}.name": "other", f"{reference}.port": 80}
    fraction = f"{path}.requestMirror.fraction"
    part = {**typed, f"{fraction}.numerator": 1}
    return {
        f"{reference}.group": given("example.com", typed),
        f"{reference}.kind": given("Other", typed),
        f"{reference}.name": given("web", typed),
        f"{reference}.namespace": given("far", {**typed, f"{reference}.name": "web"}),
        f"{reference}.port": given(81, typed),
        f"{path}.requestMirror.percent": given(7, typed),
        f"{fraction}.numerator": given(2, part),
        f"{fraction}.denominator": given(1000, part),
    }


def _matched(path: str, routed: Mapping[str, Any]) -> dict[str, Any]:
    """A list of conditions by name."""
    by_name = {**routed, f"{path}[]": {"name": "x-a", "value": "b"}}
    return {
        f"{path}[].type": given("RegularExpression", by_name),
        f"{path}[].name": given("x-b", by_name),
        f"{path}[].value": given("c", by_name),
    }


_HTTP = _routed("http", 80)
_FILTER = f"{_RULE}.filters[]"
_REDIRECT = f"{_FILTER}.requestRedirect"
_REWRITE = f"{_FILTER}.urlRewrite"
_CORS = f"{_FILTER}.cors"
_FULL = {"type": "ReplaceFullPath", "replaceFullPath": "/z"}
_PREFIX = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/z"}


def _redirected(**more: Any) -> dict[str, Any]:
    return {
        _PARENT: {"name": "edge", "sectionName": "http"},
        _FILTER: {"type": "RequestRedirect", "requestRedirect": {"hostname": "a.com", **more}},
    }


def _rewritten(**more: Any) -> dict[str, Any]:
    return {**_HTTP, _FILTER: {"type": "URLRewrite", "urlRewrite": {"hostname": "a.com", **more}}}


_CORS_GIVEN = {**_HTTP, _FILTER: {"type": "CORS", "cors": {"allowOrigins": ["http://a.com"]}}}
_COMMON_TO_HTTP: Table = {
    "spec.hostnames": given(["a.com"], _HTTP),
    f"{_RULE}.name": given("named", _HTTP),
    **_attachment(_HTTP, 80, "more", 8080),
    **_matched(f"{_RULE}.matches[].headers", _HTTP),
    **_modified(_FILTER, _HTTP),
    **_mirrored(_FILTER, _HTTP),
    **_modified(f"{_BACKEND}.filters[]", _HTTP),
}
HTTP_ROUTE: Table = {
    **_COMMON_TO_HTTP,
    f"{_RULE}.matches[].path.type": given("Exact", {**_HTTP, f"{_RULE}.matches[].path.value": "/a"}),
    f"{_RULE}.matches[].path.value": given("/a", _HTTP),
    **_matched(f"{_RULE}.matches[].queryParams", _HTTP),
    f"{_RULE}.matches[].method": given("GET", _HTTP),
    f"{_REDIRECT}.scheme": given("https", _redirected()),
    f"{_REDIRECT}.hostname": given("b.com", _redirected()),
    f"{_REDIRECT}.path.replaceFullPath": given("/a", _redirected(path=_FULL)),
    f"{_REDIRECT}.path.replacePrefixMatch": given("/b", _redirected(path=_PREFIX)),
    f"{_REDIRECT}.port": given(8443, _redirected()),
    f"{_REDIRECT}.statusCode": given(301, _redirected()),
    f"{_REWRITE}.hostname": given("b.com", _rewritten()),
    f"{_REWRITE}.path.replaceFullPath": given("/a", _rewritten(path=_FULL)),
    f"{_REWRITE}.path.replacePrefixMatch": given("/b", _rewritten(path=_PREFIX)),
    f"{_CORS}.allowOrigins": given(["http://b.com"], _CORS_GIVEN),
    f"{_CORS}.allowCredentials": given(True, _CORS_GIVEN),
    f"{_CORS}.allowMethods": given(["GET"], _CORS_GIVEN),
    f"{_CORS}.allowHeaders": given(["x-a"], _CORS_GIVEN),
    f"{_CORS}.exposeHeaders": given(["x-a"], _CORS_GIVEN),
    f"{_CORS}.maxAge": given(60, _CORS_GIVEN),
    f"{_RULE}.timeouts.request": given("7s", _HTTP),
    f"{_RULE}.timeouts.backendRequest": given("7s", _HTTP),
    f"{_RULE}.retry.codes": given([503], {**_HTTP, f"{_RULE}.retry.attempts": 3}),
    f"{_RULE}.retry.attempts": given(3, _HTTP),
    f"{_RULE}.retry.backoff": given("1s", {**_HTTP, f"{_RULE}.retry.attempts": 3}),
}
_CALL = f"{_RULE}.matches[].method"
_CALLED = {**_HTTP, _CALL: {"service": "a.B", "method": "c"}}
GRPC_ROUTE: Table = {
    **_COMMON_TO_HTTP,
    f"{_CALL}.type": given("RegularExpression", _CALLED),
    f"{_CALL}.service": given("a.C", _CALLED),
    f"{_CALL}.method": given("d", _CALLED),
}
_TLS = _routed("tls", 9000)
TCP_ROUTE: Table = _attachment(_routed("tcp", 9000), 9000, "tcp-more", 9001)
TLS_ROUTE: Table = {
    "spec.hostnames": given(["a.com"], _TLS),
    **_attachment(_TLS, 9000, "tls-more", 9444),
}

# --- ReferenceGrant and GatewayClass ----------------------------------------------------------------------

_TO_FAR = f"""
apiVersion: {GATEWAY_API}/v1
kind: HTTPRoute
metadata: {{name: to-far, namespace: default}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: web, namespace: far, port: 80}}]}}]
"""
_GRANTED = {
    "spec.from": [{"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": "default"}],
    "spec.to": [{"group": "", "kind": "Service"}],
}
REFERENCE_GRANT: Table = {
    "spec.from[].group": given("example.com", _GRANTED),
    "spec.from[].kind": given("GRPCRoute", _GRANTED),
    "spec.from[].namespace": given("elsewhere", _GRANTED),
    "spec.to[].group": given("example.com", _GRANTED),
    "spec.to[].kind": given("Secret", _GRANTED),
    "spec.to[].name": given("another", _GRANTED),
}
_OF_THE_CLASS = EDGE.replace("gatewayClassName: istio", "gatewayClassName: subject")
GATEWAY_CLASS: Table = {
    "spec.controllerName": given(
        "example.com/another", {"spec.controllerName": "istio.io/gateway-controller"}
    ),
}


def effects() -> Iterator[Effect]:
    """Every effect of every kind."""
    for kind, table, documents in (
        ("GatewayClass", GATEWAY_CLASS, (AROUND, _OF_THE_CLASS)),
        (KUBERNETES_GATEWAY, GATEWAY, (AROUND, GRANT, *_ATTACHED)),
        ("HTTPRoute", HTTP_ROUTE, (AROUND, GRANT, EDGE)),
        ("GRPCRoute", GRPC_ROUTE, (AROUND, GRANT, EDGE)),
        ("TCPRoute", TCP_ROUTE, (AROUND, GRANT, EDGE)),
        ("TLSRoute", TLS_ROUTE, (AROUND, GRANT, EDGE)),
        ("ReferenceGrant", REFERENCE_GRANT, (AROUND, EDGE, _TO_FAR)),
    ):
        for path, entry in table.items():
            yield Effect.of(kind, path, entry, {}, documents)
