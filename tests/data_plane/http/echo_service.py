"""A gRPC service of every kind of call, and a channel to it: grpclib at both ends, messages that are text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from grpclib.client import (
    Channel,
    StreamStreamMethod,
    StreamUnaryMethod,
    UnaryStreamMethod,
    UnaryUnaryMethod,
)
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server

_CARDINALITIES = {
    "Unary": Cardinality.UNARY_UNARY,
    "ServerStream": Cardinality.UNARY_STREAM,
    "ClientStream": Cardinality.STREAM_UNARY,
    "BothStream": Cardinality.STREAM_STREAM,
}


class EchoService:
    """`fail STATUS` is answered with that status, `hang` not at all, everything else with itself."""

    def __init__(self) -> None:
        #: Texts of unary calls, as they came.
        self.calls: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.cancelled = asyncio.Event()
        #: How many calls fail with UNAVAILABLE before one is answered.
        self.failing = 0

    def __mapping__(self) -> Mapping[str, Handler]:
        return {
            f"/test.Echo/{name}": Handler(getattr(self, f"_{name.lower()}"), kind, StringValue, StringValue)
            for name, kind in _CARDINALITIES.items()
        }

    async def _unary(self, stream: Any) -> None:
        text = (await stream.recv_message()).value
        self.calls.append(text)
        self.metadata.append(dict(stream.metadata))
        if self.failing:
            self.failing -= 1
            raise GRPCError(Status.UNAVAILABLE, "not yet")
        if text.startswith("fail "):
            raise GRPCError(Status[text.removeprefix("fail ")], "as you wished")
        if text == "hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        await stream.send_initial_metadata(metadata={"x-initial": "1"})
        await stream.send_message(StringValue(value=text))
        await stream.send_trailing_metadata(metadata={"x-trailing": "2"})

    async def _serverstream(self, stream: Any) -> None:
        for word in (await stream.recv_message()).value.split():
            await stream.send_message(StringValue(value=word))

    async def _clientstream(self, stream: Any) -> None:
        words = [message.value async for message in stream]
        await stream.send_message(StringValue(value=" ".join(words)))

    async def _bothstream(self, stream: Any) -> None:
        async for message in stream:
            await stream.send_message(StringValue(value=message.value.upper()))


class EchoClient:
    """Methods of the service on one channel."""

    def __init__(self, port: int) -> None:
        self.channel = Channel("127.0.0.1", port)
        self.unary = UnaryUnaryMethod(self.channel, "/test.Echo/Unary", StringValue, StringValue)
        self.server_stream = UnaryStreamMethod(
            self.channel, "/test.Echo/ServerStream", StringValue, StringValue
        )
        self.client_stream = StreamUnaryMethod(
            self.channel, "/test.Echo/ClientStream", StringValue, StringValue
        )
        self.both_stream = StreamStreamMethod(self.channel, "/test.Echo/BothStream", StringValue, StringValue)

    async def echo(self, text: str, timeout_s: float = 2.0, metadata: Mapping[str, str] | None = None) -> str:
        """A unary call. Raises GRPCError."""
        reply = await self.unary(StringValue(value=text), timeout=timeout_s, metadata=metadata)
        return str(reply.value)


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[EchoService, int]]:
    """A running service and its port."""
    service = EchoService()
    server = Server([service])
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    try:
        yield service, server._server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def echo_client(port: int) -> AsyncIterator[EchoClient]:
    client = EchoClient(port)
    try:
        yield client
    finally:
        client.channel.close()
