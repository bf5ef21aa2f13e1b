"""What a gateway answers, to the byte, and what it logs: Envoy 1.40's own answers are the expectation.

Masked are times, ports and request ids; the names of clusters are shorter than istiod's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster import (
    CircuitBreakers,
    ClusterSettings,
    LoadBalancerPolicy,
    LoadBalancing,
)
from tests.data_plane.http.lab import Lab, lab, mask_log
from tests.data_plane.http.routes import GATEWAY


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def gateway(**settings: object) -> AsyncIterator[Lab]:
    """A proxy shaped like istiod's gateway listener."""
    closed = unused_port()
    clusters = {
        name: ClusterSettings(name, connect=connect_http1)
        for name in ("up", "other", "noeps", "refused", "mixed")
    }
    clusters["mixed"] = ClusterSettings(
        "mixed", connect=connect_http1, load_balancing=LoadBalancing(LoadBalancerPolicy.LEAST_REQUEST)
    )
    limits = CircuitBreakers(max_connections=1, max_pending_requests=1, max_requests=1)
    clusters["cb"] = ClusterSettings("cb", connect=connect_http1, circuit_breakers=limits)
    chosen: dict[str, object] = {
        "use_remote_address": True,
        "server_name": "istio-envoy",
        "normalize_path": True,
        "upgrade_types": frozenset({"websocket"}),
        "stream_idle_timeout_s": 0.0,
        "delayed_close_timeout_s": 0.05,
    }
    hosts = {"noeps": [], "refused": [closed]}
    async with lab(GATEWAY, clusters, hosts, **(chosen | settings)) as running:
        running.clusters["other"].cluster.update_hosts([_spec(running.other.port)])
        running.clusters["mixed"].cluster.update_hosts([_spec(closed), _spec(running.upstream.port)])
        yield running


def _spec(port: int) -> object:
    from minimesh.data_plane.upstream.host import HostSpec

    return HostSpec("127.0.0.1", port)


class Case(NamedTuple):
    """One request (headers joined by `|`), the answer, the middle of the log line, what the upstream saw."""

    request: str
    response: str
    log: str
    upstream: str | None = None


_JSON = (
    "content-type: application/json|server: istio-envoy|content-length: {}|"
    "x-envoy-upstream-service-time: <ms>|date: <now>"
)


def ok(target: str, status: str = "200 OK", tag: str = "a") -> str:
    """The scripted upstream's plain answer, as it comes out of the proxy."""
    text = f'{{"tag": "{tag}", "target": "{target}"}}'
    return f"HTTP/1.1 {status}|{_JSON.format(len(text))}||{text}"


def failed(status: str, body: str, first: str = "") -> str:
    head = f"{first}content-length: {len(body)}|content-type: text/plain" if body else ""
    tail = "" if body else "|content-length: 0"
    return f"HTTP/1.1 {status}|{head + '|' if head else ''}date: <now>|server: istio-envoy{tail}||{body}"


def refused(status: str) -> str:
    phrase = status.partition(" ")[2]
    return (
        f"HTTP/1.1 {status}|content-length: {len(phrase)}|content-type: text/plain|date: <now>|"
        f"server: istio-envoy|connection: close||{phrase}"
    )


def closing(status: str) -> str:
    return f"HTTP/1.1 {status}|date: <now>|server: istio-envoy|connection: close|content-length: 0||"


RESET = "upstream connect error or disconnect/reset before headers. {} reason: "
FIRST, AGAIN = RESET.format("reset"), RESET.format("retried and the latest reset")
BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"
REFUSED_WHY = "delayed_connect_error:_Connection_refused"
GET = "GET {} HTTP/1.1|Host: gs.xebia.com|User-Agent: t||"
DASHES = '"-" "-" "-" "-" "-" - -'

