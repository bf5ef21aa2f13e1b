"""Many connections: thousands that stay, thousands that come and go, and more than there are descriptors."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from minimesh.data_plane.network.descriptors import kept_descriptors
from tests.robustness.load import Load
from tests.robustness.origins import good
from tests.robustness.process import ProxyProcess, proxy

pytestmark = pytest.mark.slow

WANTED = 10_000
SPARE = 300
"""Descriptors that everything else needs."""
REQUEST = b"GET /good HTTP/1.1\r\nhost: a\r\n\r\n"
MAX_BYTES_PER_IDLE_CONNECTION = 8_000


async def test_ten_thousand_open_connections(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        async with good() as port, proxy(tmp_path, {"good": port}) as running:
            number = min(WANTED, hard - SPARE)
            with ExitStack() as kept:
                before = running.memory_bytes
                clients = await _connect(kept, running.port, number)
                stats = await running.until(lambda stats: stats[_ACTIVE] >= number, 30)
                each = (running.memory_bytes - before) / number
                async with Load(running.port, "/good", 4) as load:
                    for client in clients[::100]:
                        assert await _ask(client) == "200"
                    await load.until(500)
                print(f"{stats[_ACTIVE]} open connections, {each:.0f} bytes each")
                assert not load.failed
                assert each < MAX_BYTES_PER_IDLE_CONNECTION
            await running.until_idle()
            assert running.descriptors < SPARE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


_ACTIVE = "http.stressed.downstream_cx_active"


async def _connect(kept: ExitStack, port: int, number: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(number):
        client = kept.enter_context(socket.socket())
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        clients.append(client)
    return clients


async def _ask(client: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, REQUEST)
    async with asyncio.timeout(20):
        return (await loop.sock_recv(client, 65536))[9:12].decode()


async def test_clients_that_come_and_go_at_once(tmp_path: Path) -> None:
    """Half of them with a request on the way that nobody will read the answer of."""
    number, lanes = 4000, 8
    async with good() as port, proxy(tmp_path, {"good": port}) as running:
        async with Load(running.port, "/good", 4) as load:

            async def come_and_go(lane: int) -> None:
                for turn in range(number // lanes):
                    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                    if turn % 2:
                        writer.write(REQUEST)
                    writer.transport.abort()

            before = running.cpu_s
            await asyncio.gather(*map(come_and_go, range(lanes)))
            spent_ms = (running.cpu_s - before) * 1000 / number
        await running.until_idle()
        print(f"{number} connections came and went at {spent_ms:.2f} ms each; {load.outcomes} beside them")
        assert not load.failed
        assert running.descriptors < 60


async def test_no_descriptors_left(tmp_path: Path) -> None:
    """Accepting pauses, costs nothing, and goes on as soon as there are descriptors again."""
    limit = 100
    async with good() as port, proxy(tmp_path, {"good": port}, max_descriptors=limit) as running:
        with ExitStack() as kept, ExitStack() as crowd:
            first = await _connect(kept, running.port, 1)
            assert await _ask(first[0]) == "200"
            await _connect(crowd, running.port, 2 * limit)
            await _until_descriptors(running, limit - kept_descriptors(limit))
            waiting = await _connect(kept, running.port, 1)
            before, watched_s = running.cpu_s, 1.5
            await asyncio.sleep(watched_s)  # what is measured is that nothing happens
            share = (running.cpu_s - before) / watched_s
            print(f"{share:.1%} of a core while descriptors are out")
            assert share < 0.1
            assert await _ask(first[0]) == "200", "who was there before is served, with a host's connection"
            crowd.close()
            assert await _ask(waiting[0]) == "200", "who had to wait was not sent away"
            assert await _ask(first[0]) == "200"
        await running.until_idle()
        assert "accepts no connections for now" in running.complaints


async def _until_descriptors(running: ProxyProcess, number: int) -> None:
    """Until the process has about so many open."""
    async with asyncio.timeout(20):
        while running.descriptors < number - 2:  # noqa: ASYNC110 - there is no event: it is another program
            await asyncio.sleep(0.02)
