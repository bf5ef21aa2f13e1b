"""A proxy in this process, configured as by an Envoy file, with TLS on either side; clients to ask it.

Everything speaks through real sockets. `Lab.port("name")` is where a listener of the file listens.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.bootstrap import parse_bootstrap
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from tests.data_plane.certificates import Authority, Issued

_TYPE = "type.googleapis.com/envoy.extensions."
_TLS = f"{_TYPE}transport_sockets.tls.v3."
LOG_FORMAT = (
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% sni=%REQUESTED_SERVER_NAME% "
    "version=%DOWNSTREAM_TLS_VERSION% subject=%DOWNSTREAM_PEER_SUBJECT% "
    "down=%DOWNSTREAM_TRANSPORT_FAILURE_REASON% up=%UPSTREAM_TRANSPORT_FAILURE_REASON%\n"
)
INSPECTOR = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {"@type": f"{_TYPE}filters.listener.tls_inspector.v3.TlsInspector"},
}
HTTP_INSPECTOR = {
    "name": "envoy.filters.listener.http_inspector",
    "typed_config": {"@type": f"{_TYPE}filters.listener.http_inspector.v3.HttpInspector"},
}


class Lab:
    """The running proxy."""

    def __init__(self, configuration: LiveConfiguration, stats: StatsStore, log: Path) -> None:
        self.configuration = configuration
        self.stats = stats
        self._log = log

    def port(self, name: str = "web") -> int:
        listener = self.configuration.listeners[name].listener
        assert listener is not None
        return listener.bound_addresses[0][1]

    def value(self, name: str) -> int:
        """A counter; 0 when nobody made it."""
        found = self.stats.counters.get(name)
        return 0 if found is None else found.value

    async def log_line(self) -> str:
        """The last line; waits for the first."""
        async with asyncio.timeout(5):
            while True:
                self.configuration.log_files.flush()
                with suppress(OSError):
                    if text := self._log.read_text():
                        return text.splitlines()[-1]
                await asyncio.sleep(0.005)  # another callback of this loop writes it

    async def count(self, name: str, wanted: int = 1) -> None:
        """Wait until a counter has reached a value."""
        async with asyncio.timeout(5):
            while self.value(name) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.002)  # counted by another callback of this loop


@asynccontextmanager
async def lab(
    folder: Path,
    *listeners: Mapping[str, Any],
    clusters: Sequence[Mapping[str, Any]] = (),
    secrets: Sequence[Mapping[str, Any]] = (),
) -> AsyncIterator[Lab]:
    """A proxy with these listeners; their access log is the lab's."""
    log = folder / "access.log"
    static = {
        "listeners": [with_log(each, log) for each in listeners],
        "clusters": list(clusters),
        "secrets": list(secrets),
    }
    stats = StatsStore()
    configuration = LiveConfiguration(stats, warming_timeout_s=0.2)
    try:
        bootstrap = parse_bootstrap(json.dumps({"static_resources": static}), "lab.json")
        await configuration.add_static_resources(bootstrap.message.static_resources)
        yield Lab(configuration, stats, log)
    finally:
        configuration.close()
        await asyncio.sleep(0)  # closed transports are told so in the next turn


def with_log(listener: Mapping[str, Any], log: Path) -> dict[str, Any]:
    text = json.dumps(listener).replace('"LOG"', json.dumps(_file_log(log)))
    return {**json.loads(text), "access_log": [_file_log(log)]}


def _file_log(path: Path) -> dict[str, Any]:
    config = {
        "@type": f"{_TYPE}access_loggers.file.v3.FileAccessLog",
        "path": str(path),
        "log_format": {"text_format_source": {"inline_string": LOG_FORMAT}},
    }
    return {"name": "file", "typed_config": config}


# --- configuration ---------------------------------------------------------------------------------


def listener(*chains: Mapping[str, Any], name: str = "web", **others: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"name": name, "stat_prefix": name, "address": address, "filter_chains": list(chains), **others}


def chain(*filters: Mapping[str, Any], tls: Mapping[str, Any] | None = None, **match: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"filters": list(filters), "filter_chain_match": match}
    return found if tls is None else {**found, "transport_socket": tls}


def answers(body: str, **others: Any) -> dict[str, Any]:
    """An HTTP connection manager that answers with this body, and sends /up to the cluster `up`."""
    routes = [
        {"match": {"prefix": "/up"}, "route": {"cluster": "up"}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}},
    ]
    host = {"name": "all", "domains": ["*"], "routes": routes, **others.pop("virtual_host", {})}
    # The cluster is there in some labs only.
    return manager({"virtual_hosts": [host], "validate_clusters": False}, **others)


def manager(route_config: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}filters.http.router.v3.Router"},
    }
    config = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "access_log": ["LOG"],
        "route_config": route_config,
        "http_filters": [router],
        **others,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def tcp_proxy(cluster: str) -> dict[str, Any]:
    config = {
        "@type": f"{_TYPE}filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": cluster,
        "access_log": ["LOG"],
    }
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def cluster(port: int, name: str = "up", **others: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **others,
    }


def key_pair(issued: Issued) -> dict[str, Any]:
    return {
        "certificate_chain": {"inline_string": issued.certificate_pem},
        "private_key": {"inline_string": issued.key_pem},
    }


def trust(authority: Authority, **others: Any) -> dict[str, Any]:
    return {"trusted_ca": {"inline_string": authority.pem}, **others}


def server_tls(
    *certificates: Issued, common: Mapping[str, Any] | None = None, **others: Any
) -> dict[str, Any]:
    context = {"tls_certificates": [key_pair(each) for each in certificates], **(common or {})}
    config = {"@type": f"{_TLS}DownstreamTlsContext", "common_tls_context": context, **others}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def client_tls(common: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    config = {"@type": f"{_TLS}UpstreamTlsContext", "common_tls_context": dict(common or {}), **others}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


# --- clients ---------------------------------------------------------------------------------------


def client_context(
    authority: Authority, certificate: Issued | None = None, folder: Path | None = None
) -> ssl.SSLContext:
    """Verifies the proxy by the authority; shows a certificate, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if certificate is not None:
        assert folder is not None
        context.load_cert_chain(*certificate.write(folder, "client"))
    return context


async def ask(
    port: int,
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    *,
    path: str = "/",
    host: str = "h",
    headers: str = "",
) -> str:
    """One request on a connection of its own; all that came back. Raises what the handshake raises."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=server_name if context else None
        )
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n".encode()
            )
            return await _response(reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _response(reader: asyncio.StreamReader) -> str:
    """Until its length is there: after a reply of its own the proxy waits for the client to close."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    return (head + await reader.readexactly(length)).decode()


@asynccontextmanager
async def upstream(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers with the head it got; its port, and the server names that clients sent."""
    names: list[str] = []
    writers: set[asyncio.StreamWriter] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(head), head))
        writer.close()

    if context is not None:
        context.sni_callback = lambda _, name, __: names.append(name or "")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], names
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks)


def server_context(certificate: Issued, folder: Path) -> ssl.SSLContext:
    """For an upstream."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate.write(folder, "upstream"))
    return context
