"""The whole proxy in one process: hand-written Envoy files served for real, starting, refusing and ending."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from minimesh.data_plane.command import main
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.server import ProxyOptions, ProxyServer
from minimesh.data_plane.xds_client import ads_client
from minimesh.data_plane.xds_client.ads_target import pod_bootstrap
from minimesh.data_plane.xds_client.bootstrap import BootstrapError, BootstrapFile, parse_bootstrap
from tests.data_plane.sockets import body_of, exchange, free_port, status_of, upstream
from tests.data_plane.xds_client.control_plane import cluster, control_plane, endpoints, listener, routes

_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_DIRECT = "{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: 'Hello!'}}}"


def envoy_file(*routes_: str, port: int = 0, clusters: str = "", manager: str = "", rest: str = "") -> str:
    """A bootstrap as people write them, with the router given by name alone."""
    lines = "\n".join(f"              - {route}" for route in routes_)
    return f"""
static_resources:
  listeners:
  - name: listener_0
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {_MANAGER}
          stat_prefix: hello
          {manager}
          http_filters:
          - name: envoy.filters.http.router
          route_config:
            name: first
            virtual_hosts:
            - name: any
              domains: ["*"]
              routes:
{lines}
  clusters: [{clusters}]
{rest}
"""


def static_cluster(
    name: str, port: int, kind: str = "STATIC", host: str = "127.0.0.1", options: str = ""
) -> str:
    address = f"{{socket_address: {{address: {host}, port_value: {port}}}}}"
    return (
        f"{{name: {name}, type: {kind}, load_assignment: {{cluster_name: {name}, endpoints: "
        f"[{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]}}"
        f"{', ' if options else ''}{options}}}"
    )


@asynccontextmanager
async def running(
    text: str, address_map: AddressMap | None = None, **options: object
) -> AsyncIterator[ProxyServer]:
    """A proxy that serves this file until the block ends."""
    async with serving(
        ProxyServer(parse_bootstrap(text, "envoy.yaml"), address_map, ProxyOptions(**options))
    ) as server:  # type: ignore[arg-type]
        yield server


@asynccontextmanager
async def serving(server: ProxyServer) -> AsyncIterator[ProxyServer]:
    task = asyncio.create_task(server.run())
    started = asyncio.create_task(server.started.wait())
    await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if task.done():
        await task
    try:
        yield server
    finally:
        server.stop()
        server.stop()
        await task


def port_of(server: ProxyServer) -> int:
    """The port of the only static listener."""
    (live,) = server.configuration.listeners.values()
    assert live.listener is not None
    return live.listener.bound_addresses[0][1]


async def test_a_direct_response_is_served() -> None:
    async with running(envoy_file(_DIRECT)) as server:
        response = await exchange(port_of(server))
    assert status_of(response) == 200
    assert body_of(response) == b"Hello!"


async def test_requests_are_routed_to_static_clusters_by_path() -> None:
    async with upstream(b"ip") as one, upstream(b"agent") as two:
        text = envoy_file(
            "{match: {path: /one}, route: {cluster: a, prefix_rewrite: /ip}}",
            "{match: {path: /two}, route: {cluster: b, prefix_rewrite: /user-agent}}",
            clusters=f"{static_cluster('a', one)}, {static_cluster('b', two)}",
        )
        async with running(text) as server:
            port = port_of(server)
            assert body_of(await exchange(port, path="/one")) == b"ip"
            assert body_of(await exchange(port, path="/two")) == b"agent"
            assert status_of(await exchange(port, path="/three")) == 404


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
async def test_a_cluster_named_by_host_name_is_ready_when_the_listener_opens(kind: str) -> None:
    async with upstream(b"by name") as up:
        text = envoy_file(
            "{match: {prefix: /}, route: {cluster: a}}", clusters=static_cluster("a", up, kind, "localhost")
        )
        async with running(text) as server:
            assert body_of(await exchange(port_of(server))) == b"by name"


async def test_an_empty_filter_chain_closes_connections() -> None:
    text = (
        "static_resources: {listeners: [{name: l, filter_chains: [{}], "
        "address: {socket_address: {address: 127.0.0.1, port_value: 0}}}]}"
    )
    async with running(text) as server:
        assert await exchange(port_of(server)) == b""


async def test_a_tcp_proxy_relays_bytes() -> None:
    tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    async with upstream(b"relayed") as up:
        text = f"""
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config: {{"@type": {tcp}, stat_prefix: t, cluster: a}}
  clusters: [{static_cluster("a", up)}]
