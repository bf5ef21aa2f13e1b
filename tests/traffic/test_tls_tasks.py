"""Istio's tasks about TLS with real handshakes, on both engines: passthrough, termination, origination."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minimesh.control_plane.translation.proxy import Proxy
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy
from tests.data_plane.certificates import Authority, Issued
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import pod_at, tcp_echo, web

AUTHORITY = Authority()


def server_context(folder: Path, name: str, *, asks_for_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue(name, name).write(folder, name))
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=AUTHORITY.pem)
    return context


async def ask(served: Served, port: int, server_name: str, alpn: tuple[str, ...] = ()) -> bytes:
    """What `hello` over TLS is answered with; empty when the connection is refused."""
    trusting = ssl.create_default_context(cadata=AUTHORITY.pem)
    if alpn:
        trusting.set_alpn_protocols(alpn)
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.ports[port], ssl=trusting, server_hostname=server_name
        )
    except OSError:
        return b""
    writer.write(b"hello")
    answer = await reader.read(100)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


async def get(served: Served, port: int, host: str) -> str:
    """The first line of a plain request's answer and its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.ports[port])
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return f"{head.split(' ')[1]} {body}"


def secret(
    name: str, issued: Issued | None, *, authority: bool = False, namespace: str = "istio-system"
) -> str:
    data = {"tls.crt": issued.certificate_pem, "tls.key": issued.key_pem} if issued else {}
    if authority:
        data["ca.crt"] = AUTHORITY.pem
    lines = "".join(f"  {k}: {base64.b64encode(v.encode()).decode()}\n" for k, v in data.items())
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata:\n{lines}"


NGINX = """
apiVersion: v1
kind: Service
metadata: {name: my-nginx}
spec:
  selector: {app: nginx}
  ports: [{name: https, port: 443}]
---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec:
  selector: {app: plain}
  ports: [{name: tcp, port: 9000}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mygateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: PASSTHROUGH}
    hosts: [nginx.example.com]
  - port: {number: 443, name: ended, protocol: TLS}
    tls: {mode: SIMPLE, credentialName: ended}
    hosts: [ended.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: nginx}
spec:
  hosts: [nginx.example.com]
  gateways: [mygateway]
  tls:
  - match: [{port: 443, sniHosts: [nginx.example.com]}]
    route: [{destination: {host: my-nginx, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ended}
spec:
  hosts: [ended.example.com]
  gateways: [mygateway]
  tcp:
  - match: [{port: 443}]
    route: [{destination: {host: plain, port: {number: 9000}}}]
"""


@contextlib.asynccontextmanager
async def nginx(engine: str, folder: Path) -> AsyncIterator[Served]:
    async with (
        tcp_echo("nginx", server_context(folder, "nginx.example.com")) as tls,
        tcp_echo("plain") as tcp,
    ):
        manifests = (
            INGRESS_GATEWAY,
            NGINX,
            secret("ended", AUTHORITY.issue("ended.example.com", "ended.example.com")),
            pod_at(tls, {"app": "nginx"}, 443),
            pod_at(tcp, {"app": "plain"}, 9000),
        )
        async with serve(engine, gateway_proxy(), manifests, folder) as served:
            yield served


@pytest.mark.parametrize("engine", ENGINES)
async def test_one_port_passes_one_name_through_and_ends_tls_for_another(engine: str, tmp_path: Path) -> None:
    async with nginx(engine, tmp_path) as served:
        assert await ask(served, 8443, "nginx.example.com") == b"nginx hello"
        assert await ask(served, 8443, "ended.example.com") == b"plain hello"
        assert await ask(served, 8443, "another.example.com") == b""
        lines = await served.log_lines(3)
    assert "outbound|443||my-nginx" in lines[0]
    assert lines[0].endswith(" nginx.example.com -")
    assert "outbound|9000||plain" in lines[1]
    assert " 0 NR filter_chain_not_found " in lines[2]


AUTO = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: cross-network}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.local"]
"""


@pytest.mark.parametrize("engine", ENGINES)
async def test_auto_passthrough_goes_by_the_clusters_name(engine: str, tmp_path: Path) -> None:
    name = "outbound_.443_._.my-nginx.default.svc.cluster.local"
    [service, *_] = NGINX.split("---")
    trusting = ssl.create_default_context(cadata=AUTHORITY.pem)
    trusting.check_hostname = False
    trusting.set_alpn_protocols(["istio"])
    async with tcp_echo("nginx", server_context(tmp_path, "nginx.example.com")) as port:
        manifests = (INGRESS_GATEWAY, service, AUTO, pod_at(port, {"app": "nginx"}, 443))
        async with serve(engine, gateway_proxy(), manifests, tmp_path) as served:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", served.ports[8443], ssl=trusting, server_hostname=name
            )
            writer.write(b"hello")
            assert await reader.read(100) == b"nginx hello"
            writer.close()
            # A hello that is not of Istio's own TLS finds no chain.
            assert await ask(served, 8443, name) == b""


CNN = """
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
metadata: {{name: edition-cnn-com}}
spec:
  host: edition.cnn.com
  trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, tls: {tls}}}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: istio-egressgateway}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [edition.cnn.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: through-egress}}
spec:
  hosts: [edition.cnn.com]
  gateways: [istio-egressgateway]
  http:
  - route: [{{destination: {{host: edition.cnn.com, port: {{number: 80}}}}}}]
