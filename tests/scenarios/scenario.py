"""Scenarios as data: configuration, calls, and what is expected of them; many to a file.

    name: a header chooses the version
    http: [...]            # the routes of a VirtualService for shop.example at the gateway
    mesh: {reviews: [...]} # ... of one for each host inside the mesh
    config: [{kind: DestinationRule, name: r, spec: {...}}]
    files: [bookinfo/networking/virtual-service-all-v1.yaml]   # published samples
    instead: {www.googleapis.com: localhost}   # text in those, and what stands there instead
    calls:
    - {call: GET shop.example/a, headers: {x: y}, status: 200, by: reviews-v1, path: /b}

`call` is a request at the gateway; with `at: mesh` the application sleep makes it through its sidecar, and
with `at: inbound` somebody calls the application sleep itself. Of what is expected, `by` is the backend that
answered, `path`, `host` and `sees` what reached it, `has` and `lacks` are headers of the answer, `reached` is
the number of requests that arrived at backends, mirrored and repeated ones included, `flag` is the response
flag in the access log. `any: true`: which backend answers is left to chance. `to`: another port of the
gateway. `tcp: PORT` with `send` is a connection that is no HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SAMPLES = FOLDER.parents[2] / "shared" / "reference" / "samples" / "istio"
_API_VERSIONS = {
    "Service": "v1",
    "Secret": "v1",
    "Telemetry": "telemetry.istio.io/v1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
    "TCPRoute": "gateway.networking.k8s.io/v1alpha2",
    "TLSRoute": "gateway.networking.k8s.io/v1alpha2",
    "Ingress": "networking.k8s.io/v1",
}
_CALL_KEYS = frozenset(
    {"call", "at", "headers", "body", "status", "by", "path", "host", "sees", "has", "lacks", "location"}
    | {"reached", "flag", "any", "to", "tcp", "send", "times"}
)


@dataclass(frozen=True)
class Call:
    """One call and what is expected of it; an absent expectation is left to the other engine."""

    at: str
    method: str = "GET"
    authority: str = ""
    target: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    port: int = 0
    send: str = ""
    expected: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_tcp(self) -> bool:
        return self.port != 0


@dataclass(frozen=True)
class Scenario:
    name: str
    documents: tuple[str, ...]
    calls: tuple[Call, ...]
    needs_samples: bool = False


def scenarios() -> Iterator[Scenario]:
    """All scenarios of all files, named `file: name`."""
    for file in sorted((FOLDER / "cases").glob("*.yaml")):
        for written in yaml.safe_load(file.read_text()):
            yield _scenario(file.stem, written)


def _scenario(group: str, written: dict[str, Any]) -> Scenario:
    documents = [
        *(json.dumps(each) for each in _virtual_services(written)),
        *(json.dumps(_document(each)) for each in written.get("config", ())),
        *(_sample(file, written.get("instead", {})) for file in written.get("files", ()) if SAMPLES.exists()),
    ]
    calls = tuple(call for each in written["calls"] for call in _calls(each))
    return Scenario(f"{group}: {written['name']}", tuple(documents), calls, "files" in written)


def _sample(file: str, instead: Mapping[str, str]) -> str:
    text = (SAMPLES / file).read_text()
    for old, new in instead.items():
        text = text.replace(old, new)
    return text


def _virtual_services(written: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "http" in written:
        spec = {"hosts": ["shop.example"], "gateways": ["edge"], "http": written["http"]}
        yield _document({"kind": "VirtualService", "name": "shop", "spec": spec})
    for host, routes in written.get("mesh", {}).items():
        spec = {"hosts": [host], "http": routes}
        yield _document({"kind": "VirtualService", "name": f"{host.split('.')[0]}-mesh", "spec": spec})


def _document(written: Mapping[str, Any]) -> dict[str, Any]:
    """A whole resource out of kind, name, namespace, labels and the rest as it is."""
    short = ("kind", "name", "namespace", "labels")
    metadata = {key: written[key] for key in ("name", "namespace", "labels") if key in written}
    rest = {key: value for key, value in written.items() if key not in short}
    version = _API_VERSIONS.get(written["kind"], "networking.istio.io/v1")
    return {"apiVersion": version, "kind": written["kind"], "metadata": metadata, **rest}


def _calls(written: dict[str, Any]) -> Iterator[Call]:
    unknown = written.keys() - _CALL_KEYS
    if unknown:
        raise ValueError(f"no such thing in a call: {sorted(unknown)}")
    expected = {
        key: written[key]
        for key in _CALL_KEYS - {"call", "at", "headers", "body", "tcp", "send", "times"}
        if key in written
    }
    at = written.get("at", "gateway")
    if "tcp" in written:
        yield Call(at, port=written["tcp"], send=written.get("send", "hello"), expected=expected)
        return
    method, _, url = written["call"].partition(" ")
    authority, slash, target = url.partition("/")
    headers = {key: str(value) for key, value in written.get("headers", {}).items()}
    call = Call(
        at, method, authority, slash + target or "/", headers, written.get("body", ""), expected=expected
    )
    for _ in range(written.get("times", 1)):
        yield call
