"""For each field of Istio's kinds that acts: a value that makes a difference to what proxies are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.control_plane.effects.effect import Effect, Table, With, given

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.0.10
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}, {name: tls, port: 9443}]
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec:
  clusterIP: 10.96.0.11
  selector: {app: other}
  ports: [{name: http, port: 80}, {name: http-more, port: 81}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Secret
metadata: {name: certificate, namespace: istio-system}
type: Opaque
stringData: {tls.crt: a, tls.key: b, ca.crt: c}
---
apiVersion: v1
kind: Secret
metadata: {name: another, namespace: istio-system}
type: Opaque
stringData: {tls.crt: a, tls.key: b, ca.crt: c}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web, version: {version}, istio-locality: {locality}}}}}
spec: {{containers: [{{name: app, image: app, ports: [{{name: http, containerPort: 8080}}]}}]}}
status: {{podIP: {ip}, conditions: [{{type: Ready, status: "True"}}]}}
"""
PODS = (
    POD.format(name="app-1", version="v1", ip="127.10.0.5", locality="here.z"),
    POD.format(name="w2", version="v2", ip="127.10.0.6", locality="there.z"),
    POD.format(name="w3", version="v1", ip="127.10.0.7", locality="yonder.z"),
    POD.format(name="w4", version="v1", ip="127.10.0.8", locality="there.z"),
)
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 9443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}]
"""


# --- VirtualService -------------------------------------------------------------------------------------

_HTTP = "spec.http[]"
_TO_WEB = {"destination": {"host": "web", "port": {"number": 80}}}
_TO_OTHER = {"destination": {"host": "other", "port": {"number": 80}}}
_VIRTUAL_SERVICE = {"spec.hosts": ["web"], "spec.gateways": ["gw", "mesh"]}
_ROUTED = {**_VIRTUAL_SERVICE, f"{_HTTP}.route": [_TO_WEB]}
_TWO = {**_VIRTUAL_SERVICE, f"{_HTTP}.route": [{**_TO_WEB, "weight": 50}, {**_TO_OTHER, "weight": 50}]}
_DELAY = {**_ROUTED, f"{_HTTP}.fault.delay.fixedDelay": "1s"}
_CORS = {**_ROUTED, f"{_HTTP}.corsPolicy.allowOrigins": [{"exact": "http://a"}]}
_RETRIES = {**_ROUTED, f"{_HTTP}.retries.attempts": 3}
_MIRROR = {**_ROUTED, f"{_HTTP}.mirror.host": "other", f"{_HTTP}.mirror.port.number": 80}
_REDIRECT = {**_VIRTUAL_SERVICE, f"{_HTTP}.redirect.uri": "/here"}


def _string_matches(path: str, exact: str = "a") -> dict[str, Any]:
    return {f"{path}.exact": exact, f"{path}.prefix": exact[:1] or "a", f"{path}.regex": "a.*"}


def _headers(path: str) -> dict[str, Any]:
    return {
        f"{path}.headers.{side}.{operation}": ["x-a"] if operation == "remove" else {"x-a": "b"}
        for side in ("request", "response")
        for operation in ("set", "add", "remove")
    }


HTTP: Table = {
    f"{_HTTP}.name": "named",
    f"{_HTTP}.match[].name": given("named", {**_ROUTED, f"{_HTTP}.match[].uri.prefix": "/a"}),
    **_string_matches(f"{_HTTP}.match[].uri", "/a"),
    **_string_matches(f"{_HTTP}.match[].scheme", "http"),
    **_string_matches(f"{_HTTP}.match[].method", "GET"),
    **_string_matches(f"{_HTTP}.match[].authority", "a.com"),
    **_string_matches(f"{_HTTP}.match[].headers.*"),
    **_string_matches(f"{_HTTP}.match[].withoutHeaders.*"),
    **_string_matches(f"{_HTTP}.match[].queryParams.*"),
    f"{_HTTP}.match[].ignoreUriCase": given(True, {**_ROUTED, f"{_HTTP}.match[].uri.prefix": "/a"}),
    f"{_HTTP}.match[].port": 81,
    f"{_HTTP}.match[].sourceLabels": {"app": "nobody"},
    f"{_HTTP}.match[].gateways": ["gw"],
    f"{_HTTP}.match[].sourceNamespace": "nowhere",
    f"{_HTTP}.match[].statPrefix": "stat",
    f"{_HTTP}.route[].destination.host": given("other", _ROUTED),
    f"{_HTTP}.route[].destination.subset": "v1",
    f"{_HTTP}.route[].destination.port.number": 9000,
    f"{_HTTP}.route[].weight": given(60, _TWO),
    **_headers(f"{_HTTP}.route[]"),
    **_headers(_HTTP),
    f"{_HTTP}.redirect.uri": given("/there", _REDIRECT),
    f"{_HTTP}.redirect.authority": given("a.com", _REDIRECT),
    f"{_HTTP}.redirect.port": given(8443, _REDIRECT),
    f"{_HTTP}.redirect.derivePort": given(
        "FROM_REQUEST_PORT", {**_REDIRECT, f"{_HTTP}.redirect.scheme": "https"}
    ),
    f"{_HTTP}.redirect.scheme": given("https", _REDIRECT),
    f"{_HTTP}.redirect.redirectCode": given(308, _REDIRECT),
    f"{_HTTP}.redirect.prefixRewrite": given(
        "/p", {**_VIRTUAL_SERVICE, f"{_HTTP}.redirect.authority": "a.com"}
    ),
    f"{_HTTP}.directResponse.status": given(418, {**_VIRTUAL_SERVICE, f"{_HTTP}.directResponse.status": 200}),
    f"{_HTTP}.directResponse.body.string": given(
        "a", {**_VIRTUAL_SERVICE, f"{_HTTP}.directResponse.status": 200}
    ),
    f"{_HTTP}.directResponse.body.bytes": given(
        "YQ==", {**_VIRTUAL_SERVICE, f"{_HTTP}.directResponse.status": 200}
    ),
    f"{_HTTP}.rewrite.uri": "/b",
    f"{_HTTP}.rewrite.authority": "b.com",
    f"{_HTTP}.rewrite.uriRegexRewrite.match": given(
        "/c", {**_ROUTED, f"{_HTTP}.rewrite.uriRegexRewrite": {"match": "/a", "rewrite": "/b"}}
    ),
    f"{_HTTP}.rewrite.uriRegexRewrite.rewrite": given(
        "/c", {**_ROUTED, f"{_HTTP}.rewrite.uriRegexRewrite": {"match": "/a", "rewrite": "/b"}}
    ),
    f"{_HTTP}.timeout": "5s",
    f"{_HTTP}.retries.attempts": 7,
    f"{_HTTP}.retries.perTryTimeout": given("1s", _RETRIES),
    f"{_HTTP}.retries.retryOn": given("5xx,503", _RETRIES),
    f"{_HTTP}.retries.retryRemoteLocalities": given(True, _RETRIES),
    f"{_HTTP}.retries.retryIgnorePreviousHosts": given(False, _RETRIES),
    f"{_HTTP}.retries.backoff": given("30ms", _RETRIES),
    f"{_HTTP}.fault.delay.fixedDelay": given("2s", _DELAY),
    f"{_HTTP}.fault.delay.percent": given(7, _DELAY),
    f"{_HTTP}.fault.delay.percentage.value": given(7.5, _DELAY),
    f"{_HTTP}.fault.abort.httpStatus": 503,
    f"{_HTTP}.fault.abort.grpcStatus": "UNAVAILABLE",
    f"{_HTTP}.fault.abort.percentage.value": given(7.5, {**_ROUTED, f"{_HTTP}.fault.abort.httpStatus": 503}),
    f"{_HTTP}.mirror.host": given("other", _ROUTED),
    f"{_HTTP}.mirror.subset": given("v1", _MIRROR),
    f"{_HTTP}.mirror.port.number": given(81, _MIRROR),
    f"{_HTTP}.mirrorPercent": given(5, _MIRROR),
    f"{_HTTP}.mirrorPercentage.value": given(5.5, _MIRROR),
    f"{_HTTP}.mirrors[].destination.host": given("other", _ROUTED),
    f"{_HTTP}.mirrors[].destination.subset": given(
        "v1", {**_ROUTED, f"{_HTTP}.mirrors[].destination.host": "web"}
    ),
    f"{_HTTP}.mirrors[].destination.port.number": given(
        81, {**_ROUTED, f"{_HTTP}.mirrors[].destination.host": "other"}
    ),
    f"{_HTTP}.mirrors[].percentage.value": given(
        5.5, {**_ROUTED, f"{_HTTP}.mirrors[].destination.host": "other"}
    ),
    f"{_HTTP}.corsPolicy.allowOrigin": ["http://a"],
    f"{_HTTP}.corsPolicy.allowOrigins[].exact": "http://a",
    f"{_HTTP}.corsPolicy.allowOrigins[].prefix": "http://a",
    f"{_HTTP}.corsPolicy.allowOrigins[].regex": "http://.*",
    f"{_HTTP}.corsPolicy.allowMethods": given(["GET"], _CORS),
    f"{_HTTP}.corsPolicy.allowHeaders": given(["x-a"], _CORS),
    f"{_HTTP}.corsPolicy.exposeHeaders": given(["x-a"], _CORS),
    f"{_HTTP}.corsPolicy.maxAge": given("1m", _CORS),
    f"{_HTTP}.corsPolicy.allowCredentials": given(True, _CORS),
    f"{_HTTP}.corsPolicy.unmatchedPreflights": given("IGNORE", _CORS),
    "spec.hosts": given(["other"], _ROUTED),
    "spec.gateways": given(["gw"], _ROUTED),
    "spec.exportTo": ["nowhere"],
}
_WEB = "web.default.svc.cluster.local"
_TCP_TO_WEB = {"destination": {"host": "web", "port": {"number": 9000}}}
_TCP_TO_OTHER = {"destination": {"host": "other", "port": {"number": 9000}}}


def _level_four(path: str, port: int, route: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `spec.tcp` and `spec.tls`, which have the same conditions and destinations."""
    routed = {**_VIRTUAL_SERVICE, "spec.hosts": ["web.com"], f"{path}.route": [route], **more}
    meshed = {**routed, "spec.hosts": [_WEB], "spec.gateways": ["mesh"]}
    if f"{path}.match[].sniHosts" in more:
        meshed[f"{path}.match[].sniHosts"] = [_WEB]
    two = {**routed, f"{path}.route": [{**route, "weight": 50}, {**_TCP_TO_OTHER, "weight": 50}]}
    return {
        f"{path}.match[].destinationSubnets": given(["10.96.0.10/32"], meshed),
        f"{path}.match[].port": given(port + 1, routed),
        f"{path}.match[].sourceLabels": given({"app": "nobody"}, meshed),
        f"{path}.match[].gateways": given(["mesh"], routed),
        f"{path}.match[].sourceNamespace": given("nowhere", meshed),
        f"{path}.route[].destination.host": given("other", routed),
        f"{path}.route[].destination.subset": given("v1", routed),
        f"{path}.route[].destination.port.number": given(81, routed),
        f"{path}.route[].weight": given(60, two),
    }


