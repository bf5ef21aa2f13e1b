"""A pooled HTTP/1.1 connection that the upstream closes just as the next request is sent on it.

Nobody knows whether the upstream acted on that request. It is not sent again, whatever its method, unless a
retry policy asks for exactly that: `reset` (and what includes it). So does Envoy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
from tests.data_plane.http.lab import Lab, lab

ISTIO = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


class LeavingUpstream:
    """Answers the first request on each connection; its first connection it closes at sight of the second."""

    def __init__(self) -> None:
        #: How many requests came on each connection.
        self.requests: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.requests)
        self.requests.append(0)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests[number] += 1
                if number == 0 and self.requests[0] == 2:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy is done with it
        finally:
            writer.close()


@asynccontextmanager
async def proxy(retry_on: str) -> AsyncIterator[tuple[Lab, LeavingUpstream]]:
    upstream = LeavingUpstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    policy = f", retry_policy: {{retry_on: '{retry_on}'}}" if retry_on else ""
    routes = f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      routes: [{{match: {{prefix: /}}, route: {{cluster: up, timeout: 0s{policy}}}}}]
    """
    clusters = {"up": ClusterSettings("up", connect=connect_http1)}
    try:
        async with lab(routes, clusters, {"up": [server.sockets[0].getsockname()[1]]}) as running:
            yield running, upstream
    finally:
        server.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("retry_on", ["", "reset-before-request", "connect-failure", ISTIO])
async def test_a_request_lost_with_its_connection_is_not_sent_again(method: str, retry_on: str) -> None:
    async with proxy(retry_on) as (running, upstream):
        request = f"{method} / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"
        assert (await running.ask(request)).startswith("HTTP/1.1 200")
        answer = await running.ask(request)
        assert answer.startswith("HTTP/1.1 503")
        assert answer.endswith("reset reason: connection termination")
        assert upstream.requests == [2]
        await running.log.next()
        assert " 503 UC upstream_reset_before_response_started{connection_termination} " in (
            await running.log.next()
        )


@pytest.mark.parametrize("retry_on", ["reset", "5xx", "gateway-error"])
async def test_it_is_sent_again_where_the_route_says_so(retry_on: str) -> None:
    async with proxy(retry_on) as (running, upstream):
        for _ in range(2):
            assert (await running.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n")).startswith("HTTP/1.1 200")
        assert upstream.requests == [2, 1]
