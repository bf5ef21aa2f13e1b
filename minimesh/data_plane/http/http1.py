"""The HTTP/1 codec: heads of requests and responses, bodies in all their framings. No I/O, no clock.

What is accepted and what is refused, and with which status and word, is Envoy's choice (Balsa parser), but
where Envoy forwards what others might read differently: that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from minimesh.data_plane.http.block_memo import BlockMemo, Values
from minimesh.data_plane.http.header_block import (
    CODEC_ERROR,
    HEADERS_TOO_LARGE,
    Field,
    HeaderBlock,
    Refusal,
    connection_options,
    read_header_block,
)

LOW_VERSION = Refusal(426, "low_version")
HTTPS_ON_PLAINTEXT = Refusal(403, "http1.https_url_on_plaintext_connection")
INVALID_AUTHORITY = Refusal(400, "http.invalid_authority")
CONNECTION_REJECTED = Refusal(400, "http1.connection_header_rejected")
INVALID_SCHEME = Refusal(400, "http1.invalid_scheme")
INVALID_URL = Refusal(400, "http1.invalid_url")
METHODS = frozenset(
    [
        "ACL",
        "BIND",
        "CHECKOUT",
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "MSEARCH",
        "NOTIFY",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "TRACE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    ]
)
#: Methods whose target may be a path: that of CONNECT is host and port.
_METHODS_WITH_PATHS = METHODS - {"CONNECT"}
#: A request with one of these methods and no body is sent without `content-length: 0`.
BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "TRACE", "CONNECT"})
REASONS = {
    100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
    205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
    413: "Payload Too Large", 414: "URI Too Long", 415: "Unsupported Media Type",
    416: "Range Not Satisfiable", 417: "Expectation Failed", 421: "Misdirected Request",
    422: "Unprocessable Entity", 423: "Locked", 424: "Failed Dependency", 426: "Upgrade Required",
    428: "Precondition Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
    507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended",
    511: "Network Authentication Required",
}  # fmt: skip

_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n" for status, reason in REASONS.items()}
_HEAD_END = re.compile(rb"\n\r?\n")
_USUAL_LINE = re.compile(r"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.1")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
_TARGET = re.compile(r"[\x21-\x7e]+")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_HOST_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]%]+")
#: Headers that a client must not have removed by naming them in `connection`.
_NOT_TO_BE_REMOVED = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_CONNECT_TARGET = re.compile(r"(?:[A-Za-z0-9\-._~%]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: .*)?")


def status_line(version: str, status: int) -> str:
    """`HTTP/1.1 404 Not Found` with its line end. The phrase is ours, never the upstream's."""
    known = _STATUS_LINES.get(status)
    if known is not None and version == "HTTP/1.1":
        return known
    return f"{version} {status} {REASONS.get(status, 'Unknown')}\r\n"


class RequestLine:
    """What the first line of a request says. `authority` is None unless the target had one."""

    __slots__ = ("authority", "method", "path", "scheme", "version")

    def __init__(self, method: str, path: str, authority: str | None, scheme: str, version: str) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.scheme = scheme
        self.version = version


