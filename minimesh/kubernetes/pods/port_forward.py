"""`kubectl port-forward`: TCP connections into a pod, each as two streams of one SPDY connection.

The client opens both for each connection: the error stream, on which it hears at the end what went wrong, and
the data stream. `requestid` says which belong together, `port` where to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.pods.container_ports import ContainerPorts
from minimesh.kubernetes.pods.spdy import (
    DataReceived,
    Event,
    Pinged,
    SpdyConnection,
    SpdyError,
    StreamOpened,
    StreamReset,
)
from minimesh.kubernetes.pods.spdy_transport import Transport, Tunnel, UpgradedConnection, asks_for_spdy

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"
_BLOCK_BYTES = 32 * 1024
_WAITING_LIMIT = 64
_CONNECT_LIMIT_S = 10.0


async def serve_port_forward(request: web.Request, pod: Object, ports: ContainerPorts) -> web.StreamResponse:
    """Forward until the client goes. ApiError (400) when it asks in no way that is known."""
    transport: UpgradedConnection | Tunnel
    if asks_for_spdy(request):
        transport = UpgradedConnection(request)
        await transport.open(PROTOCOL)
    else:
        transport = Tunnel(request, TUNNEL_PROTOCOL)
        await transport.open()
    metadata = pod["metadata"]
    await _Session(transport, ports, metadata["namespace"], metadata["name"]).run()
    return transport.response


@dataclass(slots=True)
class _Stream:
    """One stream. `arrived` holds what the client sent on a data stream; None stands for its end."""

    id: int
    headers: Mapping[str, str]
    arrived: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_WAITING_LIMIT))
    task: asyncio.Task[None] | None = None


class _Session:
    """One client. `run` lasts until it goes."""

    def __init__(self, transport: Transport, ports: ContainerPorts, namespace: str, pod: str) -> None:
        self._transport = transport
        self._ports = ports
        self._namespace = namespace
        self._pod = pod
        self._spdy = SpdyConnection()
        self._streams: dict[int, _Stream] = {}

    async def run(self) -> None:
        try:
            while data := await self._transport.receive():
                for event in self._spdy.receive(data):
                    await self._act(event)
        except SpdyError:
            await self._transport.send(self._spdy.go_away())
        finally:
            tasks = [each.task for each in self._streams.values() if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._transport.close()

    async def _act(self, event: Event) -> None:
        match event:
            case Pinged(answer):
                await self._transport.send(answer)
            case StreamOpened(stream, headers):
                opened = self._streams[stream] = _Stream(stream, headers)
                await self._transport.send(self._spdy.reply(stream))
                if headers.get("streamtype") == "data":
                    opened.task = asyncio.create_task(self._forward(opened))
            case DataReceived(stream, data, ended):
                found = self._streams.get(stream)
                if found is not None and found.task is not None and not found.task.done():
                    if data:
                        await found.arrived.put(data)
                    if ended:
                        await found.arrived.put(None)
            case StreamReset(stream):
                gone = self._streams.pop(stream, None)
                if gone is not None and gone.task is not None:
                    gone.task.cancel()

    async def _forward(self, stream: _Stream) -> None:
        """One connection from its data stream to its end, which both of its streams are told."""
        problem = await self._connection(stream)
        error = self._error_stream(stream)
        if error is not None:
            await self._transport.send(self._spdy.data(error.id, problem.encode(), ended=True))
            self._streams.pop(error.id, None)
        await self._transport.send(self._spdy.data(stream.id, b"", ended=True))
        self._streams.pop(stream.id, None)

    async def _connection(self, stream: _Stream) -> str:
        """Connect and pass bytes on both ways; what went wrong, or an empty text."""
        port = int(stream.headers.get("port", "0"))
        where = self._ports.address(self._namespace, self._pod, port)
        what = f"error forwarding port {port} to pod {self._pod}"
        if where is None:
            return f"{what}: the pod does not run"
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_S):
                reader, writer = await asyncio.open_connection(*where)
        except (OSError, TimeoutError) as error:
            return f"{what}: failed to connect to localhost:{port} in the pod: {_reason(error)}"
        sending = asyncio.create_task(_send_arrived(stream, writer))
        try:
            while data := await reader.read(_BLOCK_BYTES):
                await self._transport.send(self._spdy.data(stream.id, data))
        except OSError:
            pass  # the client sees the end of the stream
        finally:
            sending.cancel()
            writer.transport.abort()
        return ""

    def _error_stream(self, stream: _Stream) -> _Stream | None:
        wanted = ("error", stream.headers.get("requestid"))
        for each in self._streams.values():
            if (each.headers.get("streamtype"), each.headers.get("requestid")) == wanted:
                return each
        return None


async def _send_arrived(stream: _Stream, writer: asyncio.StreamWriter) -> None:
    """Pass on what the client sends, to its end."""
    with contextlib.suppress(OSError):
        while (data := await stream.arrived.get()) is not None:
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _reason(error: OSError | TimeoutError) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "no answer"