LEVEL_FOUR: Table = {
    **_level_four("spec.tcp[]", 9000, _TCP_TO_WEB, {}),
    **_level_four("spec.tls[]", 9443, _TCP_TO_WEB, {"spec.tls[].match[].sniHosts": ["web.com"]}),
    "spec.tls[].match[].sniHosts": given(
        ["a.web.com"],
        {
            **_VIRTUAL_SERVICE,
            "spec.hosts": ["*.web.com"],
            "spec.tls[].match[].sniHosts": ["b.web.com"],
            "spec.tls[].route": [_TCP_TO_WEB],
        },
    ),
}

# --- DestinationRule ------------------------------------------------------------------------------------

_HASH = "loadBalancer.consistentHash"
_BY_HEADER = {f"{_HASH}.httpHeaderName": "x-a"}
_BY_COOKIE = {f"{_HASH}.httpCookie.name": "c"}
_LOCALITY = "loadBalancer.localityLbSetting"
_EJECTING = {"outlierDetection.consecutive5xxErrors": 3}
_KEEPALIVE = {
    "http.h2UpgradePolicy": "UPGRADE",
    "http.http2KeepAlive": {"interval": "5s", "timeout": "5s"},
}
_SIMPLE_TLS = {"tls.mode": "SIMPLE"}
_MUTUAL_TLS = {
    "tls.mode": "MUTUAL",
    "tls.clientCertificate": "/a.pem",
    "tls.privateKey": "/a.key",
    "tls.caCertificates": "/ca.pem",
}
CONNECTION_POOL: Table = {
    "tcp.maxConnections": 7,
    "tcp.connectTimeout": "2s",
    "tcp.tcpKeepalive.probes": 3,
    "tcp.tcpKeepalive.time": "30s",
    "tcp.tcpKeepalive.interval": "10s",
    "tcp.maxConnectionDuration": "60s",
    "tcp.idleTimeout": "20s",
    "http.http1MaxPendingRequests": 7,
    "http.http2MaxRequests": 7,
    "http.maxRequestsPerConnection": 7,
    "http.maxRetries": 7,
    "http.idleTimeout": "20s",
    "http.h2UpgradePolicy": "UPGRADE",
    "http.useClientProtocol": True,
    "http.maxConcurrentStreams": With(7, {"http.h2UpgradePolicy": "UPGRADE"}),
    "http.http2KeepAlive.interval": With("10s", _KEEPALIVE),
    "http.http2KeepAlive.timeout": With("10s", _KEEPALIVE),
}
POLICY: Table = {
    "loadBalancer.simple": "RANDOM",
    f"{_HASH}.httpHeaderName": "x-a",
    f"{_HASH}.httpCookie.name": "c",
    f"{_HASH}.httpCookie.path": With("/", _BY_COOKIE),
    f"{_HASH}.httpCookie.ttl": With("60s", _BY_COOKIE),
    f"{_HASH}.httpCookie.attributes[].name": With("SameSite", _BY_COOKIE),
    f"{_HASH}.httpCookie.attributes[].value": With(
        "Strict", {**_BY_COOKIE, f"{_HASH}.httpCookie.attributes[].name": "SameSite"}
    ),
    f"{_HASH}.useSourceIp": True,
    f"{_HASH}.httpQueryParameterName": "q",
    f"{_HASH}.ringHash.minimumRingSize": With(2048, _BY_HEADER),
    f"{_HASH}.maglev.tableSize": With(251, _BY_HEADER),
    f"{_HASH}.minimumRingSize": With(2048, _BY_HEADER),
    "loadBalancer.warmupDurationSecs": "30s",
    "loadBalancer.warmup.duration": "30s",
    "loadBalancer.warmup.minimumPercent": With(20, {"loadBalancer.warmup.duration": "30s"}),
    "loadBalancer.warmup.aggression": With(2.0, {"loadBalancer.warmup.duration": "30s"}),
    **{
        f"connectionPool.{path}": With(each.value, {f"connectionPool.{p}": v for p, v in each.given.items()})
        if isinstance(each, With)
        else each
        for path, each in CONNECTION_POOL.items()
    },
    "outlierDetection.splitExternalLocalOriginErrors": With(True, _EJECTING),
    "outlierDetection.consecutiveLocalOriginFailures": With(
        3, {**_EJECTING, "outlierDetection.splitExternalLocalOriginErrors": True}
    ),
    "outlierDetection.consecutiveGatewayErrors": 3,
    "outlierDetection.consecutive5xxErrors": 3,
    "outlierDetection.interval": With("3s", _EJECTING),
    "outlierDetection.baseEjectionTime": With("7s", _EJECTING),
    "outlierDetection.maxEjectionPercent": With(70, _EJECTING),
    "outlierDetection.minHealthPercent": With(20, _EJECTING),
    "tls.mode": "SIMPLE",
    "tls.clientCertificate": With("/b.pem", _MUTUAL_TLS),
    "tls.privateKey": With("/b.key", _MUTUAL_TLS),
    "tls.caCertificates": With("/ca.pem", _SIMPLE_TLS),
    "tls.caCrl": With("/crl.pem", {**_SIMPLE_TLS, "tls.caCertificates": "/ca.pem"}),
    "tls.credentialName": With("certificate", _SIMPLE_TLS),
    "tls.subjectAltNames": With(["a"], {**_SIMPLE_TLS, "tls.caCertificates": "/ca.pem"}),
    "tls.sni": With("a.com", _SIMPLE_TLS),
    "tls.insecureSkipVerify": With(True, _SIMPLE_TLS),
}
LOCALITY: Table = {
    f"{_LOCALITY}.distribute[].from": With(
        "other/*", {**_EJECTING, f"{_LOCALITY}.distribute[]": {"from": "here/*", "to": {"here/z/*": 100}}}
    ),
    f"{_LOCALITY}.distribute[].to": With(
        {"here/z/*": 60, "there/*": 40},
        {**_EJECTING, f"{_LOCALITY}.distribute[]": {"from": "here/*", "to": {"here/z/*": 100}}},
    ),
    f"{_LOCALITY}.failover[].from": With(
        "here", {**_EJECTING, f"{_LOCALITY}.failover[]": {"from": "nowhere", "to": "there"}}
    ),
    f"{_LOCALITY}.failover[].to": With(
        "there", {**_EJECTING, f"{_LOCALITY}.failover[]": {"from": "here", "to": "yonder"}}
    ),
    f"{_LOCALITY}.failoverPriority": With(["version=v1"], _EJECTING),
    f"{_LOCALITY}.enabled": With(False, _EJECTING),
}