class RequestReader:
    """Reads heads out of a connection's bytes, with a memo of the last header block."""

    __slots__ = (
        "_accept_http_10", "_borrows_memo", "_last_line", "_last_target", "_max_bytes", "_max_headers",
        "_scheme", "memo",
    )  # fmt: skip

    def __init__(
        self,
        max_bytes: int = 60 * 1024,
        max_headers: int = 100,
        accept_http_10: bool = False,
        scheme: str = "http",
        memo: BlockMemo | None = None,
    ) -> None:
        """`memo`: what others have learnt, used until it does not fit."""
        self._scheme = scheme
        self._max_bytes = max_bytes
        self._max_headers = max_headers
        self._accept_http_10 = accept_http_10
        self.memo = memo or BlockMemo()
        self._borrows_memo = memo is not None
        self._last_target = b""
        self._last_line: RequestLine

    def read(self, data: bytes) -> tuple[RequestLine, HeaderBlock, Values, int] | Refusal | None:
        """Read the head at the start of `data`; leading empty lines must have been dropped.

        Returns the line, the headers, the values for the places in them, and the length of the head; a
        refusal; or None for "not complete".
        """
        first_end = data.find(b"\r\n")
        match = self.memo.match(data, first_end)
        if match is None or match[1] > self._max_bytes:
            return self._read_anew(data)
        target = data[:first_end]
        if target == self._last_target:
            return self._last_line, self.memo.block, match[0], match[1]
        line = self._read_line(target.decode("latin-1"))
        if isinstance(line, Refusal) or (line.version == "HTTP/1.0" and self.memo.block.chunked):
            return self._read_anew(data)
        self._last_target, self._last_line = target, line
        return line, self.memo.block, match[0], match[1]

    def _read_anew(self, data: bytes) -> tuple[RequestLine, HeaderBlock, Values, int] | Refusal | None:
        end = head_length(data)
        if end is None:
            if len(data) > self._max_bytes:
                return HEADERS_TOO_LARGE
            return self._refuse_early(data)
        if end > self._max_bytes:
            return HEADERS_TOO_LARGE
        text = data[:end].decode("latin-1")
        first, _, rest = text.partition("\n")
        line = self._read_line(first[:-1] if first.endswith("\r") else first)
        if isinstance(line, Refusal):
            return line
        block = self._read_block(rest)
        if isinstance(block, Refusal):
            return block
        if line.version == "HTTP/1.0" and block.chunked:
            return CODEC_ERROR
        if first.endswith("\r"):
            self._learn(data[len(first) - 1 : end], block)
        return line, block, (), end

    def _learn(self, raw: bytes, block: HeaderBlock) -> None:
        if self._borrows_memo and not self.memo.is_empty:
            self.memo = BlockMemo()
        self._borrows_memo = False
        self.memo.learn(raw, block)

    def _read_block(self, rest: str) -> HeaderBlock | Refusal:
        text = rest[:-4] if rest.endswith("\r\n\r\n") else _without_head_end(rest)
        block = read_header_block(text, self._max_headers)
        return block if isinstance(block, Refusal) else _check_routing_headers(block)

    def _refuse_early(self, data: bytes) -> Refusal | None:
        """A first line that cannot become a request is refused before the rest of the head is there."""
        first, newline, _ = data.partition(b"\n")
        if newline:
            line = self._read_line(first.removesuffix(b"\r").decode("latin-1"))
            return line if isinstance(line, Refusal) else None
        method, space, _ = first.partition(b" ")
        known = method.decode("latin-1")
        if known in METHODS if space else any(each.startswith(known) for each in METHODS):
            return None
        return CODEC_ERROR

    def _read_line(self, line: str) -> RequestLine | Refusal:
        usual = _USUAL_LINE.fullmatch(line)
        if usual is not None and usual[1] in _METHODS_WITH_PATHS:
            return RequestLine(usual[1], usual[2], None, self._scheme, "HTTP/1.1")
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] not in METHODS or _TARGET.fullmatch(parts[1]) is None:
            return CODEC_ERROR
        method, target, version = parts
        if version != "HTTP/1.1":
            if _VERSION.fullmatch(version) is None:
                return CODEC_ERROR
            if version != "HTTP/1.0" or not self._accept_http_10:
                return LOW_VERSION
        if method == "CONNECT":
            if _CONNECT_TARGET.fullmatch(target) is None:
                return CODEC_ERROR
            return RequestLine(method, "", target, self._scheme, version)
        if target[0] == "/" or (target == "*" and method == "OPTIONS"):
            return RequestLine(method, target, None, self._scheme, version)
        return _read_absolute(method, target, version, self._scheme)


def _check_routing_headers(block: HeaderBlock) -> HeaderBlock | Refusal:
    """Refuse a host that cannot be one, and a `connection` that would take away who the client is."""
    host = block.kept.get("host")
    if host and _HOST_CHARACTERS.fullmatch(host) is None:
        return INVALID_AUTHORITY
    connection = block.kept.get("connection")
    if connection is None:
        return block
    options = connection_options(connection)
    if "upgrade" in options and "upgrade" in block.kept:
        return block
    if any(option.startswith(":") or option in _NOT_TO_BE_REMOVED for option in options):
        return CONNECTION_REJECTED
    return block.without("host") if "host" in options else block


