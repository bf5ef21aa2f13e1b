"""The mesh that all scenarios share: a control plane, two engines' proxies, and the backends behind them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimesh.config.decoding import decode
from minimesh.config.diagnostics import Severity
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Store
from minimesh.control_plane.discovery.delivery import Delivery
from minimesh.control_plane.server import ControlPlane
from minimesh.platform.pod_network import PodAddress
from minimesh.xds.resource_names import ROUTE_TYPE_URL
from tests.control_plane.meshes import running_pod
from tests.scenarios.client import Answer, ask
from tests.scenarios.engines import ENGINES, HTTP_PROXY_PORT, ProxyProcess
from tests.scenarios.scenario import FOLDER, Call, Scenario
from tests.scenarios.world import Backends, free_range

READY_LIMIT_S = 60.0
LOG_LIMIT_S = 10.0
_LOOK_S = 0.01
#: name -> (labels, port, whether it speaks HTTP); the address is given by the order.
BACKENDS: dict[str, tuple[dict[str, str], int, bool]] = {
    "productpage": ({"app": "productpage", "version": "v1"}, 9080, True),
    "details": ({"app": "details", "version": "v1"}, 9080, True),
    "ratings": ({"app": "ratings", "version": "v1"}, 9080, True),
    "reviews-v1": ({"app": "reviews", "version": "v1"}, 9080, True),
    "reviews-v2": ({"app": "reviews", "version": "v2"}, 9080, True),
    "reviews-v3": ({"app": "reviews", "version": "v3"}, 9080, True),
    "httpbin": ({"app": "httpbin", "version": "v1"}, 9080, True),
    "helloworld-v1": ({"app": "helloworld", "version": "v1"}, 9080, True),
    "helloworld-v2": ({"app": "helloworld", "version": "v2"}, 9080, True),
    "other": ({"app": "other"}, 9080, True),
    "tcp-echo-v1": ({"app": "tcp-echo", "version": "v1"}, 9000, False),
    "outside": ({}, 9080, True),
}
_NAMESPACES = {"other": "elsewhere"}


@dataclass(frozen=True)
class Observation:
    """One call through one engine: the answer, what reached backends, with what differs by chance masked."""

    answer: Answer
    shown: tuple[str, ...]
    seen: tuple[str, ...]


class Lab:
    """Runs one scenario at a time. `prefix` are the first three numbers of every address."""

    def __init__(self, folder: Path) -> None:
        self.prefix = free_range()
        self.store = Store()
        self.control_plane = ControlPlane(self.store, ads_port=0, debug_port=0)
        self.backends = Backends()
        self._base = _decoded([(FOLDER / "base.yaml").read_text()])
        self.proxies = {
            (engine, kind): self._proxy(folder, engine, kind, number)
            for number, (engine, kind) in enumerate((e, k) for e in ENGINES for k in ("router", "sidecar"))
        }

    def address(self, backend: str) -> str:
        return f"{self.prefix}.{list(BACKENDS).index(backend) + 10}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for name, (_, port, http) in BACKENDS.items():
            await self.backends.start(name, self.address(name), port, http=http)
        for proxy in self.proxies.values():
            if proxy.kind == "sidecar":
                await self.backends.start("sleep", proxy.address.app_address, 8000)
        self._apply("base.yaml", self._base)
        for pod in self._pods():
            # Put, not declared by a file: the status of what a file declares is not the file's to say.
            for resource in decode(pod, "pod.yaml").resources:
                self.store.put(resource)
        await self.control_plane.start()
        try:
            async with contextlib.AsyncExitStack() as stack:
                for proxy in self.proxies.values():
                    await stack.enter_async_context(proxy.running(self.control_plane.ads_port))
                await self.settled()
                yield
        finally:
            await self.control_plane.stop()
            await self.backends.stop()

    async def configure(self, documents: Sequence[str]) -> None:
        """Put these in the place of the last scenario's, and wait until every proxy has them."""
        outside = self.address("outside")
        resources = _decoded([each.replace("ADDRESS-OF-OUTSIDE", outside) for each in documents])
        keys = {each.key for each in resources}
        # What a scenario declares takes the place of what is under all of them. The last scenario's go first:
        # what it had replaced comes back. All of it happens before the next push.
        self._apply("scenario.yaml", ())
        self._apply("base.yaml", [each for each in self._base if each.key not in keys])
        self._apply("scenario.yaml", resources)
        await self.settled()

    async def settled(self) -> None:
        """Every proxy has accepted the newest configuration, or said why not."""
        async with asyncio.timeout(READY_LIMIT_S):
            while not self._is_settled():
                await self.control_plane.changed()

    async def observe(self, call: Call, engine: str) -> Observation:
        self.backends.begin()
        host, port = self._where(call, engine)
        answer = await ask(call, host, port)
        if reached := call.expected.get("reached"):
            async with asyncio.timeout(LOG_LIMIT_S):
                while len(self.backends.seen) < reached:  # noqa: ASYNC110 - other programs bring them
                    await asyncio.sleep(_LOOK_S)
        chosen = call.expected.get("any", False)
        seen = sorted(json.dumps(each) for each in self.backends.seen)
        if not reached:
            seen = seen[:0] if chosen else seen
        shown = [f"{answer.status}"]
        shown += [] if chosen else [f"{name}: {value}" for name, value in answer.headers]
        shown += [] if chosen else [answer.body]
        return Observation(
            answer,
            tuple(self._masked(each, engine) for each in shown),
            tuple(self._masked(each, engine) for each in seen),
        )

    def log_position(self, engine: str) -> dict[str, int]:
        return {kind: len(self._log(engine, kind)) for kind in ("router", "sidecar")}

    async def log_lines(self, engine: str, since: dict[str, int], expected: int) -> list[str]:
        """The lines of the engine's proxies after a position, once there are as many as expected."""
        deadline = asyncio.get_running_loop().time() + LOG_LIMIT_S
        while True:
            found = [line for kind, start in since.items() for line in self._log(engine, kind)[start:]]
            if len(found) >= expected or asyncio.get_running_loop().time() > deadline:
                return [self._masked_line(line, engine) for line in found]
            await asyncio.sleep(_LOOK_S)

    def rejections(self) -> list[str]:
        """What proxies have said no to."""
        return [
            f"{proxy['name']} {short}: {each['detail']}"
            for proxy in self.control_plane.status()["proxies"]
            for short, each in proxy["types"].items()
            if each["state"] == "ERROR"
        ]

    def _proxy(self, folder: Path, engine: str, kind: str, number: int) -> ProxyProcess:
        gateway = kind == "router"
        app = "istio-ingressgateway" if gateway else "sleep"
        labels = {"app": app, "istio": "ingressgateway"} if gateway else {"app": app, "version": "v1"}
        address = PodAddress(f"{self.prefix}.{100 + number}", f"{self.prefix}.{200 + number}")
        namespace = "istio-system" if gateway else "default"
        log = folder / f"{engine}-{kind}.log"
        log.touch()
        return ProxyProcess(engine, kind, f"{app}-{engine}", namespace, labels, address, log)

    def _pods(self) -> Iterator[str]:
        for name, (labels, port, _) in BACKENDS.items():
            if labels:
                namespace = _NAMESPACES.get(name, "default")
                yield running_pod(f"{name}-1", self.address(name), labels, {"p": port}, namespace)
        for proxy in self.proxies.values():
            ports = {"http2": 8080} if proxy.kind == "router" else {"http": 8000}
            yield running_pod(proxy.name, proxy.address.pod_ip, proxy.labels, ports, proxy.namespace)

    def _apply(self, file: str, resources: Sequence[Resource]) -> None:
        refused = self.store.apply_file(file, resources)
        assert not refused, refused

    def _is_settled(self) -> bool:
        status = self.control_plane.status()
        if len(status["proxies"]) < len(self.proxies):
            return False
        if status["config"]["last_good_version"] != self.store.snapshot().version:
            return False
        states = [each["state"] for proxy in status["proxies"] for each in proxy["types"].values()]
        return all(state in ("SYNCED", "ERROR") for state in states) and all(
            _has_asked(each.delivery) for each in self.control_plane.connections
        )

    def _where(self, call: Call, engine: str) -> tuple[str, int]:
        gateway, sidecar = (self.proxies[engine, kind].address for kind in ("router", "sidecar"))
        if call.at == "mesh":
            return sidecar.app_address, HTTP_PROXY_PORT
        if call.at == "inbound":
            return sidecar.pod_ip, call.port or 8000
        return gateway.pod_ip, call.port or call.expected.get("to", 8080)

    def _log(self, engine: str, kind: str) -> list[str]:
        text = self.proxies[engine, kind].log.read_text("utf-8", "replace")
        return [line for line in text.split("\n")[:-1] if line.startswith("[20") and '"' in line]

    def _masked(self, text: str, engine: str) -> str:
        for kind in ("router", "sidecar"):
            address = self.proxies[engine, kind].address
            text = text.replace(address.pod_ip, f"{kind}-ip").replace(
                address.app_address, f"{kind}-localhost"
            )
            text = text.replace(self.proxies[engine, kind].name, f"{kind}-pod")
        text = text.replace(_machine_address(), "127.0.0.1")
        # For a copy, Envoy adds the machine's address, and the asyncio proxy its pod's.
        text = _OWN_ADDRESS.sub(r"\1LOCAL", text)
        for pattern, word in _MASKS:
            text = pattern.sub(word, text)
        return text

    def _masked_line(self, line: str, engine: str) -> str:
        return self._masked(_LOG_TIMES.sub(r"\1 DURATION ", line), engine)


