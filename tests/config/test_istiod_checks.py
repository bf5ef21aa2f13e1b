"""What istiod's webhook refuses, takes, and warns of, beyond the cases of its own tests.

Each case: a kind, its spec, and the finding, or None for what istiod takes without a word.
"""

from typing import Any

import pytest

from minimesh.config.diagnostics import Severity
from minimesh.config.validate import validate_object

API = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "Telemetry": "telemetry.istio.io/v1",
}
TO_WEB = [{"destination": {"host": "web"}}]


def findings(kind: str, spec: dict[str, Any]) -> list[str]:
    """Severity, field and message of everything but what is not simulated."""
    document = {
        "apiVersion": API.get(kind, "networking.istio.io/v1"),
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": spec,
    }
    found = (one for one in validate_object(document) if one.severity is not Severity.INFO)
    return [f"{one.severity} {one.field}: {one.message}" for one in found]


def routes(**more: Any) -> dict[str, Any]:
    return {"hosts": ["web"], "http": [{"route": TO_WEB, **more}]}


def policy(**more: Any) -> dict[str, Any]:
    return {"host": "web", "trafficPolicy": more}


TAKEN = [
    ("VirtualService", {"hosts": ["1.2.3.4"], "http": [{"delegate": {"name": "x"}}]}),
    ("VirtualService", routes(match=[{"headers": {"x-any": {}}}])),
    ("VirtualService", routes(corsPolicy={"allowOrigins": [{"regex": ".*"}], "allowHeaders": ["*"]})),
    ("VirtualService", routes(fault={"abort": {"grpcStatus": "UNAVAILABLE"}})),
    ("DestinationRule", policy(tls={"mode": "MUTUAL", "credentialName": "client"})),
    ("DestinationRule", policy(portLevelSettings=[{"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}])),
    ("DestinationRule", policy(loadBalancer={"consistentHash": {"useSourceIp": True}})),
    ("Sidecar", {"egress": [{"hosts": ["./*", "istio-system/*"]}]}),
    ("ServiceEntry", {"hosts": ["a.com"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}),
    ("AuthorizationPolicy", {}),
    ("PeerAuthentication", {"mtls": {"mode": "STRICT"}}),
    ("RequestAuthentication", {"jwtRules": [{"issuer": "a", "jwksUri": "https://a/keys"}]}),
    ("WasmPlugin", {"url": "oci://ghcr.io/a/b:1"}),
    ("WasmPlugin", {"url": "ghcr.io/a/b:1"}),
    ("Telemetry", {"tracing": [{"randomSamplingPercentage": 100}]}),
]


@pytest.mark.parametrize(("kind", "spec"), TAKEN)
def test_what_istiod_takes(kind: str, spec: dict[str, Any]) -> None:
    assert findings(kind, spec) == []


REFUSED = [
    ("VirtualService", {"hosts": ["*"], "http": [{"route": TO_WEB}]}, "wildcard host * is not allowed"),
    ("VirtualService", {"hosts": ["a_b"], "http": [{"route": TO_WEB}]}, 'label "a_b" invalid'),
    ("VirtualService", routes(match=[{"headers": {"@request.auth.claims.a": {"exact": "b"}}}]), "JWT claim"),
    ("VirtualService", routes(fault={}), "must have an abort and/or a delay"),
    ("VirtualService", routes(fault={"abort": {"grpcStatus": "BROKEN"}}), 'gRPC status "BROKEN"'),
    ("VirtualService", routes(corsPolicy={"maxAge": "1.5s"}), "accurate only to seconds"),
    ("VirtualService", routes() | {"exportTo": [".", "*"]}, "cannot have both public"),
    ("DestinationRule", policy(), "must have at least one field"),
    ("DestinationRule", policy(tls={"mode": "MUTUAL", "privateKey": "k"}), "client certificate required"),
    ("DestinationRule", policy(loadBalancer={"consistentHash": {"maglev": {"tableSize": 10}}}), "prime"),
    ("DestinationRule", policy(tunnel={"targetHost": "a.b", "targetPort": 99999}), "port from 1 to 65535"),
    (
        "DestinationRule",
        policy(loadBalancer={"localityLbSetting": {"distribute": [{"from": "a", "to": {"b": 50}}]}}),
        "total locality weight 50 != 100",
    ),
    ("AuthorizationPolicy", {"rules": [{"when": [{"key": "a.b", "values": ["c"]}]}]}, "unknown attribute"),
    (
        "AuthorizationPolicy",
        {
            "action": "CUSTOM",
            "provider": {"name": "ext"},
            "rules": [{"from": [{"source": {"principals": ["a"]}}]}],
        },
        "From.principals is currently not supported with CUSTOM action",
    ),
    (
        "AuthorizationPolicy",
        {"targetRefs": [{"kind": "Pod", "name": "a"}]},
        "targetRef must be to a Service",
    ),
    ("EnvoyFilter", {"configPatches": [{"applyTo": "CLUSTER"}]}, "missing patch"),
    ("WorkloadGroup", {"template": {}, "probe": {}}, "unknown health check method"),
]


@pytest.mark.parametrize(("kind", "spec", "words"), REFUSED)
def test_what_istiod_refuses(kind: str, spec: dict[str, Any], words: str) -> None:
    [found] = findings(kind, spec)
    assert found.startswith("error ")
    assert words in found


WARNED = [
    (
        "VirtualService",
        {"hosts": ["a.b"], "gateways": ["gw.ns.svc.cluster.local"], "http": [{"route": TO_WEB}]},
        'prefer the <namespace>/<name> format: "ns/gw"',
    ),
    ("VirtualService", routes(fault={"abort": {}}), "error type not set"),
    ("DestinationRule", policy(outlierDetection={"consecutiveErrors": 5}), "is deprecated"),
    (
        "DestinationRule",
        policy(loadBalancer={"localityLbSetting": {"failover": [{"from": "a", "to": "b"}]}}),
        "outlier detection policy must be provided for failover",
    ),
    ("Sidecar", {"egress": [{"hosts": ["a/*", "a/b.c"]}]}, "duplicated egress host: a/b.c"),
    ("Telemetry", {"tracing": [{}, {}]}, "multiple tracing"),
]


@pytest.mark.parametrize(("kind", "spec", "words"), WARNED)
def test_what_istiod_warns_of(kind: str, spec: dict[str, Any], words: str) -> None:
    [found] = findings(kind, spec)
    assert found.startswith("warning ")
    assert words in found
