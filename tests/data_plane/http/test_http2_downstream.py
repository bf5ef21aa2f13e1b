"""Requests by HTTP/2, answered as those by HTTP/1 are. What Envoy does was asked of the real one."""

from __future__ import annotations

import asyncio

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame

from minimesh.data_plane.http.hcm_config import Codec
from minimesh.data_plane.network.http2_options import Http2Options
from tests.data_plane.http.http2_client import http2_client, request
from tests.data_plane.http.lab import Lab, lab, mask, mask_log, until

ROUTES = """
name: all
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: direct}}}
  - {match: {prefix: /redirect}, redirect: {path_redirect: /x}}
  - {match: {prefix: /nowhere}, route: {cluster: gone}}
  - {match: {prefix: /slow/}, route: {cluster: up, timeout: 0.05s, prefix_rewrite: /}}
  - {match: {prefix: /}, route: {cluster: up, timeout: 0s}}
"""


async def test_an_ordinary_request() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        answer = await client.ask(request("/a", "GET", ("user-agent", "t")))
        assert answer.status == "200"
        assert answer.body == b'{"tag": "a", "target": "/a"}'
        names = [name for name, _ in answer.heads[0]]
        assert names == [
            ":status", "content-type", "server", "content-length", "x-envoy-upstream-service-time", "date",
        ]  # fmt: skip
        assert answer.headers["server"] == "envoy"
        assert mask(running.upstream.requests[0]) == (
            "GET /a HTTP/1.1\r\nhost: h\r\nuser-agent: t\r\nx-forwarded-proto: http\r\n"
            "x-request-id: <uuid>\r\n\r\n"
        )
        line = mask_log(await running.log.next(), running)
        assert line.startswith('[t] "GET /a HTTP/2" 200 - via_upstream - "-" 0 28 ')


async def test_many_streams_at_once_on_one_connection() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        late = client.headers(request("/delay/0.05"))
        early = [client.headers(request(f"/{n}")) for n in range(20)]
        bodies = [(await client.response(stream_id)).body.decode() for stream_id in early]
        assert bodies == [f'{{"tag": "a", "target": "/{n}"}}' for n in range(20)]
        assert late not in client.responses
        assert (await client.response(late)).status == "200"
        assert running.stats.counter("http.ingress.downstream_cx_http2_total").value == 1
        assert running.stats.counter("http.ingress.downstream_rq_http2_total").value == 21


@pytest.mark.parametrize("codec", [Codec.AUTO, Codec.HTTP2])
async def test_the_first_bytes_may_come_one_by_one(codec: Codec) -> None:
    async with lab(ROUTES, codec=codec) as running:
        plain = await running.client()
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0":
            plain.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await plain.reader.readexactly(9))[3] == 4  # its SETTINGS
        plain.close()


async def test_http1_is_spoken_on_the_same_port() -> None:
    async with lab(ROUTES) as running:
        async with http2_client(running) as client:
            assert (await client.ask(request("/direct"))).status == "200"
        assert (await running.ask("GET /direct HTTP/1.1\r\nHost: h\r\n\r\n")).endswith("direct")
        assert (await running.ask("PRI / HTTP/1.1\r\nHost: h\r\n\r\n")).startswith("HTTP/1.1 400")


async def test_http1_alone_where_configured() -> None:
    async with lab(ROUTES, codec=Codec.HTTP1) as running:
        answer = await running.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer.startswith("HTTP/1.1 400 Bad Request")


async def test_a_body_is_passed_on_and_framed_for_http1() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        await client.ask(request("/", "POST"), b"abc")
        await client.ask(request("/", "POST", ("content-length", "3")), b"abc")
        await client.ask(request("/", "POST"))
        chunked, sized, empty = (mask(each) for each in running.upstream.requests)
        assert chunked.endswith("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert "content-length: 3\r\n" in sized
        assert sized.endswith("\r\n\r\nabc")
        assert empty.endswith("content-length: 0\r\n\r\n")
        assert '"POST / HTTP/2" 200 - via_upstream - "-" 3 ' in await running.log.next()


async def test_cookies_are_joined_and_repetitions_kept() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("host", "other"), ("accept", "a"),
                  ("accept", "b"), ("x", "z"), ("te", "trailers")]  # fmt: skip
        await client.ask(request("/", "GET", *crumbs))
        assert mask(running.upstream.requests[0]).startswith(
            "GET / HTTP/1.1\r\nhost: h\r\nx: y\r\naccept: a,b\r\nx: z\r\nte: trailers\r\ncookie: a=1; b=2\r\n"
        )


async def test_the_host_header_stands_in_for_the_authority() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        headers = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "other")]
        assert (await client.ask(headers)).status == "200"
        assert "host: other\r\n" in running.upstream.requests[0]


async def test_responses_without_a_body_end_with_their_head() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        connect = [(":method", "CONNECT"), (":authority", "h:80")]
        for headers, status in (
            (request("/", "HEAD"), "200"),
            (request("/nobody"), "204"),
            (request("/redirect"), "301"),
            (request("/direct", "HEAD"), "200"),
            (connect, "404"),
        ):
            answer = await client.ask(headers)
            assert (answer.status, answer.ended_by_headers, answer.body) == (status, True, b"")
        assert client.responses[1].headers["content-length"] == "27"


async def test_local_replies_are_those_of_http1() -> None:
    async with lab(ROUTES, clusters={}) as running, http2_client(running) as client:
        answer = await client.ask(request("/direct"))
        assert [name for name, _ in answer.heads[0]] == [
            ":status", "content-length", "content-type", "date", "server",
        ]  # fmt: skip
        assert (await client.ask(request("/nowhere"))).status == "503"
        assert (await client.ask(request("/a#b"))).status == "400"
        assert (await client.ask(request("/direct"))).status == "200"  # the connection lives on


