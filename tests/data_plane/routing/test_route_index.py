"""The index answers as trying every route in order does, at the same cost for ten routes and ten thousand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimesh.data_plane.routing.actions import DirectResponseAction
from minimesh.data_plane.routing.matchers import (
    FractionMatcher,
    HeaderPresence,
    PathKind,
    PathMatch,
    RouteMatch,
)
from minimesh.data_plane.routing.regex import Regex
from minimesh.data_plane.routing.request import path_without_query
from minimesh.data_plane.routing.route_index import RouteIndex, literal_prefix
from minimesh.data_plane.routing.route_table import Route, VirtualHost
from minimesh.data_plane.runtime import Fraction
from tests.data_plane.routing.requests import Head

_PATHS = st.text("/aAb", max_size=5).map(lambda text: "/" + text)
_REGEXES = st.sampled_from(
    ["/a.*", "/[ab]+", "/a|/b", "/(a|b)b?", "/ab*", "(?i)/a/b", "^/a$", ".*", "/a[|]?(b|A)", "/b+"]
)


@st.composite
def _path_matches(draw: Callable[[Any], Any]) -> PathMatch:
    kind = draw(st.sampled_from(list(PathKind)))
    if kind is PathKind.REGEX:
        regex = Regex(draw(_REGEXES))
        return PathMatch(kind, regex.pattern, regex=regex)
    value = draw(_PATHS)
    if kind is PathKind.SEPARATED_PREFIX:
        value = "/" + value.strip("/")
    return PathMatch(kind, value, draw(st.booleans()))


_CONDITIONS = st.lists(
    st.one_of(
        st.builds(HeaderPresence, st.sampled_from(["x", "y"]), st.booleans()),
        st.builds(FractionMatcher, st.builds(Fraction, st.sampled_from([0, 50, 100]))),
    ),
    max_size=2,
).map(tuple)
_ROUTES = st.lists(st.builds(RouteMatch, _path_matches(), _CONDITIONS), max_size=12)
_HEADS = st.builds(
    Head,
    path=st.tuples(_PATHS, st.sampled_from(["", "?a", "?/a#/b", "#/b"])).map("".join),
    headers=st.lists(st.sampled_from([("x", "1"), ("y", "1")]), max_size=2),
)


def _routes(matches: list[RouteMatch]) -> list[tuple[RouteMatch, Route]]:
    return [
        (match, Route(DirectResponseAction(200), name=str(number))) for number, match in enumerate(matches)
    ]


@given(_ROUTES, st.lists(_HEADS, min_size=1, max_size=4), st.integers(0, 99))
def test_the_first_match_in_order(matches: list[RouteMatch], heads: list[Head], random_value: int) -> None:
    routes = _routes(matches)
    virtual_host = VirtualHost("v", ["*"], routes, memo_limit=2)
    for head in heads:
        path = path_without_query(head.path)
        expected = next((route for match, route in routes if match.matches(path, head, random_value)), None)
        assert virtual_host.find_route(head, random_value) is expected
        assert virtual_host.find_route(head, random_value) is expected, "the second time, from the memo"


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("/users/[0-9]+", "/users/"),
        ("^/users/.*$", "/users/"),
        ("/v1/(a|b)", "/v1/"),
        ("/v1/[^|/]+", "/v1/"),
        (r"/v1/[\]|]+", "/v1/"),
        ("/a|/b", ""),
        ("[(]|x", ""),
        (r"\Q(\E|x", ""),
        ("/ab*", "/a"),
        ("/ab?", "/a"),
        ("/ab{0,2}", "/a"),
        ("/ab+", "/ab"),
        ("(?i)/a", ""),
        (r"/a\.html", "/a"),
        (".*", ""),
        ("", ""),
    ],
)
def test_what_every_match_begins_with(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


def _steps(call: Callable[[], object]) -> int:
    """Lines of Python that a call runs, in all functions it calls."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(previous)
    return count


def _large_host(count: int) -> VirtualHost:
    """Exact, prefix, separated-prefix and regular-expression routes in turn, and a last resort."""
    matches = []
    for number in range(count // 4):
        name = f"/service{number:05d}"
        regex = Regex(f"{name}/re/[0-9]+")
        matches += [
            RouteMatch(PathMatch(PathKind.EXACT, f"{name}/exact")),
            RouteMatch(PathMatch(PathKind.REGEX, regex.pattern, regex=regex)),
            RouteMatch(PathMatch(PathKind.SEPARATED_PREFIX, f"{name}/sep")),
            RouteMatch(PathMatch(PathKind.PREFIX, name), (HeaderPresence("x"),)),
        ]
    matches.append(RouteMatch(PathMatch(PathKind.PREFIX, "/")))
    return VirtualHost("v", ["*"], _routes(matches))


@pytest.mark.parametrize("tail", ["/exact", "/re/7", "/sep/x", "/other"])
def test_the_cost_does_not_grow_with_the_number_of_routes(tail: str) -> None:
    few, many = _large_host(12), _large_host(10_000)

    def head(number: int) -> Head:
        return Head(f"/service{number:05d}{tail}", headers=[("x", "1")] if tail == "/other" else [])

    def steps(host: VirtualHost, number: int) -> tuple[int, int]:
        first = _steps(lambda: host.find_route(head(number), 0))
        return first, _steps(lambda: host.find_route(head(number), 0))

    last = 10_000 // 4 - 1
    found = many.find_route(head(last), 0)
    assert found is not None
    assert int(found.name) // 4 == last
    many = _large_host(10_000)
    assert steps(many, last) == steps(few, 2)


def test_the_memo_is_bounded() -> None:
    match = RouteMatch(PathMatch(PathKind.PREFIX, "/"))
    index = RouteIndex([(match, "target")], memo_limit=8)
    for number in range(100):
        assert index.candidates(f"/{number}") == (((), "target"),)
    index.candidates("/" + "x" * 10_000)
    assert len(index._memo) <= 8
    assert max(map(len, index._memo)) < 1000
