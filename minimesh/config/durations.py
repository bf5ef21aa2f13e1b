"""Durations as Go writes them: `10s`, `1m30s`, `0.5s`, `100ms`."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> timedelta | None:
    """The duration that the text says, or None when it says none.

    Python counts whole microseconds; the rest is rounded.
    """
    if text in ("0", "+0", "-0"):
        return timedelta()
    if not _WHOLE.fullmatch(text):
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    try:
        return timedelta(seconds=-seconds if text.startswith("-") else seconds)
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
