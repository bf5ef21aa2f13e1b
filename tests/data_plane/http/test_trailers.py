"""Trailers through the proxy: dropped on HTTP/1 unless configured, as by Envoy; kept on HTTP/2."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from minimesh.data_plane.http.http1.body import ChunkedBody
from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.telemetry.access_log import AccessLog, compile_text_format
from minimesh.data_plane.upstream.cluster import ClusterSettings
from tests.data_plane.http.http2_client import http2_client, request
from tests.data_plane.http.lab import Lines, lab
from tests.data_plane.http.test_streaming import ROUTES

CHUNKED = "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nHost: other\r\n\r\n"
PASSING = {"up": ClusterSettings("up", connect=connect_http1, http1_trailers=True)}


def test_what_could_mislead_is_no_trailer() -> None:
    body = ChunkedBody()
    payload = body.feed(b"1\r\na\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\nHost: h\r\nX-T: 2\r\n\r\nrest")
    assert (payload, body.done, body.rest) == (b"a", True, b"rest")
    assert body.trailers == (("x-t", "1"), ("x-t", "2"))


async def test_they_end_at_the_proxy_by_default() -> None:
    async with lab(ROUTES) as running:
        assert (await running.ask("GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n")).endswith(
            "b\r\nhello world\r\n0\r\n\r\n"
        )
        await running.ask(f"POST / HTTP/1.1\r\n{CHUNKED}")
        assert running.upstream.requests[1].endswith("3\r\nabc\r\n0\r\n\r\n")


async def test_they_need_the_consent_of_both_sides() -> None:
    async with lab(ROUTES, http1_trailers=True) as running:
        answer = await running.ask("GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answer.endswith("0\r\n\r\n")
        await running.ask(f"POST / HTTP/1.1\r\n{CHUNKED}")
        assert running.upstream.requests[1].endswith("0\r\n\r\n")


async def test_they_are_passed_on_where_enabled_and_logged() -> None:
    lines = Lines()
    log = AccessLog(compile_text_format("%TRAILER(X-T)%\n"), lines)
    async with lab(ROUTES, clusters=PASSING, http1_trailers=True) as running:
        running.manager.config = replace(running.manager.config, access_logs=(log,))
        client = await running.client()
        client.send("GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.reader.readuntil(b"x-t: 1\r\n\r\n")).endswith(b"world\r\n0\r\nx-t: 1\r\n\r\n")
        assert await lines.next() == "1"
        client.send("GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n")  # both connections live on
        await client.reader.readuntil(b"x-t: 1\r\n\r\n")
        assert running.upstream.connections == 1
        client.close()


async def test_request_trailers_are_passed_on_where_enabled() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        lab(ROUTES, clusters=PASSING, hosts={"up": [port]}, http1_trailers=True) as running,
        http2_client(running) as http2,
    ):
        await running.ask(f"POST / HTTP/1.1\r\n{CHUNKED}")
        stream_id = http2.headers(request("/", "POST"), end=False)
        http2.data(stream_id, b"abc", end=False)
        http2.headers([("x-t", "1")], stream_id=stream_id)
        assert (await http2.response(stream_id)).status == "204"
    assert seen == [b"3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"] * 2
    server.close()


async def test_from_http1_to_http2() -> None:
    async with lab(ROUTES, clusters=PASSING) as running, http2_client(running) as client:
        answer = await client.ask(request("/chunked"))
        assert answer.body == b"hello world"
        assert answer.trailers == [("x-t", "1")]
        assert answer.ended_by_headers
