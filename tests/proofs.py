"""The mark by which a test says which fields of the API it proves to be acted on.

The marks are read from the source (`tests.docs.api_reference`), never from running tests, so that the
reference can be made without any. A path ends in `**` to stand for all below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def proves(kind: str, *paths: str) -> Callable[[T], T]:
    """Mark a test: it fails when one of these fields of `kind` is no longer acted on."""
    if not kind or not paths:
        raise ValueError("a proof names a kind and at least one field")
    return lambda test: test
