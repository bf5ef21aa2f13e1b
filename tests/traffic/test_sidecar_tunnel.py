"""What an application reaches through its sidecar without redirection: TCP and TLS by CONNECT, HTTP by
request.

The real Envoy gets what it needs for the same: listeners inside the proxy that CONNECT leads to, and a
cluster that resolves the hosts of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minimesh.control_plane.mesh_config import OutboundTrafficPolicy
from minimesh.control_plane.push_context import MeshConfig
from tests.control_plane.meshes import sidecar_proxy
from tests.control_plane.tcp_lab import TCP_ECHO, TCP_ECHO_SUBSETS
from tests.data_plane.certificates import Authority
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import pod_at, tcp_echo, web

EXPLICIT_PROXY = 15080
CALLER = sidecar_proxy({"app": "sleep"})
TO_V2 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: [tcp-echo]
  tcp:
  - match: [{sourceLabels: {app: sleep}}]
    route: [{destination: {host: tcp-echo, subset: v2, port: {number: 9000}}}]
"""


@contextlib.asynccontextmanager
async def sidecar(
    engine: str, folder: Path, *manifests: str, registry_only: bool = False
) -> AsyncIterator[Served]:
    policy = OutboundTrafficPolicy.REGISTRY_ONLY if registry_only else OutboundTrafficPolicy.ALLOW_ANY
    mesh = MeshConfig(access_log_file=str(folder / f"{engine}.log"), outbound_traffic_policy=policy)
    capture = engine == "minimesh"
    async with serve(engine, CALLER, manifests, folder, mesh=mesh, capture=capture, tunnels=True) as served:
        yield served


