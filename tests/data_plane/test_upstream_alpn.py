"""What a proxy offers its upstreams in the TLS handshake, and what it speaks then. Judged by Envoy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.data_plane.certificates import Authority
from tests.data_plane.sockets import exchange
from tests.data_plane.test_server import envoy_file, port_of, running, static_cluster

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
HTTP1 = "explicit_http_config: {http_protocol_options: {}}"
HTTP2 = "explicit_http_config: {http2_protocol_options: {}}"
AUTO = "auto_config: {http2_protocol_options: {}}"
AS_DOWNSTREAM = "use_downstream_protocol_config: {http2_protocol_options: {}}"
SPOKEN = {b"GET": "HTTP/1.1", b"PRI": "HTTP/2"}


class TlsServer:
    """Notes what was agreed on and the first word of what is said then; never answers."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[tuple[str | None, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        self.heard.append((agreed, SPOKEN[await reader.readexactly(3)]))
        writer.close()


@asynccontextmanager
async def tls_server(folder: Path, accepts: Sequence[str]) -> AsyncIterator[TlsServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority().issue("up").write(folder, "up"))
    if accepts:
        context.set_alpn_protocols(list(accepts))
    made = TlsServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


BOTH, OLD, NONE = ("h2", "http/1.1"), ("http/1.1",), ()


@pytest.mark.parametrize(
    ("protocol", "accepts", "agreed", "spoken"),
    [
        (HTTP2, BOTH, "h2", "HTTP/2"),
        (HTTP2, OLD, None, "HTTP/2"),  # prior knowledge counts more than the handshake
        (HTTP1, BOTH, "http/1.1", "HTTP/1.1"),
        (HTTP1, NONE, None, "HTTP/1.1"),
        (AUTO, BOTH, "h2", "HTTP/2"),
        (AUTO, OLD, "http/1.1", "HTTP/1.1"),
        (AUTO, NONE, None, "HTTP/1.1"),
        (AS_DOWNSTREAM, BOTH, "http/1.1", "HTTP/1.1"),
    ],
)
async def test_what_is_offered_and_spoken(
    tmp_path: Path, protocol: str, accepts: Sequence[str], agreed: str | None, spoken: str
) -> None:
    async with tls_server(tmp_path, accepts) as server:
        options = (
            f'transport_socket: {{name: tls, typed_config: {{"@type": {_TLS}}}}},'
            f' typed_extension_protocol_options: {{{_OPTIONS}: {{"@type": type.googleapis.com/{_OPTIONS},'
            f" {protocol}}}}}"
        )
        text = envoy_file(
            "{match: {prefix: /}, route: {cluster: up}}",
            clusters=static_cluster("up", server.port, options=options),
        )
        async with running(text) as proxy:
            await exchange(port_of(proxy))
        assert server.heard == [(agreed, spoken)]
