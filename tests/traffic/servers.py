"""Servers behind a proxy: they say who they are."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from tests.control_plane.meshes import running_pod

LOCALHOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def tcp_echo(word: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers each piece with a word in front, as Istio's tcp-echo does; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(word.encode() + b" " + data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, LOCALHOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def web(word: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers every HTTP/1 request with a word and the host it was asked for; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            host = next(line[6:] for line in head.split("\r\n") if line.lower().startswith("host:"))
            name = writer.get_extra_info("ssl_object")
            body = f"{word} {host} {'tls' if name else 'plain'}".encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, LOCALHOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def pod_at(
    port: int, labels: dict[str, str], container_port: int, name: str = "", namespace: str = "default"
) -> str:
    """A ready pod whose container port is really a port of this machine's localhost, as YAML."""
    text = running_pod(
        name or f"{labels['app']}-{labels.get('version', 'v1')}",
        LOCALHOST,
        labels,
        {"main": container_port},
        namespace,
    )
    annotation = f'"annotations": {{"minimesh.dev/port-map": "{container_port}={port}"}}, '
    return text.replace('"metadata": {', '"metadata": {' + annotation, 1)
