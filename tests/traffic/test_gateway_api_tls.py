"""TLS at Gateways of the Gateway API with real handshakes, on both engines: ended there, or passed on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import pod_at, tcp_echo, web
from tests.traffic.test_tls_tasks import AUTHORITY, ask, secret, server_context

MESH = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: vault}
spec: {selector: {app: vault}, ports: [{name: tls, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {selector: {app: echo}, ports: [{name: tcp, port: 9000}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners:
  - name: https
    port: 443
    protocol: HTTPS
    hostname: shop.example.com
    tls: {certificateRefs: [{name: shop, namespace: certificates}]}
  - {name: passed, port: 443, protocol: TLS, hostname: vault.example.com, tls: {mode: Passthrough}}
  - name: ended
    port: 443
    protocol: TLS
    hostname: echo.example.com
    tls: {mode: Terminate, certificateRefs: [{name: echo}]}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: for-edge, namespace: certificates}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]
  to: [{group: "", kind: Secret, name: shop}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge, sectionName: https}]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: vault}
spec:
  parentRefs: [{name: edge, sectionName: passed}]
  hostnames: [vault.example.com]
  rules: [{backendRefs: [{name: vault, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: echo}
spec:
  parentRefs: [{name: edge, sectionName: ended}]
  rules: [{backendRefs: [{name: echo, port: 9000}]}]
"""


@pytest.fixture(params=ENGINES)
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(web("shop"))
        vault = await stack.enter_async_context(
            tcp_echo("vault", server_context(tmp_path, "vault.example.com"))
        )
        echo = await stack.enter_async_context(tcp_echo("echo"))
        manifests = [
            INGRESS_GATEWAY,
            MESH,
            pod_at(shop, {"app": "shop"}, 80),
            pod_at(vault, {"app": "vault"}, 443),
            pod_at(echo, {"app": "echo"}, 9000),
            secret("shop", AUTHORITY.issue("shop", "shop.example.com"), namespace="certificates"),
            secret("echo", AUTHORITY.issue("echo", "echo.example.com"), namespace="default"),
        ]
        yield await stack.enter_async_context(serve(request.param, gateway_proxy(), manifests, tmp_path))


async def test_https_is_ended_with_a_certificate_of_another_namespace(served: Served) -> None:
    trusting = ssl.create_default_context(cadata=AUTHORITY.pem)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", served.ports[8443], ssl=trusting, server_hostname="shop.example.com"
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.endswith("shop shop.example.com plain")


async def test_tls_is_passed_on_by_server_name(served: Served) -> None:
    assert await ask(served, 8443, "vault.example.com") == b"vault hello"


async def test_tls_is_ended_for_a_tcp_route(served: Served) -> None:
    assert await ask(served, 8443, "echo.example.com") == b"echo hello"


async def test_no_listener_has_any_other_name(served: Served) -> None:
    assert await ask(served, 8443, "other.example.com") == b""
