"""A control plane of a few lines: real gRPC, resources set by the test, every answer of the proxy kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpclib.const
import grpclib.server

from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Reaction, Received, ServerStream
from minimesh.xds.resource_names import RUNTIME_TYPE_URL, SECRET_TYPE_URL, SHORT_TYPE_NAMES

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_SHORT_NAMES = {**SHORT_TYPE_NAMES, SECRET_TYPE_URL: "SDS", RUNTIME_TYPE_URL: "RTDS"}
_BY_SHORT_NAME = {short: url for url, short in _SHORT_NAMES.items()}


class ControlPlane:
    """Serves `resources` (short type name -> messages) to whoever connects; pushes on `push`."""

    def __init__(self) -> None:
        self.resources: dict[str, list[Any]] = {}
        self.received: asyncio.Queue[Received] = asyncio.Queue()
        self.nodes: list[Any] = []
        self.port = 0
        self._version = 0
        self._streams: set[tuple[Any, ServerStream]] = set()
        self._server = grpclib.server.Server([self])
        self._listening: asyncio.Server
        self._protocols: list[Any] = []
        self._serving: set[asyncio.Task[Any]] = set()

    def __mapping__(self) -> dict[str, Any]:
        request, response = m.discovery_pb2.DiscoveryRequest, m.discovery_pb2.DiscoveryResponse
        cardinality = grpclib.const.Cardinality.STREAM_STREAM
        return {_METHOD: grpclib.const.Handler(self._serve, cardinality, request, response)}

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._protocol, "127.0.0.1", port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        self._listening.close()
        for protocol in self._protocols:
            protocol.processor.close("the control plane stops")
        if self._serving:
            await asyncio.wait(self._serving)

    def _protocol(self) -> Any:
        protocol = self._server._protocol_factory()
        self._protocols.append(protocol)
        return protocol

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    async def push(self, short: str, messages: Iterable[Any]) -> None:
        """New resources of one type for every connected proxy that asked for it."""
        self.resources[short] = list(messages)
        self._version += 1
        for stream, protocol in self._streams:
            if protocol.type(_BY_SHORT_NAME[short]).subscribed:
                await self._send(stream, protocol, _BY_SHORT_NAME[short])

    async def reaction(self, short: str, *reactions: Reaction) -> Received:
        """The next answer about a type that is one of these reactions (ACKED or NACKED, unless given)."""
        wanted = reactions or (Reaction.ACKED, Reaction.NACKED)
        async with asyncio.timeout(5):
            while True:
                received = await self.received.get()
                if received.type_url == _BY_SHORT_NAME[short] and received.reaction in wanted:
                    return received

    def has_reaction(self, short: str) -> bool:
        """Whether an answer about a type came since the last one that was asked for."""
        kept = [self.received.get_nowait() for _ in range(self.received.qsize())]
        for each in kept:
            self.received.put_nowait(each)
        answers = (Reaction.ACKED, Reaction.NACKED)
        return any(each.type_url == _BY_SHORT_NAME[short] and each.reaction in answers for each in kept)

    async def _serve(self, stream: Any) -> None:
        protocol = ServerStream()
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._streams.add((stream, protocol))
        try:
            while (request := await stream.recv_message()) is not None:
                received = protocol.received(request)
                self.received.put_nowait(received)
                if received.reaction is Reaction.SUBSCRIBED:
                    self.nodes.append(protocol.node)
                    await self._send(stream, protocol, received.type_url)
        finally:
            self._streams.discard((stream, protocol))
            self._serving.discard(task)

    async def _send(self, stream: Any, protocol: ServerStream, type_url: str) -> None:
        packed = []
        for message in self.resources.get(_SHORT_NAMES[type_url], []):
            if protocol.type(type_url).wants(getattr(message, "name", "") or message.cluster_name):
                packed.append(m.any_pb2.Any())
                packed[-1].Pack(message)
        await stream.send_message(protocol.respond(type_url, f"v{self._version}", packed))


@asynccontextmanager
async def control_plane(port: int = 0) -> AsyncIterator[ControlPlane]:
    plane = ControlPlane()
    await plane.start(port)
    try:
        yield plane
    finally:
        await plane.stop()


# --- resources, as small as they get ---


def cluster(name: str, **fields: Any) -> Any:
    """An EDS cluster."""
    return m.json_format.ParseDict(
        {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}, **fields},
        m.cluster_pb2.Cluster(),
    )


def endpoints(name: str, *ports: int) -> Any:
    lb_endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    return m.json_format.ParseDict(
        {"cluster_name": name, "endpoints": [{"lb_endpoints": lb_endpoints}]},
        m.endpoint_pb2.ClusterLoadAssignment(),
    )


def routes(name: str, to_cluster: str, **route: Any) -> Any:
    action = {"route": {"cluster": to_cluster}} if to_cluster else {}
    entry = {"name": "all", "match": {"prefix": "/"}, **action, **route}
    return m.json_format.ParseDict(
        {"name": name, "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [entry]}]},
        m.route_pb2.RouteConfiguration(),
    )


def listener(name: str, port: int, route_name: str, **manager: Any) -> Any:
    """An HTTP listener whose routes come by RDS."""
    http = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": route_name, "config_source": {"ads": {}}},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        **manager,
    }
    return m.json_format.ParseDict(
        {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
        },
        m.listener_pb2.Listener(),
    )
