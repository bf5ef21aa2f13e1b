"""The header mutation filter. Envoy is asked the same in the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.data_plane.http.query_string import QueryString
from tests.data_plane.http.filters.chains import TYPE, chain, header, request, routes
from tests.data_plane.http.filters.refusals import refusal_of
from tests.data_plane.http.lab import lab

KIND = "header_mutation.v3.HeaderMutation"
OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"


def append(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


def level(value: str) -> dict[str, Any]:
    """A route's own mutations: one header that grows, and one that the last level wins."""
    own = [append("x-level", value), append("x-last", value, OVERWRITE)]
    return {"@type": f"{TYPE}{KIND}PerRoute", "mutations": {"request_mutations": own}}


async def test_mutations_are_done_in_order() -> None:
    mutations = [
        append("x-a", "1"),
        {"remove": "x-a"},
        append("x-a", "2"),
        append("x-a", "3", "ADD_IF_ABSENT"),
    ]
    filters = chain(KIND, mutations={"request_mutations": mutations})
    async with lab(routes(), http_filters=filters) as running:
        await running.ask(request("GET /x", "X-A: 0"))
        assert header(running.upstream.requests[0], "x-a") == ["2"]


@pytest.mark.parametrize(
    ("wins", "levels", "last"),
    [(False, ["route", "host"], "host"), (True, ["host", "route"], "route")],
)
async def test_all_levels_of_a_route_act(wins: bool, levels: list[str], last: str) -> None:
    table = routes(("/x", level("route")), typed_per_filter_config={"tested": level("host")})
    filters = chain(KIND, most_specific_header_mutations_wins=wins)
    async with lab(table, http_filters=filters) as running:
        await running.ask(request("GET /x"))
        assert header(running.upstream.requests[0], "x-level") == levels
        assert header(running.upstream.requests[0], "x-last") == [last]


async def test_local_replies_are_changed_too_whatever_the_request_was() -> None:
    filters = chain(KIND, mutations={"response_mutations": [append("x-r", "%RESPONSE_CODE%")]})
    async with lab(routes(), http_filters=filters) as running:
        assert header(await running.ask(request("GET /direct")), "x-r") == ["200"]
        assert header(await running.ask("GET / HTTP/1.1\r\n\r\n"), "x-r") == ["400"]
        assert header(await running.ask("BAD\r\n\r\n"), "x-r") == ["400"]


async def test_a_server_header_of_its_own_is_still_only_one() -> None:
    filters = chain(KIND, mutations={"response_mutations": [append("server", "mine", OVERWRITE)]})
    async with lab(routes(), http_filters=filters) as running:
        for path in ("/x", "/direct"):
            assert header(await running.ask(request(f"GET {path}")), "server") == ["envoy"]


class TestQueryString:
    def test_is_sorted_by_name_and_keeps_what_it_does_not_know(self) -> None:
        query = QueryString("/x?b=%20&a&b=%26c")
        query.add("a", "n w")
        assert str(query) == "?a=&a=n%20w&b=%20&b=%26c"

    def test_names_are_compared_decoded(self) -> None:
        query = QueryString("/x?%61=1&b=2")
        assert "a" in query
        query.remove("a")
        assert str(query) == "?b=2"

    def test_nothing_left_leaves_no_mark(self) -> None:
        query = QueryString("/x?a=1")
        query.remove("a")
        assert str(query) == ""

    def test_nothing_that_is_put_in_ends_the_target(self) -> None:
        query = QueryString("/x")
        query.replace("a", " HTTP/1.1\r\nx: &#")
        assert str(query) == "?a=%20HTTP%2F1.1%0D%0Ax%3A%20%26%23"


@pytest.mark.parametrize(
    ("mutation", "reason"),
    [
        (
            append(":path", "/"),
            "append.header.key: ':path': headers that begin with a colon, and host, may not be modified",
        ),
        ({"remove": "host"}, "remove: 'host': headers that begin with a colon, and host, may not be removed"),
        ({}, "no action: one of append, remove, remove_on_match"),
    ],
)
async def test_what_is_refused(mutation: dict[str, Any], reason: str) -> None:
    filters = chain(KIND, mutations={"request_mutations": [mutation]})
    found = refusal_of(filters).removeprefix("http_filters[0].typed_config.mutations.request_mutations[0]")
    assert found.lstrip(".: ") == reason