_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MASKS = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (_UUID, "UUID"),
        (r"^\[20[^\]]*\]", "[TIME]"),
        (r"^date: .*", "date: DATE"),
        (r"^(x-envoy-upstream-service-time): \d+", r"\1: MS"),
        (r"127\.0\.0\.6:\d+", "127.0.0.6:PORT"),
        # Who calls a pod is known by the address; who calls an address outside the mesh is not told.
        (
            r"(?:127\.0\.0\.1|router-ip|sidecar-ip|sidecar-localhost):(?!8080|8000|8443|15080|31400)\d+",
            "CLIENT:PORT",
        ),
    )
)
_OWN_ADDRESS = re.compile(
    r'("x-forwarded-for": "(?:127\.0\.0\.1,)?)(?:[a-z]+-ip|[a-z]+-localhost|127\.0\.0\.1)(?=")'
)
#: `bytes received, bytes sent, duration, upstream service time`: what is a time.
_LOG_TIMES = re.compile(r'(" \d+ \d+) \d+ (?:\d+|(?=- ))')


def _has_asked(delivery: Delivery) -> bool:
    """Whether the proxy has asked for the routes of all its listeners: a new one waits for them."""
    wanted = delivery.wanted
    return wanted is not None and wanted.route_references <= delivery.stream.type(ROUTE_TYPE_URL).names


