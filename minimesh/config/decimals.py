"""Whole numbers in text that people and clients write. Pure."""

from __future__ import annotations

_MOST_DIGITS = 18
"""Any number of so many digits fits into the 64 bits that Kubernetes counts with."""


def decimal(text: str) -> int | None:
    """The number that the digits say; None for all that is no such number, `str.isdigit` believes more."""
    if len(text) > _MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text)