def _read_absolute(method: str, target: str, version: str, scheme: str) -> RequestLine | Refusal:
    if target == "*":
        return INVALID_URL
    if _OTHER_SCHEME.match(target) is not None:
        return INVALID_SCHEME
    found = _ABSOLUTE.fullmatch(target)
    if found is None or _AUTHORITY.fullmatch(found[2]) is None:
        return CODEC_ERROR
    if found[1].lower() == "https" and scheme == "http":
        return HTTPS_ON_PLAINTEXT
    path = found[3]
    return RequestLine(method, path if path.startswith("/") else f"/{path}", found[2], scheme, version)


def head_length(data: bytes) -> int | None:
    """How many bytes the head at the start of `data` has, its empty line included; None: not complete.

    CRLF first: it is the rule. A head with LF line ends may end before the first CRLF CRLF.
    """
    end = data.find(b"\r\n\r\n")
    if (
        end >= 0
        and data.find(b"\n\n", 0, end) < 0
        and data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
    ):
        return end + 4
    found = _HEAD_END.search(data)
    return None if found is None else found.end()


def _without_head_end(text: str) -> str:
    """Drop the empty line at the end, and the end of the line before it."""
    text = text[:-1]
    text = text.removesuffix("\r")
    text = text.removesuffix("\n")
    return text.removesuffix("\r")


class ResponseReader:
    """Reads response heads, with a memo of the last header block."""

    __slots__ = ("_last_line", "_max_bytes", "_max_headers", "_memo", "_status")

    def __init__(self, max_bytes: int = 60 * 1024, max_headers: int = 100) -> None:
        self._max_bytes = max_bytes
        self._max_headers = max_headers
        self._memo = BlockMemo()
        self._last_line = b""
        self._status = (0, True)

    def read(self, data: bytes) -> tuple[int, bool, HeaderBlock, Values, int] | Refusal | None:
        """Status, whether it is HTTP/1.1, headers, values for the places in them, length of the head.

        Or a refusal; or None: not complete.
        """
        last = self._last_line
        if last and data.startswith(last):
            match = self._memo.match(data, len(last))
            if match is not None and match[1] <= self._max_bytes:
                status, http11 = self._status
                return status, http11, self._memo.block, match[0], match[1]
        return self._read_anew(data)

    def _read_anew(self, data: bytes) -> tuple[int, bool, HeaderBlock, Values, int] | Refusal | None:
        end = head_length(data)
        if end is None:
            if len(data) > self._max_bytes or not b"HTTP/1.".startswith(data[:7]):
                return CODEC_ERROR
            return None
        if end > self._max_bytes:
            return HEADERS_TOO_LARGE
        text = data[:end].decode("latin-1")
        first, _, rest = text.partition("\n")
        found = _STATUS_LINE.fullmatch(first[:-1] if first.endswith("\r") else first)
        if found is None:
            return CODEC_ERROR
        block = read_header_block(
            rest[:-4] if rest.endswith("\r\n\r\n") else _without_head_end(rest), self._max_headers
        )
        if isinstance(block, Refusal):
            return block
        status = (int(found[2]), found[1] != "0")
        if first.endswith("\r"):
            self._last_line, self._status = data[: len(first) - 1], status
            self._memo.learn(data[len(first) - 1 : end], block)
        return *status, block, (), end


class BodyReader:
    """Takes the framing off a body as it comes in. After `feed`, look at `done`, `rest` and `failed`."""

    __slots__ = ("done", "failed", "rest")

    #: What came behind the last chunk, without what a trailer must not say.
    trailers: Sequence[Field] = ()

    def __init__(self) -> None:
        self.done = False
        self.failed = False
        #: What follows the body in the bytes fed last.
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes off the wire, give those of the body."""
        raise NotImplementedError

    def finish_at_close(self) -> bool:
        """The peer has sent its last byte; True when the body is complete by that."""
        return self.done


class LengthBody(BodyReader):
    """`content-length`."""

    __slots__ = ("_missing",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._missing = length
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        missing = self._missing
        if len(data) < missing:
            self._missing = missing - len(data)
            return data
        self._missing = 0
        self.done = True
        if len(data) == missing:
            return data
        self.rest = data[missing:]
        return data[:missing]


class UntilCloseBody(BodyReader):
    """A response that ends where the connection ends."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        return data

    def finish_at_close(self) -> bool:
        self.done = True
        return True


