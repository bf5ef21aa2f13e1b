"""Runtime layers: who is ruled by a key follows it, and the last layer has the last word."""

from __future__ import annotations

import pytest

from minimesh.data_plane.runtime import Fraction, Layer, Runtime, RuntimeFraction, flattened
from minimesh.data_plane.telemetry.access_log_filters import sampled
from minimesh.data_plane.telemetry.stream_info import StreamInfo


def test_a_key_that_no_layer_has_leaves_the_default() -> None:
    fraction = Runtime().fraction("a.key", 30, 100)
    assert (fraction.numerator, fraction.denominator) == (30, 100)


def test_without_a_key_a_fraction_is_a_plain_value() -> None:
    assert Runtime().fraction("", 30, 100) == Fraction(30, 100)


@pytest.mark.parametrize(
    ("value", "numerator", "denominator"),
    [
        (50, 50, 100),
        ("50", 50, 100),
        (250, 100, 100),
        (Fraction(5, 10_000), 5, 10_000),
        (True, 30, 1_000_000),
        ("fast", 30, 1_000_000),
        (-1, 30, 1_000_000),
    ],
)
def test_what_a_value_means_for_a_fraction(value: object, numerator: int, denominator: int) -> None:
    runtime = Runtime()
    fraction = runtime.fraction("a.key", 30, 1_000_000)
    runtime.set_layer("admin", {"a.key": value})
    assert (fraction.numerator, fraction.denominator) == (numerator, denominator)


def test_a_share_keeps_its_denominator() -> None:
    runtime = Runtime()
    share = runtime.share("a.key", 10, 10_000)
    runtime.set_layer("admin", {"a.key": 250})
    assert (share.numerator, share.denominator) == (250, 10_000)


def test_the_last_layer_has_the_last_word_until_it_is_silent() -> None:
    runtime = Runtime()
    runtime.set_layers([Layer("base", {"a": 1}), Layer("over", {})])
    fraction = runtime.fraction("a", 0, 100)
    assert fraction.numerator == 1
    runtime.set_layer("over", {"a": 2})
    assert fraction.numerator == 2
    runtime.set_layer("over", {})
    assert fraction.numerator == 1


def test_a_layer_that_is_not_there_cannot_be_written() -> None:
    with pytest.raises(KeyError):
        Runtime().set_layer("nowhere", {})


def test_what_nobody_holds_any_more_is_let_go() -> None:
    runtime = Runtime()
    for _ in range(3):
        runtime.fraction("a", 0, 100)
    held = runtime.fraction("a", 0, 100)
    assert isinstance(held, RuntimeFraction)
    assert len(runtime._bindings["a"]) == 1


def test_nested_values_become_flat_keys() -> None:
    nested = {"a": {"b": 1, "c": {"d": "x"}}, "e": {"numerator": 5, "denominator": "TEN_THOUSAND"}}
    assert dict(flattened(nested)) == {"a.b": 1, "a.c.d": "x", "e": Fraction(5, 10_000)}


def test_proxies_that_sample_by_request_id_choose_alike() -> None:
    accepts = sampled(Fraction(0x0F, 0x100), by_request_id=True)
    info = StreamInfo()
    for request_id, chosen in (("0000000e-1", True), ("0000000f-1", False), ("1000010e-1", True)):
        info.request_id = request_id
        assert accepts(info) is chosen
