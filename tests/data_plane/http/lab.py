"""A proxy with real sockets, a scripted upstream behind it, and the words to talk to both.

`Lab` assembles listener, connection manager, routes and clusters as the xDS client would, but from a
RouteConfiguration in YAML and a table of clusters.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import yaml

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.http.interfaces import Filter
from minimesh.data_plane.network.address_map import AddressMap, BindAddress
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log import (
    ISTIO_DEFAULT_FORMAT,
    AccessLog,
    compile_text_format,
    value_formatter,
)
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, HostSpec
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.http_filters import compile_http_filters, route_filter_compiler
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.xds import messages as m
from tests.data_plane.http.scripted_upstream import ScriptedUpstream

#: The filters of istiod's listeners that routes configure.
FILTERS = """
- name: envoy.filters.http.fault
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}
- name: envoy.filters.http.cors
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
- name: envoy.filters.http.router
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""


class Lines:
    """A log sink that can be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def write(self, line: str) -> None:
        self.lines.append(line.rstrip("\n"))
        self._more.set()

    async def next(self) -> str:
        """The oldest line not yet taken, waiting for it if need be."""
        async with asyncio.timeout(2):
            while not self.lines:
                self._more.clear()
                await self._more.wait()
        return self.lines.pop(0)


class Lab:
    """See the module."""

    def __init__(
        self, routes: str, http_filters: str | tuple[Filter, ...] = FILTERS, **settings: Any
    ) -> None:
        loop = asyncio.get_running_loop()
        self.stats = StatsStore()
        self.log = Lines()
        self.timers = TimerWheel(loop)
        self.clusters: dict[str, ClusterHandle] = {}
        self.upstream = ScriptedUpstream("a")
        self.other = ScriptedUpstream("b")
        self._routes = routes
        self._http_filters = http_filters
        self._settings = settings
        self.manager: ConnectionManager
        self.listener: Listener
        self.port = 0

    async def start(self, clusters: Mapping[str, ClusterSettings], hosts: Mapping[str, list[int]]) -> None:
        await self.upstream.start()
        await self.other.start()
        for settings in clusters.values():
            self.add_cluster(settings, hosts.get(settings.name, [self.upstream.port]))
        config = HttpConnectionManagerConfig(
            stat_prefix="ingress",
            route_config=RouteConfigHolder(table=self.route_table(self._routes)),
            stats=self.stats,
            filters=self._filters(),
            access_logs=(AccessLog(compile_text_format(ISTIO_DEFAULT_FORMAT), self.log),),
            **self._settings,
        )
        self.manager = ConnectionManager(config, random.Random(1))
        self.listener = Listener(self.listener_settings(self.manager), self.stats, self.timers)
        self.listener.start()
        self.port = self.listener.bound_addresses[0][1]

    def listener_settings(self, make_protocol: Any, **more: Any) -> ListenerSettings:
        return ListenerSettings(
            name="test",
            configured_address=("127.0.0.1", 0),
            addresses=(BindAddress("127.0.0.1", 0),),
            filter_chains=(FilterChain(make_protocol),),
            **more,
        )

    def add_cluster(self, settings: ClusterSettings, ports: list[int]) -> Cluster:
        cluster = Cluster(settings, self.stats, random.Random(1))
        cluster.update_hosts([HostSpec("127.0.0.1", port) for port in ports])
        self.handle(settings.name).cluster = cluster
        return cluster

    def handle(self, name: str) -> ClusterHandle:
        return self.clusters.setdefault(name, ClusterHandle(name))

    def route_table(self, routes: str) -> Any:
        message = m.route_pb2.RouteConfiguration()
        m.json_format.ParseDict(yaml.safe_load(routes), message)
        return compile_route_configuration(
            message,
            self.handle,
            compile_format=value_formatter,
            compile_filter_config=route_filter_compiler(self._context()),
        )

    def _context(self) -> CompileContext:
        return CompileContext(
            self.stats,
            AccessLogFiles(),
            AddressMap(),
            self.handle,
            self.handle,
            lambda _: RouteConfigHolder(),
        )

    def _filters(self) -> Any:
        if not isinstance(self._http_filters, str):
            return self._http_filters
        messages = [
            m.json_format.ParseDict(each, m.http_connection_manager_pb2.HttpFilter())
            for each in yaml.safe_load(self._http_filters)
        ]
        return compile_http_filters(messages, "http_filters", self._context(), "ingress").filters

    async def stop(self) -> None:
        self.listener.stop_listening()
        self.listener.close_connections()
        for handle in self.clusters.values():
            if handle.cluster is not None:
                handle.cluster.close()
        self.timers.close()
        await _turns()  # a dial under way arrives before its server is gone
        await self.upstream.stop()
        await self.other.stop()
        await _turns()  # transports tell that they are closed

    async def client(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Client(reader, writer)

    async def ask(self, raw: str | bytes) -> str:
        """Send a request on a connection of its own; the complete response, masked."""
        client = await self.client()
        client.send(raw)
        try:
            return await client.response()
        finally:
            client.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody announces, such as a counter."""
    async with asyncio.timeout(2):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


async def _turns() -> None:
    """Some turns of the event loop."""
    for _ in range(20):
        await asyncio.sleep(0)


class Client:
    """A raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, raw: str | bytes) -> None:
        self.writer.write(raw.encode("latin-1") if isinstance(raw, str) else raw)

    async def response(self, *, head: bool = False) -> str:
        """One complete response as text, masked; `head` for an answer to HEAD."""
        async with asyncio.timeout(2):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(text[9:12])
            if head or status < 200 or status in (204, 304):
                return mask(text)
            length = re.search(r"content-length: (\d+)", text)
            if length:
                return mask(text + (await self.reader.readexactly(int(length[1]))).decode("latin-1"))
            if "transfer-encoding: chunked" in text:
                return mask(text + (await self.reader.readuntil(b"0\r\n\r\n")).decode("latin-1"))
            return mask(text + (await self.reader.read()).decode("latin-1"))

    async def rest(self) -> str:
        """Everything until the proxy closes."""
        async with asyncio.timeout(2):
            return mask((await self.reader.read()).decode("latin-1"))

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def lab(
    routes: str,
    clusters: Mapping[str, ClusterSettings] | None = None,
    hosts: Mapping[str, list[int]] | None = None,
    **settings: Any,
) -> AsyncIterator[Lab]:
    """A running `Lab`; cluster `up` leads to the upstream `a` unless said otherwise."""
    running = Lab(routes, **settings)
    chosen = {"up": ClusterSettings("up", connect=connect_http1)} if clusters is None else clusters
    try:
        await running.start(chosen, hosts or {})
        yield running
    finally:
        await running.stop()


_MASKS = (
    (re.compile(r"(date: )[A-Z][a-z]{2}, (?!01 Jan 2001)[^\r]*"), r"\1<now>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(x-envoy-upstream-service-time: )\d+"), r"\1<ms>"),
)


def mask(text: str) -> str:
    """Replace what differs from run to run."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def mask_log(line: str, running: Lab) -> str:
    """A log line with times, ports and ids replaced."""
    line = re.sub(r"^\[[^]]*\]", "[t]", mask(line))
    line = line.replace(f"127.0.0.1:{running.port} ", "127.0.0.1:<proxy> ")
    line = line.replace(f'"127.0.0.1:{running.upstream.port}"', '"127.0.0.1:<up>"')
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<eph>", line)
    return re.sub(
        r'(" \d+ \d+) \d+ (\d+|-) "',
        lambda found: f'{found[1]} <ms> {"-" if found[2] == "-" else "<ms>"} "',
        line,
    )