async def tunnel(served: Served, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection through the sidecar; the answer to CONNECT must be 200."""
    reader, writer = await served.connect(EXPLICIT_PROXY)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return reader, writer


async def exchange(served: Served, target: str, text: bytes = b"hello", *, finish: bool = True) -> bytes:
    """Say something to a target and read until it closes; empty when the connection broke.

    `finish` closes the sending half; a proxy for HTTP takes whoever does that to be gone. So does the real
    Envoy of a tunnel by CONNECT, and there the first answer has to do.
    """
    reader, writer = await tunnel(served, target)
    try:
        writer.write(text)
        if finish and served.engine == "envoy":
            return await reader.read(1024)
        if finish:
            writer.write_eof()
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


async def got_out(served: Served, target: str) -> bytes:
    """What comes through a tunnel into nothing. Envoy sees it broken before it says that it stands: 503."""
    if served.engine == "minimesh":
        return await exchange(served, target)
    reader, writer = await served.connect(EXPLICIT_PROXY)
    writer.write(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return b"" if head.startswith(b"HTTP/1.1 503 ") else rest


async def get(served: Served, url: str) -> bytes:
    """A request to a proxy, as `http_proxy` makes clients send it."""
    reader, writer = await served.connect(EXPLICIT_PROXY)
    host = url.split("/")[2]
    writer.write(f"GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


@contextlib.asynccontextmanager
async def echo_lab(engine: str, folder: Path, *more: str) -> AsyncIterator[Served]:
    async with tcp_echo("one") as first, tcp_echo("two") as second:
        pods = [
            pod_at(first, {"app": "tcp-echo", "version": "v1"}, 9000),
            pod_at(second, {"app": "tcp-echo", "version": "v2"}, 9000),
        ]
        async with sidecar(engine, folder, TCP_ECHO, TCP_ECHO_SUBSETS, *pods, *more) as served:
            yield served


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name",
    [
        "tcp-echo",
        "tcp-echo.default",
        "tcp-echo.default.svc",
        "tcp-echo.default.svc.cluster.local",
        "TCP-Echo.default.svc.cluster.local.",
        "10.96.0.9",
    ],
)
async def test_a_tcp_service_by_each_of_its_names(engine: str, name: str, tmp_path: Path) -> None:
    async with echo_lab(engine, tmp_path) as served:
        assert (await exchange(served, f"{name}:9000")).split() in ([b"one", b"hello"], [b"two", b"hello"])


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_mesh_rule_for_the_caller_counts(engine: str, tmp_path: Path) -> None:
    async with echo_lab(engine, tmp_path, TO_V2) as served:
        assert {await exchange(served, "tcp-echo:9000") for _ in range(5)} == {b"two hello"}
        line = (await served.log_lines(5))[0]
    assert '"- - -" 0 - - - "-" 5 9' in line
    # The destination that the client meant stands where Envoy puts it.
    assert "outbound|9000|v2|tcp-echo.default.svc.cluster.local 127.0.0.1:" in line
    assert " 10.96.0.9:9000 " in line


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_came_along_with_connect_is_not_lost(engine: str, tmp_path: Path) -> None:
    async with echo_lab(engine, tmp_path, TO_V2) as served:
        reader, writer = await served.connect(EXPLICIT_PROXY)
        writer.write(b"CONNECT tcp-echo:9000 HTTP/1.1\r\n\r\nearly")
        assert await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(9) == b"two early"
        writer.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_connect_in_pieces(engine: str, tmp_path: Path) -> None:
    async with echo_lab(engine, tmp_path, TO_V2) as served:
        reader, writer = await served.connect(EXPLICIT_PROXY)
        for piece in (b"CON", b"NECT tcp-echo:9000 HTTP/1.1\r\n", b"x: y\r\n\r\nhello"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(9) == b"two hello"
        writer.close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("line", ["CONNECT tcp-echo HTTP/1.1", "CONNECT :0 HTTP/1.1", "CONNECT a:9 x:9 y"])
async def test_a_connect_that_names_no_target(engine: str, line: str, tmp_path: Path) -> None:
    async with sidecar(engine, tmp_path) as served:
        reader, writer = await served.connect(EXPLICIT_PROXY)
        writer.write(f"{line}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_address_that_nobody_declared(engine: str, tmp_path: Path) -> None:
    async with tcp_echo("outside") as port, sidecar(engine, tmp_path) as served:
        assert await exchange(served, f"127.0.0.1:{port}") == b"outside hello"
        assert await exchange(served, f"localhost:{port}") == b"outside hello"
        [first, _] = await served.log_lines(2)
    assert "PassthroughCluster" in first


@pytest.mark.parametrize("engine", ENGINES)
async def test_registry_only_lets_nobody_out(engine: str, tmp_path: Path) -> None:
    async with tcp_echo("outside") as port, sidecar(engine, tmp_path, registry_only=True) as served:
        assert await got_out(served, f"127.0.0.1:{port}") == b""
        assert (await get(served, f"http://127.0.0.1:{port}/")).startswith(b"HTTP/1.1 502 ")
        lines = await served.log_lines(2)
    assert " UH " in lines[0]
    assert "BlackHoleCluster" in lines[0]
    assert "502 - direct_response" in lines[1]


@pytest.mark.parametrize("engine", ENGINES)
async def test_requests_go_to_the_host_that_they_name(engine: str, tmp_path: Path) -> None:
    async with web("outside") as port, sidecar(engine, tmp_path) as served:
        answer = await get(served, f"http://127.0.0.1:{port}/")
        again = await get(served, f"http://localhost:{port}/")
        [line, _] = await served.log_lines(2)
    assert answer.endswith(f"outside 127.0.0.1:{port} plain".encode())
    assert again.endswith(f"outside localhost:{port} plain".encode())
    assert "PassthroughCluster" in line


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_request_for_the_proxy_itself_does_not_go_round(engine: str, tmp_path: Path) -> None:
    async with sidecar(engine, tmp_path) as served:
        answer = await get(served, f"http://127.0.0.1:{served.ports[EXPLICIT_PROXY]}/")
    assert answer.startswith(b"HTTP/1.1 503 ")


WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  clusterIP: 10.96.0.20
  ports: [{name: PORT_NAME, port: 8000}]
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("port_name", ["http", "unnamed", "tcp"])
async def test_http_is_found_out_where_the_port_does_not_say(
    engine: str, port_name: str, tmp_path: Path
) -> None:
    request = b"GET / HTTP/1.1\r\nHost: web:8000\r\nConnection: close\r\n\r\n"
    async with web("web") as port:
        manifests = (WEB.replace("PORT_NAME", port_name), pod_at(port, {"app": "web"}, 8000))
        async with sidecar(engine, tmp_path, *manifests) as served:
            answer = await exchange(served, "web:8000", request, finish=False)
            [line] = await served.log_lines()
    assert answer.endswith(b"web web:8000 plain")
    assert ('"GET / HTTP/1.1" 200' in line) is (port_name != "tcp")
    assert "outbound|8000||web.default.svc.cluster.local" in line


@pytest.mark.parametrize("engine", ENGINES)
async def test_bytes_that_are_no_http_reach_a_port_of_unknown_protocol(engine: str, tmp_path: Path) -> None:
    async with tcp_echo("raw") as port:
        manifests = (WEB.replace("PORT_NAME", "unnamed"), pod_at(port, {"app": "web"}, 8000))
        async with sidecar(engine, tmp_path, *manifests) as served:
            assert await exchange(served, "web:8000", b"\0\1\2\3\4") == b"raw \0\1\2\3\4"


@contextlib.asynccontextmanager
async def greeter() -> AsyncIterator[int]:
    """The port of a server that speaks first, as MySQL's does."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_that_speaks_first_is_heard_where_the_port_says_tcp(
    engine: str, tmp_path: Path
) -> None:
    async with greeter() as port:
        manifests = (WEB.replace("PORT_NAME", "tcp"), pod_at(port, {"app": "web"}, 8000))
        async with sidecar(engine, tmp_path, *manifests) as served:
            reader, writer = await tunnel(served, "web:8000")
            assert await reader.readexactly(7) == b"welcome"
            writer.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_that_speaks_first_waits_where_the_protocol_is_to_be_found_out(
    engine: str, tmp_path: Path
) -> None:
    async with greeter() as port:
        manifests = (WEB.replace("PORT_NAME", "unnamed"), pod_at(port, {"app": "web"}, 8000))
        async with sidecar(engine, tmp_path, *manifests) as served:
            silent, first = await tunnel(served, "web:8000")
            first_word = asyncio.create_task(silent.readexactly(7))
            speaking, second = await tunnel(served, "web:8000")
            second.write(b"\0\1\2\3\4")
            # Who came later is through, and who says nothing has not been heard: no time limit ends that.
            assert await speaking.readexactly(7) == b"welcome"
            assert not first_word.done()
            first.write(b"\0\1\2\3\4")
            assert await first_word == b"welcome"
            first.close()
            second.close()


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  ports: [{{number: 443, name: tls, protocol: TLS, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
"""


@pytest.mark.parametrize("engine", ENGINES)
async def test_tls_of_the_application_is_told_apart_by_its_server_name(engine: str, tmp_path: Path) -> None:
    authority = Authority()
    trusting = ssl.create_default_context(cadata=authority.pem)
    answers = {}
    async with contextlib.AsyncExitStack() as stack:
        entries = []
        for name in ("a", "b"):
            issued = authority.issue(f"{name}.example.com")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*issued.write(tmp_path, name))
            port = await stack.enter_async_context(tcp_echo(name, context))
            entries.append(ENTRY.format(name=name, port=port))
        served = await stack.enter_async_context(sidecar(engine, tmp_path, *entries))
        for name in ("a", "b"):
            host = f"{name}.example.com"
            reader, writer = await tunnel(served, f"{host}:443")
            await writer.start_tls(trusting, server_hostname=host)
            writer.write(b"hello")
            answers[name] = await reader.readexactly(7)
            writer.close()
        lines = await served.log_lines(2)
    assert answers == {"a": b"a hello", "b": b"b hello"}
    assert "outbound|443||a.example.com" in lines[0]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_headless_service_by_name_is_one_of_its_pods(engine: str, tmp_path: Path) -> None:
    async with tcp_echo("pod") as port:
        headless = (
            TCP_ECHO.replace("clusterIP: 10.96.0.9", "clusterIP: None")
            .replace("port: 9000", f"port: {port}")
            .replace("  - {name: tcp-other, port: 9001}\n", "")
        )
        async with sidecar(engine, tmp_path, headless, pod_at(port, {"app": "tcp-echo"}, port)) as served:
            assert await exchange(served, f"tcp-echo:{port}") == b"pod hello"
            [line] = await served.log_lines()
    assert f"outbound|{port}||tcp-echo.default.svc.cluster.local" in line


ORIGINATED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: cnn}}
spec:
  hosts: [edition.cnn.com]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http-port: {port}}}}}]
  ports: [{{number: 80, name: http-port, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cnn}}
spec:
  host: edition.cnn.com
  trafficPolicy:
    portLevelSettings: [{{port: {{number: 80}}, tls: {{mode: SIMPLE, caCertificates: {authority}}}}}]
"""


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_sidecar_speaks_tls_for_an_application_that_does_not(engine: str, tmp_path: Path) -> None:
    authority = Authority()
    file = tmp_path / "ca.pem"
    file.write_text(authority.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("cnn", "edition.cnn.com").write(tmp_path, "cnn"))
    async with (
        web("cnn", context) as port,
        sidecar(engine, tmp_path, ORIGINATED.format(port=port, authority=file)) as served,
    ):
        answer = await get(served, "http://edition.cnn.com/politics")
    assert answer.endswith(b"cnn edition.cnn.com tls")
