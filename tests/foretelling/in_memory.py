"""Our proxy between transports in memory, compiled anew from what the control plane makes of the files.

Nothing of `explain` is in it: no table is observed, no lot is fixed, and the upstream is a few lines that
answer 200 and keep what they were asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from typing import Any

from minimesh.control_plane.translation import Resources
from minimesh.data_plane.http.http1.upstream import Http1ClientConnection
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.filter_chains import ConnectionFacts, FilterChains
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.telemetry.stream_info import StreamInfo
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from tests.foretelling.foretold import TOLD_HEADERS, Seen
from tests.fuzz.wire import MemoryTransport

_HEAD = re.compile(r"(\S+) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
_QUIET_TURNS = 6


class _Recorder:
    def __init__(self) -> None:
        self.infos: list[StreamInfo] = []

    def log(self, info: StreamInfo) -> None:
        self.infos.append(info)


class _Scope:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timers = TimerWheel(loop)

    def connection_closed(self, connection: object) -> None:
        """Nobody keeps a list here."""

    def connection_replaced(self, connection: object, successor: object) -> None:
        """Nor here."""


class ProxyInMemory:
    """One proxy with one configuration. Close it at the end."""

    def __init__(self, resources: Resources, pod_ip: str, app_address: str, *, gateway: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.moved = 0
        self._recorder = _Recorder()
        self._asked: list[bytes] = []
        self._gateway = gateway
        self._address = pod_ip if gateway else app_address
        self._port = 8080 if gateway else 15080
        self.loop.run_until_complete(
            self._compile(resources, AddressMap(pod_ip, app_address, capture=not gateway))
        )

    async def _compile(self, resources: Resources, address_map: AddressMap) -> None:
        live = self._live = LiveConfiguration(
            StatsStore(), address_map=address_map, access_log_override="/dev/null"
        )
        live.drain_listeners(0.0)
        live.update_clusters(list(resources.clusters.values()), "1")
        live.update_endpoints(list(resources.endpoints.values()), "1")
        live.update_listeners(list(resources.listeners.values()), "1")
        live.update_routes(list(resources.routes.values()), "1")
        for each in live.clusters.values():
            settings = dataclasses.replace(each.cluster.settings, connect=self._connect)
            each.cluster.update_settings(settings)
        recorder: Any = self._recorder
        for listener in live.listeners.values():
            for compiled in (listener.active, listener.warming):
                for managed in compiled.managers if compiled is not None else ():
                    config = managed.manager.config
                    managed.manager.config = dataclasses.replace(config, access_logs=(recorder,))

    def close(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()

    async def _end(self) -> None:
        self._live.close()
        await asyncio.sleep(0)

    @property
    def listens(self) -> bool:
        """Whether a client could connect at all."""
        return self._chain() is not None

    def _chain(self) -> Any:
        for live in self._live.listeners.values():
            compiled = live.active or live.warming
            assert compiled is not None
            settings = compiled.settings
            if settings.configured_address[1] == self._port:
                chains = FilterChains(settings.filter_chains, settings.default_filter_chain)
                return chains.choose(ConnectionFacts(self._port, self._address))
        return None

    def send(self, request: bytes) -> Seen:
        """What becomes of one request."""
        return self.loop.run_until_complete(self._send(request))

    async def _send(self, request: bytes) -> Seen:
        self._recorder.infos.clear()
        self._asked.clear()
        got: list[bytes] = []
        scope = _Scope(self.loop)
        info = ConnectionInfo(1, f"{self._address}:{self._port}", "127.0.0.1:40000", self._port)
        protocol = self._chain().make_protocol(info, scope)
        client = MemoryTransport(self, protocol, got.append)  # type: ignore[arg-type]
        protocol.connection_made(client)
        client.deliver(request)
        await self._settle()
        client.close()
        await self._settle()
        scope.timers.close()
        (seen,) = self._recorder.infos
        status = int(b"".join(got).split(b" ", 2)[1])
        assert status == seen.response_code
        return Seen(
            status,
            seen.response_flags,
            seen.response_code_details or "",
            seen.upstream_cluster or "",
            self._upstream(),
        )

    def _upstream(self) -> tuple[str, str, frozenset[tuple[str, str]]] | None:
        if not self._asked:
            return None
        return read_request(b"".join(self._asked).decode("latin-1"))

    async def _settle(self) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            before = self.moved
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.moved == before else 0

    async def _connect(self, host: Any, settings: Any) -> Http1ClientConnection:
        connection = Http1ClientConnection()
        transport: MemoryTransport

        def on_write(data: bytes) -> None:
            self._asked.append(data)
            if b"\r\n\r\n" in data:
                self.loop.call_soon(transport.deliver, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        transport = MemoryTransport(self, connection, on_write)  # type: ignore[arg-type]
        self.moved += 1
        connection.connection_made(transport)
        return connection


def read_request(text: str) -> tuple[str, str, frozenset[tuple[str, str]]]:
    """(path, host, those of its headers that a configuration may change) of a request in HTTP/1.1."""
    found = _HEAD.match(text)
    assert found is not None, text
    host, told = "", {}
    for line in found[3].split("\r\n"):
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if name == "host":
            host = value
        elif name in TOLD_HEADERS:
            told[name] = f"{told[name]},{value}" if told.get(name) else value
    return found[2], host, frozenset(told.items())