def _below(prefix: str, table: Table, base: Mapping[str, Any]) -> dict[str, Any]:
    """A table of fields below `prefix`, among what else is given."""
    found: dict[str, Any] = {}
    for path, each in table.items():
        value, more = (each.value, each.given) if isinstance(each, With) else (each, {})
        found[f"{prefix}.{path}"] = given(value, {**base, **{f"{prefix}.{p}": v for p, v in more.items()}})
    return found


_RULE = {"spec.host": "web"}
_SUBSET = {**_RULE, "spec.subsets[].name": "v1", "spec.subsets[].labels": {"version": "v1"}}
_PORT_LEVEL = "portLevelSettings[]"
DESTINATION_RULE: Table = {
    "spec.host": given("other", {"spec.host": "web", "spec.trafficPolicy.tls.mode": "SIMPLE"}),
    "spec.exportTo": given(["nowhere"], {**_RULE, "spec.trafficPolicy.tls.mode": "SIMPLE"}),
    "spec.workloadSelector.matchLabels": given(
        {"app": "nobody"}, {**_RULE, "spec.trafficPolicy.tls.mode": "SIMPLE"}
    ),
    "spec.subsets[].name": given("v7", _SUBSET),
    "spec.subsets[].labels": given({"version": "v2"}, _SUBSET),
    **_below("spec.trafficPolicy", {**POLICY, **LOCALITY}, _RULE),
    **_below(
        f"spec.trafficPolicy.{_PORT_LEVEL}",
        {**POLICY, **LOCALITY},
        {**_RULE, f"spec.trafficPolicy.{_PORT_LEVEL}.port.number": 80},
    ),
    f"spec.trafficPolicy.{_PORT_LEVEL}.port.number": given(
        9000,
        {**_RULE, f"spec.trafficPolicy.{_PORT_LEVEL}": {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}},
    ),
    **_below("spec.subsets[].trafficPolicy", {**POLICY, **LOCALITY}, _SUBSET),
    **_below(
        f"spec.subsets[].trafficPolicy.{_PORT_LEVEL}",
        {**POLICY, **LOCALITY},
        {**_SUBSET, f"spec.subsets[].trafficPolicy.{_PORT_LEVEL}.port.number": 80},
    ),
    f"spec.subsets[].trafficPolicy.{_PORT_LEVEL}.port.number": given(
        9000,
        {
            **_SUBSET,
            f"spec.subsets[].trafficPolicy.{_PORT_LEVEL}": {
                "port": {"number": 80},
                "tls": {"mode": "SIMPLE"},
            },
        },
    ),
    **_below(
        "spec.trafficPolicy",
        {
            "retryBudget.percent": 33.0,
            "retryBudget.minRetryConcurrency": With(7, {"retryBudget.percent": 33.0}),
        },
        _RULE,
    ),
    **_below(
        "spec.subsets[].trafficPolicy",
        {
            "retryBudget.percent": 33.0,
            "retryBudget.minRetryConcurrency": With(7, {"retryBudget.percent": 33.0}),
        },
        _SUBSET,
    ),
}

