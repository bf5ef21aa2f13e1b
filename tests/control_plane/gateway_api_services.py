"""What istiod's own tests of the Gateway API find in the cluster beside the objects of each case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DOMAIN = "domain.suffix"
_PORTS = {"http": 80, "tcp": 34000, "tcp-other": 34001}
_SERVICES = """
    default/httpbin apple/httpbin-apple banana/httpbin-banana default/httpbin-second default/httpbin-wildcard
    default/foo-svc default/httpbin-other default/example default/echo cert/httpbin service/my-svc
    allowed-1/a-example allowed-2/a-example allowed-1/b-example allowed-1/svc2 allowed-2/svc2 allowed-1/svc1
    allowed-2/svc3 default/svc4 group-namespace1/httpbin group-namespace2/httpbin default/httpbin-zero
    istio-system/httpbin default/httpbin-mirror default/httpbin-foo default/httpbin-alt istio-system/istiod
    istio-system/echo default/httpbin-bad default/echo-1 default/echo-2 default/echo-port default/not-found
"""
_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
_NO_PEM = "SGVsbG8gd29ybGQK"
_SECRETS = {
    "istio-system/my-cert": _PEM,
    "istio-system/my-cert-http": _PEM,
    "istio-system/my-cert-http2": _PEM,
    "cert/cert": _PEM,
    "bookinfo/bookinfo-secret": _PEM,
    "istio-system/malformed": _NO_PEM,
}
_CONFIG_MAPS = {
    "istio-system/malformed": {"not-ca.crt": "hello"},
    "istio-system/malformed-trustbundle": {"ca.crt": "hello"},
    "istio-system/my-cert-http": {"ca.crt": _PEM},
    "default/auth-cert": {"ca.crt": _PEM},
}
_NAMESPACES = {
    "default": "other",
    "istio-system": "other",
    "group-namespace1": "group",
    "group-namespace2": "group",
}
_MORE_NAMESPACES = {
    "apple": "other", "banana": "other", "cert": "other", "allowed-1": "allowed", "allowed-2": "allowed",
    "service": "other", "bookinfo": "other",
}  # fmt: skip


def surroundings(*, few_namespaces: bool) -> Iterator[dict[str, Any]]:
    """Services, credentials and namespaces.

    `few_namespaces`: only four, so that a selector of absent labels finds no more.
    """
    labels = _NAMESPACES if few_namespaces else {**_NAMESPACES, **_MORE_NAMESPACES}
    for name, part in labels.items():
        found = {"istio.io/test-name-part": part}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": found}}
    gateway = _object("v1", "Service", "istio-system/istio-ingressgateway")
    gateway["spec"] = {"ports": _service_ports({"https": 443, **_PORTS})}
    gateway["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    yield gateway
    plain = [each for each in _SERVICES.split() if each.partition("/")[0] in labels]
    for name in plain:
        yield {**_object("v1", "Service", name), "spec": {"ports": _service_ports(_PORTS)}}
    for name, host in (("istio-system/outside", "example.com"), ("default/google", "google.com")):
        ports = [{"name": each, "number": port, "protocol": "TCP"} for each, port in _PORTS.items()]
        spec = {"hosts": [host], "resolution": "DNS", "ports": ports}
        yield {**_object("networking.istio.io/v1", "ServiceEntry", name), "spec": spec}
    for name, text in _SECRETS.items():
        yield {**_object("v1", "Secret", name), "stringData": {"tls.crt": text, "tls.key": text}}
    for name, data in _CONFIG_MAPS.items():
        yield {**_object("v1", "ConfigMap", name), "data": data}


def _object(api_version: str, kind: str, name: str) -> dict[str, Any]:
    namespace, _, short = name.partition("/")
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": short, "namespace": namespace}}


def _service_ports(ports: dict[str, int]) -> list[dict[str, Any]]:
    targets = {"http": {"targetPort": 8080}}
    return [{"name": name, "port": port, **targets.get(name, {})} for name, port in ports.items()]
