"""HTTP/1 heads out of a connection's bytes: of requests, of responses. No I/O, no clock.

Each reader has a memo of the last header block, so that a head like the last one is not read again
(`block_memo`). What is accepted and what is refused, and with which status and word, is Envoy's choice (Balsa
parser), but where Envoy forwards what others might read differently: that is refused.
"""

from __future__ import annotations

import re

from minimesh.data_plane.http.block_memo import BlockMemo, Values
from minimesh.data_plane.http.header_block import (
    CODEC_ERROR,
    HEADERS_TOO_LARGE,
    HeaderBlock,
    Refusal,
    connection_options,
    read_header_block,
)
from minimesh.data_plane.http.http1.request_line import METHODS, RequestLine, read_request_line

INVALID_AUTHORITY = Refusal(400, "http.invalid_authority")
CONNECTION_REJECTED = Refusal(400, "http1.connection_header_rejected")
_HEAD_END = re.compile(rb"\n\r?\n")
_HOST_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]%]+")
#: Headers that a client must not have removed by naming them in `connection`.
_NOT_TO_BE_REMOVED = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: .*)?")


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
        line = read_request_line(target.decode("latin-1"), self._scheme, self._accept_http_10)
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
        start = first[:-1] if first.endswith("\r") else first
        line = read_request_line(start, self._scheme, self._accept_http_10)
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
            text = first.removesuffix(b"\r").decode("latin-1")
            line = read_request_line(text, self._scheme, self._accept_http_10)
            return line if isinstance(line, Refusal) else None
        method, space, _ = first.partition(b" ")
        known = method.decode("latin-1")
        if known in METHODS if space else any(each.startswith(known) for each in METHODS):
            return None
        return CODEC_ERROR


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


# --- where a head ends ---


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