# --- Gateway --------------------------------------------------------------------------------------------

_SERVER = "spec.servers[]"
_PLAIN = {
    "spec.selector": {"istio": "ingressgateway"},
    f"{_SERVER}.port": {"number": 8081, "name": "http-a", "protocol": "HTTP"},
    f"{_SERVER}.hosts": ["a.com"],
}
_HTTPS = {
    **_PLAIN,
    f"{_SERVER}.port": {"number": 8444, "name": "https-a", "protocol": "HTTPS"},
    f"{_SERVER}.tls.mode": "SIMPLE",
    f"{_SERVER}.tls.serverCertificate": "/a.pem",
    f"{_SERVER}.tls.privateKey": "/a.key",
}
_MUTUAL = {**_HTTPS, f"{_SERVER}.tls.mode": "MUTUAL", f"{_SERVER}.tls.caCertificates": "/ca.pem"}
_FROM_SECRET = {
    **_PLAIN,
    f"{_SERVER}.port": {"number": 8444, "name": "https-a", "protocol": "HTTPS"},
    f"{_SERVER}.tls.mode": "SIMPLE",
}
_CREDENTIAL = {**_FROM_SECRET, f"{_SERVER}.tls.credentialName": "certificate"}
_CERTIFICATES = {
    **_FROM_SECRET,
    f"{_SERVER}.tls.tlsCertificates": [{"serverCertificate": "/a.pem", "privateKey": "/a.key"}],
}
GATEWAY_FIELDS: Table = {
    "spec.selector": given({"istio": "nobody"}, _PLAIN),
    f"{_SERVER}.port.number": given(8082, _PLAIN),
    f"{_SERVER}.port.protocol": given("HTTPS", {**_HTTPS, f"{_SERVER}.port.protocol": "TLS"}),
    f"{_SERVER}.port.name": given("https-b", _HTTPS),
    f"{_SERVER}.bind": given("127.0.0.1", _PLAIN),
    f"{_SERVER}.hosts": given(["b.com"], _HTTPS),
    f"{_SERVER}.tls.httpsRedirect": given(True, _PLAIN),
    f"{_SERVER}.tls.mode": given("MUTUAL", {**_HTTPS, f"{_SERVER}.tls.caCertificates": "/ca.pem"}),
    f"{_SERVER}.tls.serverCertificate": given("/b.pem", _HTTPS),
    f"{_SERVER}.tls.privateKey": given("/b.key", _HTTPS),
    f"{_SERVER}.tls.caCertificates": given("/other.pem", _MUTUAL),
    f"{_SERVER}.tls.credentialName": given("another", _CREDENTIAL),
    f"{_SERVER}.tls.credentialNames": given(
        ["certificate", "another"], {**_FROM_SECRET, f"{_SERVER}.tls.credentialNames": ["certificate"]}
    ),
    f"{_SERVER}.tls.caCertCredentialName": given("another", {**_CREDENTIAL, f"{_SERVER}.tls.mode": "MUTUAL"}),
    f"{_SERVER}.tls.tlsCertificates[].serverCertificate": given("/b.pem", _CERTIFICATES),
    f"{_SERVER}.tls.tlsCertificates[].privateKey": given("/b.key", _CERTIFICATES),
    f"{_SERVER}.tls.subjectAltNames": given(["a"], _MUTUAL),
    f"{_SERVER}.tls.verifyCertificateSpki": given(["YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="], _MUTUAL),
    f"{_SERVER}.tls.verifyCertificateHash": given(["a" * 64], _MUTUAL),
    f"{_SERVER}.tls.minProtocolVersion": given("TLSV1_3", _HTTPS),
    f"{_SERVER}.tls.maxProtocolVersion": given("TLSV1_2", _HTTPS),
    f"{_SERVER}.tls.cipherSuites": given(["ECDHE-RSA-AES128-GCM-SHA256"], _HTTPS),
}

