"""HTTP/2 header lists to the heads that all the rest knows, and back. No I/O, no frames, no state but a memo.

Both ends use it: the client's side reads requests and writes responses, the upstream's side the other way
round. What must not be in an HTTP/2 message is refused here (RFC 9113, 8.2 and 8.3), because the `h2` library
would take it for an error of the whole connection. Lists hold (name, value) in bytes, as `h2` gives and takes
them without `header_encoding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from minimesh.data_plane.http.header_block import WELL_KNOWN, Field, HeaderBlock, Refusal
from minimesh.data_plane.http.http1.request_line import RequestLine
from minimesh.data_plane.http.messages import RequestHead, ResponseHead

RawHeader = tuple[bytes, bytes]

#: A name or value with characters that no header may have.
INVALID_HEADER_FIELD = Refusal(400, "http2.invalid.header.field")
#: Well-formed fields that make no acceptable message together.
VIOLATION = Refusal(400, "http2.violation.of.messaging.rule")
TOO_MANY_HEADERS = Refusal(431, "http2.too_many_headers")
HEADERS_TOO_LARGE = Refusal(431, "http2.header_list_size_too_large")

#: Fields that belong to an HTTP/1 connection and have no place in HTTP/2 (RFC 9113, 8.2.2).
CONNECTION_SPECIFIC = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_REQUEST_PSEUDO = frozenset({b":method", b":path", b":scheme", b":authority", b":protocol"})
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
#: Anything but visible characters, blank, tab and obs-text.
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH_CHARACTERS = re.compile(r"[\x21-\x7e\x80-\xff]+")
_AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]%]+")
_SCHEMES = frozenset({"http", "https"})
_MAX_LEARNT_NAMES = 4096

#: Names as they came -> text; only valid ones get in, and not without bound.
_learnt: dict[bytes, str] = {}


class RequestHeaderReader:
    """Reads the header lists of one connection's requests, remembering the last block of fields."""

    __slots__ = ("_allow_connect", "_last_block", "_last_fields", "_max_headers")

    def __init__(self, max_headers: int = 100, allow_connect: bool = False) -> None:
        self._max_headers = max_headers
        self._allow_connect = allow_connect
        self._last_fields: Sequence[RawHeader] | None = None
        self._last_block: HeaderBlock

    def read(self, headers: Sequence[RawHeader]) -> tuple[RequestLine, HeaderBlock] | Refusal:
        """A request line and the fields behind it, or why they are none.

        An extended CONNECT (RFC 8441) comes out as the HTTP/1 upgrade that it means: GET with `connection`
        and `upgrade`.
        """
        count = 0
        pseudo: dict[bytes, bytes] = {}
        for name, value in headers:
            if name[:1] != b":":
                break
            if name in pseudo or name not in _REQUEST_PSEUDO:
                return INVALID_HEADER_FIELD
            pseudo[name] = value
            count += 1
        line = self._read_line(pseudo)
        if isinstance(line, Refusal):
            late = any(name[:1] == b":" for name, _ in headers[count:])
            return INVALID_HEADER_FIELD if late else line
        if len(headers) > self._max_headers:
            return TOO_MANY_HEADERS
        block = self._read_block(headers[count:])
        if isinstance(block, Refusal):
            return block
        host = block.kept.get("host")
        if host is not None and _AUTHORITY.fullmatch(host) is None:
            return INVALID_HEADER_FIELD
        if host is None and line.authority is None:
            return VIOLATION
        protocol = pseudo.get(b":protocol")
        return line, block if protocol is None else _with_upgrade(block, protocol)

    def _read_block(self, fields: Sequence[RawHeader]) -> HeaderBlock | Refusal:
        if fields == self._last_fields:
            return self._last_block
        block = _read_fields(fields, self._max_headers)
        if isinstance(block, HeaderBlock):
            self._last_fields = fields
            self._last_block = block
        return block

    def _read_line(self, pseudo: dict[bytes, bytes]) -> RequestLine | Refusal:
        method = pseudo.get(b":method", b"").decode("latin-1")
        raw_authority, raw_path = pseudo.get(b":authority"), pseudo.get(b":path")
        authority = None if raw_authority is None else raw_authority.decode("latin-1")
        if b":method" not in pseudo:
            return VIOLATION
        if _METHOD.fullmatch(method) is None or (
            authority is not None and not _AUTHORITY.fullmatch(authority)
        ):
            return INVALID_HEADER_FIELD
        protocol = pseudo.get(b":protocol")
        if protocol is not None and (not protocol or not self._allow_connect):
            return INVALID_HEADER_FIELD
        if method == "CONNECT" and protocol is None:
            if authority is None or raw_path is not None or b":scheme" in pseudo:
                return VIOLATION
            return RequestLine(method, "", authority, "http", "HTTP/2")
        if raw_path is None or b":scheme" not in pseudo or (protocol is not None and method != "CONNECT"):
            return VIOLATION
        path = raw_path.decode("latin-1")
        if _PATH_CHARACTERS.fullmatch(path) is None:
            return INVALID_HEADER_FIELD
        if path[0] != "/" and not (path == "*" and method == "OPTIONS"):
            return VIOLATION
        scheme = pseudo[b":scheme"].decode("latin-1").lower()
        if scheme not in _SCHEMES:
            scheme = "http"
        return RequestLine("GET" if protocol else method, path, authority, scheme, "HTTP/2")


