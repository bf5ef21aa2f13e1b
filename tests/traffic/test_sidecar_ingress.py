"""Calls that come in at a Sidecar's ingress listeners, on both engines."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control_plane.meshes import sidecar_proxy
from tests.proofs import proves
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import web


def sidecar(endpoint: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: app}}
spec:
  workloadSelector: {{labels: {{app: app}}}}
  ingress:
  - port: {{number: 9080, protocol: HTTP, name: http}}
    captureMode: NONE
    defaultEndpoint: {endpoint}
  egress:
  - hosts: ["*/*"]
"""


@contextlib.asynccontextmanager
async def on_a_socket(folder: Path) -> AsyncIterator[Path]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsocket")
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    path = folder / "app.sock"
    server = await asyncio.start_unix_server(answer, path)
    try:
        yield path
    finally:
        server.close()


async def get(served: Served) -> str:
    reader, writer = await served.connect(9080)
    writer.write(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer.partition("\r\n\r\n")[2]


@proves("Sidecar", "spec.ingress[].defaultEndpoint", "spec.ingress[].captureMode")
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_port_leads_to_another_port_of_the_application(engine: str, tmp_path: Path) -> None:
    async with (
        web("application") as port,
        serve(engine, sidecar_proxy({"app": "app"}), [sidecar(f"127.0.0.1:{port}")], tmp_path) as served,
    ):
        assert await get(served) == "application app plain"
        (line,) = await served.log_lines()
        assert "inbound|9080||" in line


@proves("Sidecar", "spec.ingress[].defaultEndpoint")
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_port_leads_to_a_socket_of_the_application(engine: str, tmp_path: Path) -> None:
    # A socket's path may have a hundred letters, which the test's own folder has already.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with (
            on_a_socket(Path(folder)) as path,
            serve(engine, sidecar_proxy({"app": "app"}), [sidecar(f"unix://{path}")], tmp_path) as served,
        ):
            assert await get(served) == "socket"
            (line,) = await served.log_lines()
            assert f'"{path}"' in line
