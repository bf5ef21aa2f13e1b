"""For each field of Ingress and IngressClass that acts: a value that makes a difference to what is sent."""

from __future__ import annotations

from collections.abc import Iterator

from tests.control_plane.effects.effect import Effect, Table, given

ANOTHER_CLASS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: another}
spec: {controller: example.com/another}
"""
OF_THE_CLASS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: of-the-class, namespace: default}
spec:
  ingressClassName: subject
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
"""
_RULE = "spec.rules[]"
_PATH = f"{_RULE}.http.paths[]"
_PORT = f"{_PATH}.backend.service.port"
_SERVED = {
    "spec.ingressClassName": "istio",
    _PATH: {
        "path": "/a",
        "pathType": "Prefix",
        "backend": {"service": {"name": "other", "port": {"number": 80}}},
    },
}
_BY_PORT_NAME = {**_SERVED, f"{_PATH}.backend.service.port": {"name": "http"}}
_SECURE = {**_SERVED, "spec.tls": [{"hosts": ["a.com"], "secretName": "certificate"}]}
INGRESS: Table = {
    "spec.ingressClassName": given("another", _SERVED),
    "spec.tls[].hosts": given(["b.com"], _SECURE),
    "spec.tls[].secretName": given("another", _SECURE),
    f"{_RULE}.host": given("a.com", _SERVED),
    f"{_PATH}.path": given("/b", _SERVED),
    f"{_PATH}.pathType": given("Exact", _SERVED),
    f"{_PATH}.backend.service.name": given("web", _SERVED),
    f"{_PORT}.name": given("http-more", _BY_PORT_NAME),
    f"{_PORT}.number": given(81, _SERVED),
}
INGRESS_CLASS: Table = {
    "spec.controller": given("example.com/another", {"spec.controller": "istio.io/ingress-controller"}),
}


def effects() -> Iterator[Effect]:
    """Every effect of every kind."""
    for kind, table, documents in (
        ("Ingress", INGRESS, (ANOTHER_CLASS,)),
        ("IngressClass", INGRESS_CLASS, (OF_THE_CLASS,)),
    ):
        for path, entry in table.items():
            yield Effect.of(kind, path, entry, {}, documents)
