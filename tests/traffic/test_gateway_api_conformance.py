"""The conformance tests of the Gateway API: real requests through the gateways that are made for Gateways."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from minimesh.config.json_nodes import read_json
from minimesh.config.resources import Resource
from minimesh.config.store import Store
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.kubernetes.controllers.manager import Controllers
from tests.control_plane.meshes import decode_all
from tests.control_plane.oracles import ORACLES
from tests.traffic.echo import SET_HEADERS, Echo
from tests.traffic.engines import ENGINES, Served, serve_gateway, until
from tests.traffic.servers import pod_at

FILE = ORACLES.parent / "gateway_api" / "conformance.json"
CONFORMANCE: dict[str, Any] = (
    json.loads(FILE.read_text()) if FILE.exists() else {"base_manifests": [], "tests": []}
)
NAMESPACE = "gateway-conformance-infra"
BACKENDS = [
    *((f"infra-backend-v{number}", NAMESPACE) for number in (1, 2, 3)),
    *((f"app-backend-v{number}", "gateway-conformance-app-backend") for number in (1, 2)),
    ("web-backend", "gateway-conformance-web-backend"),
]
EXCEPTIONS = {
    "gateway-with-clientcertificate-validation-insecure-fallback": "its certificates are made by the suite, "
    "and are no part of the data",
    "httproute-backend-url-rewrite": "Istio's routes to one of several backends change headers, nothing else",
}
#: Where cases are not for every Gateway of their test: the numbers of those for each.
CASES_OF_GATEWAYS = {"httproute-multiple-gateways": {"same-namespace": (0, 1), "all-namespaces": (2, 3)}}
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LIMIT_S = 30


def _tests() -> Iterator[Any]:
    for test in CONFORMANCE["tests"]:
        why = EXCEPTIONS.get(test["id"])
        if test["cases"]:
            yield pytest.param(test, id=test["id"], marks=[pytest.mark.skip(reason=why)] if why else [])


@pytest.mark.skipif(not FILE.exists(), reason="the oracles are not beside the repository (../shared/oracles)")
def test_few_cases_are_excepted_and_none_that_needs_core_features_only() -> None:
    excepted = [test for test in CONFORMANCE["tests"] if test["id"] in EXCEPTIONS]
    assert {test["id"] for test in excepted} == EXCEPTIONS.keys()
    assert not any(test["core"] for test in excepted)
    others = sum(len(test["cases"]) for test in CONFORMANCE["tests"] if not test["core"])
    assert sum(len(test["cases"]) for test in excepted) < 0.05 * others


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("test", [*_tests()])
async def test_a_conformance_test(test: dict[str, Any], engine: str, tmp_path: Path) -> None:
    wrong = []
    async with contextlib.AsyncExitStack() as stack:
        echoes = [Echo(*each) for each in BACKENDS]
        for each in echoes:
            await stack.enter_async_context(each.running())
        context = _push(test, echoes)
        for gateway in _gateways(test):
            folder = tmp_path / gateway
            folder.mkdir()
            served = await stack.enter_async_context(serve_gateway(engine, _proxy(gateway), context, folder))
            caller = await stack.enter_async_context(_calling(served, echoes))
            numbers = CASES_OF_GATEWAYS.get(test["id"], {}).get(gateway, range(len(test["cases"])))
            for number in numbers:
                case = test["cases"][number]
                wrong += [f"{gateway}: {case['request']}: {each}" for each in await caller.differences(case)]
    assert not wrong, "\n".join(wrong)


def _gateways(test: Mapping[str, Any]) -> list[str]:
    """The Gateways that the requests go to: those that the test names, else the parents of its routes."""
    if test["gateways"]:
        return list(test["gateways"])
    routes = [each for each in test["manifests"] if each["kind"] == "HTTPRoute"]
    return list(dict.fromkeys(parent["name"] for each in routes for parent in each["spec"]["parentRefs"]))


def _push(test: Mapping[str, Any], echoes: Sequence[Echo]) -> PushContext:
    """The objects of the test in a cluster whose controllers have made what Gateways ask for."""
    store = Store()
    for each in (*CONFORMANCE["base_manifests"], *test["manifests"]):
        for resource in _resources(each):
            store.put(resource)
    for echo in echoes:
        for resource in decode_all(
            pod_at(echo.port, {"app": echo.name}, 3000, f"{echo.name}-0", echo.namespace)
        ):
            store.put(resource)
    Controllers(store).settle()
    return PushContext.build(store.snapshot(), (), MeshConfig())


def _resources(document: Mapping[str, Any]) -> Sequence[Resource]:
    """One document, whose Gateways are of Istio's class."""
    if document["kind"] == "Deployment":
        return ()  # its pods are the echoes
    spec = dict(document.get("spec", {}))
    if "gatewayClassName" in spec:
        spec["gatewayClassName"] = "istio"
    return read_json({**document, **({"spec": spec} if spec else {})}, "")[0]


