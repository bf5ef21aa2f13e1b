"""Discovery judged by the real Envoy: what it accepts, and that it never misses a beat while things
change."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import pytest

from minimesh.control_plane.discovery.delivery import SyncState

from .ads_peer import TIMEOUT_S, Discovery, serving
from .real_envoy import free_port, running_envoy
from .xds_resources import Resources, assignment, cluster, one_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("delta", [False, True], ids=["whole states", "increments"]),
]


@contextlib.asynccontextmanager
async def upstream(text: str) -> AsyncIterator[int]:
    """An HTTP server that answers everything with `text`; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Traffic:
    """Requests without pause, some on kept connections and some on new ones; every answer is kept."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.answers: list[tuple[int, str]] = []
        self._news = asyncio.Condition()

    async def run(self, session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(self.url) as response:
                self.answers.append((response.status, await response.text()))
            async with self._news:
                self._news.notify_all()

    async def until_last_is(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S), self._news:
            await self._news.wait_for(lambda: bool(self.answers) and self.answers[-1] == (200, text))


@contextlib.asynccontextmanager
async def traffic(port: int) -> AsyncIterator[Traffic]:
    running = Traffic(port)
    keep, fresh = aiohttp.TCPConnector(), aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=keep) as kept, aiohttp.ClientSession(connector=fresh) as new:
        tasks = [asyncio.create_task(running.run(session)) for session in (kept, new)]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(result, asyncio.CancelledError), result


def states(discovery: Discovery) -> set[SyncState]:
    return {
        each.state
        for connection in discovery.pusher.connections
        for each in connection.delivery.status().values()
    }


async def until_synced(discovery: Discovery) -> None:
    await discovery.until(lambda: states(discovery) == {SyncState.SYNCED})


async def test_envoy_accepts_everything_and_serves_the_route(tmp_path: Path, delta: bool) -> None:
    port = free_port()
    async with serving() as discovery, upstream("a") as a:
        discovery.default = one_route("a", a, port)
        async with running_envoy(discovery.server.port, tmp_path, delta=delta):
            await until_synced(discovery)
            async with traffic(port) as requests:
                await requests.until_last_is("a")


async def test_not_one_request_fails_while_traffic_moves_between_clusters(
    tmp_path: Path, delta: bool
) -> None:
    port = free_port()
    async with serving() as discovery, upstream("a") as a, upstream("b") as b:
        discovery.default = one_route("first", a, port)
        async with running_envoy(discovery.server.port, tmp_path, delta=delta):
            await until_synced(discovery)
            async with traffic(port) as requests:
                for number in range(20):
                    text, upstream_port = (("b", b), ("a", a))[number % 2]
                    discovery.default = one_route(f"cluster-{number}", upstream_port, port)
                    await discovery.push()
                    await requests.until_last_is(text)
                await until_synced(discovery)
            [connection] = discovery.pusher.connections
            assert set(connection.delivery._clusters_acked) == {"cluster-19"}
            assert {status for status, _ in requests.answers} == {200}


async def test_a_cluster_changed_in_place_goes_on_serving(tmp_path: Path, delta: bool) -> None:
    port = free_port()
    async with serving() as discovery, upstream("a") as a:
        discovery.default = one_route("a", a, port)
        async with running_envoy(discovery.server.port, tmp_path, delta=delta):
            await until_synced(discovery)
            async with traffic(port) as requests:
                await requests.until_last_is("a")
                for timeout_s in range(2, 8):
                    discovery.default.clusters["a"] = cluster("a", connect_timeout_s=timeout_s)
                    await discovery.push()
                    await until_synced(discovery)
            assert {status for status, _ in requests.answers} == {200}


async def test_a_rejected_listener_is_reported_and_the_old_one_serves_on(tmp_path: Path, delta: bool) -> None:
    port = free_port()
    async with serving() as discovery, upstream("a") as a, upstream("b") as b:
        discovery.default = one_route("a", a, port)
        async with running_envoy(discovery.server.port, tmp_path, delta=delta):
            await until_synced(discovery)
            async with traffic(port) as requests:
                await requests.until_last_is("a")
                bad = one_route("b", b, port)
                bad.listeners["front"].filter_chains[0].filters[0].name = "made-up"
                bad.listeners["front"].filter_chains[0].filters[
                    0
                ].typed_config.type_url = "type.example/Made.Up"
                discovery.default = bad
                await discovery.push()
                await discovery.until(lambda: SyncState.ERROR in states(discovery))
                [connection] = discovery.pusher.connections
                assert "made-up" in connection.delivery.status()["LDS"].detail

                discovery.default = one_route("b", b, port)
                await discovery.push()
                await requests.until_last_is("b")
                await until_synced(discovery)
            assert {status for status, _ in requests.answers} == {200}


async def test_endpoints_that_never_come_do_not_hold_back_what_does_not_need_them(
    tmp_path: Path, delta: bool
) -> None:
    port = free_port()
    async with serving() as discovery, upstream("a") as a, upstream("b") as b:
        discovery.default = one_route("a", a, port)
        async with running_envoy(discovery.server.port, tmp_path, delta=delta):
            await until_synced(discovery)
            async with traffic(port) as requests:
                resources: Resources = one_route("b", b, port)
                resources.clusters["idle"] = cluster("idle")
                resources.endpoints["idle"] = assignment("idle")
                discovery.default = resources
                await discovery.push()
                await requests.until_last_is("b")
                await until_synced(discovery)
