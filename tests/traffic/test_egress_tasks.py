"""Istio's tasks about calls that leave the mesh, with their own YAML, on both engines.

The hosts of the texts are mapped to servers on this machine by the endpoints of their ServiceEntries.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minimesh.control_plane.mesh_config import OutboundTrafficPolicy
from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.translation.proxy import Proxy
from tests.control_plane.meshes import sidecar_proxy
from tests.proofs import proves
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import pod_at, web

PROXY_PORT = 15080
CURL = sidecar_proxy({"app": "curl"})

HTTPBIN_EXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: httpbin-ext
spec:
  hosts:
  - httpbin.org
  ports:
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
  location: MESH_EXTERNAL
"""
TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin-ext
spec:
  hosts:
  - httpbin.org
  http:
  - timeout: 0.3s
    route:
    - destination:
        host: httpbin.org
      weight: 100
"""


def at(port: int, manifest: str, name: str = "http") -> str:
    """The ServiceEntry, its host mapped to a port of this machine."""
    return f"{manifest.rstrip()}\n  endpoints: [{{address: 127.0.0.1, ports: {{{name}: {port}}}}}]\n"


async def get(served: Served, port: int, host: str, path: str = "/") -> tuple[int, str]:
    """Status and body of a request's answer."""
    reader, writer = await served.connect(port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return int(head.split(" ")[1]), body


def registry_only(folder: Path, engine: str) -> MeshConfig:
    return MeshConfig(
        access_log_file=str(folder / f"{engine}.log"),
        outbound_traffic_policy=OutboundTrafficPolicy.REGISTRY_ONLY,
    )


@proves("ServiceEntry", "spec.hosts", "spec.ports[].number", "spec.ports[].protocol", "spec.resolution")
@pytest.mark.parametrize("engine", ENGINES)
async def test_only_declared_hosts_can_be_called(engine: str, tmp_path: Path) -> None:
    """Accessing External Services: change to the blocking-by-default policy, then declare a service."""
    async with web("outside") as port:
        mesh = registry_only(tmp_path, engine)
        async with serve(engine, CURL, [at(port, HTTPBIN_EXT)], tmp_path, mesh=mesh) as served:
            assert await get(served, PROXY_PORT, "httpbin.org") == (200, "outside httpbin.org plain")
            assert (await get(served, PROXY_PORT, "www.google.com"))[0] == 502
            declared, blocked = await served.log_lines(2)
            assert "outbound|80||httpbin.org" in declared
            assert "block_all" in blocked


@contextlib.asynccontextmanager
async def slow_web() -> AsyncIterator[int]:
    """Takes requests and never answers; yields its port."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_calls_outside_follow_rules(engine: str, tmp_path: Path) -> None:
    """Accessing External Services: manage traffic to external services, by a timeout."""
    async with slow_web() as port, serve(engine, CURL, [at(port, HTTPBIN_EXT), TIMEOUT], tmp_path) as served:
        assert (await get(served, PROXY_PORT, "httpbin.org", "/delay/5"))[0] == 504
        (line,) = await served.log_lines()
        assert " 504 UT " in line


CNN = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: cnn
spec:
  hosts:
  - edition.cnn.com
  ports:
  - number: 80
    name: http-port
    protocol: HTTP
  - number: 443
    name: https
    protocol: HTTPS
  resolution: DNS
"""
THROUGH_THE_GATEWAY = """
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: istio-egressgateway
spec:
  selector:
    istio: egressgateway
  servers:
  - port:
      number: 80
      name: http
      protocol: HTTP
    hosts:
    - edition.cnn.com
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: egressgateway-for-cnn
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets:
  - name: cnn
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: direct-cnn-through-egress-gateway
spec:
  hosts:
  - edition.cnn.com
  gateways:
  - istio-egressgateway
  - mesh
  http:
  - match:
    - gateways:
      - mesh
      port: 80
    route:
    - destination:
        host: istio-egressgateway.istio-system.svc.cluster.local
        subset: cnn
        port:
          number: 80
      weight: 100
  - match:
    - gateways:
      - istio-egressgateway
      port: 80
    route:
    - destination:
        host: edition.cnn.com
        port:
          number: 80
      weight: 100
"""
EGRESS_GATEWAY = Proxy(
    type="router",
    id="router~127.0.0.1~istio-egressgateway-1.istio-system~istio-system.svc.cluster.local",
    ip="127.0.0.1",
    namespace="istio-system",
    labels={"istio": "egressgateway"},
    dns_domain="istio-system.svc.cluster.local",
    name="istio-egressgateway-1",
)


@pytest.mark.parametrize("engine", ENGINES)
async def test_calls_leave_by_the_egress_gateway(engine: str, tmp_path: Path) -> None:
    """Egress Gateways: the part about HTTP. Sidecar and gateway are two proxies here."""
    gateway_folder, sidecar_folder = tmp_path / "gateway", tmp_path / "sidecar"
    gateway_folder.mkdir()
    sidecar_folder.mkdir()
    async with web("cnn") as port:
        manifests = [at(port, CNN, "http-port"), THROUGH_THE_GATEWAY]
        async with serve(engine, EGRESS_GATEWAY, manifests, gateway_folder) as gateway:
            pod = pod_at(gateway.ports[8080], {"istio": "egressgateway", "app": "egress"}, 8080)
            pod = pod.replace('"namespace": "default"', '"namespace": "istio-system"')
            async with serve(engine, CURL, [*manifests, pod], sidecar_folder) as sidecar:
                answer = await get(sidecar, PROXY_PORT, "edition.cnn.com", "/politics")
                assert answer == (200, "cnn edition.cnn.com plain")
                (from_sidecar,) = await sidecar.log_lines()
                (from_gateway,) = await gateway.log_lines()
    subset = "outbound|80|cnn|istio-egressgateway.istio-system.svc.cluster.local"
    assert subset in from_sidecar
    assert "outbound|80||edition.cnn.com" in from_gateway


BOUND = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress:
  - port: {number: 3128, protocol: HTTP, name: egress-http}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["*/httpbin.org"]
"""


@proves("Sidecar", "spec.egress[].captureMode", "spec.egress[].bind", "spec.egress[].port.number")
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_port_of_the_sidecar_leads_outside(engine: str, tmp_path: Path) -> None:
    """Sidecar: an egress listener that nothing is redirected to, which applications call by its address."""
    entry = HTTPBIN_EXT.replace("number: 80", "number: 3128")
    async with web("outside") as port, serve(engine, CURL, [at(port, entry), BOUND], tmp_path) as served:
        assert await get(served, 3128, "httpbin.org:3128") == (200, "outside httpbin.org:3128 plain")