_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\x00]*)?")
_MAX_CHUNK_LINE = 4096
_MAX_TRAILER_BYTES = 60 * 1024
_SIZE, _DATA, _DATA_END, _TRAILER = range(4)
#: What frames or routes a message, or belongs to the connection, has no meaning behind the body; a recipient
#: that gave it one could be led astray (RFC 9110, 6.5.1).
_NEVER_TRAILERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-range", "content-type", "host",
        "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


class ChunkedBody(BodyReader):
    """`transfer-encoding: chunked`: gives the payload, then the trailers; drops chunk extensions.

        SIZE --n--> DATA --n bytes--> DATA_END --CRLF--> SIZE
        SIZE --0--> TRAILER --empty line--> done

    Strict about line ends: what ends a chunk must be the same to everybody on the way.
    """

    __slots__ = ("_held", "_missing", "_state", "_trailer_bytes", "trailers")

    def __init__(self) -> None:
        super().__init__()
        self._state = _SIZE
        self._missing = 0
        self._held = b""
        self._trailer_bytes = 0
        self.trailers = ()

    def feed(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        payload: list[bytes] = []
        at = 0
        while at >= 0 and not self.done:
            state = self._state
            if state == _DATA:
                at = self._take_data(data, at, payload)
            elif state == _DATA_END:
                at = self._take_data_end(data, at)
            else:
                at = self._take_line(data, at)
        if self.done:
            self.rest = data[at:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take_data(self, data: bytes, at: int, payload: list[bytes]) -> int:
        if at >= len(data):
            return -1
        piece = data[at : at + self._missing]
        payload.append(piece)
        self._missing -= len(piece)
        if self._missing:
            return -1
        self._state = _DATA_END
        return at + len(piece)

    def _take_data_end(self, data: bytes, at: int) -> int:
        end = data[at : at + 2]
        if end == b"\r\n":
            self._state = _SIZE
            return at + 2
        return self._hold(end) if b"\r\n".startswith(end) else self._fail()

    def _take_line(self, data: bytes, at: int) -> int:
        """One line of chunk size or trailer."""
        end = data.find(b"\n", at)
        limit = _MAX_CHUNK_LINE if self._state == _SIZE else _MAX_TRAILER_BYTES
        if end < 0:
            return self._hold(data[at:]) if len(data) - at <= limit else self._fail()
        if end == at or data[end - 1] != 0x0D or end - at > limit:
            return self._fail()
        line = data[at : end - 1]
        if self._state == _SIZE:
            return self._begin_chunk(line, end + 1)
        self._trailer_bytes += len(line)
        if not line:
            self.done = True
        elif self._trailer_bytes > _MAX_TRAILER_BYTES or not self._take_trailer(line):
            return self._fail()
        return end + 1

    def _take_trailer(self, line: bytes) -> bool:
        block = read_header_block(line.decode("latin-1"), 1)
        if isinstance(block, Refusal):
            return False
        self.trailers = (*self.trailers, *(each for each in block.fields if each[0] not in _NEVER_TRAILERS))
        return True

    def _begin_chunk(self, line: bytes, at: int) -> int:
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            return self._fail()
        self._missing = int(found[1], 16)
        self._state = _DATA if self._missing else _TRAILER
        return at

    def _hold(self, data: bytes) -> int:
        self._held = data
        return -1

    def _fail(self) -> int:
        self.failed = True
        return -1


def chunk(data: bytes) -> bytes:
    """One chunk for the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def last_chunk(trailers: Sequence[Field]) -> bytes:
    """The end of a chunked body, with trailers."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in trailers])
    return f"0\r\n{lines}\r\n".encode("latin-1")


def request_body(block: HeaderBlock) -> BodyReader | None:
    """The body that follows a request head, or None."""
    if block.chunked:
        return ChunkedBody()
    return LengthBody(block.content_length) if block.content_length > 0 else None


def response_body(method: str, status: int, block: HeaderBlock) -> BodyReader | None:
    """The body that follows a final response head, or None."""
    if method == "HEAD" or status in (204, 304) or status < 200:
        return None
    if block.chunked:
        return ChunkedBody()
    if block.content_length >= 0:
        return LengthBody(block.content_length) if block.content_length else None
    return UntilCloseBody()
