"""A proxy over real gRPC that accepts everything, and the discovery half of a control plane to connect it
to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpclib.client
import grpclib.const

from minimesh.control_plane.discovery.ads_server import METHOD, AdsServer
from minimesh.control_plane.discovery.pusher import Pusher
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Client
from minimesh.xds.resource_names import CLUSTER_TYPE_URL, LISTENER_TYPE_URL

from .xds_resources import Resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TIMEOUT_S = 10


def node(name: str, kind: str = "sidecar", **metadata: Any) -> Any:
    made = m.base_pb2.Node(id=f"{kind}~127.10.0.1~{name}.default~default.svc.cluster.local", cluster="test")
    made.metadata.update(metadata)
    return made


class Peer:
    """One connected proxy. `received` collects responses; `hold()` stops it from reading."""

    def __init__(self, node: Any) -> None:
        self.client = Client(node)
        self.client.subscribe_all(CLUSTER_TYPE_URL)
        self.client.subscribe_all(LISTENER_TYPE_URL)
        self.received: list[Any] = []
        self.reject_with = ""
        self.reading = asyncio.Event()
        self.reading.set()
        self._news = asyncio.Condition()

    async def run(self, port: int) -> None:
        """Connect and answer until cancelled or the server ends the stream."""
        async with grpclib.client.Channel("127.0.0.1", port) as channel:
            request_type, reply_type = m.discovery_pb2.DiscoveryRequest, m.discovery_pb2.DiscoveryResponse
            method = channel.request(
                METHOD, grpclib.const.Cardinality.STREAM_STREAM, request_type, reply_type
            )
            async with method as stream:
                for request in self.client.connected():
                    await stream.send_message(request)
                while True:
                    await self.reading.wait()
                    response = await stream.recv_message()
                    if response is None:
                        return
                    await stream.send_message(self._answer(response))
                    async with self._news:
                        self.received.append(response)
                        self._news.notify_all()

    async def has(self, condition: Callable[[Peer], bool]) -> None:
        """Wait until what it received fulfils a condition."""
        async with asyncio.timeout(TIMEOUT_S), self._news:
            await self._news.wait_for(lambda: condition(self))

    def last(self, type_url: str) -> Any:
        return next((each for each in reversed(self.received) if each.type_url == type_url), None)

    def _answer(self, response: Any) -> Any:
        if self.reject_with:
            return self.client.reject(response, self.reject_with)
        return self.client.accept(response)


@contextlib.asynccontextmanager
async def connected(peer: Peer, port: int) -> AsyncIterator[Peer]:
    """The peer, connected for as long as the block runs."""
    task = asyncio.create_task(peer.run(port))
    try:
        yield peer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Discovery:
    """A pusher behind a real gRPC server, translating every proxy to `resources` (or by `translate`)."""

    def __init__(self, grace_s: float = 0.05) -> None:
        self.resources: dict[str, Resources] = {}
        self.default = Resources()
        self.broken: set[str] = set()
        self.build_error: Exception | None = None
        self.requested: list[str] = []
        self.pusher: Pusher[tuple[Any, ...]] = Pusher(
            self._build, self._translate, self.requested.append, grace_s=grace_s
        )
        self.server = AdsServer(self.pusher)

    async def push(self) -> None:
        await self.pusher.push(frozenset({"test"}))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something the pusher tells of makes the condition true."""
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await self.pusher.changed()

    def _build(self, registered: Any) -> tuple[Any, ...]:
        if self.build_error is not None:
            raise self.build_error
        return tuple(registered)

    def _translate(self, proxy: Any, _: tuple[Any, ...]) -> Resources:
        if proxy.name in self.broken:
            raise LookupError("no such subset")
        return self.resources.get(proxy.name, self.default)


@contextlib.asynccontextmanager
async def serving(grace_s: float = 0.05) -> AsyncIterator[Discovery]:
    """Discovery on a free port for as long as the block runs."""
    discovery = Discovery(grace_s)
    await discovery.push()
    await discovery.server.start("127.0.0.1", 0)
    try:
        yield discovery
    finally:
        await discovery.server.stop()
        discovery.pusher.registrations.stop()