# --- ServiceEntry, Sidecar ------------------------------------------------------------------------------

_ENTRY = {
    "spec.hosts": ["out.com"],
    "spec.ports[]": {"number": 80, "name": "http", "protocol": "HTTP"},
    "spec.resolution": "STATIC",
    "spec.location": "MESH_EXTERNAL",
    "spec.endpoints[].address": "10.0.0.1",
}
_CHOSEN = {
    "spec.hosts": ["out.com"],
    "spec.ports[]": {"number": 80, "name": "http", "protocol": "HTTP"},
    "spec.resolution": "STATIC",
    "spec.workloadSelector.labels": {"app": "machine"},
}
MACHINE = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine}
spec: {address: 10.0.0.7, labels: {app: machine}, ports: {web: 8083}}
"""
SECURED = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: secured}
spec:
  host: out.com
  trafficPolicy:
    tls: {mode: SIMPLE, caCertificates: /ca.pem}
    outlierDetection: {consecutive5xxErrors: 3}
    loadBalancer: {localityLbSetting: {failoverPriority: [topology.istio.io/network]}}
  subsets: [{name: s, labels: {tier: a}}]
"""
TO_SUBSET = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: to-subset}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: web, subset: v1, port: {number: 80}}}]}]
"""
SERVICE_ENTRY: Table = {
    "spec.workloadSelector.labels": given({"app": "nobody"}, _CHOSEN),
    "spec.hosts": given(["in.com"], _ENTRY),
    "spec.addresses": given(["10.9.9.9"], _ENTRY),
    "spec.ports[].number": given(81, _ENTRY),
    "spec.ports[].protocol": given("TCP", _ENTRY),
    "spec.ports[].targetPort": given(8081, _ENTRY),
    "spec.ports[].name": given("web", _CHOSEN),
    "spec.resolution": given("DNS", _ENTRY),
    "spec.endpoints[].address": given("10.0.0.2", _ENTRY),
    "spec.endpoints[].ports": given({"http": 8082}, _ENTRY),
    "spec.endpoints[].labels": given({"tier": "a"}, _ENTRY),
    "spec.endpoints[].locality": given("here/z", _ENTRY),
    "spec.endpoints[].weight": given(7, _ENTRY),
    "spec.location": given("MESH_INTERNAL", _ENTRY),
    "spec.endpoints[].network": given(
        "near", {**_ENTRY, "spec.endpoints": [{"address": "10.0.0.1"}, {"address": "10.0.0.2"}]}
    ),
    "spec.exportTo": given(["nowhere"], _ENTRY),
    "spec.subjectAltNames": given(["a"], _ENTRY),
}
CHOOSING = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: choosing}
spec:
  hosts: [machines.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: machine}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: second}
spec: {address: 10.0.0.9, labels: {app: machine}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: machines}
spec:
  host: machines.com
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3}
    loadBalancer: {localityLbSetting: {failoverPriority: [topology.istio.io/network]}}
"""
_MACHINE = {"spec.address": "10.0.0.7", "spec.labels": {"app": "machine"}}
_EGRESS = "spec.egress[]"
_NARROW = {f"{_EGRESS}.hosts": ["*/*"]}
_OWN_PORT = {**_NARROW, f"{_EGRESS}.port": {"number": 80, "name": "http", "protocol": "HTTP"}}
_INGRESS = "spec.ingress[]"
_OWN_INGRESS = {
    **_NARROW,
    f"{_INGRESS}.port": {"number": 8080, "protocol": "HTTP", "name": "http"},
    f"{_INGRESS}.defaultEndpoint": "127.0.0.1:8088",
}
SIDECAR: Table = {
    f"{_INGRESS}.port.number": given(8081, _OWN_INGRESS),
    f"{_INGRESS}.port.protocol": given("TCP", _OWN_INGRESS),
    f"{_INGRESS}.bind": given("127.0.0.9", {**_OWN_INGRESS, f"{_INGRESS}.captureMode": "NONE"}),
    f"{_INGRESS}.captureMode": given("NONE", {**_OWN_INGRESS, f"{_INGRESS}.bind": "127.0.0.9"}),
    f"{_INGRESS}.defaultEndpoint": given("127.0.0.1:8089", _OWN_INGRESS),
    **_below(f"{_INGRESS}.connectionPool", CONNECTION_POOL, _OWN_INGRESS),
    **_below("spec.inboundConnectionPool", CONNECTION_POOL, _NARROW),
    f"{_EGRESS}.hosts": given(["./other.default.svc.cluster.local"], _NARROW),
    f"{_EGRESS}.port.number": given(81, _OWN_PORT),
    f"{_EGRESS}.port.protocol": given("TCP", {**_OWN_PORT, f"{_EGRESS}.port.number": 8899}),
    f"{_EGRESS}.captureMode": given("NONE", _OWN_PORT),
    f"{_EGRESS}.bind": given("127.0.0.1", _OWN_PORT),
    "spec.outboundTrafficPolicy.mode": given("REGISTRY_ONLY", _NARROW),
    "spec.workloadSelector.labels": given(
        {"app": "nobody"}, {f"{_EGRESS}.hosts": ["./other.default.svc.cluster.local"]}
    ),
}


