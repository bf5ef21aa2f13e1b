"""One pod from its plan to its end: what runs in it, in which order it starts, and what is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot
from minimesh.platform import container_plans
from minimesh.platform.container import RestartPolicy
from minimesh.platform.container_plans import (
    INGRESS_GATEWAY,
    ContainerPlanner,
    PlacedPod,
    PlannedContainer,
)
from minimesh.platform.environment import PodFacts
from minimesh.platform.images import Program
from minimesh.platform.pod import Pod
from minimesh.platform.pod_events import NODE_NAME
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.runtime_settings import RuntimeSettings
from minimesh.platform.state import StateFolder
from minimesh.platform.workloads import workloads
from tests.platform.immediate_processes import Processes

LIMIT_S = 20.0
ADDRESS = PodAddress("127.10.0.2", "127.11.0.2", {15000: 25000}, {8080: 18080, 9090: 19090})


def resource(app: str = "") -> Resource:
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  restartPolicy: OnFailure
  containers:
  - {{name: app, image: web, ports: [{{name: probed, containerPort: 9090}}]{app}}}
  - {{name: istio-proxy, image: proxy, args: [proxy, sidecar]}}
"""
    (found,) = decode(text, "pod.yaml").resources
    return found


def placed(pod: Resource, address: PodAddress = ADDRESS, **changed: Any) -> PlacedPod:
    (workload,) = workloads(Snapshot.of([pod]))
    facts = PodFacts(
        name="web",
        namespace="default",
        pod_ip=address.pod_ip,
        app_address=address.app_address,
        service_account="default",
        labels={"app": "web"},
        annotations={},
        http_proxy=address.http_proxy,
    )
    return PlacedPod(replace(workload, **changed), facts, address)


@pytest.fixture
def planner(tmp_path: Path) -> ContainerPlanner:
    settings = RuntimeSettings(xds_address="127.0.0.1:15010", inherited={"PATH": "/bin"})
    return ContainerPlanner(settings, StateFolder(tmp_path))


def planned(planner: ContainerPlanner, pod: PlacedPod) -> list[PlannedContainer]:
    program = Program("web", ("--listen", "{host}:{port}"), 8080, {"IMAGE": "says"})
    return list(planner.containers(pod, {"app": program}, Snapshot.of([])))


def test_the_application_listens_where_its_port_is_and_calls_through_its_proxy(
    planner: ContainerPlanner,
) -> None:
    app, proxy = planned(planner, placed(resource()))
    assert app.plan.request is not None
    assert app.plan.request.argv == ("--listen", "127.11.0.2:18080")
    assert app.plan.restart_policy is RestartPolicy.ON_FAILURE
    assert (app.environment["IMAGE"], app.environment["http_proxy"]) == ("says", "http://127.11.0.2:15080")
    assert "http_proxy" not in proxy.environment
    assert proxy.environment["MINIMESH_PROXY_ADMIN"] == "127.10.0.2:25000"
    assert proxy.plan.restart_policy is RestartPolicy.ALWAYS


def test_an_image_that_nobody_knows_is_a_refusal(planner: ContainerPlanner) -> None:
    app, _ = planner.containers(placed(resource()), {"app": "no such image"}, Snapshot.of([]))
    assert (app.plan.request, app.plan.refusal) == (None, "no such image")


@pytest.mark.parametrize(
    ("probe", "checked"),
    [
        ("", ("tcp", "127.11.0.2", 18080)),
        (", readinessProbe: {tcpSocket: {port: probed}}", ("tcp", "127.11.0.2", 19090)),
        (", readinessProbe: {httpGet: {port: probed, path: /up}}", ("http", "127.11.0.2", 19090, "/up")),
        (", readinessProbe: {httpGet: {port: 8080}}", ("http", "127.11.0.2", 18080, "/")),
        (", readinessProbe: {httpGet: {port: unknown}}", ("tcp", "127.11.0.2", 18080)),
    ],
)
def test_an_application_is_ready_when_its_probe_says_so_or_its_port_is_open(
    probe: str, checked: tuple[object, ...], planner: ContainerPlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_plans, "tcp_check", lambda *where: ("tcp", *where))
    monkeypatch.setattr(container_plans, "http_check", lambda *where: ("http", *where))
    app, proxy = planned(planner, placed(resource(probe)))
    assert app.plan.check == checked
    assert proxy.plan.check == ("http", "127.10.0.2", 25000, "/ready")


@pytest.mark.parametrize(
    ("changed", "address", "bound"),
    [
        ({}, ADDRESS, False),
        ({"owner": INGRESS_GATEWAY}, ADDRESS, True),
        ({"owner": INGRESS_GATEWAY}, PodAddress("127.0.0.1", "127.0.0.1"), False),
    ],
)
def test_the_ingress_gateway_listens_on_localhost_too(
    changed: dict[str, Any], address: PodAddress, bound: bool, planner: ContainerPlanner
) -> None:
    _, proxy = planned(planner, placed(resource(), address, **changed))
    assert proxy.plan.request is not None
    assert ("--also-bind" in proxy.plan.request.argv) is bound


class Life:
    """A pod whose containers are ready when a test says so."""

    def __init__(self, planner: ContainerPlanner, pod: PlacedPod) -> None:
        self.ready: set[str] = set()
        self.processes = Processes()
        self._news = asyncio.Event()
        containers = [
            replace(each, plan=replace(each.plan, check=self._check(each.plan.name)))
            for each in planned(planner, pod)
        ]
        self.pod = Pod(pod, containers, processes=self.processes, changed=lambda _pod: self._news.set())

    def _check(self, name: str) -> Callable[[], Any]:
        async def check() -> bool:
            return name in self.ready

        return check

    @property
    def started(self) -> Sequence[str]:
        return [each.id.partition("#")[0] for each in self.processes.all]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def end(self) -> None:
        await self.pod.stop(proxy_grace_s=LIMIT_S, app_grace_s=LIMIT_S)


async def test_the_application_starts_once_its_proxy_is_ready(planner: ContainerPlanner) -> None:
    life = Life(planner, placed(resource()))
    life.pod.start()
    await life.until(lambda: bool(life.started))
    assert (life.started, life.pod.ready) == (["proxy"], False)
    life.ready.add("istio-proxy")
    await life.until(lambda: life.started == ["proxy", "web"])
    assert not life.pod.ready
    life.ready.add("app")
    await life.until(lambda: life.pod.ready)
    life.pod.terminating = True
    assert (life.pod.ready, life.pod.shown_state) == (False, "Terminating")
    await life.end()


async def test_a_pod_is_reported_with_its_node_its_address_and_its_mapped_ports(
    planner: ContainerPlanner,
) -> None:
    stored = resource()
    life = Life(planner, placed(stored))
    reported = life.pod.reported(stored)
    assert (reported.spec.node_name, reported.raw["spec"]["nodeName"]) == (NODE_NAME, NODE_NAME)
    assert reported.raw["spec"]["restartPolicy"] == "OnFailure"
    assert reported.metadata.annotations["minimesh.dev/port-map"] == "15000=25000"
    assert (reported.status.pod_ip, reported.status.phase) == ("127.10.0.2", "Pending")
    assert {each.type: each.status for each in reported.status.conditions} == {
        "PodScheduled": "True",
        "Initialized": "True",
        "ContainersReady": "False",
        "Ready": "False",
    }
