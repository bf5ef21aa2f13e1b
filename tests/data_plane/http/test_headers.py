"""Which headers reach the upstream, in which order: Envoy's rows for a gateway and for a sidecar."""

from __future__ import annotations

import pytest

from tests.data_plane.http.lab import mask
from tests.data_plane.http.test_conformance import gateway

OURS = (
    "x-forwarded-for: 127.0.0.1|x-forwarded-proto: http|x-envoy-external-address: 127.0.0.1|"
    "x-request-id: <uuid>"
)
COUNT = "x-envoy-attempt-count: 1"

GATEWAY = {
    "nothing special": ("", f"{OURS}|{COUNT}"),
    "x-forwarded-*": (
        "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https|X-Forwarded-Host: evil|Forwarded: for=1.1.1.1",
        "x-forwarded-for: 1.2.3.4,127.0.0.1|x-forwarded-proto: http|x-forwarded-host: evil|"
        "forwarded: for=1.1.1.1|"
        f"x-envoy-external-address: 127.0.0.1|x-request-id: <uuid>|{COUNT}",
    ),
    "x-request-id is replaced where it stands": (
        "X-Request-Id: abc",
        f"x-request-id: <uuid>|{OURS.removesuffix('|x-request-id: <uuid>')}|{COUNT}",
    ),
    "x-envoy-*": (
        "X-Envoy-Upstream-Rq-Timeout-Ms: 1|X-Envoy-Max-Retries: 9|X-Envoy-Internal: true|"
        "X-Envoy-Original-Path: /evil|X-Envoy-Expected-Rq-Timeout-Ms: 5|X-Envoy-Attempt-Count: 7|"
        "X-Envoy-Peer-Metadata: x|X-Envoy-Decorator-Operation: op|X-Envoy-Foo: f|"
        "X-Envoy-External-Address: 9.9.9.9|X-Envoy-Retry-On: 5xx|X-Envoy-Force-Trace: 1|"
        "X-Forwarded-Client-Cert: x",
        "x-envoy-attempt-count: 1|x-envoy-peer-metadata: x|x-envoy-foo: f|"
        "x-envoy-external-address: 127.0.0.1|"
        "x-forwarded-for: 127.0.0.1|x-forwarded-proto: http|x-request-id: <uuid>",
    ),
    "hop-by-hop": (
        "Connection: X-Foo, keep-alive|X-Foo: 1|Keep-Alive: 5|Proxy-Connection: keep-alive|TE: gzip|"
        "Proxy-Authorization: x|Trailer: a|Via: 1.0 c",
        f"proxy-authorization: x|trailer: a|via: 1.0 c|{OURS}|{COUNT}",
    ),
    "te: trailers": ("TE: trailers, gzip", f"te: trailers|{OURS}|{COUNT}"),
    "repeated, mixed case, padded": (
        "X-Dup: a|X-Dup: b|Cookie: a=1|Cookie: b=2|X-MiXed: V|Accept: a|Accept: b|X-Empty:|X-Sp:   padded   ",
        "x-dup: a|x-dup: b|cookie: a=1|cookie: b=2|x-mixed: V|accept: a,b|x-empty: |x-sp: padded|"
        f"{OURS}|{COUNT}",
    ),
    "repeated and empty": (
        "Accept:|Accept: a|Accept:|Accept: b|Origin:|X-Dup:|X-Dup: a",
        f"accept: a,b|origin: |x-dup: |x-dup: a|{OURS}|{COUNT}",
    ),
    "a client must not strip the length": ("Connection: content-length", f"{OURS}|{COUNT}"),
}
SIDECAR = {
    "nothing special": ("", f"x-forwarded-proto: http|x-request-id: <uuid>|{COUNT}"),
    "what a caller in the mesh sends": (
        "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https|X-Envoy-Upstream-Rq-Timeout-Ms: 7000|"
        "X-Envoy-Internal: true|X-Request-Id: abc|X-Envoy-Attempt-Count: 7|X-Envoy-Original-Path: /evil|"
        "X-Envoy-Foo: 1",
        "x-forwarded-for: 1.2.3.4|x-forwarded-proto: https|x-request-id: abc|x-envoy-attempt-count: 1|"
        "x-envoy-original-path: /evil|x-envoy-foo: 1",
    ),
}


