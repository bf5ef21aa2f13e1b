"""The codec alone: every message whole, byte by byte, and with a tail behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.data_plane.http.header_block import HeaderBlock, Refusal, read_header_block
from minimesh.data_plane.http.http1.body import ChunkedBody, LengthBody, UntilCloseBody, chunk, response_body
from minimesh.data_plane.http.http1.head import RequestReader, ResponseReader, head_length

REQUEST = b"POST /a?b HTTP/1.1\r\nHost: h\r\nX-A:  v \r\nContent-Length: 3\r\n\r\n"


def test_request_head() -> None:
    read = RequestReader().read(REQUEST + b"abcGET")
    assert isinstance(read, tuple)
    line, block, values, length = read
    assert values == ()
    assert (line.method, line.path, line.authority, line.version) == ("POST", "/a?b", None, "HTTP/1.1")
    assert block.fields == (("host", "h"), ("x-a", "v"), ("content-length", "3"))
    assert (block.content_length, block.chunked) == (3, False)
    assert length == len(REQUEST)


def test_request_head_byte_by_byte() -> None:
    reader = RequestReader()
    assert all(reader.read(REQUEST[:end]) is None for end in range(1, len(REQUEST)))
    assert isinstance(reader.read(REQUEST), tuple)


def test_an_equal_block_is_the_same_object() -> None:
    reader = RequestReader()
    first, again = reader.read(REQUEST), reader.read(REQUEST.replace(b"/a?b", b"/other"))
    assert isinstance(first, tuple)
    assert isinstance(again, tuple)
    assert first[1] is again[1]


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"A\r\nb: c\r\n\r\nrest", 11),
        (b"A\nb: c\n\nrest", 8),
        (b"A\r\nb: c\n\r\nrest", 10),
        (b"A\nb: c\n\n\r\n\r\n", 8),
        (b"A\r\n\r\n", 5),
        (b"A\r\nb: c\r\n", None),
        (b"A\r\n\rZ\r\n", None),
    ],
)
def test_where_a_head_ends(data: bytes, length: int | None) -> None:
    assert head_length(data) == length


@pytest.mark.parametrize(
    ("raw", "status", "details"),
    [
        (b"\x16\x03\x01", 400, "http1.codec_error"),
        (b"GETT", 400, "http1.codec_error"),
        (b"GET / HTTP/1.0\r\n", 426, "low_version"),
        (b"GET / HTTP/1.1\r\nA" + b"a" * 61440, 431, "http1.headers_too_large"),
    ],
)
def test_what_cannot_become_a_request_is_refused_early(raw: bytes, status: int, details: str) -> None:
    assert RequestReader().read(raw) == Refusal(status, details)


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("transfer-encoding: chunked\r\ncontent-length: 1", "http1.content_length_and_chunked_not_allowed"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "http1.invalid_transfer_encoding"),
        ("transfer-encoding: identity", "http1.invalid_transfer_encoding"),
        ("content-length: 1\r\ncontent-length: 1", "http1.codec_error"),
        ("content-length: +1", "http1.codec_error"),
        ("content-length: ", "http1.codec_error"),
        ("content-length: 1, 1", "http1.codec_error"),
        ("content-length: ١", "http1.codec_error"),
        ("a : b", "http1.codec_error"),
        ("a", "http1.codec_error"),
        (": b", "http1.codec_error"),
        (" a: b", "http1.codec_error"),
        ("a: b\rc: d", "http1.codec_error"),
        ("a: b\x00", "http1.invalid_characters"),
    ],
)
def test_refused_headers(text: str, details: str) -> None:
    refusal = read_header_block(text, 100)
    assert isinstance(refusal, Refusal)
    assert refusal.details == details


def test_folded_and_repeated_headers() -> None:
    block = read_header_block("a: 1\r\n\t2\r\naccept: x\r\nb: 1\r\naccept: y\r\nb: 2", 100)
    assert isinstance(block, HeaderBlock)
    assert block.fields == (("a", "1 2"), ("accept", "x,y"), ("b", "1"), ("b", "2"))
    assert block.values("b") == ["1", "2"]


def test_response_head() -> None:
    read = ResponseReader().read(b"HTTP/1.1 404\r\nA: b\r\n\r\n")
    assert isinstance(read, tuple)
    status, http11, block, _, length = read
    assert (status, http11, block.fields, length) == (404, True, (("a", "b"),), 22)


@pytest.mark.parametrize(
    "raw", [b"HELLO\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"X"]
)
def test_refused_status_lines(raw: bytes) -> None:
    assert isinstance(ResponseReader().read(raw), Refusal)


def test_which_responses_have_bodies() -> None:
    none, length = read_header_block("", 9), read_header_block("content-length: 3", 9)
    assert isinstance(none, HeaderBlock)
    assert isinstance(length, HeaderBlock)
    assert isinstance(response_body("GET", 200, none), UntilCloseBody)
    assert isinstance(response_body("GET", 200, length), LengthBody)
    assert response_body("HEAD", 200, length) is None
    assert response_body("GET", 304, length) is None
    assert response_body("GET", 204, none) is None


CHUNKED = b'5\r\nhello\r\n6;ext="1"\r\n world\r\n0\r\nX-T: 1\r\n\r\n'


def test_chunked_body_whole_with_a_tail() -> None:
    body = ChunkedBody()
    assert body.feed(CHUNKED + b"GET /") == b"hello world"
    assert (body.done, body.failed, body.rest) == (True, False, b"GET /")


def test_chunked_body_byte_by_byte() -> None:
    body = ChunkedBody()
    payload = b""
    for at in range(len(CHUNKED)):
        assert not body.done
        payload += body.feed(CHUNKED[at : at + 1])
    assert payload == b"hello world"
    assert body.done


@pytest.mark.parametrize(
    "raw",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1\n",
        b"\r\n",
        b"1\r\nab",
        b"1\r\na\n",
        b"1;a\rb\r\n",
        b"1" * 16 + b"\r\n",
        b"0\r\nno colon\r\n",
        b"0\r\na: b\n",
        b"1;" + b"x" * 5000,
    ],
)
def test_broken_chunks(raw: bytes) -> None:
    body = ChunkedBody()
    body.feed(raw)
    assert body.failed
    assert not body.done


@pytest.mark.parametrize(
    ("trailers", "max_trailers", "details"),
    [
        (b"a: b\r\n" * 3, 3, None),
        (b"a: b\r\n" * 4, 3, "http1.too_many_headers"),
        (b"a: " + b"x" * 61_500 + b"\r\n", 3, "http1.headers_too_large"),
        (b"a: " + b"x" * 61_500, 3, "http1.headers_too_large"),
        (b"a:\r\n" * 50_000, 100_000, "http1.headers_too_large"),
        (b"a\r\n", 3, "http1.codec_error"),
    ],
)
def test_trailers_are_limited(trailers: bytes, max_trailers: int, details: str | None) -> None:
    body = ChunkedBody(max_trailers)
    body.feed(b"0\r\n" + trailers + b"\r\n")
    assert body.done is not body.failed
    assert (body.refusal.details if body.failed else None) == details


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 20))
def test_chunks_survive_any_cut(pieces: list[bytes], width: int) -> None:
    wire = b"".join(map(chunk, pieces)) + b"0\r\n\r\ntail"
    body = ChunkedBody()
    payload = b""
    at = 0
    while not body.done:
        payload += body.feed(wire[at : at + width])
        at += width
    assert payload == b"".join(pieces)
    assert body.rest == wire[:at][len(wire) - 4 :]


@given(st.binary(max_size=200))
def test_no_bytes_make_the_readers_raise(data: bytes) -> None:
    RequestReader().read(data or b"x")
    RequestReader().read(b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n")
    ResponseReader().read(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
    ChunkedBody().feed(data)


def test_length_body_with_a_tail() -> None:
    body = LengthBody(5)
    assert body.feed(b"abc") == b"abc"
    assert not body.done
    assert body.feed(b"deXYZ") == b"de"
    assert (body.done, body.rest) == (True, b"XYZ")