def _proxy(gateway: str) -> Proxy:
    name = f"{gateway}-istio-0"
    return Proxy(
        type="router",
        id=f"router~127.0.0.1~{name}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local",
        ip="127.0.0.1",
        namespace=NAMESPACE,
        labels={"gateway.networking.k8s.io/gateway-name": gateway},
        dns_domain=f"{NAMESPACE}.svc.cluster.local",
        name=name,
    )


@contextlib.asynccontextmanager
async def _calling(served: Served, echoes: Sequence[Echo]) -> AsyncIterator[_Caller]:
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield _Caller(session, served.ports[80], echoes)


class _Caller:
    """Makes the requests of cases, and says what is not as expected."""

    def __init__(self, session: aiohttp.ClientSession, port: int, echoes: Sequence[Echo]) -> None:
        self._session = session
        self._port = port
        self._echoes = {echo.name: echo for echo in echoes}

    async def differences(self, case: Mapping[str, Any]) -> list[str]:
        asked = case["request"]
        host = asked.get("host") or "127.0.0.1"
        headers = {**asked.get("headers", {}), "Host": host}
        if told := case.get("backend_set_response_headers"):
            headers[SET_HEADERS] = ",".join(f"{name}:{value}" for name, value in told.items())
        mirrors = [self._echoes[each["BackendRef"]["Name"]] for each in case.get("mirrored_to", ())]
        path = asked.get("path", "/")
        before = [echo.seen[path] for echo in mirrors]
        url = URL(f"http://127.0.0.1:{self._port}{path}", encoded=True)
        method = asked.get("method", "GET")
        async with self._session.request(method, url, headers=headers, allow_redirects=False) as answer:
            found = [*_of_response(case, answer), *_of_redirect(case, answer, host)]
            if answer.status == 200 and method not in ("HEAD", "OPTIONS"):
                found += _of_request(case, json.loads(await answer.read()))

        async def mirrored() -> bool:
            return all(echo.seen[path] > count for echo, count in zip(mirrors, before, strict=True))

        await until(mirrored)
        return found


def _of_response(case: Mapping[str, Any], answer: aiohttp.ClientResponse) -> Iterator[str]:
    expected = case.get("response", {})
    statuses = expected.get("status_codes") or [expected.get("status_code", 200)]
    if answer.status not in statuses:
        yield f"status {answer.status}, not {statuses}"
    wanted = {name: [value] for name, value in expected.get("headers", {}).items()}
    wanted |= expected.get("valid_header_values", {})
    blind = expected.get("ignore_whitespace", False)
    for name, values in wanted.items():
        shown = ",".join(answer.headers.getall(name, []))
        if _squeezed(shown, blind) not in [_squeezed(each, blind) for each in values]:
            yield f"response header {name}: {shown!r}, not one of {values}"
    for name in expected.get("absent_headers", ()):
        if name in answer.headers:
            yield f"response header {name}: {answer.headers[name]!r}"


def _squeezed(text: str, blind: bool) -> str:
    return text.replace(" ", "") if blind else text


def _of_redirect(case: Mapping[str, Any], answer: aiohttp.ClientResponse, host: str) -> Iterator[str]:
    """The parts of the address that are not expected to change are those of the request."""
    wanted = case.get("redirect_request")
    if wanted is None:
        return
    found = urlsplit(answer.headers.get("location", ""))
    scheme = wanted.get("scheme", "http")
    path = wanted.get("path", urlsplit(case["request"]["path"]).path)
    expected = (scheme, wanted.get("host", host), wanted.get("port", _DEFAULT_PORTS[scheme]), path)
    port = str(found.port or _DEFAULT_PORTS.get(found.scheme))
    shown = (found.scheme, found.hostname or "", port, found.path)
    if shown != expected:
        yield f"redirect to {shown}, not {expected}"


def _of_request(case: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[str]:
    """What reached the backend: as it was sent, where nothing else is expected."""
    expected = case.get("expected_request", {})
    wanted = expected.get("request", {})
    # By name alone, which is unique: the data gives all cases of a test one namespace, right or not.
    if "backend" in case and seen["backend"] != case["backend"]:
        yield f"it came to {seen['backend']}, not {case['backend']}"
    path = wanted.get("path") or case["request"].get("path", "/")
    if seen["path"] != path:
        yield f"path {seen['path']}, not {path}"
    host = wanted.get("host") or case["request"].get("host")
    if host and seen["host"] != host:
        yield f"host {seen['host']}, not {host}"
    headers: Mapping[str, str] = {
        name: value for name, value in (wanted.get("headers") or {}).items() if name != SET_HEADERS
    }
    for name, value in headers.items():
        if seen["headers"].get(name.lower()) != value:
            yield f"request header {name}: {seen['headers'].get(name.lower())!r}, not {value!r}"
    for name in expected.get("absent_headers", ()):
        if name.lower() in seen["headers"]:
            yield f"request header {name} is there"
