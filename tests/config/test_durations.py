"""Durations in Go's spelling."""

from datetime import timedelta

import pytest

from minimesh.config.durations import nearest_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("0.5s", 0.5),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("1h", 3600),
        ("0", 0),
        ("-1s", -1),
        ("1.5h2m", 5520),
        ("250us", 0.00025),
        ("250µs", 0.00025),
    ],
)
def test_what_durations_say(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 s", "1d", "5sec", "1s2", "--1s", "9" * 400 + "h", "9" * 9000 + "h", "ten"]
)
def test_what_are_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("5", "5s"),
        ("5 sec", "5s"),
        ("2 minutes", "2m"),
        ("100 millis", "100ms"),
        ("1 Hour", "1h"),
        ("soon", None),
    ],
)
def test_what_was_meant(text: str, meant: str | None) -> None:
    assert nearest_duration(text) == meant
