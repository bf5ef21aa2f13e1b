"""The TCP proxy: bytes both ways, half-close, and Envoy's log lines for what can go wrong."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.filter_chains import FilterChainMatch
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings
from minimesh.data_plane.network.tcp_proxy import TcpProxy, TcpProxyConfig, WeightedCluster
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.telemetry.access_log import ISTIO_DEFAULT_FORMAT, AccessLog, compile_text_format
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, HostSpec
from tests.data_plane.http.lab import Lines

ANY = FilterChainMatch()


class Running:
    def __init__(self, listener: Listener, log: Lines, stats: StatsStore) -> None:
        self.listener = listener
        self.log = log
        self.stats = stats

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listener.bound_addresses[0])


@asynccontextmanager
async def proxy(
    ports: list[int] | None,
    match: FilterChainMatch = ANY,
    max_connect_attempts: int = 1,
    idle_timeout_s: float = 3600.0,
) -> AsyncIterator[Running]:
    """A TCP proxy to a cluster with these ports; None: the cluster does not exist."""
    stats, log = StatsStore(), Lines()
    handle = ClusterHandle("up")
    if ports is not None:
        handle.cluster = Cluster(ClusterSettings("up"), stats, random.Random(1))
        handle.cluster.update_hosts([HostSpec("127.0.0.1", port) for port in ports])
    access_log = AccessLog(compile_text_format(ISTIO_DEFAULT_FORMAT), log)
    config = TcpProxyConfig(
        "t",
        (WeightedCluster(handle),),
        stats,
        (access_log,),
        idle_timeout_s=idle_timeout_s,
        max_connect_attempts=max_connect_attempts,
    )
    settings = ListenerSettings(
        "tcp",
        ("127.0.0.1", 0),
        (BindAddress("127.0.0.1", 0),),
        (FilterChain(TcpProxy(config), match),),
        access_logs=(access_log,),
    )
    timers = TimerWheel(asyncio.get_running_loop())
    listener = Listener(settings, stats, timers)
    listener.start()
    try:
        yield Running(listener, log, stats)
    finally:
        listener.stop_listening()
        listener.close_connections()
        timers.close()
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Says everything again once the client has stopped talking."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo:" + await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_bytes_both_ways_with_half_close() -> None:
    async with echo() as port, proxy([port]) as running:
        reader, writer = await running.connect()
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"echo:hello"
        writer.close()
        line = await running.log.next()
        assert '] "- - -" 0 - - - "-" 5 10 ' in line
        assert f'"127.0.0.1:{port}" up 127.0.0.1:' in line


@pytest.mark.parametrize(
    ("case", "log", "reset"),
    [
        ("refused", '0 UF,URX - - "delayed_connect_error:_Connection_refused" 0 0', True),
        ("none", '0 UH - - "-" 0 0', True),
        ("missing", '0 NC - - "-" 0 0', False),
    ],
)
async def test_failures(case: str, log: str, reset: bool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ports = {"refused": [unused.getsockname()[1]], "none": [], "missing": None}[case]
        async with proxy(ports) as running:
            reader, writer = await running.connect()
            if reset:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            else:
                assert await reader.read() == b""
            writer.close()
            assert f'] "- - -" {log}' in await running.log.next()


async def test_another_host_is_tried_where_that_is_allowed() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = unused.getsockname()[1]
        async with echo() as port, proxy([refusing, port], max_connect_attempts=20) as running:
            reader, writer = await running.connect()
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"echo:hello"
            writer.close()
            assert f'"127.0.0.1:{port}"' in await running.log.next()


async def test_peers_that_take_nothing_are_cut_off_when_idle_for_too_long() -> None:
    hears_nothing = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hears_nothing.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
    async with proxy([server.sockets[0].getsockname()[1]], idle_timeout_s=0.3) as running:
        _, writer = await running.connect()
        writer.write(bytes(16 * 1024 * 1024))
        active = running.stats.gauge("cluster.up.upstream_cx_active")
        async with asyncio.timeout(20):
            while not active.value:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            while active.value or running.listener.connections:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        writer.transport.abort()
    hears_nothing.set()
    server.close()


async def test_no_filter_chain() -> None:
    async with proxy([1], FilterChainMatch(destination_port=1)) as running:
        reader, writer = await running.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert '] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - ' in await running.log.next()
