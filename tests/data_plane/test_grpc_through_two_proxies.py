"""gRPC through a gateway and a sidecar to a service: whole proxies, from files as Envoy reads them.

The gateway is told that its upstream speaks HTTP/2, the sidecar passes on what it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from minimesh.data_plane.server import ProxyServer
from tests.data_plane.http.echo_service import EchoClient, EchoService, echo_client, echo_server
from tests.data_plane.sockets import exchange, status_of
from tests.data_plane.test_server import envoy_file, port_of, running, static_cluster

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP2 = "explicit_http_config: {http2_protocol_options: {}}"
AS_DOWNSTREAM = "use_downstream_protocol_config: {http2_protocol_options: {}}"
#: What istiod gives every route.
RETRIES = (
    "retry_policy: {retry_on: 'connect-failure,refused-stream,unavailable,cancelled', num_retries: 2,"
    " retry_back_off: {base_interval: 0.001s}}"
)


def proxy_file(upstream_port: int, protocol: str, retries: str = "") -> str:
    options = (
        f'typed_extension_protocol_options: {{{_OPTIONS}: {{"@type": type.googleapis.com/{_OPTIONS},'
        f" {protocol}}}}}"
    )
    route = f"{{match: {{prefix: /}}, route: {{cluster: up, timeout: 0s{', ' if retries else ''}{retries}}}}}"
    return envoy_file(route, clusters=static_cluster("up", upstream_port, options=options))


@dataclass
class Mesh:
    client: EchoClient
    gateway: ProxyServer
    sidecar: ProxyServer
    service: EchoService


@asynccontextmanager
async def mesh() -> AsyncIterator[Mesh]:
    async with (
        asyncio.timeout(20),
        echo_server() as (service, service_port),
        running(proxy_file(service_port, AS_DOWNSTREAM)) as sidecar,
        running(proxy_file(port_of(sidecar), HTTP2, RETRIES)) as gateway,
        echo_client(port_of(gateway)) as client,
    ):
        yield Mesh(client, gateway, sidecar, service)


def count(proxy: ProxyServer, name: str) -> int:
    return int(proxy.stats.counter(f"cluster.up.{name}").value)


async def test_every_kind_of_call() -> None:
    async with mesh() as running_mesh:
        client = running_mesh.client
        assert await client.echo("hello") == "hello"
        replies = await client.server_stream(StringValue(value="a b"))
        assert [each.value for each in replies] == ["a", "b"]
        assert (await client.client_stream([StringValue(value="a"), StringValue(value="b")])).value == "a b"
        shouted = await client.both_stream([StringValue(value="a"), StringValue(value="b")])
        assert [each.value for each in shouted] == ["A", "B"]
        for proxy in (running_mesh.gateway, running_mesh.sidecar):
            assert count(proxy, "upstream_cx_http2_total") == 1


async def test_many_calls_at_once_share_one_connection_at_each_hop() -> None:
    async with mesh() as running_mesh:
        texts = [f"{number} " * 1000 for number in range(100)]
        assert list(await asyncio.gather(*map(running_mesh.client.echo, texts))) == texts
        for proxy in (running_mesh.gateway, running_mesh.sidecar):
            assert count(proxy, "upstream_cx_total") == 1


async def test_status_and_retries_cross_both() -> None:
    async with mesh() as running_mesh:
        with pytest.raises(GRPCError) as raised:
            await running_mesh.client.echo("fail NOT_FOUND")
        assert raised.value.status is Status.NOT_FOUND
        running_mesh.service.failing = 2
        assert await running_mesh.client.echo("again") == "again"
        assert count(running_mesh.gateway, "upstream_rq_retry") == 2
        assert count(running_mesh.sidecar, "upstream_rq_retry") == 0


async def test_cancelling_crosses_both() -> None:
    async with mesh() as running_mesh:
        call = asyncio.ensure_future(running_mesh.client.echo("hang"))
        while not running_mesh.service.calls:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)
        call.cancel()
        await running_mesh.service.cancelled.wait()


async def test_an_http1_client_gets_the_services_answer_to_a_get() -> None:
    async with mesh() as running_mesh:
        assert status_of(await exchange(port_of(running_mesh.gateway))) == 405
