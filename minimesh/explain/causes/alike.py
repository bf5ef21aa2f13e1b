"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


def alike(one: str, other: str) -> float:
    """How much two names have in common, from 0 to 1."""
    return SequenceMatcher(None, one, other).ratio()


def nearest(wanted: str, known: Iterable[str]) -> str:
    """The known name that comes closest; empty where there is none."""
    return max(dict.fromkeys(known), key=lambda each: alike(wanted, each), default="")
