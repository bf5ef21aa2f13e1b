"""Request mirroring: what the other cluster sees, and that the client never notices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster import CircuitBreakers, ClusterSettings, HostSpec
from tests.data_plane.http.lab import Lab, lab, mask, until


@asynccontextmanager
async def mirrored(
    policy: str = "", action: str = "", shadow: ClusterSettings | None = None, **settings: Any
) -> AsyncIterator[Lab]:
    """A route to `up` that is mirrored to `shadow`, whose one host is the lab's other upstream."""
    routes = f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      include_request_attempt_count: true
      routes:
      - match: {{prefix: /}}
        route: {{cluster: up, {action} request_mirror_policies: [{{cluster: shadow{policy}}}]}}
    """
    clusters = {
        "up": ClusterSettings("up", connect=connect_http1),
        "shadow": shadow or ClusterSettings("shadow", connect=connect_http1),
    }
    async with lab(routes, clusters, {"shadow": []}, use_remote_address=True, **settings) as running:
        running.clusters["shadow"].cluster.update_hosts([HostSpec("127.0.0.1", running.other.port)])
        yield running


GET = "GET /x HTTP/1.1\r\nHost: gs.xebia.com{}\r\nUser-Agent: t\r\n\r\n"


def under_way(running: Lab) -> int:
    """Copies without an answer yet."""
    return int(running.stats.gauge("cluster.shadow.upstream_rq_active").value)


def lines_of(request: str) -> list[str]:
    return mask(request).split("\r\n")


async def test_the_copy_differs_in_host_forwarded_for_and_one_header() -> None:
    async with mirrored() as running:
        answer = await running.ask(GET.format(""))
        assert '{"tag": "a", "target": "/x"}' in answer
        await running.other.request_came()
        expected = [
            "GET /x HTTP/1.1",
            "host: gs.xebia.com-shadow",
            "user-agent: t",
            "x-forwarded-for: 127.0.0.1,127.0.0.1",
            "x-forwarded-proto: http",
            "x-envoy-external-address: 127.0.0.1",
            "x-request-id: <uuid>",
            "x-envoy-expected-rq-timeout-ms: 15000",
            "x-envoy-attempt-count: 1",
            "x-envoy-internal: true",
            "",
            "",
        ]
        assert lines_of(running.other.requests[0]) == expected
        expected[1:2] = ["host: gs.xebia.com"]
        expected[3:4] = ["x-forwarded-for: 127.0.0.1"]
        expected.remove("x-envoy-internal: true")
        assert lines_of(running.upstream.requests[0]) == expected
        ids = {request.partition("x-request-id: ")[2][:36] for request in running.upstream.requests}
        assert ids == {request.partition("x-request-id: ")[2][:36] for request in running.other.requests}


@pytest.mark.parametrize(
    ("policy", "action", "port", "host"),
    [
        ("", "", ":80", "gs.xebia.com-shadow:80"),
        ("", "host_rewrite_literal: h.example,", "", "h.example-shadow"),
        (", disable_shadow_host_suffix_append: true", "", "", "gs.xebia.com"),
        (", host_rewrite_literal: other.example", "", "", "other.example"),
    ],
)
async def test_the_host_of_the_copy(policy: str, action: str, port: str, host: str) -> None:
    async with mirrored(policy, action) as running:
        await running.ask(GET.format(port))
        await running.other.request_came()
        assert lines_of(running.other.requests[0])[1] == f"host: {host}"


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 8\r\n\r\n{}{}", "Transfer-Encoding: chunked\r\n\r\n4\r\n{}\r\n4\r\n{}\r\n0\r\n\r\n"],
)
async def test_the_copy_goes_off_with_the_whole_body(framing: str) -> None:
    async with mirrored() as running:
        client = await running.client()
        raw = "POST /x HTTP/1.1\r\nHost: gs\r\n" + framing.format("abcd", "efgh")
        client.send(raw[: raw.index("efgh")])
        await running.upstream.request_came()
        assert running.other.requests == [], "it waits for the end"
        client.send(raw[raw.index("efgh") :])
        await client.response()
        client.close()
        await running.other.request_came()
        await until(lambda: "efgh" in running.other.requests[0])
        body = running.other.requests[0].partition("\r\n\r\n")[2]
        assert body in ("abcdefgh", "8\r\nabcdefgh\r\n0\r\n\r\n")


async def test_a_body_too_large_to_keep_is_not_mirrored() -> None:
    async with mirrored(buffer_limit_bytes=1000) as running:
        await running.ask("POST /x HTTP/1.1\r\nHost: gs\r\nContent-Length: 2000\r\n\r\n" + "x" * 2000)
        await running.ask(GET.format(""))
        await running.other.request_came()
        assert [request[:4] for request in running.other.requests] == ["GET "]


async def test_a_share_of_the_requests_is_mirrored() -> None:
    async with mirrored(", runtime_fraction: {default_value: {numerator: 25}}") as running:
        client = await running.client()
        for _ in range(200):
            client.send(GET.format(""))
            await client.response()
        client.close()
        assert len(running.upstream.requests) == 200
        assert 30 < running.stats.counter("cluster.shadow.upstream_rq_total").value < 70


async def test_a_slow_copy_delays_nobody_and_is_given_up_after_the_routes_timeout() -> None:
    async with mirrored(action="prefix_rewrite: /delay/5, timeout: 0.05s,") as running:
        running.clusters["up"].cluster.update_hosts([HostSpec("127.0.0.1", running.upstream.port)])
        await running.ask(GET.format(""))
        await until(lambda: running.stats.counter("cluster.shadow.upstream_rq_timeout").value == 1)
        assert under_way(running) == 0


@pytest.mark.parametrize("trouble", ["no cluster", "no hosts", "refused", "closes", "overflow"])
async def test_a_copy_that_fails_harms_nobody(trouble: str) -> None:
    none_pending = CircuitBreakers(max_pending_requests=0)
    shadow = ClusterSettings("shadow", connect=connect_http1, circuit_breakers=none_pending)
    async with mirrored(shadow=shadow if trouble == "overflow" else None) as running:
        handle = running.clusters["shadow"]
        cluster = handle.cluster
        if trouble == "no cluster":
            handle.cluster = None
        elif trouble == "no hosts":
            cluster.update_hosts([])
        elif trouble == "refused":
            cluster.update_hosts([HostSpec("127.0.0.1", 1)])
        target = "/close" if trouble == "closes" else "/x"
        first = (await running.ask(GET.replace("/x", target).format("")))[9:12]
        assert first == ("503" if trouble == "closes" else "200")
        assert (await running.ask(GET.format("")))[9:12] == "200"
        handle.cluster = cluster
        await until(lambda: under_way(running) == 0)


async def test_without_a_host_for_the_request_there_is_no_copy() -> None:
    async with mirrored() as running:
        running.clusters["up"].cluster.update_hosts([])
        assert "no healthy upstream" in await running.ask(GET.format(""))
        assert running.stats.counter("cluster.shadow.upstream_rq_total").value == 0


async def test_copies_use_their_connection_again() -> None:
    async with mirrored() as running:
        for _ in range(3):
            running.other.requests.clear()
            await running.ask(GET.format(""))
            await running.other.request_came()
            await until(lambda: under_way(running) == 0)
        assert running.other.connections == 1
