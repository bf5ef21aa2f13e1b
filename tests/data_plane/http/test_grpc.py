"""gRPC through the proxy: grpclib at both ends, HTTP/2 on both sides."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.http.http2.upstream import connect_http2
from minimesh.data_plane.telemetry.access_log import AccessLog, compile_text_format
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, UpstreamProtocol
from tests.data_plane.http.echo_service import EchoClient, EchoService, echo_client, echo_server
from tests.data_plane.http.lab import Lab, lab, until
from tests.data_plane.sockets import free_port


@dataclass
class Mesh:
    """A client, a proxy and a service."""

    client: EchoClient
    proxy: Lab
    service: EchoService

    def count(self, name: str) -> int:
        return int(self.proxy.stats.counter(f"cluster.up.{name}").value)


@asynccontextmanager
async def mesh(
    route: str = "timeout: 0s",
    protocol: UpstreamProtocol = UpstreamProtocol.HTTP2,
    *,
    dead: bool = False,
    **more: Any,
) -> AsyncIterator[Mesh]:
    """`route` is more of the route's action; `dead`: nobody listens where it leads; `more`: settings."""
    routes = f"""
    name: r
    virtual_hosts:
    - name: v
      domains: ["*"]
      routes: [{{match: {{prefix: /, grpc: {{}}}}, route: {{cluster: up, {route}}}}}]
    """
    settings = ClusterSettings(
        "up", protocol=protocol, connect=connect_http1, connect_http2=connect_http2, **more
    )
    async with echo_server() as (service, port):
        hosts = {"up": [free_port() if dead else port]}
        async with lab(routes, {"up": settings}, hosts) as proxy, echo_client(proxy.port) as client:
            async with asyncio.timeout(10):
                yield Mesh(client, proxy, service)


async def test_a_unary_call_with_metadata_both_ways() -> None:
    async with mesh() as running:
        async with running.client.unary.open(metadata={"x-own": "3"}) as stream:
            await stream.send_message(StringValue(value="hello"), end=True)
            reply = await stream.recv_message()
            assert reply is not None
            assert reply.value == "hello"
            await stream.recv_trailing_metadata()
            assert stream.initial_metadata is not None
            assert stream.initial_metadata["x-initial"] == "1"
            assert stream.trailing_metadata is not None
            assert stream.trailing_metadata["x-trailing"] == "2"
        assert running.service.metadata[0]["x-own"] == "3"


async def test_streams_in_every_direction() -> None:
    async with mesh() as running:
        client = running.client
        words = await client.server_stream(StringValue(value="a b c"))
        assert [each.value for each in words] == ["a", "b", "c"]
        joined = await client.client_stream([StringValue(value=word) for word in "abc"])
        assert joined.value == "a b c"
        shouted = await client.both_stream([StringValue(value=word) for word in "abc"])
        assert [each.value for each in shouted] == ["A", "B", "C"]


async def test_a_dialogue_message_by_message() -> None:
    async with mesh() as running, running.client.both_stream.open() as stream:
        for word in ("one", "two", "three"):
            await stream.send_message(StringValue(value=word))
            reply = await stream.recv_message()
            assert reply is not None
            assert reply.value == word.upper()
        await stream.end()


async def test_many_calls_share_a_connection() -> None:
    async with mesh() as running:
        texts = [str(number) for number in range(50)]
        assert list(await asyncio.gather(*(running.client.echo(text) for text in texts))) == texts
        assert running.count("upstream_cx_total") == 1


async def test_large_messages_pass_all_windows() -> None:
    async with mesh() as running:
        text = "x" * 3_000_000
        assert await running.client.echo(text, timeout_s=5) == text


async def test_the_protocol_of_the_request_is_that_to_the_upstream() -> None:
    async with mesh(protocol=UpstreamProtocol.AS_DOWNSTREAM) as running:
        assert await running.client.echo("a") == "a"
        assert running.count("upstream_cx_http2_total") == 1


@pytest.mark.parametrize(
    "status", [Status.CANCELLED, Status.NOT_FOUND, Status.INTERNAL, Status.UNAUTHENTICATED]
)
async def test_a_status_of_the_service_arrives(status: Status) -> None:
    async with mesh() as running:
        with pytest.raises(GRPCError) as raised:
            await running.client.echo(f"fail {status.name}")
        assert (raised.value.status, raised.value.message) == (status, "as you wished")


async def test_an_upstream_that_cannot_be_reached_is_unavailable() -> None:
    async with mesh(dead=True) as running:
        with pytest.raises(GRPCError) as raised:
            await running.client.echo("a")
        assert raised.value.status is Status.UNAVAILABLE
        assert "remote connection failure" in str(raised.value.message)


async def test_unavailable_is_tried_again_by_istios_policy() -> None:
    policy = (
        "retry_policy: {retry_on: 'connect-failure,refused-stream,unavailable,cancelled', num_retries: 2,"
        " retry_back_off: {base_interval: 0.001s}}"
    )
    async with mesh(policy) as running:
        running.service.failing = 2
        assert await running.client.echo("a") == "a"
        assert running.service.calls == ["a"] * 3
        assert running.count("upstream_rq_retry_success") == 1


async def test_tries_come_to_an_end() -> None:
    policy = "retry_policy: {retry_on: unavailable, num_retries: 1, retry_back_off: {base_interval: 0.001s}}"
    async with mesh(policy) as running:
        running.service.failing = 9
        with pytest.raises(GRPCError) as raised:
            await running.client.echo("a")
        assert raised.value.status is Status.UNAVAILABLE
        assert len(running.service.calls) == 2


async def test_a_try_that_takes_too_long_is_given_up_and_cancelled_at_the_service() -> None:
    async with mesh("retry_policy: {retry_on: 'reset', num_retries: 0, per_try_timeout: 0.03s}") as running:
        with pytest.raises(GRPCError) as raised:
            await running.client.echo("hang")
        assert raised.value.status is Status.UNAVAILABLE
        async with asyncio.timeout(2):
            await running.service.cancelled.wait()


async def test_a_client_that_cancels_cancels_at_the_service() -> None:
    async with mesh() as running:
        call = asyncio.ensure_future(running.client.echo("hang"))
        await until(lambda: bool(running.service.calls))
        call.cancel()
        async with asyncio.timeout(2):
            await running.service.cancelled.wait()
        assert await running.client.echo("still there") == "still there"


async def test_the_log_tells_protocols_and_status() -> None:
    async with mesh() as running:
        manager = running.proxy.manager
        line = compile_text_format("%PROTOCOL% %UPSTREAM_PROTOCOL% %RESPONSE_CODE% %GRPC_STATUS%\n")
        logs = (AccessLog(line, running.proxy.log),)
        manager.config = dataclasses.replace(manager.config, access_logs=logs)
        await running.client.echo("a")
        assert await running.proxy.log.next() == "HTTP/2 HTTP/2 200 OK"
        with pytest.raises(GRPCError):
            await running.client.echo("fail NOT_FOUND")
        assert await running.proxy.log.next() == "HTTP/2 HTTP/2 200 NotFound"


async def test_a_connection_to_the_service_at_the_end_of_its_life_loses_no_call() -> None:
    """What it has begun goes on; what comes after goes to a new one."""
    async with mesh(max_requests_per_connection=2) as running, running.client.both_stream.open() as stream:
        await stream.send_message(StringValue(value="one"))
        assert (await stream.recv_message()).value == "ONE"
        for text in "abc":
            assert await running.client.echo(text) == text
        await stream.send_message(StringValue(value="two"), end=True)
        assert (await stream.recv_message()).value == "TWO"
        assert running.count("upstream_cx_total") == 2
