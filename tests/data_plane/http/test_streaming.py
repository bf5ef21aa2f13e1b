"""Bodies flow without being gathered: both ways, slow peers, early answers, draining."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster import ClusterSettings
from tests.data_plane.http.lab import Lab, lab, until
from tests.data_plane.http.test_conformance import gateway

ROUTES = """
name: all
virtual_hosts:
- {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]}
"""
HEAD = "{} / HTTP/1.1\r\nHost: h\r\n{}\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def before(serve: Serve, **settings: object) -> AsyncIterator[Lab]:
    """A proxy in front of `serve`."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with lab(ROUTES, hosts={"up": [port]}, **settings) as running:
        yield running
    server.close()


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


SIZE = 128 * 1024 * 1024
PIECE = b"x" * 65536


@pytest.mark.slow
async def test_a_slow_reader_slows_the_upstream_down() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        while sent < SIZE:
            writer.write(PIECE)
            sent += len(PIECE)
            await writer.drain()
        await reader.read()

    async with before(serve) as running:
        client = await running.client()
        client.send(HEAD.format("GET", ""))
        await client.reader.readuntil(b"\r\n\r\n")
        while True:
            at = sent
            await asyncio.sleep(0.2)
            if sent == at:
                break
        assert sent < SIZE / 4  # it waits: nobody is reading
        memory_mb = peak_memory_mb()
        received = 0
        while received < SIZE:
            received += len(await client.reader.read(1 << 20))
        assert peak_memory_mb() - memory_mb < 32
        assert f" 0 {SIZE} " in await running.log.next()
        client.close()


@pytest.mark.slow
async def test_a_slow_upstream_slows_the_client_down() -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        received = 0
        while received < SIZE:
            received += len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with before(serve) as running:
        client = await running.client()
        client.send(HEAD.format("POST", f"Content-Length: {SIZE}\r\n"))
        sent = 0

        async def push() -> None:
            nonlocal sent
            while sent < SIZE:
                client.writer.write(PIECE)
                sent += len(PIECE)
                await client.writer.drain()

        pushing = asyncio.create_task(push())
        while True:
            at = sent
            await asyncio.sleep(0.2)
            if sent == at:
                break
        assert sent < SIZE / 4
        go.set()
        await pushing
        assert (await client.response()).startswith("HTTP/1.1 200")
        client.close()


async def test_a_big_upload_lets_other_connections_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    body = b"x" * (8 << 20)
    turns: list[str] = []
    async with before(serve) as running:
        client = await running.client()
        await until(lambda: bool(running.listener.connections))
        (connection,) = running.listener.connections
        transport = vars(type(connection))["_transport"].__get__(connection)
        for name in ("pause_reading", "resume_reading"):
            monkeypatch.setattr(transport, name, _noted(name, getattr(transport, name), turns))
        client.send(HEAD.format("POST", f"Content-Length: {len(body)}\r\n").encode() + body)
        assert (await client.response()).startswith("HTTP/1.1 200")
        await until(lambda: turns.count("pause_reading") == turns.count("resume_reading"))
        assert turns.count("pause_reading") >= len(body) // (256 * 1024) // 2
        client.close()


def _noted(name: str, call: Callable[[], None], calls: list[str]) -> Callable[[], None]:
    def noted() -> None:
        calls.append(name)
        call()

    return noted


async def test_pieces_are_passed_on_as_they_come() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await asked.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await reader.read()

    async with before(serve) as running:
        client = await running.client()
        client.send(HEAD.format("GET", ""))
        await client.reader.readuntil(b"3\r\none\r\n")
        asked.set()
        assert await client.reader.readexactly(13) == b"3\r\ntwo\r\n0\r\n\r\n"
        client.close()


async def test_an_answer_before_the_end_of_the_request_closes() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Big\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with before(serve) as running:
        client = await running.client()
        client.send(HEAD.format("POST", "Content-Length: 100\r\n") + "some")
        answer = await client.rest()
        assert answer.startswith("HTTP/1.1 413 Payload Too Large\r\n")
        assert "\r\nconnection: close\r\n" in answer
        assert answer.endswith("\r\n\r\nno")
        client.close()


