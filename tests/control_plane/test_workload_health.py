"""A WorkloadGroup's probe decides whether workloads that registered themselves are endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.server import Server

from minimesh.config.istio.workload_group import HTTPHeader, HTTPHealthCheckConfig, ReadinessProbe
from minimesh.control_plane.discovery.workload_health import Verdict, WorkloadHealth, succeeds
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
from tests.control_plane.meshes import push, snapshot
from tests.data_plane.sockets import free_port
from tests.proofs import proves

_PATIENCE_S = 30
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""


def group(probe: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {{name: machines}}
spec: {{template: {{}}, probe: {{{probe}}}}}
"""


def machine(port: int = 0) -> RegisteredWorkload:
    """A workload at this machine; its port 8080 is the real `port`."""
    return RegisteredWorkload(
        "vm-1", "default", "127.0.0.1", {"app": "web"}, port_map={8080: port}, group="machines"
    )


class Application:
    """Answers a probe with `status`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path_qs, request.host, request.headers.get("x-probe", "")))
        return web.Response(status=self.status)


@contextlib.asynccontextmanager
async def application() -> AsyncIterator[tuple[Application, int]]:
    found = Application()
    server = web.Server(found.answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield found, int(site.name.rpartition(":")[2])
    finally:
        await _turns()  # a probe's connection that was just accepted is only now the server's
        await runner.cleanup()
        await _turns()  # transports tell that they are closed


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Watched:
    """The health of one machine, asked anew whenever it is said to have changed."""

    def __init__(self, workload: RegisteredWorkload, probe: str) -> None:
        self._changed = asyncio.Event()
        self._manifests = (SERVICE, group(probe))
        self._workload = workload
        self.health = WorkloadHealth(self._changed.set)

    def endpoints(self) -> list[str]:
        judged = self.health.judged([self._workload], snapshot(*self._manifests))
        registry = push(*self._manifests, registered=judged).registry
        [service] = [each for each in registry.services if each.name == "web"]
        return [each.address for each in registry.endpoints(service, service.ports[0])]

    async def until(self, expected: list[str]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while self.endpoints() != expected:
                await self._changed.wait()
                self._changed.clear()


@contextlib.asynccontextmanager
async def watched(workload: RegisteredWorkload, probe: str) -> AsyncIterator[Watched]:
    found = Watched(workload, probe)
    try:
        yield found
    finally:
        await found.health.stop()


@proves("WorkloadGroup", "spec.probe.httpGet.**", "spec.probe.periodSeconds")
async def test_a_machine_is_an_endpoint_while_its_probe_is_answered() -> None:
    get = "{path: /ready?a=b, port: 8080, host: web.example, httpHeaders: [{name: x-probe, value: here}]}"
    async with (
        application() as (served, port),
        watched(machine(port), f"httpGet: {get}, periodSeconds: 1, failureThreshold: 1") as watch,
    ):
        assert watch.endpoints() == []
        await watch.until(["127.0.0.1"])
        assert served.asked[0] == ("/ready?a=b", "web.example", "here")
        served.status = 503
        await watch.until([])
        served.status = 302
        await watch.until(["127.0.0.1"])


@proves("WorkloadGroup", "spec.probe.tcpSocket.**")
async def test_a_connection_that_is_taken_is_enough_for_a_tcp_probe() -> None:
    async with application() as (_, port), watched(machine(port), "tcpSocket: {port: 8080}") as watch:
        await watch.until(["127.0.0.1"])


@proves("WorkloadGroup", "spec.probe.grpc.**")
async def test_a_machine_is_an_endpoint_while_its_health_service_says_so() -> None:
    healthy = ServiceStatus()
    server = Server([Health({_Named("shop"): [healthy], _Named("other"): []})])
    port = free_port()
    await server.start("127.0.0.1", port)
    probe = "grpc: {port: 8080, service: shop}, periodSeconds: 1, failureThreshold: 1"
    try:
        async with watched(machine(port), probe) as watch:
            assert watch.endpoints() == []
            healthy.set(True)
            await watch.until(["127.0.0.1"])
            healthy.set(False)
            await watch.until([])
        async with watched(machine(port), "grpc: {port: 8080, service: nobody}, periodSeconds: 1") as watch:
            healthy.set(True)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(watch.until(["127.0.0.1"]), 1.5)
    finally:
        server.close()
        await server.wait_closed()
        await _turns()


class _Named:
    """What grpclib's health service asks of the services it tells of: their names."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __mapping__(self) -> dict[str, object]:
        return {f"/{self._name}/Any": None}


async def test_a_machine_without_a_probe_is_an_endpoint_at_once() -> None:
    async with watched(machine(), "exec: {command: [/bin/true]}") as watch:
        assert watch.endpoints() == ["127.0.0.1"]


@proves("WorkloadGroup", "spec.probe.initialDelaySeconds")
async def test_a_machine_may_be_left_alone_at_first() -> None:
    async with (
        application() as (at_once, first),
        application() as (never, second),
        watched(machine(first), "httpGet: {port: 8080}") as watch,
        watched(machine(second), "httpGet: {port: 8080}, initialDelaySeconds: 3600") as patient,
    ):
        assert patient.endpoints() == []
        await watch.until(["127.0.0.1"])
        assert (len(at_once.asked), never.asked) == (1, [])


@pytest.mark.parametrize(
    "get",
    [
        HTTPHealthCheckConfig(port=8080, http_headers=(HTTPHeader(name="x", value="a\r\nb"),)),
        HTTPHealthCheckConfig(port=8080, scheme="nonsense"),
    ],
)
async def test_a_probe_that_cannot_be_asked_has_failed(get: HTTPHealthCheckConfig) -> None:
    async with application() as (served, port):
        assert not await succeeds(machine(port), ReadinessProbe(http_get=get))
        assert served.asked == []


@proves("WorkloadGroup", "spec.probe.timeoutSeconds")
async def test_an_answer_that_does_not_come_in_time_is_none() -> None:
    called, gone = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read()
        writer.close()
        gone.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    probe = "httpGet: {port: 8080}, timeoutSeconds: 1, periodSeconds: 1"
    async with watched(machine(port), probe) as watch, asyncio.timeout(_PATIENCE_S):
        assert watch.endpoints() == []
        await called.wait()
        called.clear()
        # It is asked again, so the first time is over: without a limit it would last for an hour.
        await called.wait()
        assert watch.endpoints() == []
        gone.clear()
    await asyncio.wait_for(gone.wait(), _PATIENCE_S)
    silent.close()
    await _turns()


@proves("WorkloadGroup", "spec.probe.successThreshold", "spec.probe.failureThreshold")
@pytest.mark.parametrize(
    ("answers", "states"),
    [
        ("++", "-+"),
        ("+-++", "---+"),
        ("++---", "-+++-"),
        ("++--+--", "-++++++"),
    ],
)
def test_a_row_of_answers_turns_what_is_thought(answers: str, states: str) -> None:
    verdict = Verdict(success_threshold=2, failure_threshold=3)
    found = ""
    for answer in answers:
        verdict.turned_by(answer == "+")
        found += "+" if verdict.is_ready else "-"
    assert found == states
