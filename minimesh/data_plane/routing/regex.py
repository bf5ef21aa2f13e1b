"""Regular expressions as Envoy means them: RE2's.

Envoy matches with RE2, whose syntax has no look-around, no back references and no possessive repeats, and
whose time is linear in the text. Python's own `re` has all of those and backtracks: a pattern from a
configuration could then stop the proxy with one request. So:

* With the `google-re2` package installed, that library is used: the same engine as Envoy's. It is imported
  when the first pattern is compiled, since most configurations have none (3 MB a process).
* Without it, `regex_fallback` translates the pattern for `re`, and refuses what RE2 would refuse, what it
  cannot translate, and what could backtrack badly. A text of more than 4,096 characters matches
  nothing there.

Patterns are UTF-8, texts are heads as read from the wire (Latin-1 characters that stand for bytes).
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

from minimesh.data_plane.routing import regex_fallback


class RegexError(ValueError):
    """A pattern or a substitution that is not valid here; the text says why."""


class Regex:
    """A compiled pattern: matches whole texts, and replaces."""

    __slots__ = ("_compiled", "_limit", "_on_bytes", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        engine = _re2()
        self._on_bytes = engine is not None
        self._limit = None if engine is not None else regex_fallback.TEXT_LIMIT
        self._compiled: Any = _compile_re2(engine, pattern) if engine else _compile_fallback(pattern)

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"

    def fullmatch(self, text: str) -> bool:
        """Whether the whole text matches."""
        if self._limit is not None and len(text) > self._limit:
            return False
        subject = text.encode("latin-1") if self._on_bytes else text
        return self._compiled.fullmatch(subject) is not None

    def finds(self, text: str) -> bool:
        """Whether some part of the text matches; for patterns that `may_search`."""
        if self._limit is not None and len(text) > self._limit:
            return False
        subject = text.encode("latin-1", "replace") if self._on_bytes else text
        return self._compiled.search(subject) is not None

    def replace_all(self, text: str, substitution: Substitution) -> str:
        """Every match replaced, as RE2's GlobalReplace does: no empty match right after another match."""
        if self._limit is not None and len(text) > self._limit:
            return text
        pieces: list[str] = []
        position = 0
        last_end = -1
        for match in self._compiled.finditer(text.encode("latin-1") if self._on_bytes else text):
            start, end = match.span()
            if start == end == last_end:
                continue
            pieces.append(text[position:start])
            pieces.append(substitution.expand(match))
            position = last_end = end
        pieces.append(text[position:])
        return "".join(pieces)

    @property
    def may_search(self) -> bool:
        """False for a pattern that the fallback could be slow to look for."""
        return self._on_bytes or regex_fallback.safe_to_search(self.pattern)

    @property
    def group_count(self) -> int:
        """How many groups a substitution may name."""
        count: int = self._compiled.groups
        return count


class Substitution:
    r"""RE2's rewrite text: `\0` to `\9` stand for groups, `\\` for a backslash, all else for itself."""

    __slots__ = ("_parts", "text")

    def __init__(self, text: str, regex: Regex) -> None:
        self.text = text
        self._parts = _parse_substitution(text)
        if not regex.may_search:
            raise RegexError(f"{regex.pattern!r}: to replace with it, begin it with ^, or install google-re2")
        for part in self._parts:
            if isinstance(part, int) and part > regex.group_count:
                raise RegexError(f"substitution names group {part}, but the pattern has {regex.group_count}")

    def expand(self, match: Any) -> str:
        """The text for one match; a group that took no part is empty."""
        return "".join(part if isinstance(part, str) else _text(match.group(part)) for part in self._parts)


@lru_cache(maxsize=1)
def _re2() -> Any:
    """The google-re2 module, or None where it is not installed."""
    try:
        return importlib.import_module("re2")
    except ImportError:
        return None


def _compile_re2(engine: Any, pattern: str) -> Any:
    options = engine.Options()
    options.log_errors = False
    try:
        return engine.compile(pattern.encode(), options)
    except engine.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise RegexError(f"not a valid RE2 pattern: {pattern!r}: {text}") from None


def _compile_fallback(pattern: str) -> Any:
    try:
        return regex_fallback.compile_pattern(pattern)
    except ValueError as error:
        raise RegexError(f"{pattern!r}: {error}") from None


def _text(group: Any) -> str:
    if group is None:
        return ""
    return group.decode("latin-1") if isinstance(group, bytes) else str(group)


def _parse_substitution(text: str) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    literal = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character != "\\":
            literal += character
            position += 1
            continue
        escaped = text[position + 1 : position + 2]
        if escaped == "\\":
            literal += escaped
        elif escaped.isascii() and escaped.isdigit():
            parts += [literal, int(escaped)]
            literal = ""
        else:
            raise RegexError(
                f"substitution {text!r}: after a backslash only a digit or a backslash may stand"
            )
        position += 2
    parts.append(literal)
    return tuple(part for part in parts if part != "")
