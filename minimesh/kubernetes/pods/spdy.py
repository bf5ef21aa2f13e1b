"""SPDY/3.1 as kubectl speaks it: frames in, events out; what to send is returned as bytes. No I/O.

Of the protocol (draft-mbelshe-httpbis-spdy-00) this is what Kubernetes uses: streams that the client opens,
data both ways, half-close, reset, ping. Nobody there uses flow control or settings.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

_VERSION = 3
_CONTROL = 0x80000000
_STREAM_ID = 0x7FFFFFFF
_FIN = 0x01
_FRAME_HEAD = struct.Struct(">II")
_MAX_DATA_BYTES = 0xFFFFFF


class FrameType(IntEnum):
    """Control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(Exception):
    """The other end does not speak SPDY/3.1; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The client opened a stream. Names of headers are in lower case."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes came on a stream; `ended` when they are the last."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The client wants no more of a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """The client asks whether somebody is there; `answer` is to be sent."""

    answer: bytes


Event = StreamOpened | DataReceived | StreamReset | Pinged


class SpdyConnection:
    """The server's end of one connection."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, data: bytes) -> list[Event]:
        """The events of all frames that are complete now. SpdyError for what is none."""
        self._received += data
        events: list[Event] = []
        while len(self._received) >= _FRAME_HEAD.size:
            first, second = _FRAME_HEAD.unpack_from(self._received)
            end = _FRAME_HEAD.size + (second & 0xFFFFFF)
            if len(self._received) < end:
                break
            body = bytes(self._received[_FRAME_HEAD.size : end])
            del self._received[:end]
            ended = bool(second >> 24 & _FIN)
            if first & _CONTROL:
                events += self._control(first, body, ended)
            else:
                events.append(DataReceived(first & _STREAM_ID, body, ended))
        return events

    def reply(self, stream: int) -> bytes:
        """Accept a stream that was opened."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(FrameType.SYN_REPLY, struct.pack(">I", stream) + block)

    def data(self, stream: int, data: bytes, *, ended: bool = False) -> bytes:
        """Bytes on a stream; with `ended`, none come after them."""
        frames = bytearray()
        pieces = range(0, max(1, len(data)), _MAX_DATA_BYTES)
        for start in pieces:
            piece = data[start : start + _MAX_DATA_BYTES]
            flags = _FIN if ended and start + len(piece) >= len(data) else 0
            frames += _FRAME_HEAD.pack(stream, flags << 24 | len(piece)) + piece
        return bytes(frames)

    def go_away(self) -> bytes:
        """No more streams."""
        return _control_frame(FrameType.GOAWAY, struct.pack(">II", 0, 0))

    def _control(self, first: int, body: bytes, ended: bool) -> list[Event]:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"version {version} of SPDY")
        try:
            if kind == FrameType.SYN_STREAM:
                stream = struct.unpack_from(">I", body)[0] & _STREAM_ID
                opened = StreamOpened(stream, self._headers(body[10:]))
                return [opened, DataReceived(stream, b"", ended=True)] if ended else [opened]
            if kind == FrameType.HEADERS:
                self._headers(body[4:])  # of no interest, but the compression's state depends on it
            if kind == FrameType.RST_STREAM:
                return [StreamReset(struct.unpack_from(">I", body)[0] & _STREAM_ID)]
        except (struct.error, zlib.error) as error:
            raise SpdyError(str(error)) from error
        return [Pinged(_control_frame(FrameType.PING, body))] if kind == FrameType.PING else []

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block)
        (count,) = struct.unpack_from(">I", plain)
        position, found = 4, {}
        for _ in range(count):
            name, position = _text(plain, position)
            value, position = _text(plain, position)
            found[name.lower()] = value
        return found


def _text(plain: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", plain, position)
    end = position + 4 + length
    return plain[position + 4 : end].decode(errors="replace"), end


def _control_frame(kind: FrameType, body: bytes) -> bytes:
    return _FRAME_HEAD.pack(_CONTROL | _VERSION << 16 | kind, len(body)) + body


# What both ends assume was compressed before (section 2.6.10.1): words with their lengths, then text.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from "
    "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
    "HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TEXT.encode()
)
