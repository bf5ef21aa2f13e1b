"""A Python expression over one StreamInfo, `i`, and the simple ones of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from minimesh.data_plane.telemetry.format_language import Command


@dataclass(frozen=True, slots=True)
class Expression:
    """Python source that yields an operator's value, and what it needs.

    The source holds no backslash, no double quote and no text of the user's (that is bound to a name), so
    that it can stand inside an f-string of every Python version.
    """

    source: str
    #: Whether the value may be None.
    nullable: bool = True
    #: Whether an empty text means None too.
    empty_is_none: bool = False
    kind: Literal["text", "number", "any"] = "text"
    #: Objects the source refers to by name, beside `i`.
    bindings: Mapping[str, object] = field(default_factory=dict)


Builder = Callable[[Command], Expression]
"""The meaning of an operator that takes an argument. Raises FormatError, worded as Envoy's."""
_names = itertools.count()


def bind(value: object) -> tuple[str, dict[str, object]]:
    """A name for `value` that no other expression uses, and its binding."""
    name = f"bound_{next(_names)}"
    return name, {name: value}


def text_of(attribute: str) -> Expression:
    """A text for which empty means unknown."""
    return Expression(f"i.{attribute}", empty_is_none=True)


def number_of(attribute: str) -> Expression:
    return Expression(f"i.{attribute}", nullable=False, kind="number")


def maybe_number_of(attribute: str) -> Expression:
    return Expression(f"i.{attribute}", kind="number")


def nothing() -> Expression:
    return Expression("None")