def upstream_headers(head: str) -> str:
    return mask("|".join(head.partition("\r\n\r\n")[0].split("\r\n")[1:]))


@pytest.mark.parametrize(("sent", "seen"), GATEWAY.values(), ids=GATEWAY.keys())
async def test_a_gateway_trusts_nobody(sent: str, seen: str) -> None:
    async with gateway() as running:
        lines = "".join(f"{line}\r\n" for line in sent.split("|") if line)
        await running.ask(f"GET /hdr HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: t\r\n{lines}\r\n")
        assert upstream_headers(running.upstream.requests[0]) == f"host: gs.xebia.com|user-agent: t|{seen}"


@pytest.mark.parametrize(("sent", "seen"), SIDECAR.values(), ids=SIDECAR.keys())
async def test_a_sidecar_trusts_what_comes_from_the_mesh(sent: str, seen: str) -> None:
    async with gateway(use_remote_address=False, server_name="envoy") as running:
        lines = "".join(f"{line}\r\n" for line in sent.split("|") if line)
        answer = await running.ask(f"GET /hdr HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: t\r\n{lines}\r\n")
        assert "\r\nserver: envoy\r\n" in answer
        assert upstream_headers(running.upstream.requests[0]) == f"host: gs.xebia.com|user-agent: t|{seen}"
        if "1.2.3.4" in sent:
            line = await running.log.next()
            assert '"GET /evil HTTP/1.1"' in line
            assert " 1.2.3.4:0 - default" in line


async def test_route_changes_headers_both_ways() -> None:
    async with gateway() as running:
        answer = await running.ask(
            "GET /hdrs HTTP/1.1\r\nHost: gs.xebia.com\r\nX-Add: 0\r\nX-Set: 0\r\nX-Rm: 0\r\n\r\n"
        )
        assert upstream_headers(running.upstream.requests[0]) == (
            f"host: rewritten.host|x-add: 0|{OURS}|{COUNT}|x-set: 2|x-add: 1|x-ip: 127.0.0.1|"
            "x-envoy-original-host: gs.xebia.com"
        )
        assert answer.partition("\r\n\r\n")[0] == (
            "HTTP/1.1 200 OK\r\ncontent-length: 31\r\nx-envoy-upstream-service-time: <ms>\r\nx-resp: 3\r\n"
            "date: <now>\r\nserver: istio-envoy"
        )
        assert '"rewritten.host"' in await running.log.next()


async def test_rewrite_and_default_timeout_are_told_upstream() -> None:
    async with gateway() as running:
        await running.ask("GET /one?q HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        await running.ask("POST /default-timeout HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
        rewritten, timed = running.upstream.requests
        assert (
            upstream_headers(rewritten) == f"host: gs.xebia.com|{OURS}|{COUNT}|x-envoy-original-path: /one?q"
        )
        assert upstream_headers(timed) == (
            f"host: gs.xebia.com|{OURS}|x-envoy-expected-rq-timeout-ms: 15000|{COUNT}|content-length: 0"
        )


async def test_chunked_request_is_framed_anew() -> None:
    async with gateway() as running:
        await running.ask(
            "POST /echo HTTP/1.1\r\nHost: gs.xebia.com\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n"
            "3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
        )
        head, _, body = running.upstream.requests[0].partition("\r\n\r\n")
        assert head.endswith(f"|{COUNT}|transfer-encoding: chunked".replace("|", "\r\n"))
        assert body == "3\r\nabc\r\n0\r\n\r\n"


async def test_ids_differ_and_the_header_memo_does_not_leak() -> None:
    async with gateway() as running:
        client = await running.client()
        for _ in range(3):
            client.send("GET /hdr HTTP/1.1\r\nHost: gs.xebia.com\r\n\r\n")
            await client.response()
        client.send("GET /hdr HTTP/1.1\r\nHost: gs.xebia.com\r\nX-Other: 1\r\n\r\n")
        await client.response()
        client.close()
        ids = {
            line
            for head in running.upstream.requests
            for line in head.split("\r\n")
            if "x-request-id" in line
        }
        assert len(ids) == 4
        assert [("x-other" in head) for head in running.upstream.requests] == [False, False, False, True]
