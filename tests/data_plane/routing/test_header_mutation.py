"""Headers added and removed: the order of the levels is what a live Envoy 1.40 showed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data_plane.routing.requests import Head, compile_table, find, one_host

APPEND = "APPEND_IF_EXISTS_OR_ADD"
OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
ABSENT = "ADD_IF_ABSENT"
EXISTS = "OVERWRITE_IF_EXISTS"


def _option(value: str, action: str = APPEND, name: str = "X") -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


@pytest.mark.parametrize(
    ("action", "most_specific_wins", "recorded"),
    [
        (APPEND, False, ["weighted", "route", "host", "configuration"]),
        (OVERWRITE, False, ["configuration"]),
        (ABSENT, False, ["weighted"]),
        (APPEND, True, ["weighted", "configuration", "host", "route"]),
        (OVERWRITE, True, ["route"]),
        (ABSENT, True, ["weighted"]),
    ],
)
@pytest.mark.parametrize("direction", ["request", "response"])
def test_levels(direction: str, action: str, most_specific_wins: bool, recorded: list[str]) -> None:
    field = f"{direction}_headers_to_add"
    cluster = {"name": "c", "weight": 1, field: [_option("weighted", action)]}
    route = {
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": [cluster]}},
        field: [_option("route", action)],
    }
    config = one_host(route, **{field: [_option("host", action)]})
    config[field] = [_option("configuration", action)]
    config["most_specific_header_mutations_wins"] = most_specific_wins
    found = find(compile_table(config), Head())
    assert found is not None
    choice = found.action.choose(Head(), 0)  # type: ignore[union-attr]
    headers = Head()
    (choice.request_headers if direction == "request" else choice.response_headers).apply(headers, None)
    assert headers.header_values("x") == recorded


def _applied(
    add: list[dict[str, Any]],
    before: list[tuple[str, str]],
    remove: list[str] | None = None,
    info: dict[str, str] | None = None,
) -> list[tuple[str, str]]:
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": add,
        "response_headers_to_remove": remove or [],
    }
    found = find(compile_table(one_host(route)), Head())
    assert found is not None
    headers = Head(headers=before)
    found.response_headers.apply(headers, info or {})
    return headers.headers


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        (APPEND, [], ["new"]),
        (APPEND, ["old"], ["old", "new"]),
        (ABSENT, [], ["new"]),
        (ABSENT, ["old"], ["old"]),
        (OVERWRITE, [], ["new"]),
        (OVERWRITE, ["old", "older"], ["new"]),
        (EXISTS, [], []),
        (EXISTS, ["old"], ["new"]),
    ],
)
def test_append_actions(action: str, before: list[str], after: list[str]) -> None:
    given = [("x", value) for value in before]
    assert _applied([_option("new", action)], given) == [("x", value) for value in after]


def test_the_obsolete_append_field() -> None:
    option = {"header": {"key": "x", "value": "new"}, "append": False}
    assert _applied([option], [("x", "old")]) == [("x", "new")]


def test_one_step_removes_then_overwrites_then_adds() -> None:
    add = [_option("1"), _option("2", OVERWRITE), _option("3")]
    assert _applied(add, [("x", "0"), ("y", "0")], ["Y", "X"]) == [("x", "2"), ("x", "1"), ("x", "3")]


def test_values_are_computed_before_any_is_written() -> None:
    add = [_option("set", OVERWRITE), _option("second", EXISTS)]
    assert _applied(add, []) == [("x", "set")]


def test_empty_values_are_left_out_unless_kept() -> None:
    kept = {"header": {"key": "z", "value": ""}, "keep_empty_value": True}
    add = [_option("", name="y"), kept, _option("%NOTHING%", name="q")]
    assert _applied(add, [], info={"NOTHING": ""}) == [("z", "")]


def test_formats() -> None:
    add = [_option("[%PROTOCOL%]"), _option("100%%", name="y")]
    assert _applied(add, [], info={"PROTOCOL": "HTTP/1.1"}) == [("x", "[HTTP/1.1]"), ("y", "100%")]


def test_nothing_to_do_is_false() -> None:
    found = find(
        compile_table(one_host({"match": {"prefix": "/"}, "direct_response": {"status": 200}})), Head()
    )
    assert found is not None
    assert not found.request_headers
    assert not found.response_headers