WORKLOAD_ENTRY: Table = {
    "spec.address": given("10.0.0.8", _MACHINE),
    "spec.ports": given({"http": 8084}, _MACHINE),
    "spec.labels": given({"app": "nobody"}, _MACHINE),
    "spec.locality": given("here/z", _MACHINE),
    "spec.weight": given(7, _MACHINE),
    "spec.network": given("near", _MACHINE),
}
_AMONG = {
    "VirtualService": (GATEWAY, SUBSETS),
    "ServiceEntry": (MACHINE, SECURED),
    "WorkloadEntry": (CHOOSING,),
}


def effects() -> Iterator[Effect]:
    """Every effect of every kind."""
    for kind, table in (
        ("VirtualService", {**HTTP, **LEVEL_FOUR}),
        ("DestinationRule", DESTINATION_RULE),
        ("Gateway", GATEWAY_FIELDS),
        ("ServiceEntry", SERVICE_ENTRY),
        ("WorkloadEntry", WORKLOAD_ENTRY),
        ("Sidecar", SIDECAR),
    ):
        default = _ROUTED if kind == "VirtualService" else {}
        for path, each in table.items():
            among = _AMONG.get(kind, ())
            if kind == "DestinationRule" and path.startswith("spec.subsets[].trafficPolicy"):
                among = (TO_SUBSET,)
            yield Effect.of(kind, path, each, default, among)
