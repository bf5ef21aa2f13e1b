"""Durations as Go writes them: `10s`, `1m30s`, `0.5s`, `100ms`."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
#: Nobody needs more digits, and reading thousands of them takes long.
_LONGEST_TEXT = 100
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def parse_duration(text: str) -> timedelta | None:
    """The duration that the text says, or None when it says none.

    Python counts whole microseconds; what is finer is rounded away from zero, so that those who ask for
    whole milliseconds see that it is none.
    """
    if text in ("0", "+0", "-0"):
        return timedelta()
    if len(text) > _LONGEST_TEXT or not _WHOLE.fullmatch(text):
        return None
    micros = -(-sum(_nanoseconds(number, unit) for number, unit in _PART.findall(text)) // 1000)
    try:
        return timedelta(microseconds=-micros if text.startswith("-") else micros)
    except OverflowError:
        return None


def _nanoseconds(number: str, unit: str) -> int:
    whole, _, fraction = number.partition(".")
    scale: int = 10 ** len(fraction)
    return -(-int(whole + fraction) * _NANOSECONDS[unit] // scale)


def nearest_duration(text: str) -> str | None:
    """What somebody who wrote `text` may have meant: `10` -> `10s`, `5 sec` -> `5s`."""
    found = re.fullmatch(
        r"\s*(\d+(?:\.\d+)?)\s*(|s|secs?|seconds?|ms|millis|milliseconds?|m|mins?|minutes?|h|hours?)\s*",
        text,
        re.I,
    )
    if found is None:
        return None
    number, unit = found[1], found[2].lower()
    if unit.startswith("mi") and not unit.startswith("min"):
        unit = "ms"
    return number + (unit if unit == "ms" else unit[:1] or "s")
