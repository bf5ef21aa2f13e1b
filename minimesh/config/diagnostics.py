"""What is wrong with a configuration, where, and what to do about it.

A `Diagnostic` is data. Nothing here decides what is wrong; `render` makes the text for a person's console.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_SHOWN_OF_A_LINE = 200
"""Of a longer line only so many characters are shown, around the place that is meant."""


class Severity(StrEnum):
    """ERROR: the file is not applied. WARNING: applied, and likely not what was meant. INFO: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding. `field` is a path such as `spec.http[0].route[1].weight`, empty for a whole document;
    `resource` is `Kind namespace/name`, as far as it is known; `code` is a stable word for programs."""

    severity: Severity
    code: str
    message: str
    file: str
    line: int
    column: int
    field: str = ""
    suggestion: str | None = None
    resource: str = ""

    @property
    def location(self) -> Location:
        """Where the finding points."""
        return Location(self.file, self.line, self.column)

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{self.location}: {self.severity}: {field}{self.message}{hint}"


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any finding forbids applying the file."""
    return any(one.severity is Severity.ERROR for one in diagnostics)


def render(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str] | None = None) -> str:
    """The console text: each finding, and under it its source line with a caret.

    `texts` maps file name to content; for a file that is not in it only the finding is shown. The result
    has no newline at its end and is empty when there are no findings.
    """
    lines_of = {file: text.splitlines() for file, text in (texts or {}).items()}
    blocks = []
    for one in diagnostics:
        blocks.append(str(one))
        blocks.extend(_excerpt(lines_of.get(one.file, []), one.line, one.column))
    return "\n".join(blocks)


def _excerpt(lines: list[str], line: int, column: int) -> list[str]:
    if not 1 <= line <= len(lines):
        return []
    first = max(0, column - _SHOWN_OF_A_LINE // 2) if len(lines[line - 1]) > _SHOWN_OF_A_LINE else 0
    source, column = lines[line - 1][first : first + _SHOWN_OF_A_LINE], column - first
    # Tabs stay tabs in the padding, so that the caret stands where the terminal puts the character.
    padding = "".join("\t" if character == "\t" else " " for character in source[: column - 1])
    number = str(line)
    return [f"  {number} | {_shown(source)}", f"  {' ' * len(number)} | {padding}^"]


def _shown(source: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_control(each) else each for each in source)


def _is_control(character: str) -> bool:
    return character != "\t" and unicodedata.category(character).startswith("C")
