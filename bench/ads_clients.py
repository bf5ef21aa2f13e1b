"""Many proxies in one process: ADS clients that ask as Envoy does, and acknowledge everything."""

from __future__ import annotations

import asyncio
import contextlib
from multiprocessing.connection import Connection
from typing import Any

import grpclib.client
import grpclib.config
import grpclib.const

from minimesh.control_plane.discovery.ads_server import DELTA_METHOD, METHOD
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
)

_CONNECTION_MANAGER = m.http_connection_manager_pb2.HttpConnectionManager


def follow(pipe: Connection, proxies: int, namespaces: int, delta: bool) -> None:
    """The process: waits for a port, then keeps this many proxies connected to it."""
    asyncio.run(_follow(pipe, proxies, namespaces, delta))


async def _follow(pipe: Connection, proxies: int, namespaces: int, delta: bool) -> None:
    loop = asyncio.get_running_loop()
    port = await loop.run_in_executor(None, pipe.recv)
    received = _Received()
    made = [_Proxy(number, namespaces, delta, received) for number in range(proxies)]
    tasks = [asyncio.create_task(proxy.run(port)) for proxy in made]
    while True:
        await loop.run_in_executor(None, pipe.recv)
        pipe.send(received.size_bytes)
        for task in tasks:
            if task.done():
                task.result()


class _Received:
    size_bytes = 0


class _Proxy:
    """One proxy. Only what it needs to ask on is looked at."""

    def __init__(self, number: int, namespaces: int, delta: bool, received: _Received) -> None:
        namespace = f"ns{number % namespaces}"
        name = f"s{number}-0"
        self._node = m.base_pb2.Node(
            id=f"sidecar~10.1.0.{number % 250 + 1}~{name}.{namespace}~{namespace}.svc.cluster.local"
        )
        self._node.metadata.update({"LABELS": {"app": f"s{number}", "version": "v2"}, "NAME": name})
        self._delta = delta
        self._received = received
        self._asked: dict[str, set[str]] = {ENDPOINT_TYPE_URL: set(), ROUTE_TYPE_URL: set()}
        self._versions: dict[str, tuple[str, str]] = {}
        self._stream: Any = None

    async def run(self, port: int) -> None:
        discovery = m.discovery_pb2
        method, request, response = (
            (DELTA_METHOD, discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse)
            if self._delta
            else (METHOD, discovery.DiscoveryRequest, discovery.DiscoveryResponse)
        )
        config = grpclib.config.Configuration(
            http2_connection_window_size=1 << 28, http2_stream_window_size=1 << 28
        )
        async with grpclib.client.Channel("127.0.0.1", port, config=config) as channel:
            kind = grpclib.const.Cardinality.STREAM_STREAM
            with contextlib.suppress(asyncio.CancelledError):
                async with channel.request(method, kind, request, response) as stream:
                    self._stream = stream
                    await stream.send_message(request(type_url=CLUSTER_TYPE_URL, node=self._node))
                    await stream.send_message(request(type_url=LISTENER_TYPE_URL))
                    async for message in stream:
                        await self._take(message)

    async def _take(self, message: Any) -> None:
        self._received.size_bytes += message.ByteSize()
        url = message.type_url
        resources = [each.resource if self._delta else each for each in message.resources]
        if url == CLUSTER_TYPE_URL:
            names = {m.cluster_pb2.Cluster.FromString(each.value).name for each in resources}
            await self._answer(message)
            await self._ask(ENDPOINT_TYPE_URL, {name for name in names if name.startswith("outbound|")})
        elif url == LISTENER_TYPE_URL:
            routes: set[str] = set()
            for each in resources:
                routes.update(_routes(m.listener_pb2.Listener.FromString(each.value)))
            await self._answer(message)
            await self._ask(ROUTE_TYPE_URL, routes)
        else:
            await self._answer(message)

    async def _ask(self, url: str, names: set[str]) -> None:
        known = self._asked[url]
        if names <= known:
            return
        added = names - known
        known |= names
        if self._delta:
            request = m.discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=added)
        else:
            version, nonce = self._versions.get(url, ("", ""))
            request = m.discovery_pb2.DiscoveryRequest(
                type_url=url, version_info=version, response_nonce=nonce, resource_names=known
            )
        await self._stream.send_message(request)

    async def _answer(self, message: Any) -> None:
        url = message.type_url
        if self._delta:
            answer = m.discovery_pb2.DeltaDiscoveryRequest(type_url=url, response_nonce=message.nonce)
        else:
            self._versions[url] = (message.version_info, message.nonce)
            answer = m.discovery_pb2.DiscoveryRequest(
                type_url=url,
                version_info=message.version_info,
                response_nonce=message.nonce,
                resource_names=self._asked.get(url, ()),
            )
        await self._stream.send_message(answer)


def _routes(listener: Any) -> set[str]:
    found = set()
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            if each.typed_config.Is(_CONNECTION_MANAGER.DESCRIPTOR):
                manager = _CONNECTION_MANAGER.FromString(each.typed_config.value)
                if manager.HasField("rds"):
                    found.add(manager.rds.route_config_name)
    return found
