"""HTTP/1.1 clients, HTTP/2 upstreams: what clients get, what is logged and counted. Judged by Envoy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.http.http2.upstream import connect_http2
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, UpstreamProtocol
from tests.data_plane.http.lab import Lab, lab, until
from tests.data_plane.http.scripted_http2 import Peer, ScriptedHttp2Upstream, Seen


@asynccontextmanager
async def proxy(route: str = "", **settings: Any) -> AsyncIterator[tuple[Lab, ScriptedHttp2Upstream]]:
    """A proxy whose one route leads to a scripted HTTP/2 upstream."""
    upstream = ScriptedHttp2Upstream()
    await upstream.start()
    routes = f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      routes: [{{match: {{prefix: /}}, route: {{cluster: up, timeout: 0s, {route}}}}}]
    """
    clusters = {
        "up": ClusterSettings(
            "up", protocol=UpstreamProtocol.HTTP2, connect=connect_http1, connect_http2=connect_http2
        )
    }
    try:
        async with lab(routes, clusters, {"up": [upstream.port]}, **settings) as running:
            yield running, upstream
    finally:
        await upstream.stop()


def get(path: str, more: str = "", method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: t\r\n{more}\r\n"


async def facts(running: Lab) -> str:
    """Status, flags and details of the next log line."""
    line = await running.log.next()
    found = re.match(r'\[[^]]*\] "[^"]*" (\d+) (\S+) (\S+) ', line)
    assert found is not None, line
    return " ".join(found.groups())


async def test_bodies_whose_length_is_not_known_become_chunks() -> None:
    async with proxy() as (running, _upstream):
        answer = await running.ask(get("/plain"))
        assert "transfer-encoding: chunked\r\n" in answer
        assert answer.endswith("6\r\n/plain\r\n0\r\n\r\n")
        assert "content-length: 5\r\n" in await running.ask(get("/big/5"))


async def test_chunks_become_a_body_that_just_ends() -> None:
    async with proxy() as (running, upstream):
        request = get("/p", "Transfer-Encoding: chunked\r\nTE: trailers, gzip\r\nKeep-Alive: 3\r\n", "POST")
        await running.ask(request + "3\r\nabc\r\n0\r\n\r\n")
        seen = upstream.requests[0]
        assert (seen.body, seen.ended, seen.header("te")) == (b"abc", True, "trailers")
        for name in ("transfer-encoding", "connection", "keep-alive", "host", "content-length"):
            assert seen.header(name) is None


async def test_a_content_length_is_kept() -> None:
    async with proxy() as (running, upstream):
        await running.ask(get("/p", "Content-Length: 3\r\n", "POST") + "abc")
        assert upstream.requests[0].header("content-length") == "3"


async def test_a_request_without_a_body_has_no_length() -> None:
    async with proxy() as (running, upstream):
        await running.ask(get("/p", method="POST"))
        seen = upstream.requests[0]
        assert (seen.header("content-length"), seen.body, seen.ended) == (None, b"", True)


async def test_responses_without_a_body() -> None:
    async with proxy() as (running, _upstream):
        assert "content-length" not in await running.ask(get("/status/204"))
        assert "content-length" not in await running.ask(get("/status/304"))
        assert "content-length: 0\r\n" in await running.ask(get("/status/503"))
        client = await running.client()
        client.send(get("/p", method="HEAD"))
        assert (await client.response(head=True)).startswith("HTTP/1.1 200 OK")
        client.send(get("/status/204"))  # nothing came behind the head
        assert (await client.response()).startswith("HTTP/1.1 204")
        client.close()


async def test_trailers_end_before_an_http1_client() -> None:
    async with proxy() as (running, _upstream):
        assert (await running.ask(get("/trailers/0"))).endswith("7\r\npayload\r\n0\r\n\r\n")


async def test_expect_is_answered_here_and_informational_responses_end_here() -> None:
    async with proxy() as (running, _upstream):
        client = await running.client()
        client.send(get("/p", "Expect: 100-continue\r\nContent-Length: 1\r\n", "POST"))
        assert await client.response() == "HTTP/1.1 100 Continue\r\n\r\n"
        client.send("x")
        assert (await client.response()).startswith("HTTP/1.1 200")
        assert (await running.ask(get("/informational/103"))).startswith("HTTP/1.1 200")
        client.close()


RESET = "upstream connect error or disconnect/reset before headers. reset reason: "


@pytest.mark.parametrize(
    ("path", "body", "logged"),
    [
        ("/rst/0", "remote reset", "503 UR upstream_reset_before_response_started{remote_reset}"),
        ("/rst/1", "protocol error", "502 UPE upstream_reset_before_response_started{protocol_error}"),
        (
            "/rst/7",
            "remote refused stream reset",
            "503 UR upstream_reset_before_response_started{remote_refused_stream_reset}",
        ),
        ("/rst/8", "remote reset", "503 UR upstream_reset_before_response_started{remote_reset}"),
        (
            "/goaway-below",
            "remote refused stream reset",
            "503 UR upstream_reset_before_response_started{remote_refused_stream_reset}",
        ),
        (
            "/close",
            "connection termination",
            "503 UC upstream_reset_before_response_started{connection_termination}",
        ),
        (
            "/malformed/no-status",
            "protocol error",
            "502 UPE upstream_reset_before_response_started{protocol_error}",
        ),
        ("/malformed/many", "remote reset", "503 UR upstream_reset_before_response_started{remote_reset}"),
    ],
)
async def test_failures_before_the_response(path: str, body: str, logged: str) -> None:
    async with proxy() as (running, _upstream):
        assert (await running.ask(get(path))).endswith(RESET + body)
        assert await facts(running) == logged


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/rst-after/8", "200 UR upstream_reset_after_response_started{remote_reset}"),
        ("/close-after", "200 UC upstream_reset_after_response_started{connection_termination}"),
        ("/short", "200 UPE upstream_reset_after_response_started{protocol_error}"),
    ],
)
async def test_failures_within_the_response(path: str, logged: str) -> None:
    async with proxy(delayed_close_timeout_s=0.02) as (running, _upstream):
        client = await running.client()
        client.send(get(path))
        assert (await client.rest()).startswith("HTTP/1.1 200 OK")
        client.close()
        assert await facts(running) == logged


