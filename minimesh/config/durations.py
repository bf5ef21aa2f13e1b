"""Durations as Go writes them: `10s`, `1m30s`, `0.5s`, `100ms`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from math import ceil

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
_MICROSECONDS = {
    "ns": Decimal("0.001"),
    "us": Decimal(1),
    "µs": Decimal(1),
    "μs": Decimal(1),
    "ms": Decimal(1000),
    "s": Decimal(1_000_000),
    "m": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
}


def parse_duration(text: str) -> timedelta | None:
    """The duration that the text says, or None when it says none.

    Python counts whole microseconds; what is finer is rounded away from zero, so that those who ask for
    whole milliseconds see that it is none.
    """
    if text in ("0", "+0", "-0"):
        return timedelta()
    if not _WHOLE.fullmatch(text):
        return None
    micros = ceil(sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(text)))
    try:
        return timedelta(microseconds=-micros if text.startswith("-") else micros)
    except OverflowError:
        return None


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
