"""The gRPC end of discovery: both kinds of ADS streams, and nothing but moving messages.

The one place of the control plane that knows grpclib. Each stream has a reader (this handler) and a writer
task of its own, so that a proxy which stops reading fills only its own window; what to send is asked of the
delivery one message at a time, so that nothing piles up for it either.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import grpclib.const
import grpclib.server
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import StreamTerminatedError

from minimesh.config.injection import ISTIO_VERSION
from minimesh.control_plane.discovery.debug_types import debug_response, is_debug_request
from minimesh.control_plane.translation.proxy import InvalidNodeError
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.control_plane.discovery.pusher import Connection, Pusher

_SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = f"{_SERVICE}/StreamAggregatedResources"
DELTA_METHOD = f"{_SERVICE}/DeltaAggregatedResources"


class _Codec(ProtoCodec):  # type: ignore[misc]  # grpclib carries no types here
    """Takes responses that know their own bytes, beside messages."""

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message.SerializeToString())


class AdsServer:
    """Serves one pusher's configurations on one address."""

    def __init__(self, pusher: Pusher[Any], services: Sequence[Any] = ()) -> None:
        """`services`: what else is served there, as grpclib takes it."""
        self._pusher = pusher
        self._grpc = grpclib.server.Server([self, *services], codec=_Codec())
        self._listening: asyncio.Server | None = None
        self._protocols: weakref.WeakSet[Any] = weakref.WeakSet()
        self._streams: set[asyncio.Task[Any]] = set()

    @property
    def port(self) -> int:
        """The port really bound, 0 while not listening."""
        return self._listening.sockets[0].getsockname()[1] if self._listening is not None else 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen; port 0 takes any free one. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connection_protocol, host, port, ssl=tls)

    async def stop(self) -> None:
        """End every stream, close every connection and stop listening."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        for protocol in tuple(self._protocols):
            protocol.processor.close("the control plane stops")
        if self._streams:
            await asyncio.wait(self._streams)

    def __mapping__(self) -> dict[str, Any]:
        """What grpclib asks of a service instead of generated code."""
        return {
            METHOD: grpclib.const.Handler(
                partial(self._serve, delta=False),
                grpclib.const.Cardinality.STREAM_STREAM,
                m.discovery_pb2.DiscoveryRequest,
                m.discovery_pb2.DiscoveryResponse,
            ),
            DELTA_METHOD: grpclib.const.Handler(
                partial(self._serve, delta=True),
                grpclib.const.Cardinality.STREAM_STREAM,
                m.discovery_pb2.DeltaDiscoveryRequest,
                m.discovery_pb2.DeltaDiscoveryResponse,
            ),
        }

    def _connection_protocol(self) -> Any:
        # grpclib's own `start` and `close` leave accepted connections open, for which the event loop's server
        # waits from Python 3.12 on; so the listening socket and the list of connections are ours.
        protocol = self._grpc._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    async def _serve(self, stream: Any, *, delta: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        connection = self._pusher.open(delta=delta)
        try:
            await stream.send_initial_metadata()
            async with asyncio.TaskGroup() as both:
                writer = both.create_task(_write(connection, stream))
                await self._read(connection, stream)
                writer.cancel()
        finally:
            self._pusher.closed(connection)
            self._streams.discard(task)

    async def _read(self, connection: Connection, stream: Any) -> None:
        async for request in stream:
            if is_debug_request(request):
                await stream.send_message(debug_response(request, self._pusher.connections, ISTIO_VERSION))
                continue
            try:
                self._pusher.received(connection, request)
            except InvalidNodeError as error:
                status = grpclib.const.Status.INVALID_ARGUMENT
                await stream.send_trailing_metadata(status=status, status_message=str(error))
                return


async def _write(connection: Connection, stream: Any) -> None:
    # An error here must end the stream: a proxy that is told nothing more would look healthy for ever.
    with contextlib.suppress(StreamTerminatedError):
        while True:
            await connection.wake.wait()
            connection.wake.clear()
            while (response := connection.delivery.next_response()) is not None:
                await stream.send_message(response)