"""
        async with running(text) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
            assert b"relayed" in await asyncio.wait_for(reader.readuntil(b"relayed"), 5)
            writer.close()
            await writer.wait_closed()


async def test_the_address_map_moves_a_wildcard_listener_to_the_pods_address() -> None:
    port = free_port()
    text = envoy_file(_DIRECT, port=80).replace(
        "address: 127.0.0.1, port_value: 80", "address: 0.0.0.0, port_value: 80"
    )
    async with running(text, AddressMap(pod_ip="127.0.0.1", port_map={80: port})):
        assert body_of(await exchange(port)) == b"Hello!"


async def test_every_log_line_is_in_the_file_when_the_proxy_has_stopped(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    file_log = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    manager = f"""access_log:
          - name: file
            typed_config:
              "@type": {file_log}
              path: {log}
              log_format: {{text_format_source: {{inline_string: "%REQ(:PATH)% %RESPONSE_CODE%\\n"}}}}"""
    async with running(envoy_file(_DIRECT, manager=manager)) as server:
        for number in range(3):
            await exchange(port_of(server), path=f"/{number}")
    assert log.read_text() == "/0 200\n/1 200\n/2 200\n"


async def test_stopping_finishes_requests_under_way() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        writer.close()

    backend = await asyncio.start_server(slow, "127.0.0.1", 0)
    up = backend.sockets[0].getsockname()[1]
    text = envoy_file("{match: {prefix: /}, route: {cluster: a}}", clusters=static_cluster("a", up))
    server = ProxyServer(parse_bootstrap(text, "envoy.yaml"))
    task = asyncio.create_task(server.run())
    await server.started.wait()
    port = port_of(server)
    request = asyncio.create_task(exchange(port, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"))
    await asyncio.wait_for(arrived.wait(), 5)
    server.stop()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await exchange(port)
    release.set()
    assert body_of(await request) == b"done"
    await asyncio.wait_for(task, 5)
    backend.close()


# --- following a control plane ---


async def test_a_pod_proxy_is_ready_once_the_control_plane_has_configured_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ads_client, "FIRST_BACKOFF_S", 0.02)
    port, admin, health, xds = free_port(), free_port(), free_port(), free_port()
    message = pod_bootstrap(
        ("127.0.0.1", xds),
        node_id="sidecar~127.0.0.1~a.default~default.svc.cluster.local",
        node_cluster="a.default",
        node_metadata={"NAME": "a", "POD_PORTS": [80]},
        admin=("127.0.0.1", admin),
    )
    options = ProxyOptions(admin=("127.0.0.1", admin), health=("127.0.0.1", health))
    async with serving(ProxyServer(BootstrapFile(message, "", {}), options=options)) as server:
        assert body_of(await exchange(admin, path="/ready")) == b"PRE_INITIALIZING\n"
        assert status_of(await exchange(health, path="/healthz/ready")) == 503
        async with upstream(b"hello") as up, control_plane(xds) as plane:
            plane.resources = {
                "CDS": [cluster("up")],
                "EDS": [endpoints("up", up)],
                "LDS": [listener("web", port, "r")],
                "RDS": [routes("r", "up")],
            }
            await plane.reaction("RDS")
            await asyncio.wait_for(server.live.wait(), 5)
            assert body_of(await exchange(port)) == b"hello"
            assert status_of(await exchange(health, path="/healthz/ready")) == 200
            assert status_of(await exchange(health, path="/config_dump")) == 404
            dump = json.loads(body_of(await exchange(admin, path="/config_dump?resource=static_listeners")))
            (page,) = (each["listener"] for each in dump["configs"])
            assert page["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 15021}
            assert '"prefix": "/healthz/ready"' in json.dumps(page)
            assert plane.nodes[0].metadata["NAME"] == "a"


async def test_a_file_may_name_its_control_plane_as_a_static_cluster() -> None:
    async with control_plane() as plane:
        port = free_port()
        plane.resources = {
            "LDS": [listener("web", port, "r")],
            "RDS": [routes("r", "", direct_response={"status": 201})],
        }
        text = f"""
