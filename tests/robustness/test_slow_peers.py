"""Peers that take their time: nobody else waits for them, and what they leave unread costs no memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness.load import Load
from tests.robustness.origins import big, deaf, good, hangs, origin, stalls
from tests.robustness.process import ProxyProcess, proxy

pytestmark = pytest.mark.slow

MB = 1024 * 1024
BUFFER_LIMIT_BYTES = 64 * 1024
MAX_BYTES_PER_SLOW_PEER = MB
"""Both sides' buffers, and what one read may bring in on top of them."""


async def _slow_client(port: int, path: str) -> socket.socket:
    """A client with a small window that asks and does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return client


async def test_slow_readers(tmp_path: Path) -> None:
    """Fifty clients that do not read the 32 MB they asked for."""
    readers, length = 50, 32 * MB
    async with (
        good() as fast,
        origin(big(length)) as much,
        proxy(tmp_path, {"good": fast, "big": much}, buffer_limit_bytes=BUFFER_LIMIT_BYTES) as running,
        contextlib.AsyncExitStack() as kept,
    ):
        async with Load(running.port, "/good", 2) as load:
            await load.until(200)
            before = running.memory_bytes
            clients = [await _slow_client(running.port, "/big") for _ in range(readers)]
            for client in clients:
                kept.callback(client.close)
            await running.until(lambda stats: stats["cluster.big.upstream_cx_active"] == readers)
            await load.until(2000)
            grown = (running.memory_bytes - before) / readers
        print(f"{grown / 1024:.0f} KiB for each slow reader; {load.outcomes} beside them")
        assert not load.failed
        assert grown < MAX_BYTES_PER_SLOW_PEER
        received = await _drained(clients[0], length)
        assert received > length, "who reads after all gets all of it"
        for client in clients:
            client.close()
        await running.until_idle()


async def test_clients_that_take_nothing_lose_their_connections(tmp_path: Path) -> None:
    """Ten that stop reading amid their response, and let its time run out."""
    readers = 10
    limits = {"stream_idle_timeout": "0.3s", "delayed_close_timeout": "0.2s"}
    async with (
        origin(big(32 * MB)) as much,
        proxy(tmp_path, {"big": much}, manager=limits) as running,
        contextlib.AsyncExitStack() as kept,
    ):
        before = running.descriptors
        for _ in range(readers):
            kept.callback((await _slow_client(running.port, "/big")).close)
        await running.until(lambda stats: stats["http.stressed.downstream_rq_idle_timeout"] == readers)
        await running.until_idle()
        stats = await running.stats()
        assert stats["http.stressed.downstream_cx_delayed_close_timeout"] == readers
        assert running.descriptors <= before


async def test_clients_that_ask_and_ask_and_do_not_read(tmp_path: Path) -> None:
    """Twenty clients that send a thousand requests ahead: answers that nobody takes do not pile up."""
    clients, ahead, length = 20, 1000, 48 * 1024
    request = b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n"
    async with (
        good() as fast,
        origin(big(length)) as much,
        proxy(tmp_path, {"good": fast, "big": much}, buffer_limit_bytes=BUFFER_LIMIT_BYTES) as running,
        contextlib.AsyncExitStack() as kept,
    ):
        async with Load(running.port, "/good", 2) as load:
            await load.until(200)
            before = running.memory_bytes
            asking = [await _slow_client(running.port, "/big") for _ in range(clients)]
            for client in asking:
                kept.callback(client.close)
                await asyncio.get_running_loop().sock_sendall(client, request * (ahead - 1))
            await load.until(3000)
            grown = (running.memory_bytes - before) / clients
            stats = await running.stats()
        sent_on = stats["cluster.big.upstream_rq_total"]
        print(f"{grown / 1024:.0f} KiB for each, {sent_on} of {clients * ahead} requests sent on")
        assert not load.failed
        assert grown < MAX_BYTES_PER_SLOW_PEER
        received = await _drained(asking[0], ahead * length)
        assert received > ahead * length, "who reads after all gets every answer"


async def test_upstreams_that_do_not_read(tmp_path: Path) -> None:
    """Twenty clients that send 16 MB each to an upstream that takes none of it."""
    clients, length = 20, 16 * MB
    async with (
        good() as fast,
        origin(deaf) as nobody,
        proxy(tmp_path, {"good": fast, "deaf": nobody}, buffer_limit_bytes=BUFFER_LIMIT_BYTES) as running,
        contextlib.AsyncExitStack() as kept,
    ):
        async with Load(running.port, "/good", 2) as load:
            await load.until(200)
            before = running.memory_bytes
            for _ in range(clients):
                kept.callback(await _upload(running.port, length))
            await load.until(3000)
            grown = (running.memory_bytes - before) / clients
        print(f"{grown / 1024:.0f} KiB for each upload that is stuck; {load.outcomes} beside them")
        assert not load.failed
        assert grown < MAX_BYTES_PER_SLOW_PEER


async def _upload(port: int, length: int) -> Callable[[], None]:
    """A client that sends as much as is taken; how to end it."""
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    head = b"POST /deaf HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % length
    sending = asyncio.create_task(loop.sock_sendall(client, head + b"x" * length))

    def end() -> None:
        sending.cancel()
        client.close()

    return end


async def _drained(client: socket.socket, length: int) -> int:
    """Bytes that a client gets that reads after all, until there are more than so many."""
    loop, received = asyncio.get_running_loop(), 0
    async with asyncio.timeout(30):
        while received <= length and (data := await loop.sock_recv(client, MB)):
            received += len(data)
    return received


async def _answer_after(port: int, pieces: list[bytes], pause_s: float) -> tuple[str, float]:
    """Send these pieces with pauses, stop when the answer has come; its first line and the time it took."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        line = asyncio.create_task(reader.readline())
        for piece in pieces:
            writer.write(piece)
            await asyncio.wait({line}, timeout=pause_s)
            if line.done():
                break
        async with asyncio.timeout(10):
            return (await line).decode().strip(), time.monotonic() - begun
    finally:
        writer.transport.abort()


