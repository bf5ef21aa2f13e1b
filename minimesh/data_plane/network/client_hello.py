"""What a client says first, read without taking it: a TLS ClientHello, or the first words of HTTP.

Pure and bounded: bytes in, a verdict out; asked again with more bytes while the verdict is `NEED_MORE`. Owns
what Envoy's TLS inspector and HTTP inspector own; the names of protocols are theirs. Layouts are those of
RFC 8446 (section 4.1.2, of RFC 5246 the same), RFC 6066 (server name) and RFC 7301 (ALPN).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

#: As in Envoy's TLS inspector: a hello that is longer is nobody's.
MAX_CLIENT_HELLO_BYTES = 16 * 1024
#: As in Envoy's HTTP inspector: how much of a request line is looked at.
MAX_REQUEST_LINE_BYTES = 64 * 1024

_RECORD_HEADER_BYTES = 5
_MAX_RECORD_BYTES = 2**14
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN, _HOST_NAME = 0, 16, 0
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Verdict(Enum):
    """What the bytes are when they are no ClientHello (or no HTTP)."""

    NEED_MORE = "more bytes are needed"
    NOT_TLS = "the first bytes are no TLS record of a handshake"
    NOT_HTTP = "the first bytes are no HTTP"
    MALFORMED = "a TLS handshake that does not keep to its own lengths"
    TOO_LARGE = "a ClientHello above the limit"


class ClientHello(NamedTuple):
    """What a filter chain and a certificate are chosen by."""

    server_name: str
    """Lower case; empty when the client named none."""
    application_protocols: tuple[str, ...]
    """As the client prefers them."""


def read_client_hello(data: bytes, limit_bytes: int = MAX_CLIENT_HELLO_BYTES) -> ClientHello | Verdict:
    """Read a hello, perhaps in several records. `data` starts with the connection's first byte.

    Nothing is said of fewer bytes than a record's header has: as in Envoy, who says less and then waits for
    an answer waits in vain.
    """
    if len(data) < _RECORD_HEADER_BYTES:
        return Verdict.NEED_MORE
    handshake = bytearray()
    at = 0
    while True:
        if not _may_be_handshake(data[at : at + _RECORD_HEADER_BYTES]):
            return Verdict.MALFORMED if handshake else Verdict.NOT_TLS
        if len(data) < at + _RECORD_HEADER_BYTES:
            return Verdict.NEED_MORE
        end = at + _RECORD_HEADER_BYTES + int.from_bytes(data[at + 3 : at + 5], "big")
        handshake += data[at + _RECORD_HEADER_BYTES : end]
        if handshake and handshake[0] != _CLIENT_HELLO:
            return Verdict.MALFORMED
        if len(handshake) >= 4:
            length = 4 + int.from_bytes(handshake[1:4], "big")
            if length > limit_bytes:
                return Verdict.TOO_LARGE
            if len(handshake) >= length:
                return _read_body(bytes(handshake[4:length]))
        if len(data) < end:
            return Verdict.TOO_LARGE if len(data) >= 2 * limit_bytes else Verdict.NEED_MORE
        at = end


def sniff_http(data: bytes) -> str | Verdict:
    """`http/1.1`, `http/1.0` or `h2c` (HTTP/2 with prior knowledge), or what it is instead.

    As Envoy's inspector, any word may be a method, of any length: what is not HTTP is known only at the
    first byte that no method may have, or at the end of the line.
    """
    if _HTTP2_PREFACE.startswith(data[: len(_HTTP2_PREFACE)]):
        return "h2c" if len(data) >= len(_HTTP2_PREFACE) else Verdict.NEED_MORE
    line, newline, _ = data.partition(b"\n")
    method = line.partition(b" ")[0]
    if not _METHOD.fullmatch(method):
        return Verdict.NOT_HTTP
    if not newline:
        return Verdict.NOT_HTTP if len(line) > MAX_REQUEST_LINE_BYTES else Verdict.NEED_MORE
    words = line.split()
    if len(words) != 3 or not (method == b"CONNECT" or _TARGET.fullmatch(words[1])):
        return Verdict.NOT_HTTP
    return {b"HTTP/1.1": "http/1.1", b"HTTP/1.0": "http/1.0"}.get(words[2], Verdict.NOT_HTTP)


_METHOD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"(?:[/*]|[A-Za-z][-+.0-9A-Za-z]*://)[\x00-\x7f]*")


def _may_be_handshake(header: bytes) -> bool:
    """Whether a record's header, or as much of it as is there, opens a handshake record of SSL 3 or later."""
    if not header:
        return True
    if header[0] != _HANDSHAKE or (len(header) > 1 and header[1] != 3):
        return False
    if len(header) < _RECORD_HEADER_BYTES:
        return True
    return 0 < int.from_bytes(header[3:5], "big") <= _MAX_RECORD_BYTES


class _MalformedError(ValueError):
    """A length that leads beyond the end."""


class _Cursor:
    """Takes vectors off the front of some bytes; `_MalformedError` when they are not there."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise _MalformedError
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size_bytes: int) -> int:
        return int.from_bytes(self.take(size_bytes), "big")

    def vector(self, length_bytes: int) -> bytes:
        return self.take(self.number(length_bytes))


def _read_body(body: bytes) -> ClientHello | Verdict:
    """The ClientHello behind its handshake header."""
    server_name = ""
    protocols: tuple[str, ...] = ()
    try:
        cursor = _Cursor(body)
        cursor.take(2 + 32)  # version, random
        cursor.vector(1)  # session id
        cursor.vector(2)  # cipher suites
        cursor.vector(1)  # compression methods
        if cursor:
            for kind, content in _extensions(cursor.vector(2)):
                if kind == _SERVER_NAME:
                    server_name = _server_name(content)
                elif kind == _ALPN:
                    protocols = _application_protocols(content)
    except _MalformedError:
        return Verdict.MALFORMED
    return ClientHello(server_name, protocols)


def _extensions(block: bytes) -> Iterator[tuple[int, bytes]]:
    cursor = _Cursor(block)
    while cursor:
        kind = cursor.number(2)
        yield kind, cursor.vector(2)


def _server_name(content: bytes) -> str:
    names = _Cursor(_Cursor(content).vector(2))
    while names:
        kind = names.number(1)
        name = names.vector(2)
        if kind == _HOST_NAME:
            if not name or b"\0" in name:
                raise _MalformedError
            return name.decode("latin-1").lower()
    return ""


def _application_protocols(content: bytes) -> tuple[str, ...]:
    names = _Cursor(_Cursor(content).vector(2))
    found = []
    while names:
        name = names.vector(1)
        if not name:
            raise _MalformedError
        found.append(name.decode("latin-1"))
    return tuple(found)
