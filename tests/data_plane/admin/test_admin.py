"""The admin API over HTTP, of a proxy that serves a small hand-written file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minimesh.data_plane.admin.server_state import ServerState
from minimesh.data_plane.server import ProxyServer
from tests.data_plane.sockets import body_of, exchange, free_port, status_of, upstream
from tests.data_plane.test_server import envoy_file, port_of, running, static_cluster

_ROUTE = "{match: {prefix: /}, route: {cluster: a}}"


class Admin:
    """Asks one proxy's admin API."""

    def __init__(self, port: int, server: ProxyServer) -> None:
        self.port = port
        self.server = server

    async def raw(self, path: str, method: str = "GET") -> bytes:
        request = f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return await exchange(self.port, request.encode())

    async def text(self, path: str, method: str = "GET") -> str:
        return body_of(await self.raw(path, method)).decode()

    async def json(self, path: str) -> Any:
        return json.loads(await self.text(path))


def proxy(port: int, *, admin: int) -> Any:
    text = envoy_file(_ROUTE, clusters=static_cluster("a", port))
    return running(text, admin=("127.0.0.1", admin))


async def test_listeners_are_shown_with_the_port_that_is_really_open() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        opened = port_of(server)
        assert await admin.text("/listeners") == f"listener_0::127.0.0.1:{opened}\n"
        assert await admin.json("/listeners?format=json") == {
            "listener_statuses": [
                {
                    "name": "listener_0",
                    "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": opened}},
                }
            ]
        }


async def test_clusters_count_what_went_through_them() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        await exchange(port_of(server))
        lines = (await admin.text("/clusters")).splitlines()
        assert f"a::127.0.0.1:{up}::rq_success::1" in lines
        assert "a::default_priority::max_connections::1024" in lines
        assert "a::added_via_api::false" in lines
        (status,) = (await admin.json("/clusters?format=json"))["cluster_statuses"]
        stats = {stat["name"]: stat.get("value") for stat in status["host_statuses"][0]["stats"]}
        assert stats["rq_success"] == "1"
        assert stats["rq_error"] is None  # as Envoy: zero is not printed
        assert await admin.text("/clusters?filter=nothing") == ""


async def test_the_dump_holds_the_configuration_as_it_was_written() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        types = [dump["@type"].rpartition(".")[2] for dump in (await admin.json("/config_dump"))["configs"]]
        assert types == [
            "BootstrapConfigDump",
            "ClustersConfigDump",
            "ListenersConfigDump",
            "ScopedRoutesConfigDump",
            "RoutesConfigDump",
            "SecretsConfigDump",
        ]
        (cluster,) = (await admin.json("/config_dump?resource=static_clusters"))["configs"]
        assert cluster["cluster"]["name"] == "a"
        with_endpoints = (await admin.json("/config_dump?include_eds"))["configs"]
        (assignment,) = with_endpoints[2]["static_endpoint_configs"]
        (endpoint,) = assignment["endpoint_config"]["endpoints"][0]["lb_endpoints"]
        assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == up
        (masked,) = (await admin.json("/config_dump?mask=static_route_configs"))["configs"]
        assert masked["static_route_configs"][0]["route_config"]["name"] == "first"
        assert (await admin.json("/config_dump?resource=static_clusters&name_regex=b")).get("configs") is None


async def test_what_is_in_no_dump_is_not_found() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        response = await Admin(port, server).raw("/config_dump?resource=nope")
        assert status_of(response) == 404
        assert body_of(response) == b"nope not found in config dump"


async def test_stats_in_all_formats() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        await exchange(port_of(server))
        assert "http.hello.downstream_rq_2xx: 1\n" in await admin.text("/stats?usedonly")
        shown = await admin.text("/stats?filter=^http.hello.downstream_rq_2xx$")
        assert shown == "http.hello.downstream_rq_2xx: 1\n"
        stats = (await admin.json("/stats?format=json&filter=hello.downstream_rq_2xx"))["stats"]
        assert stats[0] == {"name": "http.hello.downstream_rq_2xx", "value": 1}
        exposition = (await admin.text("/stats/prometheus")).splitlines()
        labels = 'envoy_http_conn_manager_prefix="hello",envoy_response_code_class="2"'
        assert f"envoy_http_downstream_rq_xx{{{labels}}} 1" in exposition
        assert "# TYPE envoy_http_downstream_rq_xx counter" in exposition
        assert status_of(await admin.raw("/stats?format=xml")) == 400
        assert status_of(await admin.raw("/stats?filter=(")) == 400


async def test_readiness_follows_the_state_and_the_health_switch() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        await server.live.wait()
        assert await admin.text("/ready") == "LIVE\n"
        assert await admin.text("/healthcheck/fail", "POST") == "OK\n"
        assert status_of(await admin.raw("/ready")) == 503
        assert await admin.text("/healthcheck/ok", "POST") == "OK\n"
        server.state.set(ServerState.PRE_INITIALIZING)
        response = await admin.raw("/ready")
        assert (status_of(response), body_of(response)) == (503, b"PRE_INITIALIZING\n")


async def test_actions_want_post() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        response = await Admin(port, server).raw("/quitquitquit")
        assert status_of(response) == 405
        assert body_of(response) == b"Method GET not allowed, POST required."


async def test_drained_listeners_refuse_connections() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin, opened = Admin(port, server), port_of(server)
        assert await admin.text("/drain_listeners", "POST") == "OK\n"
        with pytest.raises(ConnectionRefusedError):
            await exchange(opened)


async def test_counters_are_reset() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        await exchange(port_of(server))
        await admin.text("/reset_counters", "POST")
        shown = await admin.text("/stats?filter=^http.hello.downstream_rq_2xx$")
        assert shown == "http.hello.downstream_rq_2xx: 0\n"


async def test_log_levels_are_shown_and_set() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        assert "  main: debug\n" in await admin.text("/logging?main=debug", "POST")
        assert "error: unknown logger level" in await admin.text("/logging?main=loud", "POST")
        assert "error: unknown logger name" in await admin.text("/logging?nobody=info", "POST")
        assert "  admin: warning\n" in await admin.text("/logging?level=warning", "POST")


async def test_an_unknown_path_gets_the_list_of_commands() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        response = await admin.raw("/nope")
        assert status_of(response) == 404
        assert body_of(response).startswith(b"invalid path. admin commands are:\n  /: Admin home page\n")
        assert await admin.text("/help") == body_of(response).decode().removeprefix("invalid path. ")


async def test_quitquitquit_ends_the_process() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        assert await Admin(port, server).text("/quitquitquit", "POST") == "OK\n"
        assert server.state.value is not ServerState.PRE_INITIALIZING


async def test_a_page_from_elsewhere_may_not_even_post_a_form() -> None:
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())):

        async def post(origin: str) -> int:
            head = f"POST /logging?level=info HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {origin}\r\n"
            request = head + "Content-Length: 0\r\nConnection: close\r\n\r\n"
            return status_of(await exchange(port, request.encode()))

        assert await post("http://evil.example") == 403
        assert await post("null") == 403
        assert await post(f"http://localhost:{port}") == 200


async def test_no_pattern_keeps_the_proxy_from_its_work() -> None:
    """It would take Python's own engine longer than anybody waits."""
    async with upstream(b"x") as up, proxy(up, admin=(port := free_port())) as server:
        admin = Admin(port, server)
        server.stats.counter("a" * 60)
        assert await admin.text("/stats?filter=^(a%2B)%2Bb$") == ""
