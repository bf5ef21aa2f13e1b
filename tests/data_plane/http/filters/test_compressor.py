"""The compressor filter. Which responses it leaves alone is compared with Envoy in the conformance suite."""

from __future__ import annotations

import zlib

import pytest

from minimesh.data_plane.http.filters.accept_encoding import Answer, answer
from tests.data_plane.http.filters.chains import TYPE, chain, counted, header, request, routes
from tests.data_plane.http.filters.refusals import refusal_of
from tests.data_plane.http.lab import Lab, lab

KIND = "compressor.v3.Compressor"
LIBRARY = "type.googleapis.com/envoy.extensions.compression."
GZIP = {"name": "text", "typed_config": {"@type": LIBRARY + "gzip.compressor.v3.Gzip"}}
COMPRESSOR = chain(
    KIND,
    compressor_library=GZIP,
    response_direction_config={"common_config": {"content_type": ["text/plain"], "min_content_length": 5}},
)


async def ask(running: Lab, path: str, accepted: str = "gzip") -> tuple[str, bytes]:
    """Head and unpacked body."""
    client = await running.client()
    client.send(request(f"GET {path}", f"Accept-Encoding: {accepted}"))
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    body = b""
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        body += (await client.reader.readexactly(size + 2))[:-2]
    client.close()
    return head, zlib.decompress(body, 16 + zlib.MAX_WBITS)


async def test_a_body_that_comes_whole() -> None:
    async with lab(routes(), http_filters=COMPRESSOR) as running:
        head, body = await ask(running, "/direct")
        assert body == b"d" * 40
        assert header(head, "content-encoding") == ["gzip"]
        assert header(head, "vary") == ["Accept-Encoding"]
        assert header(head, "content-length") == []
        prefix = "http.ingress.compressor.text.gzip."
        assert counted(running, prefix + "response.compressed") == 1
        assert counted(running, prefix + "response.total_uncompressed_bytes") == 40


async def test_a_body_that_comes_in_pieces_can_be_read_piece_by_piece() -> None:
    async with lab(routes(), http_filters=COMPRESSOR) as running:
        client = await running.client()
        client.send(request("GET /stall-after-hello", "Accept-Encoding: gzip"))
        await client.reader.readuntil(b"\r\n\r\n")
        size = int(await client.reader.readuntil(b"\r\n"), 16)
        unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
        assert unpack.decompress(await client.reader.readexactly(size)) == b"hello"
        client.close()


async def test_a_route_may_leave_it_out() -> None:
    off = {"@type": f"{TYPE}{KIND}PerRoute", "disabled": True}
    async with lab(routes(("/chunked", off)), http_filters=COMPRESSOR) as running:
        head = await running.ask(request("GET /chunked", "Accept-Encoding: gzip"))
        assert header(head, "content-encoding") == []


@pytest.mark.parametrize(
    ("accepted", "outcome"),
    [
        (None, Answer.ABSENT),
        ("gzip", Answer.CODING),
        ("br, gzip;q=0.1", Answer.CODING),
        ("gzip ; q=1.0", Answer.CODING),
        ("*", Answer.WILDCARD),
        ("gzip;q=0.3, *;q=0.8", Answer.WILDCARD),
        ("identity, gzip;q=0.9", Answer.IDENTITY),
        ("gzip;q=0, *", Answer.NOT_VALID),
        ("gzip;q=nonsense", Answer.NOT_VALID),
        ("GZIP", Answer.NOT_VALID),
        ("br", Answer.NOT_VALID),
        ("", Answer.NOT_VALID),
    ],
)
def test_what_a_client_likes_best(accepted: str | None, outcome: Answer) -> None:
    assert answer(accepted, "gzip") is outcome


async def test_other_codings_are_refused_by_name() -> None:
    for name in ("brotli.compressor.v3.Brotli", "zstd.compressor.v3.Zstd"):
        library = {"name": "other", "typed_config": {"@type": LIBRARY + name}}
        try:
            reason = refusal_of(chain(KIND, compressor_library=library))
        except Exception as error:
            reason = str(error)
        assert name in reason


async def test_requests_are_not_compressed() -> None:
    filters = chain(KIND, compressor_library=GZIP, request_direction_config={})
    assert refusal_of(filters) == "http_filters[0].typed_config.request_direction_config: not supported"