def _with_upgrade(block: HeaderBlock, protocol: bytes) -> HeaderBlock:
    upgrade = (("upgrade", protocol.decode("latin-1")), ("connection", "upgrade"))
    made = HeaderBlock((*block.fields, *upgrade), {**block.kept, **dict(upgrade)})
    made.content_length = block.content_length
    return made


def read_response(headers: Sequence[RawHeader], max_headers: int = 100) -> tuple[int, HeaderBlock] | Refusal:
    """Status and fields of a response's header list (1xx too), or why it is none."""
    if not headers or headers[0][0] != b":status":
        return VIOLATION
    status = headers[0][1]
    if len(status) != 3 or not status.isdigit() or status < b"100":
        return VIOLATION
    block = _read_fields(headers[1:], max_headers)
    return block if isinstance(block, Refusal) else (int(status), block)


def read_trailers(headers: Sequence[RawHeader], max_headers: int = 100) -> tuple[Field, ...] | Refusal:
    """The fields behind a body: no pseudo-header among them."""
    block = _read_fields(headers, max_headers)
    return block if isinstance(block, Refusal) else block.fields


def request_headers(head: RequestHead) -> list[RawHeader]:
    """The list for an upstream. A request to change protocols is the caller's to put in other words."""
    raw = [
        (b":method", head.method.encode("latin-1")),
        (b":scheme", head.scheme.encode("latin-1")),
        (b":path", head.path.encode("latin-1")),
        (b":authority", head.authority.encode("latin-1")),
    ]
    raw += raw_fields(head.copy().fields or ())
    return raw


def response_headers(
    response: ResponseHead, server: str, date: str, *, overwrite_server: bool
) -> list[RawHeader]:
    """The list for a client, with date and server where Envoy puts them: in place, else at the end.

    `server` empty: the upstream's stays, and none is added.
    """
    # A tunnel, which HTTP/1 opens with 101, is opened by 200 here (RFC 8441, 5).
    status = 200 if response.status == 101 else response.status
    raw: list[RawHeader] = [(b":status", b"%d" % status)]
    has_date = has_server = False
    for name, value in response.mutable_fields():
        if name in CONNECTION_SPECIFIC:
            continue
        if name == "date":
            has_date = True
        elif name == "server":
            has_server = True
            if overwrite_server and server:
                value = server
        raw.append((name.encode("latin-1"), value.encode("latin-1")))
    if not has_date:
        raw.append((b"date", date.encode()))
    if not has_server and server:
        raw.append((b"server", server.encode("latin-1")))
    return raw


def raw_fields(fields: Iterable[Field]) -> list[RawHeader]:
    """Header or trailer fields for the wire, without those that belong to an HTTP/1 connection."""
    return [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in fields
        if name not in CONNECTION_SPECIFIC
    ]


def _read_fields(headers: Sequence[RawHeader], max_headers: int) -> HeaderBlock | Refusal:
    """Fields that are no pseudo-headers, read into a block as those of HTTP/1 are."""
    if len(headers) > max_headers:
        return TOO_MANY_HEADERS
    learnt = _learnt
    fields: list[Field] = []
    kept: dict[str, str] = {}
    joined: dict[str, str] = {}
    cookie = ""
    for raw_name, raw_value in headers:
        name = learnt.get(raw_name) or _learn(raw_name)
        if name is None:
            return INVALID_HEADER_FIELD
        value = raw_value.decode("latin-1")
        if _FORBIDDEN_IN_VALUE.search(value) is not None:
            return INVALID_HEADER_FIELD
        if name in CONNECTION_SPECIFIC or (name == "te" and value.lower() != "trailers"):
            return INVALID_HEADER_FIELD
        if name in WELL_KNOWN:
            if name in kept:
                if name in ("content-length", "host"):
                    return INVALID_HEADER_FIELD
                value = joined[name] = f"{kept[name]},{value}"
            kept[name] = value
        elif name == "cookie":
            # Cut into crumbs for the sake of compression; HTTP/1 wants them in one piece (RFC 9113, 8.2.3).
            cookie = f"{cookie}; {value}" if cookie else value
            continue
        fields.append((name, value))
    if joined:
        fields = _join(fields, joined)
    if cookie:
        fields.append(("cookie", cookie))
    block = HeaderBlock(tuple(fields), kept)
    length = kept.get("content-length")
    if length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            return INVALID_HEADER_FIELD
        block.content_length = int(length)
    return block


def _learn(raw_name: bytes) -> str | None:
    if _NAME.fullmatch(raw_name) is None:
        return None
    name = raw_name.decode("latin-1")
    if len(_learnt) < _MAX_LEARNT_NAMES:
        _learnt[raw_name] = name
    return name


def _join(fields: Iterable[Field], joined: dict[str, str]) -> list[Field]:
    """Repetitions become one field, where the first stood."""
    left = dict(joined)
    return [
        (name, left.pop(name)) if name in left else (name, value)
        for name, value in fields
        if name in left or name not in joined
    ]
