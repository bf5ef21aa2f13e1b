"""SPDY frame by frame, against a client's end made of its own pieces."""

from __future__ import annotations

import struct
import zlib

import pytest

from minimesh.kubernetes.pods.spdy import (
    DICTIONARY,
    DataReceived,
    Pinged,
    SpdyConnection,
    SpdyError,
    StreamOpened,
    StreamReset,
)


class Client:
    """Writes the frames that kubectl writes."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, stream: int, headers: dict[str, str], flags: int = 0) -> bytes:
        pairs = b"".join(
            struct.pack(">I", len(text)) + text.encode() for pair in headers.items() for text in pair
        )
        block = self._deflate.compress(struct.pack(">I", len(headers)) + pairs)
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return control(1, struct.pack(">IIH", stream, 0, 0) + block, flags)


def control(kind: int, body: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def data(stream: int, content: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", stream, flags << 24 | len(content)) + content


def test_the_dictionary_is_that_of_the_specification() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_a_stream_with_data_byte_by_byte() -> None:
    client, server = Client(), SpdyConnection()
    sent = client.open(1, {"streamtype": "data", "Port": "80"}) + data(1, b"hello") + data(1, b"", flags=1)
    events = [event for byte in sent for event in server.receive(bytes([byte]))]
    assert events == [
        StreamOpened(1, {"streamtype": "data", "port": "80"}),
        DataReceived(1, b"hello", ended=False),
        DataReceived(1, b"", ended=True),
    ]


def test_headers_share_one_compression() -> None:
    client, server = Client(), SpdyConnection()
    first, second = client.open(1, {"a": "x" * 100}), client.open(3, {"a": "x" * 100})
    assert len(second) < len(first)
    assert server.receive(first + second) == [
        StreamOpened(1, {"a": "x" * 100}),
        StreamOpened(3, {"a": "x" * 100}),
    ]


def test_a_stream_that_is_opened_and_ended_at_once() -> None:
    assert SpdyConnection().receive(Client().open(1, {"a": "b"}, flags=1)) == [
        StreamOpened(1, {"a": "b"}),
        DataReceived(1, b"", ended=True),
    ]


def test_ping_is_answered_with_itself_and_reset_is_told() -> None:
    ping = control(6, struct.pack(">I", 7))
    reset = control(3, struct.pack(">II", 5, 1))
    assert SpdyConnection().receive(ping + reset) == [Pinged(ping), StreamReset(5)]


def test_what_the_server_sends() -> None:
    server = SpdyConnection()
    reply = server.reply(1)
    kind, stream = struct.unpack(">2xH4xI", reply[:12])
    assert (kind, stream) == (2, 1)
    assert zlib.decompressobj(zdict=DICTIONARY).decompress(reply[12:]) == b"\0\0\0\0"
    assert server.data(1, b"hello", ended=True) == data(1, b"hello", flags=1)
    assert server.data(1, b"", ended=True) == data(1, b"", flags=1)


@pytest.mark.parametrize(
    "sent",
    [control(1, b"\0\0\0\1\0\0\0\0\0\0nonsense"), control(1, b"\0"), control(1, b"", version=2)],
)
def test_what_is_no_spdy_is_refused(sent: bytes) -> None:
    with pytest.raises(SpdyError):
        SpdyConnection().receive(sent)
