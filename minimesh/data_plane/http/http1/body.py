"""HTTP/1 bodies: the framing taken off what comes in, chunks put around what goes out. No I/O, no clock.

Strict where Envoy forwards what others might read differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from minimesh.data_plane.http.header_block import (
    CODEC_ERROR,
    HEADERS_TOO_LARGE,
    TOO_MANY_HEADERS,
    Field,
    HeaderBlock,
    Refusal,
    read_header_block,
)

LAST_CHUNK = b"0\r\n\r\n"
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\x00]*)?")
_MAX_CHUNK_LINE = 4096
_MAX_TRAILER_BYTES = 60 * 1024
#: Of trailers that end here; their bytes are limited all the same.
_ANY_NUMBER = 1 << 30
_SIZE, _DATA, _DATA_END, _TRAILER = range(4)
#: What frames or routes a message, or belongs to the connection, has no meaning behind the body; a recipient
#: that gave it one could be led astray (RFC 9110, 6.5.1).
_NEVER_TRAILERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-range", "content-type", "host",
        "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def request_body(block: HeaderBlock, max_trailers: int = _ANY_NUMBER) -> BodyReader | None:
    """The body that follows a request head, or None."""
    if block.chunked:
        return ChunkedBody(max_trailers)
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


class BodyReader:
    """Takes the framing off a body as it comes in. After `feed`, look at `done`, `rest` and `failed`."""

    __slots__ = ("done", "failed", "rest")

    #: What came behind the last chunk, without what a trailer must not say.
    trailers: Sequence[Field] = ()
    #: Why it failed.
    refusal = CODEC_ERROR

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


class ChunkedBody(BodyReader):
    """`transfer-encoding: chunked`: gives the payload, then the trailers; drops chunk extensions.

        SIZE --n--> DATA --n bytes--> DATA_END --CRLF--> SIZE
        SIZE --0--> TRAILER --empty line--> done

    Strict about line ends: what ends a chunk must be the same to everybody on the way.
    """

    __slots__ = (
        "_held", "_max_trailers", "_missing", "_state", "_trailer_bytes", "_trailers", "refusal", "trailers",
    )  # fmt: skip

    def __init__(self, max_trailers: int = _ANY_NUMBER) -> None:
        super().__init__()
        self._state = _SIZE
        self._missing = 0
        self._held = b""
        self._max_trailers = max_trailers
        self._trailer_bytes = 0
        self._trailers: list[Field] = []
        self.trailers = ()
        self.refusal = CODEC_ERROR

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
            return self._hold(data[at:]) if len(data) - at <= limit else self._fail_too_long()
        if end - at > limit:
            return self._fail_too_long()
        if end == at or data[end - 1] != 0x0D:
            return self._fail()
        line = data[at : end - 1]
        if self._state == _SIZE:
            return self._begin_chunk(line, end + 1)
        if not line:
            self.done = True
            self.trailers = tuple(self._trailers)
            return end + 1
        return end + 1 if self._take_trailer(line) else self._fail()

    def _take_trailer(self, line: bytes) -> bool:
        self._trailer_bytes += len(line) + 2
        self._max_trailers -= 1
        if self._trailer_bytes > _MAX_TRAILER_BYTES:
            self.refusal = HEADERS_TOO_LARGE
            return False
        if self._max_trailers < 0:
            self.refusal = TOO_MANY_HEADERS
            return False
        block = read_header_block(line.decode("latin-1"), 1)
        if isinstance(block, Refusal):
            return False
        self._trailers += [each for each in block.fields if each[0] not in _NEVER_TRAILERS]
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

    def _fail_too_long(self) -> int:
        if self._state == _TRAILER:
            self.refusal = HEADERS_TOO_LARGE
        return self._fail()

    def _fail(self) -> int:
        self.failed = True
        return -1


# --- out ---


def chunk(data: bytes) -> bytes:
    """One chunk for the wire."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Sequence[Field]) -> bytes:
    """The end of a chunked body, with trailers."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in trailers])
    return f"0\r\n{lines}\r\n".encode("latin-1")
