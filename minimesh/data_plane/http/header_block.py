"""One block of header lines, read strictly and once: a pure function of its bytes.

A block is the same for requests and responses. It is immutable and may be shared: whoever wants to change
headers copies `fields`. Whatever makes a message's length doubtful is refused here, so nothing behind this
module has to ask again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Field = tuple[str, str]

#: Names whose values somebody asks for on every message, or whose repetitions are joined into one line.
WELL_KNOWN = frozenset(
    {
        "accept", "accept-encoding", "access-control-allow-credentials", "access-control-allow-headers",
        "access-control-allow-methods", "access-control-allow-origin",
        "access-control-allow-private-network", "access-control-expose-headers", "access-control-max-age",
        "access-control-request-method", "access-control-request-private-network", "authorization",
        "cache-control", "connection", "content-length",
        "content-type", "date", "expect", "grpc-timeout", "host", "http2-settings", "keep-alive", "origin",
        "proxy-connection", "server", "te", "traceparent", "transfer-encoding", "upgrade", "user-agent",
        "vary", "via", "x-envoy-attempt-count", "x-envoy-decorator-operation",
        "x-envoy-downstream-service-cluster",
        "x-envoy-downstream-service-node", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address",
        "x-envoy-force-trace", "x-envoy-hedge-on-per-try-timeout", "x-envoy-internal",
        "x-envoy-ip-tags", "x-envoy-is-timeout-retry", "x-envoy-max-retries", "x-envoy-original-host",
        "x-envoy-original-path", "x-envoy-original-url", "x-envoy-retriable-header-names",
        "x-envoy-retriable-status-codes", "x-envoy-retry-grpc-on", "x-envoy-retry-on",
        "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-service-time", "x-envoy-upstream-stream-duration-ms", "x-forwarded-client-cert",
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-request-id",
    }
)  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_LEARNT_NAMES = 4096

#: Names as they were written -> lower case; only valid names get in, and not without bound.
_learnt: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message cannot be accepted: the status to answer with, and Envoy's word for the log."""

    status: int
    details: str


CODEC_ERROR = Refusal(400, "http1.codec_error")
INVALID_CHARACTERS = Refusal(400, "http1.invalid_characters")
TOO_MANY_HEADERS = Refusal(431, "http1.too_many_headers")
HEADERS_TOO_LARGE = Refusal(431, "http1.headers_too_large")
LENGTH_AND_CHUNKED = Refusal(400, "http1.content_length_and_chunked_not_allowed")
INVALID_TRANSFER_ENCODING = Refusal(501, "http1.invalid_transfer_encoding")


class IndexedFields:
    """Header lines that do not change, found by name: the index is made when a name is first asked for.

    Subclasses set both attributes: one is made for every new block of headers, and a call less counts there.
    """

    __slots__ = ("_index", "fields")

    fields: tuple[Field, ...]
    _index: dict[str, list[str]] | None

    def values(self, name: str) -> list[str]:
        """All values of the header with this lower-case name, in order. Not to be changed."""
        index = self._index
        if index is None:
            index = self._index = {}
            for key, value in self.fields:
                index.setdefault(key, []).append(value)
        return index.get(name, [])


class HeaderBlock(IndexedFields):
    """The header lines of one message.

    `fields` has every line in order, names in lower case, values trimmed. `kept` has the joined value of the
    well-known names that are present. `content_length` is -1 when not given.
    """

    __slots__ = ("chunked", "content_length", "kept")

    def __init__(self, fields: tuple[Field, ...], kept: dict[str, str]) -> None:
        self.fields = fields
        self._index = None
        self.kept = kept
        self.content_length = -1
        self.chunked = False

    def connection_says(self, option: str) -> bool:
        """Whether the `connection` header names this option (lower case)."""
        value = self.kept.get("connection")
        return value is not None and option in connection_options(value)

    def without(self, name: str) -> HeaderBlock:
        """The same lines but those with this (well-known, lower-case) name, framed as before."""
        fields = tuple(field for field in self.fields if field[0] != name)
        block = HeaderBlock(fields, {key: value for key, value in self.kept.items() if key != name})
        block.content_length = self.content_length
        block.chunked = self.chunked
        return block

    def with_length(self, length: int) -> HeaderBlock:
        """The same lines for a body of another length; -1: it is sent in chunks."""
        block = HeaderBlock(self.fields, self.kept)
        block.content_length = length
        block.chunked = length < 0
        return block