def _decoded(texts: Sequence[str]) -> Sequence[Resource]:
    """What is there once all texts were applied: a later one may declare what an earlier one did."""
    found: dict[ResourceKey, Resource] = {}
    for text in texts:
        decoded = decode(text, "scenario.yaml")
        errors = [str(each) for each in decoded.diagnostics if each.severity is Severity.ERROR]
        assert not errors, errors
        found |= {each.key: each for each in decoded.resources}
    return [*found.values()]


@functools.cache
def _machine_address() -> str:
    """What Envoy takes a client on loopback for: the machine's first other address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def compare(lab: Lab, scenario: Scenario) -> list[str]:
    """Run a scenario on both engines; what is not as expected, and what differs, a line each."""
    await lab.configure(scenario.documents)
    faults = [f"rejected: {each}" for each in lab.rejections()]
    found: dict[str, list[Observation]] = {}
    lines: dict[str, list[str]] = {}
    for engine in ENGINES:
        before = lab.log_position(engine)
        found[engine] = [await lab.observe(call, engine) for call in scenario.calls]
        answered = sum(not each.answer.refused for each in found[engine])
        lines[engine] = await lab.log_lines(engine, before, answered)
        for number, (call, observation) in enumerate(zip(scenario.calls, found[engine], strict=True), 1):
            faults += [f"call {number}, {engine}: {each}" for each in unexpected(call, observation)]
        flags = [call.expected["flag"] for call in scenario.calls if "flag" in call.expected]
        logged = "\n".join(lines[engine])
        faults += [f"{engine}: no {flag} in the log: {logged}" for flag in flags if f" {flag} " not in logged]
    ours, envoys = (found[engine] for engine in ENGINES)
    for number, (our, other) in enumerate(zip(ours, envoys, strict=True), 1):
        faults += [f"call {number} {each}" for each in _differences(our.shown, other.shown)]
        faults += [f"call {number} at backends {each}" for each in _differences(our.seen, other.seen)]
    if not any(call.expected.get("any") for call in scenario.calls):
        faults += [f"log {each}" for each in _differences(*(lines[engine] for engine in ENGINES))]
    return faults


def unexpected(call: Call, observation: Observation) -> Iterator[str]:
    """What the call's own expectations say against the observation."""
    answer, expected = observation.answer, call.expected
    request: dict[str, Any] = answer.request
    told: dict[str, Any] = {
        "status": answer.status,
        "by": request.get("backend", answer.body.split(" ")[0].strip()),
        "path": request.get("line", "  ").split(" ")[1],
        "host": request.get("headers", {}).get("host"),
        "location": answer.header("location"),
        "reached": len(observation.seen),
    }
    for key, value in told.items():
        if key in expected and expected[key] != value:
            yield f"{key} is {value!r}, not {expected[key]!r}"
    for name, value in expected.get("has", {}).items():
        if answer.header(name) != str(value):
            yield f"header {name} is {answer.header(name)!r}, not {value!r}"
    for name in expected.get("lacks", ()):
        if answer.header(name) is not None:
            yield f"header {name} is there: {answer.header(name)!r}"
    for name, value in expected.get("sees", {}).items():
        seen = request.get("headers", {}).get(name)
        if seen != value:
            yield f"the backend saw {name}: {seen!r}, not {value!r}"


def _differences(ours: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    if list(ours) != list(others):
        only_ours = [each for each in ours if each not in others]
        only_theirs = [each for each in others if each not in ours]
        yield f"differs: asyncio {only_ours or list(ours)} envoy {only_theirs or list(others)}"
