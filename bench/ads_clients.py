"""Many proxies in one process: ADS clients that ask as Envoy does, and acknowledge everything.

They stand for proxies on machines of their own, and are to take as little as possible of this one. So they
speak just enough HTTP/2 for one stream a connection, with windows that never close, and look into clusters
and listeners only, for what to ask next. Load assignments and routes are taken by type and nonce.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any, cast

import hpack

from minimesh.control_plane.discovery.ads_server import DELTA_METHOD, METHOD
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
)

_CONNECTION_MANAGER = m.http_connection_manager_pb2.HttpConnectionManager
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_ACK, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE = 4
_OPEN_WINDOW_BYTES = 2**31 - 1
_DEFAULT_WINDOW_BYTES = 65535


def follow(pipe: Connection, proxies: int, namespaces: int, delta: bool) -> None:
    """The process: waits for a port, then keeps this many proxies connected to it."""
    asyncio.run(_follow(pipe, proxies, namespaces, delta))


async def _follow(pipe: Connection, proxies: int, namespaces: int, delta: bool) -> None:
    loop = asyncio.get_running_loop()
    port = await loop.run_in_executor(None, pipe.recv)
    received = _Received()
    for number in range(proxies):
        proxy = _Proxy(number, namespaces, delta, received)
        await loop.create_connection(lambda proxy=proxy: _Stream(proxy, delta), "127.0.0.1", port)  # type: ignore[misc]
    while True:
        await loop.run_in_executor(None, pipe.recv)
        pipe.send(received.size_bytes)


class _Received:
    size_bytes = 0


class _Stream(asyncio.Protocol):
    """One HTTP/2 connection with one gRPC stream."""

    def __init__(self, proxy: _Proxy, delta: bool) -> None:
        self._proxy = proxy
        self._method = DELTA_METHOD if delta else METHOD
        self._frames = bytearray()
        self._messages = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _OPEN_WINDOW_BYTES)
        window = struct.pack(">I", _OPEN_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", self._method),
            (":authority", "bench"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self._transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, window)
            + _frame(_HEADERS, _END_HEADERS, 1, hpack.Encoder().encode(fields))
        )
        self._send(self._proxy.first_requests())

    def data_received(self, data: bytes) -> None:
        self._frames += data
        while len(self._frames) >= 9:
            size = int.from_bytes(self._frames[:3], "big")
            if len(self._frames) < 9 + size:
                return
            kind, flags = self._frames[3], self._frames[4]
            payload = bytes(self._frames[9 : 9 + size])
            del self._frames[: 9 + size]
            self._take(kind, flags, payload)

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == _DATA:
            self._messages += payload
            self._read_messages()
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))

    def _read_messages(self) -> None:
        while len(self._messages) >= 5:
            size = int.from_bytes(self._messages[1:5], "big")
            if len(self._messages) < 5 + size:
                return
            message = bytes(self._messages[5 : 5 + size])
            del self._messages[: 5 + size]
            self._send(self._proxy.answers(message))

    def _send(self, requests: Iterable[Any]) -> None:
        assert self._transport is not None
        for request in requests:
            data = request.SerializeToString()
            prefixed = struct.pack(">BI", 0, len(data)) + data
            chunks = (prefixed[at : at + 16384] for at in range(0, len(prefixed), 16384))
            self._transport.write(b"".join(_frame(_DATA, 0, 1, chunk) for chunk in chunks))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


class _Proxy:
    """What one proxy asks and answers."""

    def __init__(self, number: int, namespaces: int, delta: bool, received: _Received) -> None:
        namespace = f"ns{number % namespaces}"
        name = f"s{number}-0"
        self._node = m.base_pb2.Node(
            id=f"sidecar~10.1.0.{number % 250 + 1}~{name}.{namespace}~{namespace}.svc.cluster.local"
        )
        self._node.metadata.update({"LABELS": {"app": f"s{number}", "version": "v2"}, "NAME": name})
        self._delta = delta
        self._received = received
        self._asked: dict[str, set[str]] = {ENDPOINT_TYPE_URL: set(), ROUTE_TYPE_URL: set()}
        self._versions: dict[str, tuple[str, str]] = {}

    def first_requests(self) -> Iterator[Any]:
        request = m.discovery_pb2.DeltaDiscoveryRequest if self._delta else m.discovery_pb2.DiscoveryRequest
        yield request(type_url=CLUSTER_TYPE_URL, node=self._node)
        yield request(type_url=LISTENER_TYPE_URL)

    def answers(self, message: bytes) -> Iterator[Any]:
        """The acknowledgement, then what is to be asked for beside."""
        self._received.size_bytes += len(message)
        version, url, nonce, resources = _outline(message)
        yield self._acknowledgement(url, version, nonce)
        if url == CLUSTER_TYPE_URL:
            found = (m.cluster_pb2.Cluster.FromString(each.value).name for each in self._unpacked(resources))
            yield from self._ask(ENDPOINT_TYPE_URL, {name for name in found if name.startswith("outbound|")})
        elif url == LISTENER_TYPE_URL:
            listeners = (m.listener_pb2.Listener.FromString(each.value) for each in self._unpacked(resources))
            yield from self._ask(ROUTE_TYPE_URL, {name for each in listeners for name in _routes(each)})

    def _unpacked(self, resources: Iterable[bytes]) -> Iterator[Any]:
        for each in resources:
            if self._delta:
                yield m.discovery_pb2.Resource.FromString(each).resource
            else:
                yield m.any_pb2.Any.FromString(each)

    def _ask(self, url: str, names: set[str]) -> Iterator[Any]:
        known = self._asked[url]
        if names <= known:
            return
        added = names - known
        known |= names
        if self._delta:
            yield m.discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=added)
        else:
            version, nonce = self._versions.get(url, ("", ""))
            yield m.discovery_pb2.DiscoveryRequest(
                type_url=url, version_info=version, response_nonce=nonce, resource_names=known
            )

    def _acknowledgement(self, url: str, version: str, nonce: str) -> Any:
        if self._delta:
            return m.discovery_pb2.DeltaDiscoveryRequest(type_url=url, response_nonce=nonce)
        self._versions[url] = (version, nonce)
        return m.discovery_pb2.DiscoveryRequest(
            type_url=url, version_info=version, response_nonce=nonce, resource_names=self._asked.get(url, ())
        )


def _outline(message: bytes) -> tuple[str, str, str, list[bytes]]:
    """Version, type and nonce of a response, and its resources unread. All fields are length-delimited."""
    found: dict[int, str] = {}
    resources: list[bytes] = []
    at = 0
    while at < len(message):
        field = message[at] >> 3
        size, at = _varint(message, at + 1)
        if field == 2:
            resources.append(message[at : at + size])
        else:
            found[field] = message[at : at + size].decode()
        at += size
    return found.get(1, ""), found.get(4, ""), found.get(5, ""), resources


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _routes(listener: Any) -> set[str]:
    found = set()
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            if each.typed_config.Is(_CONNECTION_MANAGER.DESCRIPTOR):
                manager = _CONNECTION_MANAGER.FromString(each.typed_config.value)
                if manager.HasField("rds"):
                    found.add(manager.rds.route_config_name)
    return found