node: {{id: one, cluster: c}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters: [{static_cluster("xds", plane.port)}]
"""
        async with running(text):
            await plane.reaction("RDS")
            assert status_of(await exchange(port)) == 201


# --- refusing ---


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("stat_prefix: hello", "stat_prefix: hello\n          tracing: {}"),
            "envoy.yaml:12:11: error: static_resources.listeners[0].filter_chains[0].filters[0].typed_config."
            "tracing: not supported",
        ),
        (
            ("name: envoy.filters.http.router", "name: envoy.filters.http.lua"),
            "typed_config.http_filters[0]: the router must be the last filter, and only the last",
        ),
        (
            ("direct_response: {status: 200", "route: {cluster: nowhere}, x: {status: 200"),
            "routes[0].x: unknown field of envoy.config.route.v3.Route",
        ),
        (
            (_DIRECT, "{match: {prefix: /}, route: {cluster: nowhere}}"),
            "typed_config.route_config.virtual_hosts[0].routes[0]: unknown cluster 'nowhere'",
        ),
        (
            ("clusters: []", "clusters: [{name: a, lb_policy: LOAD_BALANCING_POLICY_CONFIG}]"),
            "LOAD_BALANCING_POLICY_CONFIG",
        ),
        (("clusters: []", "clusters: [{name: a, preconnect_policy: {}}]"), "preconnect_policy"),
    ],
)
async def test_a_mistake_names_its_place(change: tuple[str, str], complaint: str) -> None:
    text = envoy_file(_DIRECT).replace(*change)
    with pytest.raises(BootstrapError) as raised:
        async with running(text):
            pass
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    "setting",
    [
        "strip_matching_host_port: true",
        "strip_any_host_port: true",
        "strip_trailing_host_dot: true",
        "http_protocol_options: {allow_absolute_url: false}",
    ],
)
async def test_a_setting_that_nothing_heeds_is_refused_by_name(setting: str) -> None:
    name = setting.rpartition("{")[2].partition(":")[0]
    with pytest.raises(BootstrapError, match=rf"{name}: not supported"):
        async with running(envoy_file(_DIRECT, manager=setting)):
            pass


@pytest.mark.parametrize(
    ("retries", "named"),
    [
        ("retry_options_predicates: [{name: x}]", "retry_options_predicates"),
        ("retry_host_predicate: [{name: of_my_own}]", "of_my_own"),
    ],
)
async def test_a_retry_setting_that_nothing_heeds_is_refused_by_name(retries: str, named: str) -> None:
    route = f"{{match: {{prefix: /}}, route: {{cluster: a, retry_policy: {{retry_on: 5xx, {retries}}}}}}}"
    with pytest.raises(BootstrapError, match=rf"{named}.*not supported"):
        async with running(envoy_file(route, clusters="{name: a}")):
            pass


async def test_an_address_in_use_is_a_reason_not_to_start() -> None:
    async with upstream(b"") as taken:
        with pytest.raises(BootstrapError, match=f"cannot bind '127.0.0.1:{taken}': Address already in use"):
            async with running(envoy_file(_DIRECT, port=taken)):
                pass


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "/nowhere/envoy.yaml"]) == 1
    assert capsys.readouterr().err == (
        "/nowhere/envoy.yaml:1:1: error: cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "one of the arguments -c/--config-path --xds is required"),
        (["--xds", "nowhere"], "--xds: 'nowhere' is not HOST:PORT"),
        (["--xds", "h:1", "--node-metadata", "["], "--node-metadata: not JSON"),
        (["--xds", "h:1", "--port-map", "a=b"], "--port-map: port map entry 'a=b'"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


async def test_the_process_drains_on_sigterm_and_exits_with_0(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    config = tmp_path / "envoy.json"
    rest = f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}"
    config.write_text(envoy_file(_DIRECT, port=port, rest=rest))
    command = "import sys; from minimesh.data_plane.command import main; sys.exit(main(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "-c", str(config), "-l", "info", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"starting workers" not in await process.stderr.readline():
            pass
        assert body_of(await exchange(port)) == b"Hello!"
        assert json.loads(body_of(await exchange(admin, path="/server_info")))["state"] == "LIVE"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        await exchange(port)
