"""Reading a client's first bytes."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.data_plane.network.client_hello import (
    MAX_REQUEST_LINE_BYTES,
    ClientHello,
    Verdict,
    read_client_hello,
    sniff_http,
)


def hello_of_openssl(server_name: str | None = None, *protocols: str) -> bytes:
    """The first flight of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def records(handshake: bytes, size_bytes: int) -> bytes:
    """One handshake message cut into records."""
    pieces = [handshake[at : at + size_bytes] for at in range(0, len(handshake), size_bytes)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


class TestTls:
    def test_server_name_and_protocols_of_a_real_client(self) -> None:
        hello = hello_of_openssl("Shop.Example", "h2", "http/1.1")

        assert read_client_hello(hello) == ClientHello("shop.example", ("h2", "http/1.1"))

    def test_a_client_may_name_neither(self) -> None:
        assert read_client_hello(hello_of_openssl()) == ClientHello("", ())

    def test_every_beginning_of_a_hello_needs_more(self) -> None:
        hello = hello_of_openssl("a.test", "h2")

        for end in range(len(hello)):
            assert read_client_hello(hello[:end]) is Verdict.NEED_MORE, end

    @pytest.mark.parametrize("data", [b"", b"\x00", b"GET ", b"\x16\x02"])
    def test_less_than_a_record_header_says_nothing(self, data: bytes) -> None:
        assert read_client_hello(data) is Verdict.NEED_MORE

    def test_what_follows_the_hello_does_not_matter(self) -> None:
        hello = hello_of_openssl("a.test")

        assert read_client_hello(hello + b"early data") == ClientHello("a.test", ())

    @pytest.mark.parametrize("size_bytes", [1, 3, 4, 5, 100])
    def test_a_hello_may_come_in_several_records(self, size_bytes: int) -> None:
        handshake = hello_of_openssl("a.test")[5:]

        assert read_client_hello(records(handshake, size_bytes)) == ClientHello("a.test", ())

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\r\n",
            b"\x00\x01\x02\x03\x04",
            b"\x15\x03\x01\x00\x02",  # an alert
            b"\x16\x02\x00\x00\x02",  # SSL 2
            b"\x16\x03\x01\x00\x00",  # an empty record
            b"\x16\x03\x01\xff\xff",  # longer than any record
        ],
    )
    def test_other_beginnings_are_not_tls(self, data: bytes) -> None:
        assert read_client_hello(data) is Verdict.NOT_TLS

    def test_another_handshake_message_is_malformed(self) -> None:
        assert read_client_hello(records(b"\x02\x00\x00\x04abcd", 100)) is Verdict.MALFORMED

    def test_lengths_that_lead_beyond_the_end_are_malformed(self) -> None:
        assert read_client_hello(records(b"\x01\x00\x00\x04abcd", 100)) is Verdict.MALFORMED

    def test_an_announced_length_above_the_limit_is_refused_at_once(self) -> None:
        assert read_client_hello(b"\x16\x03\x01\x00\x04\x01\x00\x40\x00") is Verdict.TOO_LARGE

    @given(st.binary(max_size=200))
    def test_whatever_comes_there_is_a_verdict(self, noise: bytes) -> None:
        hello = hello_of_openssl("a.test", "h2")
        at = len(noise) % len(hello)

        read_client_hello(noise)
        read_client_hello(hello[:at] + noise + hello[at + len(noise) :])


class TestHttp:
    @pytest.mark.parametrize(
        ("data", "protocol"),
        [
            (b"GET / HTTP/1.1\r\n", "http/1.1"),
            (b"POST /a?b HTTP/1.0\r\nhost", "http/1.0"),
            (b"get / HTTP/1.1\n", "http/1.1"),
            (b"GET http://a/ HTTP/1.1\r\n", "http/1.1"),
            (b"CONNECT a:80 HTTP/1.1\r\n", "http/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", "h2c"),
            (b"", Verdict.NEED_MORE),
            (b"PRI * HT", Verdict.NEED_MORE),
            (b"GET /a/long/path", Verdict.NEED_MORE),
            (b"GET / HTTP/0.9\r\n", Verdict.NOT_HTTP),
            (b"\x16\x03\x01", Verdict.NOT_HTTP),
            (b"A" * 40, Verdict.NEED_MORE),
            (b"hello", Verdict.NEED_MORE),
            (b"hello world", Verdict.NEED_MORE),
            (b"A" * (MAX_REQUEST_LINE_BYTES + 1), Verdict.NOT_HTTP),
            (b"hello\r\n", Verdict.NOT_HTTP),
            (b"\r\nGET / HTTP/1.1\r\n", Verdict.NOT_HTTP),
            (b"GET a:80 HTTP/1.1\r\n", Verdict.NOT_HTTP),
            (b"GET /a b HTTP/1.1\r\n", Verdict.NOT_HTTP),
            (b"EHLO mail\r\n", Verdict.NOT_HTTP),
        ],
    )
    def test_first_words(self, data: bytes, protocol: str | Verdict) -> None:
        assert sniff_http(data) == protocol
