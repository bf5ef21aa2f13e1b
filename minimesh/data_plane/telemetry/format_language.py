"""The grammar of Envoy's format strings: text with `%OPERATOR(argument):length%` commands in it.

Only syntax is known here; what the operators mean is in `operators`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMAND = re.compile(r"%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%")


class FormatError(ValueError):
    """A format string that Envoy would refuse too; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Command:
    """One operator as written: `%REQ(X?Y):12%` is Command("REQ", "X?Y", 12, ...)."""

    name: str
    #: None when there are no parentheses, "" when they are empty.
    argument: str | None
    #: Longest text to print, in characters.
    max_length: int | None
    #: Offset of the leading `%` in the format string.
    position: int


def parse_format(text: str) -> tuple[str | Command, ...]:
    """Split a format string into plain text and commands; `%%` is a literal per cent sign.

    Raises FormatError where Envoy's parser does.
    """
    parts: list[str | Command] = []
    plain: list[str] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        if percent < 0:
            plain.append(text[position:])
            break
        plain.append(text[position:percent])
        if text.startswith("%%", percent):
            plain.append("%")
            position = percent + 2
            continue
        found = _COMMAND.match(text, percent)
        if found is None:
            raise FormatError(
                f"Incorrect configuration: {text}. Couldn't find valid command at position {percent}"
            )
        if any(plain):
            parts.append("".join(plain))
        plain.clear()
        parts.append(_command(found))
        position = found.end()
    if any(plain):
        parts.append("".join(plain))
    return tuple(parts)


def _command(found: re.Match[str]) -> Command:
    name, argument, length = found.groups()
    if argument is not None and any(bad in argument for bad in "\r\n\0"):
        raise FormatError(f"{name}: a line end or NUL is not allowed in the argument")
    return Command(name, argument, None if length is None else int(length), found.start())
