"""The buffer filter. Envoy is asked the same in the conformance suite."""

from __future__ import annotations

from tests.data_plane.http.filters.chains import TYPE, chain, chunked, header, post, routes, status_of
from tests.data_plane.http.filters.refusals import refusal_of
from tests.data_plane.http.lab import lab

BUFFER = chain("buffer.v3.Buffer", max_request_bytes=10)
PER_ROUTE = TYPE + "buffer.v3.BufferPerRoute"


async def test_a_request_gets_a_length_when_all_of_it_is_there() -> None:
    async with lab(routes(), http_filters=BUFFER) as running:
        await running.ask(chunked("/x", "abc", "def"))
        [request] = running.upstream.requests
        assert header(request, "content-length") == ["6"]
        assert request.endswith("\r\n\r\nabcdef")


async def test_a_larger_request_is_refused_unless_its_route_says_otherwise() -> None:
    table = routes(
        ("/off", {"@type": PER_ROUTE, "disabled": True}),
        ("/more", {"@type": PER_ROUTE, "buffer": {"max_request_bytes": 20}}),
    )
    async with lab(table, http_filters=BUFFER) as running:
        statuses = [
            status_of(await running.ask(post(path, "a" * size)))
            for path, size in (("/x", 10), ("/x", 11), ("/more", 20), ("/more", 21), ("/off", 99))
        ]
    assert statuses == ["200", "413", "200", "413", "200"]


async def test_its_limit_may_be_above_that_of_the_connection() -> None:
    async with lab(
        routes(), http_filters=chain("buffer.v3.Buffer", max_request_bytes=500_000), buffer_limit_bytes=1000
    ) as running:
        assert status_of(await running.ask(post("/x", "a" * 400_000))) == "200"


async def test_what_is_refused() -> None:
    assert (
        refusal_of(chain("buffer.v3.Buffer"))
        == "http_filters[0].typed_config.max_request_bytes: must be greater than 0"
    )
