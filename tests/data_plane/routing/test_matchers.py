"""Conditions of routes. The tables say what a live Envoy 1.40 matched (1) and what not (0)."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.data_plane.routing.matchers import decimal_number
from minimesh.data_plane.routing.request import PeerCertificate
from tests.data_plane.routing.requests import Head, compile_table, find, one_host


def _matches(match: dict[str, Any], head: Head, random_value: int = 0) -> bool:
    match = match if match.keys() & {"prefix", "safe_regex"} else {"prefix": "/", **match}
    route = {"match": match, "direct_response": {"status": 200}}
    return find(compile_table(one_host(route)), head, random_value) is not None


HEADER_REQUESTS: list[list[str]] = [
    [],
    ["a"],
    [""],
    ["b"],
    ["a", "b"],
    ["b", "a"],
    ["a,b"],
    ["2"],
    ["+2"],
    ["2", "9"],
    ["x", "2"],
]
PRESENT = {"present_match": True}
ABSENT = {"present_match": False}
ANYTHING = {"string_match": {"safe_regex": {"regex": ".*"}}}
EXACT = {"string_match": {"exact": "a"}}
RANGE = {"range_match": {"start": 1, "end": 3}}
SUFFIX = {"string_match": {"suffix": "A", "ignore_case": True}}
INVERT = {"invert_match": True}
MISSING = {"treat_missing_header_as_empty": True}


@pytest.mark.parametrize(
    ("matcher", "recorded"),
    [
        (PRESENT, "01111111111"),
        ({}, "01111111111"),
        (ABSENT, "10000000000"),
        (ANYTHING, "01111111111"),
        (EXACT, "01001100000"),
        (RANGE, "00000001111"),
        (SUFFIX, "01001100000"),
        (PRESENT | MISSING, "11111111111"),
        (ABSENT | MISSING, "00000000000"),
        (ANYTHING | MISSING, "11111111111"),
        (EXACT | MISSING, "01001100000"),
        (RANGE | MISSING, "00000001111"),
        (PRESENT | INVERT, "10000000000"),
        (INVERT, "10000000000"),
        (ABSENT | INVERT, "01111111111"),
        (ANYTHING | INVERT, "00000000000"),
        (EXACT | INVERT, "00110011111"),
        (RANGE | INVERT, "01111110000"),
        (SUFFIX | INVERT, "00110011111"),
        (PRESENT | INVERT | MISSING, "00000000000"),
        (ABSENT | INVERT | MISSING, "11111111111"),
        (EXACT | INVERT | MISSING, "10110011111"),
        (RANGE | INVERT | MISSING, "11111110000"),
    ],
    ids=str,
)
def test_headers(matcher: dict[str, Any], recorded: str) -> None:
    ours = ""
    for values in HEADER_REQUESTS:
        head = Head(headers=[("h", value) for value in values])
        ours += str(int(_matches({"headers": [{"name": "H", **matcher}]}, head)))
    assert ours == recorded


QUERIES = ["", "?", "?v", "?v=", "?v=1", "?v=2&v=1", "?v=1&v=2", "?x=1&v=1", "?v=1=2", "?V=1", "?%76=1"]
QUERIES += ["?v=%31", "?v=%20a", "?a&&v=1", "?v=aB", "??v=1", "?=v"]


@pytest.mark.parametrize(
    ("matcher", "recorded"),
    [
        ({"present_match": True}, "00111111100111100"),
        ({"present_match": False}, "11000000011000011"),
        ({}, "00111111100111100"),
        ({"string_match": {"exact": "1"}}, "00001011000001000"),
        ({"string_match": {"prefix": "%20"}}, "00000000000010000"),
        ({"string_match": {"exact": "AB", "ignore_case": True}}, "00000000000000100"),
    ],
    ids=str,
)
def test_query_parameters(matcher: dict[str, Any], recorded: str) -> None:
    match = {"query_parameters": [{"name": "v", **matcher}]}
    assert "".join(str(int(_matches(match, Head("/" + query)))) for query in QUERIES) == recorded


@pytest.mark.parametrize(
    ("obsolete", "value", "expected"),
    [
        ("exact_match", "abc", True),
        ("exact_match", "ab", False),
        ("prefix_match", "ab", True),
        ("prefix_match", "bc", False),
        ("suffix_match", "bc", True),
        ("suffix_match", "ab", False),
        ("contains_match", "b", True),
        ("contains_match", "x", False),
        ("safe_regex_match", {"regex": "a.c"}, True),
        ("safe_regex_match", {"regex": "b"}, False),
    ],
)
def test_obsolete_spellings(obsolete: str, value: object, expected: bool) -> None:
    match = {"headers": [{"name": "h", obsolete: value}]}
    assert _matches(match, Head(headers=[("h", "abc")])) is expected


@pytest.mark.parametrize(
    ("kind", "value", "ignore_case", "expected"),
    [
        ("contains", "B", False, False),
        ("contains", "B", True, True),
        ("prefix", "AB", True, True),
        ("exact", "ABC", True, True),
        ("exact", "", False, False),
    ],
)
def test_strings(kind: str, value: str, ignore_case: bool, expected: bool) -> None:
    match = {"headers": [{"name": "h", "string_match": {kind: value, "ignore_case": ignore_case}}]}
    assert _matches(match, Head(headers=[("h", "abc")])) is expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        (" -7 ", -7),
        ("+7", 7),
        ("", None),
        ("7x", None),
        ("1_000", None),
        ("٣", None),
        ("1.0", None),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("-9223372036854775808", -(2**63)),
        ("9" * 5000, None),
    ],
)
def test_numbers(text: str, number: int | None) -> None:
    assert decimal_number(text) == number


def test_pseudo_headers() -> None:
    match = {
        "headers": [
            {"name": ":method", "string_match": {"exact": "POST"}},
            {"name": ":authority", "string_match": {"exact": "a.com:80"}},
            {"name": ":path", "string_match": {"exact": "/x?q"}},
            {"name": ":scheme", "string_match": {"exact": "https"}},
        ]
    }
    assert _matches(match, Head("/x?q", "POST", "a.com:80", "https"))
    assert not _matches(match, Head("/x", "POST", "a.com:80", "https"))


def test_configured_text_is_compared_as_bytes() -> None:
    wire = "/caf\u00e9".encode().decode("latin-1")
    assert _matches({"prefix": "/café"}, Head(wire))
    assert _matches({"safe_regex": {"regex": "/caf(é)"}}, Head(wire))


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc-web", False),
        ("application/json", False),
        (None, False),
    ],
)
def test_grpc(content_type: str | None, expected: bool) -> None:
    headers = [("content-type", content_type)] if content_type else []
    assert _matches({"grpc": {}}, Head(headers=headers)) is expected


@pytest.mark.parametrize(
    ("numerator", "denominator", "random_value", "expected"),
    [
        (30, "HUNDRED", 29, True),
        (30, "HUNDRED", 30, False),
        (30, "HUNDRED", 129, True),
        (0, "HUNDRED", 0, False),
        (100, "HUNDRED", 99, True),
        (1, "MILLION", 1_000_000, True),
        (1, "TEN_THOUSAND", 1, False),
    ],
)
def test_runtime_fraction(numerator: int, denominator: str, random_value: int, expected: bool) -> None:
    value = {"numerator": numerator, "denominator": denominator}
    match = {"runtime_fraction": {"default_value": value, "runtime_key": "unused"}}
    assert _matches(match, Head(), random_value) is expected


@pytest.mark.parametrize(
    ("asked", "certificate", "expected"),
    [
        ({"presented": True}, None, False),
        ({"presented": False}, None, True),
        ({"presented": True}, PeerCertificate(True, False), True),
        ({"presented": True, "validated": True}, PeerCertificate(True, False), False),
        ({"validated": True}, PeerCertificate(True, True), True),
        ({}, None, True),
    ],
)
def test_tls_context(asked: dict[str, bool], certificate: PeerCertificate | None, expected: bool) -> None:
    assert _matches({"tls_context": asked}, Head(peer_certificate=certificate)) is expected


@pytest.mark.parametrize(
    ("value", "stored", "expected"),
    [
        ({"string_match": {"prefix": "a"}}, "abc", True),
        ({"string_match": {"prefix": "a"}}, 1.0, False),
        ({"bool_match": True}, True, True),
        ({"bool_match": True}, 1.0, False),
        ({"null_match": {}}, None, True),
        ({"double_match": {"exact": 1}}, 1.0, True),
        ({"double_match": {"range": {"start": 1, "end": 2}}}, 2.0, False),
        ({"double_match": {"range": {"start": 1, "end": 2}}}, 1.5, True),
        ({"double_match": {"exact": 1}}, True, False),
        ({"present_match": True}, "x", True),
        ({"list_match": {"one_of": {"string_match": {"exact": "b"}}}}, ["a", "b"], True),
        ({"list_match": {"one_of": {"string_match": {"exact": "b"}}}}, "b", False),
        (
            {
                "or_match": {
                    "value_matchers": [{"bool_match": False}, {"string_match": {"exact": "b"}}],
                }
            },
            "b",
            True,
        ),
    ],
)
def test_dynamic_metadata(value: dict[str, Any], stored: object, expected: bool) -> None:
    matcher = {"filter": "ns", "path": [{"key": "a"}, {"key": "b"}], "value": value}
    stored_metadata: dict[str, dict[str, object]] = {"ns": {"a": {"b": stored}}}
    head = Head(dynamic_metadata=stored_metadata)
    assert _matches({"dynamic_metadata": [matcher]}, head) is expected
    assert _matches({"dynamic_metadata": [matcher | {"invert": True}]}, head) is not expected
    assert not _matches({"dynamic_metadata": [matcher]}, Head())