CASES = {
    "200 with prefix rewrite": Case(
        GET.format("/one?x=1"), ok("/ip?x=1"), "200 - via_upstream", "GET /ip?x=1 "
    ),
    "no virtual host": Case(
        "GET /one HTTP/1.1|Host: nope.com||", failed("404 Not Found", ""), "404 NR route_not_found"
    ),
    "no route in virtual host": Case(
        "GET /other HTTP/1.1|Host: strict.com||", failed("404 Not Found", ""), "404 NR route_not_found"
    ),
    "no endpoints": Case(
        GET.format("/noeps"),
        failed("503 Service Unavailable", "no healthy upstream"),
        "503 UH no_healthy_upstream",
    ),
    "connect refused, Istio's retries": Case(
        GET.format("/refused"),
        failed("503 Service Unavailable", AGAIN + "remote connection failure"),
        f'503 URX,UF {BEFORE}{{remote_connection_failure|{REFUSED_WHY}}} - "{REFUSED_WHY}" 0 121',
    ),
    "connect refused, no retry": Case(
        GET.format("/rnr"),
        failed("503 Service Unavailable", FIRST + "remote connection failure"),
        f'503 UF {BEFORE}{{remote_connection_failure|{REFUSED_WHY}}} - "{REFUSED_WHY}" 0 98',
    ),
    "cluster missing": Case(
        GET.format("/nocluster"), failed("503 Service Unavailable", ""), "503 NC cluster_not_found"
    ),
    "cluster missing, 500 wanted": Case(
        GET.format("/nocluster500"), failed("500 Internal Server Error", ""), "500 NC cluster_not_found"
    ),
    "route timeout": Case(
        GET.format("/delay/2"),
        failed("504 Gateway Timeout", "upstream request timeout"),
        "504 UT response_timeout",
    ),
    "per-try timeout, retries exhausted": Case(
        GET.format("/delay/3"),
        failed("504 Gateway Timeout", "upstream request timeout"),
        "504 URX,UT upstream_per_try_timeout",
    ),
    "per-try and route timeout": Case(
        GET.format("/delay/4"),
        failed("504 Gateway Timeout", "upstream request timeout"),
        "504 UT response_timeout",
    ),
    "upstream 503, Istio's retries": Case(
        GET.format("/status/503"), ok("/status/503", "503 Service Unavailable"), "503 - via_upstream"
    ),
    "upstream 503, retry on 5xx": Case(
        GET.format("/status/503/r"), ok("/status/503/r", "503 Service Unavailable"), "503 URX via_upstream"
    ),
    "upstream 500, retriable status": Case(
        GET.format("/status/500/rs"),
        ok("/status/500/rs", "500 Internal Server Error"),
        "500 URX via_upstream",
    ),
    "upstream closes": Case(
        GET.format("/close"),
        failed("503 Service Unavailable", FIRST + "connection termination"),
        f"503 UC {BEFORE}{{connection_termination}}",
    ),
    "upstream resets": Case(
        GET.format("/reset"),
        failed("503 Service Unavailable", FIRST + "connection termination"),
        f"503 UC {BEFORE}{{connection_termination}}",
    ),
    "upstream resets, retry on reset": Case(
        GET.format("/reset?retry=1"),
        failed("503 Service Unavailable", AGAIN + "connection termination"),
        f"503 URX,UC {BEFORE}{{connection_termination}}",
    ),
    "upstream garbage": Case(
        GET.format("/badresp"),
        failed("502 Bad Gateway", FIRST + "protocol error"),
        f"502 UPE {BEFORE}{{protocol_error}}",
    ),
    "upstream with two lengths": Case(
        GET.format("/lengths"),
        failed("502 Bad Gateway", FIRST + "protocol error"),
        f"502 UPE {BEFORE}{{protocol_error}}",
    ),
    "upstream with length and chunks": Case(
        GET.format("/length-and-chunked"),
        failed("502 Bad Gateway", FIRST + "protocol error"),
        f"502 UPE {BEFORE}{{protocol_error}}",
    ),
    "until-close response": Case(
        GET.format("/until-close"),
        "HTTP/1.1 200 OK|x-a: 1|x-envoy-upstream-service-time: <ms>|date: <now>|server: istio-envoy|"
        "transfer-encoding: chunked||b|until close|0||",
        '200 - via_upstream - "-" 0 11',
    ),
    "204": Case(
        GET.format("/nobody"),
        "HTTP/1.1 204 No Content|x-envoy-upstream-service-time: <ms>|date: <now>|server: istio-envoy||",
        "204 - via_upstream",
    ),
    "early hints are dropped": Case(
        GET.format("/early-hints"),
        "HTTP/1.1 204 No Content|x-envoy-upstream-service-time: <ms>|date: <now>|server: istio-envoy||",
        "204 - via_upstream",
    ),
    "direct response": Case(
        GET.format("/direct"), failed("503 Service Unavailable", "direct body"), "503 - direct_response"
    ),
    "direct response without body": Case(
        GET.format("/dnobody"), failed("200 OK", ""), "200 - direct_response"
    ),
    "redirect": Case(
        GET.format("/redir?q=1"),
        "HTTP/1.1 302 Found|location: http://other.com/new?q=1|date: <now>|server: istio-envoy|"
        "content-length: 0||",
        "302 - direct_response",
    ),
    "redirect with prefix rewrite": Case(
        GET.format("/rprefix/x?q=1"),
        "HTTP/1.1 301 Moved Permanently|location: http://gs.xebia.com/np/x?q=1|date: <now>|"
        "server: istio-envoy|"
        "content-length: 0||",
        "301 - direct_response",
    ),
    "weighted cluster's header": Case(
        GET.format("/weighted"),
        ok("/weighted", tag="b").replace("|date", "|x-which: v2|date"),
        "200 - via_upstream",
    ),
    "hop-by-hop and repeated response headers": Case(
        GET.format("/hop"),
        "HTTP/1.1 200 OK|x-hop: 1|server: istio-envoy|date: Mon, 01 Jan 2001 00:00:00 GMT|via: 1.1 up|"
        "x-dup: a|"
        "x-dup: b|set-cookie: a=1|set-cookie: b=2|content-length: 2|x-envoy-upstream-service-time: <ms>||ok",
        "200 - via_upstream",
    ),
    "upstream says close": Case(
        GET.format("/connclose"),
        "HTTP/1.1 200 OK|content-length: 2|x-envoy-upstream-service-time: <ms>|date: <now>|"
        "server: istio-envoy||ok",
        "200 - via_upstream",
    ),
    "chunked response, trailers dropped": Case(
        GET.format("/chunked"),
        "HTTP/1.1 200 OK|x-mixed-case: Yes|trailer: x-t|x-envoy-upstream-service-time: <ms>|date: <now>|"
        "server: istio-envoy|transfer-encoding: chunked||b|hello world|0||",
        '200 - via_upstream - "-" 0 11',
    ),
    "client says close": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Connection: close||",
        ok("/ip").replace("<now>", "<now>|connection: close"),
        "200 - via_upstream",
    ),
    "HTTP/1.0": Case(
        "GET /one HTTP/1.0|Host: gs.xebia.com||", refused("426 Upgrade Required"), "426 DPE low_version"
    ),
    "version 3.7": Case(
        "GET /one HTTP/3.7|Host: gs.xebia.com||", refused("426 Upgrade Required"), "426 DPE low_version"
    ),
    "no Host": Case("GET /one HTTP/1.1||", closing("400 Bad Request"), "400 - missing_host_header"),
    "empty Host": Case("GET /one HTTP/1.1|Host: ||", failed("404 Not Found", ""), "404 NR route_not_found"),
    "two Hosts": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Host: gs.xebia.com||",
        failed("404 Not Found", ""),
        "404 NR route_not_found",
    ),
    "absolute form": Case(
        "GET http://gs.xebia.com/one?x=1 HTTP/1.1|Host: nope.com||", ok("/ip?x=1"), "200 - via_upstream"
    ),
    "absolute form, https": Case(
        "GET https://gs.xebia.com:8080/one HTTP/1.1|Host: x||",
        refused("403 Forbidden"),
        "403 DPE http1.https_url_on_plaintext_connection",
    ),
    "Host with any port": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com:1234||", ok("/ip"), "200 - via_upstream"
    ),
    "Host in upper case": Case("GET /one HTTP/1.1|Host: GS.Xebia.COM||", ok("/ip"), "200 - via_upstream"),
    "Host with trailing dot": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com.||", failed("404 Not Found", ""), "404 NR route_not_found"
    ),
    "OPTIONS *": Case(
        "OPTIONS * HTTP/1.1|Host: gs.xebia.com||", failed("404 Not Found", ""), "404 - absolute_path_rejected"
    ),
    "CONNECT": Case(
        "CONNECT gs.xebia.com:443 HTTP/1.1|Host: gs.xebia.com:443||",
        closing("404 Not Found"),
        "404 NR route_not_found",
    ),
    "unknown method": Case(
        "FOO /one HTTP/1.1|Host: gs.xebia.com||", refused("400 Bad Request"), "400 DPE http1.codec_error"
    ),
    "lower-case method": Case(
        "get /one HTTP/1.1|Host: gs.xebia.com||", refused("400 Bad Request"), "400 DPE http1.codec_error"
    ),
    "TRACE": Case("TRACE /one HTTP/1.1|Host: gs.xebia.com||", ok("/ip"), "200 - via_upstream", "TRACE /ip "),
    "garbage": Case("HELLO||", refused("400 Bad Request"), "400 DPE http1.codec_error"),
    "LF alone": Case("GET /one HTTP/1.1\nHost: gs.xebia.com\n\n", ok("/ip"), "200 - via_upstream"),
    "leading CRLF": Case("||" + GET.format("/one"), ok("/ip"), "200 - via_upstream"),
    "space in target": Case(GET.format("/one two"), refused("400 Bad Request"), "400 DPE http1.codec_error"),
    "non-ASCII in target": Case(
        GET.format("/one/é"), refused("400 Bad Request"), "400 DPE http1.codec_error"
    ),
    "fragment": Case(GET.format("/one#frag"), closing("400 Bad Request"), "400 - path_normalization_failed"),
    "NUL in path": Case(GET.format("/one%00"), closing("400 Bad Request"), "400 - path_normalization_failed"),
    "name with space": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Bad Name: 1||",
        refused("400 Bad Request"),
        "400 DPE http1.codec_error",
    ),
    "control character": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|X-C: a\x01b||",
        refused("400 Bad Request"),
        "400 DPE http1.invalid_characters",
    ),
    "blank before colon": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|X-S : a||",
        refused("400 Bad Request"),
        "400 DPE http1.codec_error",
    ),
    "folded header": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|X-F: a| b||", ok("/ip"), "200 - via_upstream"
    ),
    "GET with body": Case(
        "GET /echo HTTP/1.1|Host: gs.xebia.com|Content-Length: 3||abc",
        ok("/echo"),
        '200 - via_upstream - "-" 3 31',
        "GET /echo ",
    ),
    "length and chunked": Case(
        "POST /echo HTTP/1.1|Host: gs.xebia.com|Content-Length: 3|Transfer-Encoding: chunked||3|abc|0||",
        refused("400 Bad Request"),
        "400 DPE http1.content_length_and_chunked_not_allowed",
    ),
    "two equal lengths": Case(
        "POST /echo HTTP/1.1|Host: gs.xebia.com|Content-Length: 3|Content-Length: 3||abc",
        refused("400 Bad Request"),
        "400 DPE http1.codec_error",
    ),
    "gzip, chunked": Case(
        "POST /echo HTTP/1.1|Host: gs.xebia.com|Transfer-Encoding: gzip, chunked||0||",
        refused("501 Not Implemented"),
        "501 DPE http1.invalid_transfer_encoding",
    ),
    "bad chunk size": Case(
        "POST /delay/1 HTTP/1.1|Host: gs.xebia.com|Transfer-Encoding: chunked||zz|abc|0||",
        refused("400 Bad Request"),
        "400 DPE http1.codec_error",
    ),
    "other expectation": Case(
        "GET /echo HTTP/1.1|Host: gs.xebia.com|Expect: foo||", ok("/echo"), "200 - via_upstream"
    ),
    "upgrade not configured": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Connection: Upgrade|Upgrade: foo||",
        closing("403 Forbidden"),
        "403 - upgrade_failed",
    ),
    "h2c upgrade is ignored": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|"
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA||",
        ok("/ip"),
        "200 - via_upstream",
    ),
    "upgrade without connection": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Upgrade: websocket||", ok("/ip"), "200 - via_upstream"
    ),
    "websocket answered with 200": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|Connection: Upgrade|Upgrade: websocket||",
        "HTTP/1.1 200 OK|server: istio-envoy|date: <now>|connection: close|content-length: 0||",
        '200 - websocket_handshake_unsuccessful - "-" 0 0 <ms> - ',
    ),
    "websocket answered with 426": Case(
        "GET /status/426 HTTP/1.1|Host: gs.xebia.com|Connection: Upgrade|Upgrade: websocket||",
        ok("/status/426", "426 Upgrade Required").replace(
            "|x-envoy-upstream-service-time: <ms>|date: <now>", "|date: <now>|connection: close"
        ),
        '426 - via_upstream - "-" 0 37 <ms> - ',
    ),
    "101 headers": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|" + "|".join(f"X-{n}: 1" for n in range(100)) + "||",
        refused("431 Request Header Fields Too Large"),
        "431 DPE http1.too_many_headers",
    ),
    "99 headers": Case(
        "GET /one HTTP/1.1|Host: gs.xebia.com|" + "|".join(f"X-{n}: 1" for n in range(98)) + "||",
        ok("/ip"),
        "200 - via_upstream",
    ),
    "61 KiB of head": Case(
        f"GET /one HTTP/1.1|Host: gs.xebia.com|X-Big: {'a' * 61 * 1024}||",
        refused("431 Request Header Fields Too Large"),
        "431 DPE http1.headers_too_large",
    ),
    "59 KiB of head": Case(
        f"GET /one HTTP/1.1|Host: gs.xebia.com|X-Big: {'a' * 59 * 1024}||", ok("/ip"), "200 - via_upstream"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_answers_and_logs_as_envoy(case: Case) -> None:
    async with gateway() as running:
        raw = case.request.replace("|", "\r\n")
        assert await running.ask(raw) == case.response.replace("|", "\r\n")
        line = mask_log(await running.log.next(), running)
        assert f'" {case.log}' in line
        if " DPE " in line and "bad chunk" not in case.request and "/delay/1" not in case.request:
            assert line.startswith('[t] "- - HTTP/1.1"')
            assert DASHES in line
        if case.upstream is not None:
            assert running.upstream.requests[-1].startswith(case.upstream)
        if line.split('" ')[1].startswith("4") and " via_upstream " not in line and "/delay/1" not in line:
            assert not running.upstream.requests
        await asyncio.sleep(0)


async def test_whole_log_line() -> None:
    async with gateway() as running:
        await running.ask("GET /one HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: t\r\n\r\n")
        assert mask_log(await running.log.next(), running) == (
            '[t] "GET /one HTTP/1.1" 200 - via_upstream - "-" 0 29 <ms> <ms> "127.0.0.1" "t" "<uuid>" '
            '"gs.xebia.com" "127.0.0.1:<up>" up 127.0.0.1:<eph> 127.0.0.1:<proxy> 127.0.0.1:<eph> - one'
        )


@pytest.mark.parametrize(
    ("path", "tries"),
    [
        ("/delay/3", 3),
        ("/delay/4", 2),
        ("/status/503/r", 3),
        ("/status/503", 1),
        ("/close", 1),
        ("/reset?retry", 3),
    ],
)
async def test_number_of_tries(path: str, tries: int) -> None:
    async with gateway() as running:
        await running.ask(f"GET {path} HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        assert len(running.upstream.requests) == tries
        counts = [f"x-envoy-attempt-count: {n}\r\n" for n in range(1, tries + 1)]
        assert all(count in head for count, head in zip(counts, running.upstream.requests, strict=True))


async def test_a_retry_goes_to_another_host() -> None:
    async with gateway() as running:
        for _ in range(6):
            answer = await running.ask("GET /mixed HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
            assert answer.startswith("HTTP/1.1 200 OK\r\n")
            assert '" 200 - via_upstream ' in await running.log.next()


async def test_overflow_of_pending_requests() -> None:
    async with gateway() as running:
        raw = "GET /delay/0.2/cb HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n"
        first, second, third = await running.client(), await running.client(), await running.client()
        first.send(raw)
        await running.upstream.request_came()
        second.send(raw)
        pending = running.stats.gauge("cluster.cb.upstream_rq_pending_active")
        async with asyncio.timeout(2):
            while pending.value < 1:  # noqa: ASYNC110 - a gauge has no event
                await asyncio.sleep(0)
        third.send(raw)
        body = FIRST + "overflow"
        assert await third.response() == failed(
            "503 Service Unavailable", body, "x-envoy-overloaded: true|"
        ).replace("|", "\r\n")
        assert f'503 UO {BEFORE}{{overflow}} - "-" 0 81' in await running.log.next()
        assert (await first.response()).startswith("HTTP/1.1 200")
        assert (await second.response()).startswith("HTTP/1.1 200")
        for client in (first, second, third):
            client.close()


@pytest.mark.parametrize(
    ("path", "body", "log"),
    [
        ("/partial", "half", f'200 UPE {AFTER}{{protocol_error}} - "-" 0 4'),
        ("/stall", "half", '200 UT response_timeout - "-" 0 4'),
        ("/bad-chunk", "", f'200 UPE {AFTER}{{protocol_error}} - "-" 0 0'),
    ],
)
async def test_a_response_that_breaks_off_closes_the_connection(path: str, body: str, log: str) -> None:
    async with gateway() as running:
        client = await running.client()
        client.send(f"GET {path} HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        assert (await client.rest()).partition("\r\n\r\n")[2] == body
        assert log in await running.log.next()
        client.close()


@pytest.mark.parametrize("method", ["HEAD"])
async def test_head(method: str) -> None:
    async with gateway() as running:
        client = await running.client()
        client.send(f"{method} /one HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        head = await client.response(head=True)
        assert "\r\ncontent-length: 29\r\n" in head
        assert '200 - via_upstream - "-" 0 0' in await running.log.next()
        client.send(f"{method} /direct HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        assert "content-length: 11\r\ncontent-type: text/plain\r\n" in await client.response(head=True)
        assert '503 - direct_response - "-" 0 0' in await running.log.next()
        client.send(GET.format("/one").replace("|", "\r\n"))
        assert (await client.response()).startswith("HTTP/1.1 200")
        client.close()


async def test_client_gone_before_the_response() -> None:
    async with gateway() as running:
        client = await running.client()
        client.send("GET /delay/5 HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        await running.upstream.request_came()
        client.abort()
        assert '" 0 DC downstream_remote_disconnect - "-" 0 0' in await running.log.next()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with gateway() as running:
        client = await running.client()
        client.send((GET.format("/one") + GET.format("/two") + GET.format("/direct")).replace("|", "\r\n"))
        assert '"target": "/ip"' in await client.response()
        assert '"target": "/user-agent"' in await client.response()
        assert "direct body" in await client.response()
        client.close()


async def test_http_10_where_accepted() -> None:
    async with gateway(accept_http_10=True) as running:
        answer = await running.ask("GET /one HTTP/1.0\r\nHost: gs.xebia.com\r\n\r\n")
        assert answer == ok("/ip").replace("HTTP/1.1", "HTTP/1.0").replace(
            "<now>", "<now>|connection: close"
        ).replace("|", "\r\n")
        client = await running.client()
        client.send("GET /one HTTP/1.0\r\nHost: gs.xebia.com\r\nConnection: keep-alive\r\n\r\n")
        assert "\r\nconnection: keep-alive\r\n" in await client.response()
        client.send("GET /chunked HTTP/1.0\r\nHost: gs.xebia.com\r\n\r\n")
        assert (await client.rest()).endswith("connection: close\r\n\r\nhello world")
        client.close()


async def test_websocket_tunnel() -> None:
    async with gateway() as running:
        client = await running.client()
        client.send(
            "GET /ws HTTP/1.1\r\nHost: gs.xebia.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: x\r\n\r\n"
        )
        assert await client.response() == (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            "sec-websocket-accept: x\r\ndate: <now>\r\nserver: istio-envoy\r\n\r\n"
        )
        client.send("ping")
        assert await client.rest() == "echo:ping"
        assert f'101 UC {AFTER}{{connection_termination}} - "-" 4 9' in await running.log.next()
        assert "connection: Upgrade\r\nupgrade: websocket\r\n" in running.upstream.requests[0]
        client.close()


async def test_expect_continue() -> None:
    async with gateway() as running:
        client = await running.client()
        client.send(
            "POST /expect HTTP/1.1\r\nHost: gs.xebia.com\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert await client.response() == "HTTP/1.1 100 Continue\r\n\r\n"
        client.send("abc")
        assert '"target": "/expect"' in await client.response()
        assert "expect" not in running.upstream.requests[0].partition("\r\n")[2]
        client.close()


async def test_a_refused_client_has_a_moment_to_close_first() -> None:
    async with gateway(delayed_close_timeout_s=0.1) as running:
        client = await running.client()
        client.send("FOO / HTTP/1.1\r\n\r\n")
        await client.response()
        before = asyncio.get_running_loop().time()
        assert await client.rest() == ""
        assert asyncio.get_running_loop().time() - before > 0.05
        client.close()
