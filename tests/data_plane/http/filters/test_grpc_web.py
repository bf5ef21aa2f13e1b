"""The gRPC-Web filter. Envoy is asked the same in the conformance suite."""

from __future__ import annotations

import base64

import pytest

from minimesh.data_plane.http.http1.upstream import connect_http1
from minimesh.data_plane.upstream.cluster import ClusterSettings
from tests.data_plane.http.filters.chains import body_of, chain, header, post, routes, status_of
from tests.data_plane.http.lab import lab

GRPC_WEB = chain("grpc_web.v3.GrpcWeb")
TRAILING = {"up": ClusterSettings("up", connect=connect_http1, http1_trailers=True)}
FRAME = "\0\0\0\0\2hi"
TRAILERS = b"\x80\0\0\0\x20grpc-status:0\r\ngrpc-message:ok\r\n"


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode("latin-1")).decode()


async def test_trailers_become_the_last_frame() -> None:
    async with lab(routes(), TRAILING, http_filters=GRPC_WEB) as running:
        answer = await running.ask(post("/grpc", FRAME, "Content-Type: application/grpc-web+proto"))
        assert header(answer, "content-type") == ["application/grpc-web+proto"]
        body = answer.encode("latin-1")
        assert b"\0\0\0\0\2yo" in body
        assert TRAILERS in body
        [request] = running.upstream.requests
        assert header(request, "content-type") == ["application/grpc"]
        assert header(request, "te") == ["trailers"]


@pytest.mark.parametrize("cut", [3, 5, 8])
async def test_text_is_decoded_however_it_is_cut(cut: int) -> None:
    text = in_base64(FRAME)
    async with lab(routes(), TRAILING, http_filters=GRPC_WEB) as running:
        client = await running.client()
        client.send(post("/grpc", text, "Content-Type: application/grpc-web-text")[: cut - len(text)])
        await running.upstream.request_came()
        client.send(text[cut:])
        assert status_of(await client.response()) == "200"
        client.close()
        assert FRAME[:3] in body_of(running.upstream.requests[0])


async def test_answers_go_out_in_base64_to_those_who_ask_for_it() -> None:
    kind = "application/grpc-web-text"
    async with lab(routes(), TRAILING, http_filters=GRPC_WEB) as running:
        answer = await running.ask(
            post("/grpc", in_base64(FRAME), f"Content-Type: {kind}", f"Accept: {kind}")
        )
        assert header(answer, "content-type") == [f"{kind}+proto"]
        assert in_base64("\0\0\0\0\2yo") in answer
        assert base64.b64encode(TRAILERS).decode() in answer


@pytest.mark.parametrize(
    ("text", "details"),
    [("AAA", "grpc_base_64_decode_failed_bad_size"), ("!!!!", "grpc_base_64_decode_failed")],
)
async def test_what_is_no_base64_is_refused_in_the_clients_own_words(text: str, details: str) -> None:
    async with lab(routes(), http_filters=GRPC_WEB) as running:
        answer = await running.ask(post("/grpc", text, "Content-Type: application/grpc-web-text"))
        assert status_of(answer) == "400"
        assert header(answer, "grpc-status") == ["13"]
        assert header(answer, "grpc-message") == ["Bad gRPC-web request, invalid base64 data."]
        assert f" 400 - {details} " in await running.log.next()


async def test_an_answer_that_is_no_grpc_becomes_a_message() -> None:
    async with lab(routes(), http_filters=GRPC_WEB) as running:
        answer = await running.ask(post("/status/503", FRAME, "Content-Type: application/grpc-web"))
        assert (status_of(answer), header(answer, "grpc-status")) == ("503", ["14"])
        assert header(answer, "grpc-message")[0].startswith('{"tag"')
        assert body_of(answer) == ""


async def test_everybody_else_passes() -> None:
    async with lab(routes(), http_filters=GRPC_WEB) as running:
        answer = await running.ask(post("/x", "abc", "Content-Type: text/plain"))
        assert header(answer, "content-type") == ["application/json"]