async def test_a_client_that_leaves_ends_its_stream_alone() -> None:
    async with proxy() as (running, upstream):
        client = await running.client()
        client.send(get("/hang"))
        await upstream.until(lambda: bool(upstream.requests))
        client.abort()
        await upstream.until(lambda: upstream.requests[0].reset is not None)
        assert await facts(running) == "0 DC downstream_remote_disconnect"
        assert (await running.ask(get("/p"))).startswith("HTTP/1.1 200")
        assert len(upstream.peers) == 1


async def test_a_websocket() -> None:
    async with proxy(upgrade_types=frozenset({"websocket"})) as (running, upstream):

        def accept(peer: Peer, seen: Seen) -> None:
            peer.head(seen, "200", [("sec-websocket-accept", "x")])

        upstream.scripts["!/ws"] = accept
        upstream.on_data = lambda peer, seen, data: peer.data(seen, b"echo:" + data)
        client = await running.client()
        client.send(get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        head = await client.response()
        assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
        assert "upgrade: websocket\r\nconnection: upgrade\r\n" in head
        client.send("ping")
        async with asyncio.timeout(2):
            assert await client.reader.readexactly(9) == b"echo:ping"
        client.close()


@pytest.mark.parametrize(
    ("retry_on", "path", "tries"),
    [
        ("refused-stream", "/rst/7", 2),
        ("refused-stream", "/goaway-below", 2),
        ("refused-stream", "/rst/8", 1),
        ("reset", "/rst/8", 2),
        ("5xx", "/malformed/no-status", 2),
        ("reset-before-request", "/rst/7", 1),
        ("connect-failure", "/close", 1),
        ("http3-post-connect-failure", "/close", 1),
        ("cancelled", "/grpc/1", 2),
        ("deadline-exceeded", "/grpc/4", 2),
        ("resource-exhausted", "/grpc/8", 2),
        ("internal", "/grpc/13", 2),
        ("unavailable", "/grpc/14", 2),
        ("unavailable", "/grpc/13", 1),
        ("unavailable", "/trailers/14", 1),  # too late: the response has begun
        ("retriable-4xx", "/status/409", 2),
        ("retriable-4xx", "/status/404", 1),
        ("envoy-ratelimited", "/limited/200", 2),
        ("5xx", "/limited/503", 1),
        ("bogus,unavailable", "/grpc/14", 2),
    ],
)
async def test_what_is_tried_again(retry_on: str, path: str, tries: int) -> None:
    policy = f"retry_policy: {{retry_on: '{retry_on}', retry_back_off: {{base_interval: 0.001s}}}}"
    async with proxy(policy) as (running, upstream):
        for status in ("200", "503"):
            upstream.scripts[f"/limited/{status}"] = lambda peer, seen, status=status: peer.head(
                seen, status, [("x-envoy-ratelimited", "true")], end=True
            )
        await running.ask(get(path))
        assert len(upstream.requests) == tries
        assert ("URX" in await running.log.next()) == (tries == 2)


async def test_per_try_timeouts_end_streams_not_connections() -> None:
    policy = "retry_policy: {retry_on: 5xx, per_try_timeout: 0.02s, retry_back_off: {base_interval: 0.001s}}"
    async with proxy(policy) as (running, upstream):
        assert (await running.ask(get("/hang"))).startswith("HTTP/1.1 504")
        assert "UT" in await running.log.next()
        await upstream.until(lambda: all(each.reset is not None for each in upstream.requests))
        assert (len(upstream.requests), len(upstream.peers)) == (2, 1)


async def test_counters() -> None:
    async with proxy() as (running, _upstream):
        await asyncio.gather(*(running.ask(get("/p")) for _ in range(10)))
        count = running.stats.counter
        assert count("cluster.up.upstream_cx_http2_total").value == 1
        assert count("cluster.up.upstream_rq_200").value == 10
        gauge = running.stats.gauge
        await until(lambda: gauge("cluster.up.http2.streams_active").value == 0)
        assert gauge("cluster.up.upstream_rq_active").value == 0


async def test_a_slow_client_holds_back_its_stream_and_no_other() -> None:
    async with proxy() as (running, _upstream):
        slow = await running.client()
        slow.send(get("/big/50000000"))
        async with asyncio.timeout(5):
            await slow.reader.readuntil(b"\r\n\r\n")
            assert len((await running.ask(get("/big/100000"))).partition("\r\n\r\n")[2]) == 100_000
            left = 50_000_000
            while left:
                left -= len(await slow.reader.read(1_000_000))
        slow.close()


async def test_a_large_upload() -> None:
    async with proxy() as (running, upstream):
        size = 3_000_000
        client = await running.client()
        client.send(get("/p", f"Content-Length: {size}\r\n", "POST"))
        client.send(b"x" * size)
        assert (await client.response()).startswith("HTTP/1.1 200")
        assert len(upstream.requests[0].body) == size
        client.close()