async def test_a_connection_is_used_again_and_a_client_keeps_its_own() -> None:
    async with gateway() as running:
        client = await running.client()
        for _ in range(5):
            client.send("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
            await client.response()
        client.close()
        assert running.upstream.connections == 1
        assert running.stats.counter("http.ingress.downstream_cx_total").value == 1
        assert running.stats.counter("http.ingress.downstream_rq_2xx").value == 5
        assert running.stats.counter("cluster.up.upstream_rq_200").value == 5
        assert running.stats.gauge("cluster.up.upstream_rq_active").value == 0
        assert running.clusters["up"].cluster.resources.requests == 0


async def test_drain_lets_a_request_finish_and_refuses_new_connections() -> None:
    async with gateway() as running:
        busy, idle = await running.client(), await running.client()
        idle.send("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        await idle.response()
        busy.send("GET /delay/0.05 HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        while len(running.upstream.requests) < 2:  # noqa: ASYNC110 - until the proxy has it in hand
            await asyncio.sleep(0)
        running.listener.drain()
        assert await idle.rest() == ""
        with pytest.raises(ConnectionRefusedError):
            await running.client()
        answer = await busy.rest()
        assert answer.startswith("HTTP/1.1 200")
        assert "\r\nconnection: close\r\n" in answer
        busy.close()
        idle.close()


async def test_new_filter_chains_for_new_connections() -> None:
    async with gateway() as running:
        old = await running.client()
        old.send("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        await old.response()
        running.listener.update(running.listener_settings(running.manager))
        old.send("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        assert "\r\nconnection: close\r\n" in await old.rest()
        assert (await running.ask("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")).startswith(
            "HTTP/1.1 200"
        )
        old.close()


async def test_a_new_route_table_holds_from_the_next_request_on() -> None:
    async with gateway() as running:
        client = await running.client()
        raw = "GET /one HTTP/1.1\r\nHost: h\r\n\r\n"
        client.send(raw)
        assert (await client.response()).startswith("HTTP/1.1 404")
        running.manager.config.route_config.table = running.route_table(ROUTES)
        client.send(raw)
        assert (await client.response()).startswith("HTTP/1.1 200")
        client.close()


async def test_idle_connections_time_out() -> None:
    async with gateway(idle_timeout_s=0.05) as running:
        client = await running.client()
        client.send("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        await client.response()
        assert await client.rest() == ""
        client.close()


async def test_a_stream_without_life_times_out() -> None:
    async with gateway(stream_idle_timeout_s=0.03) as running:
        answer = await running.ask("GET /delay/5 HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        assert answer.startswith("HTTP/1.1 504 Gateway Timeout\r\n")
        assert answer.endswith("stream timeout")
        assert '" 504 SI stream_idle_timeout ' in await running.log.next()


async def test_a_head_that_never_ends_times_out() -> None:
    async with gateway(request_headers_timeout_s=0.03) as running:
        client = await running.client()
        client.send("GET /one HTTP/1.1\r\nHost: gs")
        assert (await client.response()).startswith("HTTP/1.1 408")
        client.close()


async def test_a_body_held_for_a_retry_is_sent_again_whole() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in (b"503 No", b"200 OK"):
            await reader.readuntil(b"\r\n\r\n")
            seen.append(await reader.readuntil(b"0\r\n\r\n"))
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with before(serve) as running:
        retrying = ROUTES.replace("timeout: 0s", "timeout: 0s, retry_policy: {retry_on: 5xx, num_retries: 1}")
        running.manager.config.route_config.table = running.route_table(retrying)
        client = await running.client()
        client.send(HEAD.format("POST", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n")
        client.send("4\r\ndefg\r\n0\r\n\r\n")
        assert (await client.response()).startswith("HTTP/1.1 200")
        bodies = [
            b"".join(part for part in body.split(b"\r\n") if part not in (b"3", b"4", b"7", b"0"))
            for body in seen
        ]
        assert bodies == [b"abcdefg", b"abcdefg"]
        client.close()


async def test_dials_from_the_configured_address() -> None:
    peers: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 None\r\n\r\n")
        await reader.read()

    async with before(serve) as running:
        cluster = running.clusters["up"].cluster
        cluster.update_settings(ClusterSettings("up", connect=connect_http1, source_address="127.0.0.1"))
        await running.ask(HEAD.format("GET", ""))
        assert peers == ["127.0.0.1"]