"""
EGRESS: Proxy = gateway_proxy()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("written", ["credential", "files"])
@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
async def test_an_egress_gateway_speaks_tls_for_its_clients(
    engine: str, mode: str, written: str, tmp_path: Path
) -> None:
    client = AUTHORITY.issue("client.example.com", "client.example.com")
    certificate, key = client.write(tmp_path, "client")
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY.pem)
    files = f"mode: {mode}, caCertificates: {authority}"
    if mode == "MUTUAL":
        files += f", clientCertificate: {certificate}, privateKey: {key}"
    tls = files if written == "files" else f"mode: {mode}, credentialName: client"
    credential = secret("client", client if mode == "MUTUAL" else None, authority=True)
    context = server_context(tmp_path, "edition.cnn.com", asks_for_certificate=mode == "MUTUAL")
    async with web("cnn", context) as port:
        manifests = (INGRESS_GATEWAY, CNN.format(port=port, tls=f"{{{tls}}}"), credential)
        async with serve(engine, EGRESS, manifests, tmp_path) as served:
            assert await get(served, 8080, "edition.cnn.com") == "200 cnn edition.cnn.com tls"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("tls", "answer"),
    [
        ("sni: edition.cnn.com, subjectAltNames: [edition.cnn.com]", "200"),
        ("sni: edition.cnn.com, subjectAltNames: [other.example.com]", "503"),
        ("insecureSkipVerify: true", "200"),
        ("sni: edition.cnn.com", "200"),
        ("", "503"),  # the host of the request is checked, and it is another
    ],
)
async def test_whom_the_destination_must_be(engine: str, tls: str, answer: str, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY.pem)
    trusted = "" if "insecure" in tls else f"caCertificates: {authority}, "
    name = "edition.cnn.com" if tls else "wrong.example.com"
    async with web("cnn", server_context(tmp_path, name)) as port:
        manifests = (INGRESS_GATEWAY, CNN.format(port=port, tls=f"{{mode: SIMPLE, {trusted}{tls}}}"))
        async with serve(engine, EGRESS, manifests, tmp_path) as served:
            found = await get(served, 8080, "edition.cnn.com")
            assert found.startswith(answer), found


@pytest.mark.parametrize("engine", ENGINES)
async def test_tcp_to_a_tls_destination(engine: str, tmp_path: Path) -> None:
    """A gateway takes plain bytes and encrypts them."""
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY.pem)
    rule = f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: my-nginx}}
spec:
  host: my-nginx
  trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {authority}, sni: nginx.example.com}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: plain-in}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 9999, name: tcp, protocol: TCP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: plain-in}}
spec:
  hosts: ["*"]
  gateways: [plain-in]
  tcp: [{{route: [{{destination: {{host: my-nginx, port: {{number: 443}}}}}}]}}]
"""
    [service, *_] = NGINX.split("---")
    async with tcp_echo("nginx", server_context(tmp_path, "nginx.example.com")) as port:
        manifests = (INGRESS_GATEWAY, service, rule, pod_at(port, {"app": "nginx"}, 443))
        async with serve(engine, gateway_proxy(), manifests, tmp_path) as served:
            reader, writer = await served.connect(9999)
            writer.write(b"hello")
            assert await reader.read(100) == b"nginx hello"
            writer.close()


LIMITED = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mygateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: ended, protocol: TLS}
    tls: {mode: SIMPLE, credentialName: ended, LIMITS}
    hosts: [ended.example.com]
"""
CHACHA, AES = "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("limits", "version", "cipher", "served_with"),
    [
        ("minProtocolVersion: TLSV1_3", ssl.TLSVersion.TLSv1_2, "", None),
        ("minProtocolVersion: TLSV1_3", ssl.TLSVersion.TLSv1_3, "", "TLSv1.3"),
        ("maxProtocolVersion: TLSV1_2", ssl.TLSVersion.TLSv1_3, "", None),
        (f"cipherSuites: [{AES}]", ssl.TLSVersion.TLSv1_2, AES, "TLSv1.2"),
        (f"cipherSuites: [{AES}]", ssl.TLSVersion.TLSv1_2, CHACHA, None),
    ],
)
async def test_versions_and_ciphers(
    engine: str, limits: str, version: ssl.TLSVersion, cipher: str, served_with: str | None, tmp_path: Path
) -> None:
    [_, plain, _, _, bound] = NGINX.split("---")
    client = ssl.create_default_context(cadata=AUTHORITY.pem)
    client.minimum_version = client.maximum_version = version
    if cipher:
        client.set_ciphers(cipher)
    issued = AUTHORITY.issue("ended.example.com", "ended.example.com")
    async with tcp_echo("plain") as port:
        gateway = LIMITED.replace("LIMITS", limits)
        pod = pod_at(port, {"app": "plain"}, 9000)
        manifests = (INGRESS_GATEWAY, plain, gateway, bound, secret("ended", issued), pod)
        async with serve(engine, gateway_proxy(), manifests, tmp_path) as served:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", served.ports[8443], ssl=client, server_hostname="ended.example.com"
                )
            except OSError:
                assert served_with is None
                return
            writer.write(b"hello")
            assert await reader.read(100) == b"plain hello"
            connection = writer.get_extra_info("ssl_object")
            assert connection.version() == served_with
            assert not cipher or connection.cipher()[0] == cipher
            writer.close()
