"""Our data plane between transports in memory: a client's bytes in, an upstream's bytes out, and back.

The whole of it runs as in the proxy (connections, stream, router, pool) but for sockets and clocks; a
conversation of some hundred bytes takes a fraction of a millisecond. What the upstream gets is judged by
llhttp while it comes in, and answered when llhttp has read a whole request.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools
import yaml

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
from minimesh.data_plane.http.http1.upstream import Http1ClientConnection
from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, HostSpec
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.xds import messages as m

_ROUTES = """
name: all
virtual_hosts:
- name: all
  domains: ["*"]
  routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]
"""
#: So many turns of the event loop without a byte moved: nothing will move any more.
_QUIET_TURNS = 6

Answer = Callable[[int, str], Sequence[bytes]]
"""Number and method of a request that the upstream has read -> the pieces of what it sends back."""


def plain_answer(number: int, method: str) -> Sequence[bytes]:
    """200, with a body that tells the number of the request."""
    body = b"answer %d" % number
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    return [head if method == "HEAD" else head + body]


@dataclass(slots=True)
class Outcome:
    """What a conversation came to."""

    client: bytes = b""
    """All that the client got."""
    closed: bool = False
    """The proxy closed the client's connection."""
    upstream: list[bytes] = field(default_factory=list)
    """All that the upstream got, connection by connection."""
    left_over: dict[str, int] = field(default_factory=dict)
    """Gauges that are not 0 after everybody has left."""


