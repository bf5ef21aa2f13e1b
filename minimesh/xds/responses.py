"""Discovery responses as bytes: each resource is serialized once, however many proxies it is sent to.

A response is a small message of its own followed by one piece for each resource. That is sound because in
protobuf's encoding fields may follow in any order, and a repeated one in any number of pieces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from minimesh.xds import messages as m

VERSION_LENGTH = 12
"""Hexadecimal digits; a proxy compares a few thousand versions, 48 bits never collide among them."""

#: Field 2, length-delimited: `resources` of both kinds of response.
_RESOURCES_TAG = b"\x12"


class Packed:
    """One resource as it is sent: its name, itself in an Any, and the hash of its content as its version.

    `number` is a hash of name and version, whose sum over many resources tells them from any others.
    """

    __slots__ = ("_delta", "_whole", "any", "name", "number", "version")

    def __init__(self, name: str, wrapped: Any) -> None:
        self.name = name
        self.any = wrapped
        self.version = hashlib.blake2b(wrapped.value, digest_size=VERSION_LENGTH // 2).hexdigest()
        named = hashlib.blake2b(f"{name} {self.version}".encode(), digest_size=VERSION_LENGTH // 2)
        self.number = int.from_bytes(named.digest(), "big")
        self._whole = b""
        self._delta = b""

    @classmethod
    def of(cls, name: str, message: Any) -> Packed:
        """The message, map fields in a fixed order so that equal messages are equal bytes."""
        wrapped = m.any_pb2.Any()
        wrapped.Pack(message, deterministic=True)
        return cls(name, wrapped)

    def __repr__(self) -> str:
        return f"<Packed {self.name} {self.version}>"

    @property
    def whole(self) -> bytes:
        """Its piece of a DiscoveryResponse."""
        if not self._whole:
            self._whole = _piece(self.any.SerializeToString())
        return self._whole

    @property
    def delta(self) -> bytes:
        """Its piece of a DeltaDiscoveryResponse."""
        if not self._delta:
            resource = m.discovery_pb2.Resource(name=self.name, version=self.version, resource=self.any)
            self._delta = _piece(resource.SerializeToString())
        return self._delta


class Response:
    """A response to be sent, of either kind."""

    __slots__ = ("_head", "_pieces", "resources")

    def __init__(self, head: Any, resources: Sequence[Packed], pieces: Iterable[bytes]) -> None:
        """`head`: the response without its resources."""
        self._head = head
        self._pieces = tuple(pieces)
        self.resources = resources

    def __repr__(self) -> str:
        return f"<Response {self.type_url} {self.nonce} {[each.name for each in self.resources]}>"

    @property
    def type_url(self) -> str:
        return str(self._head.type_url)

    @property
    def nonce(self) -> str:
        return str(self._head.nonce)

    def SerializeToString(self) -> bytes:  # noqa: N802 - as messages have it
        """The response's bytes."""
        return b"".join((self._head.SerializeToString(), *self._pieces))

    def message(self) -> Any:
        """The whole response as a message."""
        return type(self._head).FromString(self.SerializeToString())


def whole_response(type_url: str, version: str, nonce: str, resources: Sequence[Packed]) -> Response:
    """A DiscoveryResponse."""
    head = m.discovery_pb2.DiscoveryResponse(type_url=type_url, version_info=version, nonce=nonce)
    return Response(head, resources, (each.whole for each in resources))


def delta_response(
    type_url: str, version: str, nonce: str, resources: Sequence[Packed], removed: Sequence[str]
) -> Response:
    """A DeltaDiscoveryResponse."""
    head = m.discovery_pb2.DeltaDiscoveryResponse(
        type_url=type_url, system_version_info=version, nonce=nonce, removed_resources=removed
    )
    return Response(head, resources, (each.delta for each in resources))


def _piece(data: bytes) -> bytes:
    return _RESOURCES_TAG + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