EMPTY_BLOCK = HeaderBlock((), {})


def connection_options(value: str) -> list[str]:
    """`Keep-Alive, X-Foo` -> `["keep-alive", "x-foo"]`."""
    return [option.strip(" \t") for option in value.lower().split(",")]


def read_header_block(text: str, max_headers: int) -> HeaderBlock | Refusal:
    """Read header lines: Latin-1 text between the first line and the empty one, without the last line end."""
    if not text:
        return EMPTY_BLOCK
    lines = text.split("\r\n")
    line_ends = len(lines) - 1
    if text.count("\n") != line_ends or text.count("\r") != line_ends:
        relaxed = _split_relaxed(text)
        if relaxed is None:
            return CODEC_ERROR
        lines = relaxed
    if _CONTROL.search(text) is not None:
        return INVALID_CHARACTERS
    if len(lines) > max_headers:
        return TOO_MANY_HEADERS
    return _read_lines(lines)


def _split_relaxed(text: str) -> list[str] | None:
    """Lines that end with LF alone are accepted, as by Envoy; a CR anywhere else is not."""
    lines = [line[:-1] if line.endswith("\r") else line for line in text.split("\n")]
    return None if any("\r" in line for line in lines) else lines


def _read_lines(lines: list[str]) -> HeaderBlock | Refusal:
    learnt = _learnt
    fields: list[Field] = []
    kept: dict[str, str] = {}
    repeated = False
    for line in lines:
        raw_name, colon, value = line.partition(":")
        name = learnt.get(raw_name)
        if name is None:
            if line[:1] in (" ", "\t") and fields:
                return _unfold(lines)
            name = _learn(raw_name)
            if name is None:
                return CODEC_ERROR
        if not colon:
            return CODEC_ERROR
        value = value.strip(" \t")
        if name in WELL_KNOWN:
            if name in kept:
                repeated = True
                if name == "content-length":
                    return CODEC_ERROR
                # Envoy's HeaderMapImpl appends nothing for a value that is empty, and no comma after one.
                kept[name] = f"{kept[name]},{value}" if kept[name] and value else kept[name] or value
            else:
                kept[name] = value
        fields.append((name, value))
    if repeated:
        fields = _join_repeated(fields, kept)
    return _with_framing(HeaderBlock(tuple(fields), kept))


def _learn(raw_name: str) -> str | None:
    if _TOKEN.fullmatch(raw_name) is None:
        return None
    name = raw_name.lower()
    if len(_learnt) < _MAX_LEARNT_NAMES:
        _learnt[raw_name] = name
    return name


def _unfold(lines: list[str]) -> HeaderBlock | Refusal:
    """Obsolete line folding: a line that begins with a blank goes on with the value before it."""
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1] = " ".join((unfolded[-1].rstrip(" \t"), line.strip(" \t")))
        else:
            unfolded.append(line)
    return _read_lines(unfolded)


def _join_repeated(fields: list[Field], kept: dict[str, str]) -> list[Field]:
    """Repetitions of a well-known name become one line, where the first stood; others stay apart."""
    joined: list[Field] = []
    seen: set[str] = set()
    for name, value in fields:
        if name not in kept:
            joined.append((name, value))
        elif name not in seen:
            seen.add(name)
            joined.append((name, kept[name]))
    return joined


def _with_framing(block: HeaderBlock) -> HeaderBlock | Refusal:
    length = block.kept.get("content-length")
    coding = block.kept.get("transfer-encoding")
    if length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            return CODEC_ERROR
        block.content_length = int(length)
    if coding is not None:
        if coding.lower() != "chunked":
            return INVALID_TRANSFER_ENCODING if length is None else CODEC_ERROR
        if length is not None:
            return LENGTH_AND_CHUNKED
        block.chunked = True
    return block
