"""What nodes hold, and how much of one is read."""

from __future__ import annotations

import pytest

from minimesh.config import yaml_nodes
from minimesh.config.decoding import composed
from minimesh.config.yaml_nodes import Node, is_beyond_limits, plain


def node(text: str) -> Node:
    ((found, _),) = composed(text, "f.yaml", [])
    return found


NINE_VALUES = "{a: &a [1, 2, 3], b: *a}"  # the map, two lists, six numbers: an alias counts as what it names


@pytest.mark.parametrize(("limit", "is_beyond"), [(8, True), (9, False)])
def test_aliases_count_each_time_they_are_used(
    limit: int, is_beyond: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_nodes, "MAX_NODES", limit)
    assert is_beyond_limits(node(NINE_VALUES)) is is_beyond
    whole = {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert (plain(node(NINE_VALUES)) == whole) is not is_beyond


@pytest.mark.parametrize(("limit", "is_beyond"), [(2, True), (3, False)])
def test_levels_are_counted(limit: int, is_beyond: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MAX_DEPTH", limit)
    assert is_beyond_limits(node("{a: [{b: 1}]}")) is is_beyond
    assert (plain(node("{a: [{b: 1}]}")) == {"a": [{"b": 1}]}) is not is_beyond


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0o17", 15),
        ("017", 15),
        ("-0x1f", -31),
        ("1_000", 1000),
        ("08", 8.0),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("y", True),
        ("Off", False),
        ("~", None),
        ("12:30", "12:30"),
        ("!!int x", "x"),
    ],
)
def test_scalars_mean_what_they_mean_to_the_api_server(written: str, meant: object) -> None:
    found = plain(node(written))
    assert (found, type(found)) == (meant, type(meant))