async def test_a_grpc_call_is_refused_by_trailers_alone() -> None:
    async with lab(ROUTES, clusters={}) as running, http2_client(running) as client:
        answer = await client.ask(
            request("/nowhere", "POST", ("content-type", "application/grpc")), b"\0" * 5
        )
        assert answer.ended_by_headers
        assert answer.headers["grpc-status"] == "14"
        assert (answer.status, answer.headers["content-type"]) == ("200", "application/grpc")


async def test_continue() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        expecting = request("/", "POST", ("expect", "100-continue"), ("content-length", "3"))
        stream_id = client.headers(expecting, end=False)
        await client.until(
            lambda: bool(client.responses.get(stream_id) and client.responses[stream_id].heads)
        )
        assert client.responses[stream_id].heads == [[(":status", "100")]]
        client.data(stream_id, b"abc")
        answer = await client.response(stream_id)
        assert dict(answer.heads[1])[":status"] == "200"
        assert "expect" not in running.upstream.requests[0]


async def test_an_answer_before_the_end_of_the_request_ends_the_request_too() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        stream_id = client.headers(request("/direct", "POST"), end=False)
        answer = await client.response(stream_id)
        await client.until(lambda: answer.reset is not None)
        assert (answer.body, answer.ended, answer.reset) == (b"direct", True, 0)
        client.data(stream_id, b"x")  # on its way already
        assert (await client.ask(request("/direct"))).body == b"direct"
        counter = running.stats.counter("http.ingress.downstream_rq_response_before_rq_complete")
        assert counter.value == 1


async def test_an_upstream_that_breaks_off_resets_the_stream() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        answer = await client.ask(request("/partial"))
        assert (answer.status, answer.body, answer.ended, answer.reset) == ("200", b"half", False, 2)
        assert '"GET /partial HTTP/2" 200 UPE ' in await running.log.next()
        assert (await client.ask(request("/direct"))).status == "200"


async def test_a_client_may_take_a_request_back() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        stream_id = client.headers(request("/delay/5"))
        await running.upstream.request_came()
        client.reset(stream_id)
        assert '"GET /delay/5 HTTP/2" 0 DR http2.remote_reset ' in await running.log.next()
        assert running.clusters["up"].cluster.resources.requests == 0
        assert running.stats.gauge("http.ingress.downstream_rq_active").value == 0
        assert running.stats.counter("http2.rx_reset").value == 1


async def test_a_client_that_leaves_ends_all_its_streams() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        client.headers(request("/delay/5"))
        client.headers(request("/delay/5"))
        await until(lambda: len(running.upstream.requests) == 2)
        client.close()
        for _ in range(2):
            assert '"GET /delay/5 HTTP/2" 0 DC downstream_remote_disconnect ' in await running.log.next()
        assert running.stats.gauge("http.ingress.downstream_cx_http2_active").value == 0


async def test_a_client_that_says_goaway_still_gets_its_answers() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        stream_id = client.headers(request("/delay/0.03"))
        client.send(GoAwayFrame(0))
        assert (await client.response(stream_id)).status == "200"


async def test_pings_are_answered() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        client.send(PingFrame(0, b"12345678"))
        await client.until(lambda: any(isinstance(frame, PingFrame) for frame in client.frames))
        assert client.frames[-1].flags == {"ACK"}


async def test_settings_and_windows_are_envoys() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        await client.until(lambda: bool(client.window_updates))
        told = {key: client.settings[key] for key in (1, 3, 4, 8)}
        assert told == {1: 4096, 3: 1024, 4: 16 * 1024 * 1024, 8: 0}
        assert client.window_updates == [(0, 24 * 1024 * 1024 - 65535)]


async def websocket(running: Lab, path: str, protocol: str = "websocket") -> tuple[str, bytes, int | None]:
    async with http2_client(running) as client:
        ask = [(":method", "CONNECT"), (":protocol", protocol), *request(path)[1:]]
        stream_id = client.headers([*ask, ("sec-websocket-version", "13")], end=False)
        client.data(stream_id, b"ping", end=False)
        answer = await client.response(stream_id)
        await client.until(lambda: answer.reset is not None)
        return answer.status, answer.body, answer.reset


async def test_websockets_by_extended_connect() -> None:
    options = Http2Options(allow_connect=True)
    async with lab(ROUTES, http2=options, upgrade_types=frozenset({"websocket"})) as running:
        assert await websocket(running, "/ws") == ("200", b"echo:ping", 10)
        head = running.upstream.requests[0]
        assert "sec-websocket-version: 13\r\nupgrade: websocket\r\nconnection: upgrade\r\n" in head
        assert head.startswith("GET /ws HTTP/1.1\r\n")
        assert '"GET /ws HTTP/2" 101 UC ' in await running.log.next()
        assert running.stats.counter("http.ingress.downstream_rq_tx_reset").value == 1
        assert await websocket(running, "/", protocol="other") == ("403", b"", 0)
        assert await websocket(running, "/hop") == ("200", b"", 0)  # no tunnel: no body either


async def test_trailers_end_here_where_the_upstream_speaks_http1() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        stream_id = client.headers(request("/", "POST"), end=False)
        client.data(stream_id, b"abc", end=False)
        client.headers([("x-t", "1")], stream_id=stream_id)
        assert (await client.response(stream_id)).status == "200"
        assert running.upstream.requests[0].endswith("3\r\nabc\r\n0\r\n\r\n")