HEAD = b"POST /waits HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n"


async def _slow_writer(running: ProxyProcess, pieces: list[bytes], pause_s: float) -> float:
    """Expects 408; the time it took."""
    async with Load(running.port, "/good", 2) as load:
        line, took_s = await _answer_after(running.port, pieces, pause_s)
    assert line == "HTTP/1.1 408 Request Timeout"
    assert not load.failed
    await running.until_idle()
    return took_s


async def test_a_head_that_trickles_in(tmp_path: Path) -> None:
    """Byte by byte, so that something always moves."""
    async with (
        good() as port,
        origin(hangs) as waits,
        proxy(
            tmp_path, {"good": port, "waits": waits}, manager={"request_headers_timeout": "0.5s"}
        ) as running,
    ):
        took_s = await _slow_writer(running, [HEAD[at : at + 1] for at in range(len(HEAD))], 0.05)
    print(f"408 after {took_s:.2f} s (request_headers_timeout 0.5 s)")
    assert 0.5 <= took_s < 1.5


async def test_a_body_that_trickles_in(tmp_path: Path) -> None:
    async with (
        good() as port,
        origin(hangs) as waits,
        proxy(tmp_path, {"good": port, "waits": waits}, manager={"request_timeout": "0.5s"}) as running,
    ):
        took_s = await _slow_writer(running, [HEAD] + [b"x"] * 90, 0.05)
    print(f"408 after {took_s:.2f} s (request_timeout 0.5 s)")
    assert 0.5 <= took_s < 1.5


async def test_a_body_that_stalls(tmp_path: Path) -> None:
    async with (
        good() as port,
        origin(hangs) as waits,
        proxy(tmp_path, {"good": port, "waits": waits}, manager={"stream_idle_timeout": "0.4s"}) as running,
    ):
        took_s = await _slow_writer(running, [HEAD, b"half of it"], 0.05)
    print(f"408 after {took_s:.2f} s (stream_idle_timeout 0.4 s)")
    assert 0.4 <= took_s < 1.8


async def test_an_upstream_that_stalls_in_its_body(tmp_path: Path) -> None:
    """The client has the head already: the connection ends, and nothing stays behind."""
    async with (
        origin(stalls) as port,
        proxy(tmp_path, {"stalls": port}, manager={"stream_idle_timeout": "0.4s"}) as running,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /stalls HTTP/1.1\r\nhost: a\r\n\r\n")
        begun = time.monotonic()
        async with asyncio.timeout(5):
            answer = await reader.read()
        took_s = time.monotonic() - begun
        writer.close()
        await running.until_idle()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"half of it")
    print(f"cut off after {took_s:.2f} s (stream_idle_timeout 0.4 s, delayed_close_timeout 1 s)")
    assert 0.4 <= took_s < 3