class MemoryTransport(asyncio.Transport):
    """A transport whose other end is a list of writes. What comes in while reading is paused waits."""

    def __init__(self, proxy: InMemoryProxy, protocol: Any, on_write: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8080)})
        self._proxy = proxy
        self._protocol = protocol
        self._on_write = on_write
        self._incoming: list[bytes] = []
        self._paused = False
        self.closing = False
        self._eof = False

    # --- the far end ---

    def deliver(self, data: bytes) -> None:
        """Bytes from the far end."""
        self._incoming.append(data)
        self._flush()

    def far_end_closes(self) -> None:
        """The far end is gone, orderly."""
        self._eof = True
        self._flush()

    def _flush(self) -> None:
        while self._incoming and not self._paused and not self.closing:
            self._proxy.moved += 1
            self._take(self._incoming.pop(0))
        if self._eof and not self.closing and not self._paused:
            self._protocol.eof_received()
            self.close()

    def _take(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        while data and not self.closing:
            room: Any = protocol.get_buffer(len(data))
            length = min(len(room), len(data))
            room[:length] = data[:length]
            protocol.buffer_updated(length)
            data = data[length:]

    # --- asyncio.Transport ---

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        if not self.closing and data:
            self._proxy.moved += 1
            self._on_write(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[int]]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._proxy.loop.call_soon(self._flush)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._proxy.moved += 1
            self._proxy.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Origin:
    """The upstream's end of one connection: llhttp reads it."""

    def __init__(self, proxy: InMemoryProxy) -> None:
        self._proxy = proxy
        self.received = b""
        self.transport: MemoryTransport
        self._parser: Any = httptools.HttpRequestParser(self)
        self.refused = False

    def on_write(self, data: bytes) -> None:
        self.received += data
        if self.refused:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refused = True  # seen again, with its reason, by who reads `received`

    def on_message_begin(self) -> None:
        """httptools wants somebody to tell."""

    def on_message_complete(self) -> None:
        self._proxy.answer(self, self._parser.get_method().decode())


class _Scope:
    """The listener's part."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timers = TimerWheel(loop)

    def connection_closed(self, connection: object) -> None:
        """Nobody keeps a list here."""

    def connection_replaced(self, connection: object, successor: object) -> None:
        """Nor here."""


class InMemoryProxy:
    """See the module. One at a time on its own event loop; close it at the end."""

    def __init__(self, **settings: Any) -> None:
        self.stats = StatsStore()
        self.handle = ClusterHandle("up")
        #: Counts whatever moves, to see when nothing does.
        self.moved = 0
        self._errors: list[BaseException] = []
        self._origins: list[_Origin] = []
        self._script: Answer = plain_answer
        self._requests = 0
        self._close_after_answer = False
        message = m.json_format.ParseDict(yaml.safe_load(_ROUTES), m.route_pb2.RouteConfiguration())
        table = compile_route_configuration(message, lambda _: self.handle, compile_format=value_formatter)
        defaults: dict[str, Any] = {
            "use_remote_address": True,
            "generate_request_id": False,
            "stream_idle_timeout_s": 0.0,
            "idle_timeout_s": 0.0,
            "delayed_close_timeout_s": 0.0,
        }
        config = HttpConnectionManagerConfig(
            "fuzz", RouteConfigHolder(table=table), self.stats, **defaults | settings
        )
        self.manager = ConnectionManager(config, random.Random(1))
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._note_exception)

    def close(self) -> None:
        self.loop.close()

    def converse(
        self,
        pieces: Sequence[bytes],
        script: Answer = plain_answer,
        *,
        afterwards: bytes = b"",
        upstream_closes: bool = False,
    ) -> Outcome:
        """A client sends these pieces, each when nothing moves any more.

        `afterwards` is sent behind all else. `upstream_closes`: once it has answered, the upstream hangs up.
        """
        self._script, self._close_after_answer = script, upstream_closes
        return self.loop.run_until_complete(self._converse(pieces, afterwards))

    async def _converse(self, pieces: Sequence[bytes], afterwards: bytes) -> Outcome:
        outcome = Outcome()
        got: list[bytes] = []
        self._origins, self._requests, self._errors = [], 0, []
        settings = ClusterSettings("up", connect=self._connect, idle_timeout_s=0.0)
        cluster = self.handle.cluster = Cluster(settings, self.stats, random.Random(1))
        cluster.update_hosts([HostSpec("127.0.0.1", 1)])
        scope = _Scope(self.loop)
        info = ConnectionInfo(1, "127.0.0.1:8080", "127.0.0.1:40000", 8080)
        protocol: Any = self.manager(info, scope)
        client = MemoryTransport(self, protocol, got.append)
        protocol.connection_made(client)
        for piece in itertools.chain(pieces, [afterwards] if afterwards else []):
            if not client.closing:
                client.deliver(piece)
            await self._settle()
        outcome.closed = client.closing
        outcome.client = b"".join(got)
        client.close()
        await self._settle()
        cluster.close()
        await self._settle()
        scope.timers.close()
        outcome.upstream = [origin.received for origin in self._origins]
        outcome.left_over = self._active_gauges()
        if self._errors:
            raise self._errors[0]
        return outcome

    async def _settle(self) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            before = self.moved
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.moved == before else 0

    def _note_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._errors.append(context.get("exception") or AssertionError(context["message"]))

    # --- upstream ---

    async def _connect(self, host: Any, settings: Any) -> Http1ClientConnection:
        connection = Http1ClientConnection()
        origin = _Origin(self)
        origin.transport = MemoryTransport(self, connection, origin.on_write)
        self._origins.append(origin)
        self.moved += 1
        connection.connection_made(origin.transport)
        return connection

    def answer(self, origin: _Origin, method: str) -> None:
        """The upstream has read one whole request."""
        number, self._requests = self._requests, self._requests + 1
        pieces = self._script(number, method)
        self.moved += 1
        self.loop.create_task(self._send(origin, pieces))

    async def _send(self, origin: _Origin, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self.moved += 1
            origin.transport.deliver(piece)
            await asyncio.sleep(0)
        if self._close_after_answer:
            origin.transport.far_end_closes()

    def _active_gauges(self) -> dict[str, int]:
        return {
            name: gauge.value
            for name, gauge in self.stats.gauges.items()
            if gauge.value and name.endswith(("_active", "rq_active", "cx_active"))
        }
