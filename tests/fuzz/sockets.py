"""The running proxies side by side: ours and the real Envoy, the same file, the same bytes.

Each lane has a listener, a cluster and an upstream of its own, so that what an upstream gets can only have
come from the one client that is at work on that lane. The upstreams read with llhttp.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools

from tests.data_plane.sockets import free_port
from tests.fuzz.llhttp import Message, read_requests
from tests.processes import end, listening

_TYPE = "type.googleapis.com/envoy.extensions."
_START_S, _STOP_S = 20.0, 5.0
QUIET_S = 0.05
"""No byte for so long: the proxy waits for more, as it should with an unfinished request."""


@dataclass(slots=True)
class Seen:
    """What came of some bytes. `refusals` are llhttp's, of what the proxy sent on."""

    forwarded: list[Message] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    client: bytes = b""
    closed: bool = False

    @property
    def requests(self) -> list[tuple[object, ...]]:
        """What two proxies must agree on: all but the headers on which the way has an opinion."""
        return [
            (
                each.method,
                each.target,
                each.values("host"),
                [(name, " ".join(value.split())) for name, value in each.fields if name.startswith("x-fuzz")],
                each.body,
            )
            for each in self.forwarded
        ]


class Origin:
    """An upstream that keeps every byte of every connection and answers each request llhttp reads.

    `answer` is what it sends to the first request, if not its plain 200; `hangs_up`: and closes then.
    """

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.hangs_up = False
        self.connections: list[bytearray] = []
        self.port = 0
        self.active = asyncio.Event()
        self._server: asyncio.Server
        self._transports: set[asyncio.Transport] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _OriginConnection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def begin(self) -> None:
        """Forget the input before. Connections that are left stay open: their bytes count from here."""
        for kept in self.connections:
            kept.clear()

    def take_answer(self, method: bytes) -> tuple[bytes, bool]:
        """What to send for one request, and whether to close then."""
        scripted, self.answer = self.answer, None
        if scripted is not None:
            return scripted, self.hangs_up
        body = b"" if method == b"HEAD" else b"ok"
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + body, False

    async def stop(self) -> None:
        self._server.close()
        for transport in list(self._transports):
            transport.abort()
        await asyncio.sleep(0)


class _OriginConnection(asyncio.Protocol):
    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._kept = bytearray()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._origin._transports.add(transport)
        self._origin.connections.append(self._kept)

    def connection_lost(self, error: Exception | None) -> None:
        self._origin._transports.discard(self._transport)
        self._origin.active.set()

    def data_received(self, data: bytes) -> None:
        self._kept += data
        self._origin.active.set()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.close()  # judged again, with its reason, by who reads what was kept

    def on_message_begin(self) -> None:
        """httptools wants somebody to tell."""

    def on_message_complete(self) -> None:
        answer, hangs_up = self._origin.take_answer(self._parser.get_method())
        self._transport.write(answer)
        if hangs_up:
            self._transport.close()


class Lane:
    """A listener of a proxy, and the upstream behind it."""

    def __init__(self) -> None:
        self.origin = Origin()
        self.port = 0
        #: Requests that reached the upstream whole, all told.
        self.sent_on = 0

    async def send(self, pieces: Sequence[bytes], quiet_s: float = QUIET_S) -> Seen:
        """One client's bytes; what came of them once nothing has moved for a while."""
        self.origin.begin()
        seen = Seen()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            await self._listen(reader, seen, quiet_s)
        finally:
            writer.transport.abort()
        for wire in self.origin.connections:
            reading = read_requests(bytes(wire))
            seen.forwarded += reading.complete
            if reading.error or reading.upgraded:
                seen.refusals.append(f"{reading.error or 'upgrade'}: {bytes(wire)!r}")
        self.sent_on += len(seen.forwarded)
        return seen

    async def _listen(self, reader: asyncio.StreamReader, seen: Seen, quiet_s: float) -> None:
        active = self.origin.active
        while True:
            active.clear()
            try:
                data = await asyncio.wait_for(reader.read(65536), quiet_s)
            except TimeoutError:
                if active.is_set():
                    continue
                return
            except ConnectionError:
                data = b""
            if not data:
                seen.closed = True
                return
            seen.client += data


class RunningProxy:
    """One proxy process with its lanes."""

    def __init__(self, name: str, lanes: int) -> None:
        self.name = name
        self.lanes = [Lane() for _ in range(lanes)]

    def bootstrap(self) -> dict[str, Any]:
        numbered = list(enumerate(self.lanes))
        return {
            "admin": {"address": _address(free_port())},
            "static_resources": {
                "listeners": [_listener(f"l{n}", lane.port, f"c{n}") for n, lane in numbered],
                "clusters": [_cluster(f"c{n}", lane.origin.port) for n, lane in numbered],
            },
        }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def _listener(name: str, port: int, cluster: str) -> dict[str, Any]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}]
    router = {"@type": _TYPE + "filters.http.router.v3.Router"}
    manager = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0.05s",
        "upgrade_configs": [],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


@asynccontextmanager
async def running(name: str, command: Sequence[str], folder: Path, lanes: int) -> AsyncIterator[RunningProxy]:
    """Start a proxy on a bootstrap of its own; end it at the end."""
    made = RunningProxy(name, lanes)
    try:
        for lane in made.lanes:
            await lane.origin.start()
            lane.port = free_port()
        file = folder / f"{name}.yaml"
        file.write_text(json.dumps(made.bootstrap()))  # JSON is YAML
        process = await asyncio.create_subprocess_exec(*command, "-c", str(file))
        try:
            for lane in made.lanes:
                await listening(lane.port, process, _START_S)
            yield made
        finally:
            await end(process, _STOP_S)
    finally:
        for lane in made.lanes:
            await lane.origin.stop()
