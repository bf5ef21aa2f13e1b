"""`kubectl port-forward` for real: through a WebSocket as today's does, and over SPDY as older ones do."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator

import pytest

from minimesh.config.kubernetes.pod_status import PodStatus
from minimesh.config.resources import ResourceKey
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.local_ports import LocalPorts
from tests.kubernetes.manifests import POD

LIMIT_S = 30


@pytest.fixture
async def pod(kubectl: Kubectl) -> Kubectl:
    await kubectl.apply(POD)
    stored = kubectl.store.snapshot().get(ResourceKey("Pod", "default", "sleep"))
    assert stored is not None
    kubectl.store.put(dataclasses.replace(stored, status=PodStatus(phase="Running")))
    return kubectl


class Application:
    """What listens in the pod: answers each connection with its input in capitals, once that has ended."""

    def __init__(self) -> None:
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()


@pytest.fixture
async def application(ports: LocalPorts) -> AsyncIterator[Application]:
    application = Application()
    server = await asyncio.start_server(application.serve, "127.0.0.1", 0)
    application.port = server.sockets[0].getsockname()[1]
    ports.places["default", "sleep", 8080] = ("127.0.0.1", application.port)
    yield application
    server.close()


async def forwarded(kubectl: Kubectl, *arguments: str) -> tuple[asyncio.subprocess.Process, int]:
    """A running port-forward, and the local port that it listens on."""
    process = await kubectl.start("port-forward", *arguments)
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        line = (await process.stdout.readline()).decode()
    found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> ", line)
    assert found, line
    return process, int(found[1])


async def ask(port: int, data: bytes) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_connections_reach_the_pods_own_localhost(pod: Kubectl, application: Application) -> None:
    process, port = await forwarded(pod, "pod/sleep", ":8080")
    answers = await asyncio.gather(*(ask(port, f"hello {number}".encode()) for number in range(5)))
    assert answers == [f"HELLO {number}".encode() for number in range(5)]
    process.terminate()
    await process.communicate()


async def test_much_data_goes_both_ways(pod: Kubectl, application: Application) -> None:
    process, port = await forwarded(pod, "pod/sleep", ":8080")
    data = b"abcdefgh" * 250_000
    assert await ask(port, data) == data.upper()
    process.terminate()
    await process.communicate()


async def test_a_port_where_nothing_listens(pod: Kubectl, ports: LocalPorts) -> None:
    ports.places["default", "sleep", 81] = ("127.0.0.1", 1)
    process, port = await forwarded(pod, "pod/sleep", ":81")
    assert await ask(port, b"hello") == b""
    process.terminate()
    _, errors = await process.communicate()
    assert (
        "error forwarding port 81 to pod sleep: failed to connect to localhost:81 in the pod: "
        "connection refused" in errors.decode()
    )
