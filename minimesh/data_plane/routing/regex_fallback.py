r"""RE2 patterns on Python's `re`, for installations without google-re2.

One pass over the pattern translates what is written differently (`\z`, `(?<name>`, `$`) and refuses what RE2
does not have, what `re` does not have, and what could make a backtracking engine slow:

* an unbounded repeat around a group that has a repeat or alternatives inside (`(a+)+`, `(a|ab)*`),
* more than two unbounded repeats in all.

With these a full match takes quadratic time at worst, and `TEXT_LIMIT` characters bound that; a search tries
every place, so a pattern with two such repeats may be searched for only when it is tied to the start. A dot
stands for one byte here, not for a whole character beyond ASCII. Every refusal names the remedy: installing
google-re2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TEXT_LIMIT = 4096
_REPEAT_LIMIT = 2
_REMEDY = "install google-re2 to use it"
_COUNTED = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_FLAGS = re.compile(r"\(\?[ims]+(-[ims]+)?(:|\))")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_]\w*)>", re.ASCII)
_SAFE_ESCAPES = frozenset("dDsSwWbBAtnrfv")


@dataclass(slots=True)
class _Group:
    branches_or_repeats: bool = False


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The `re` pattern that matches what RE2 would; ValueError with the reason otherwise."""
    translated = _Translator(pattern).translate()
    try:
        return re.compile(translated, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a valid pattern: {error}") from None


def safe_to_search(pattern: str) -> bool:
    """Whether looking for the pattern anywhere in a text is no slower than matching the whole text."""
    translator = _Translator(pattern)
    translator.translate()
    return translator.unbounded_repeats < _REPEAT_LIMIT or (pattern.startswith("^") and "|" not in pattern)


class _Translator:
    """One pass over one pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0
        self.output: list[str] = []
        self.open_groups = [_Group()]
        self.last_closed: _Group | None = None
        self.unbounded_repeats = 0

    def translate(self) -> str:
        while self.position < len(self.pattern):
            character = self.pattern[self.position]
            if character == "\\":
                self._escape()
            elif character == "[":
                self._character_class()
            elif character == "(":
                self._open_group()
            elif character == ")":
                self._close_group()
            elif character in "*+?" or (character == "{" and self._counted()):
                self._repeat(character)
            else:
                self._plain(character)
        return "".join(self.output)

    def _emit(self, text: str, taken: int) -> None:
        self.output.append(text)
        self.position += taken
        self.last_closed = None

    def _plain(self, character: str) -> None:
        if character == "|":
            self._mark(self.open_groups[-1])
        if character == "$":
            # RE2's is the very end; Python's also stands before a last line break.
            self._emit(r"\Z", 1)
        elif character.isascii():
            self._emit(character, 1)
        else:
            # Texts are Latin-1 characters that stand for bytes; a repeat after this means all of them.
            self._emit(f"(?:{character.encode().decode('latin-1')})", 1)

    def _escape(self) -> None:
        escaped = self.pattern[self.position + 1 : self.position + 2]
        if escaped == "z":
            self._emit(r"\Z", 2)
        elif escaped == "x":
            if self.pattern[self.position + 2 : self.position + 3] == "{":
                raise ValueError(rf"\x{{...}} needs RE2: {_REMEDY}")
            self._emit(self.pattern[self.position : self.position + 4], 4)
        elif escaped.isascii() and escaped.isalnum() and escaped not in _SAFE_ESCAPES:
            raise ValueError(f"\\{escaped} is not in RE2, or not in Python's engine: {_REMEDY}")
        else:
            self._emit("\\" + escaped, 2)

    def _character_class(self) -> None:
        end = self.position + 1
        if self.pattern[end : end + 1] == "^":
            end += 1
        if self.pattern[end : end + 1] == "]":
            end += 1
        while end < len(self.pattern) and self.pattern[end] != "]":
            if self.pattern.startswith("[:", end):
                raise ValueError(f"a class such as [:alpha:] needs RE2: {_REMEDY}")
            if self.pattern[end] == "\\" and self.pattern[end + 1 : end + 2] in ("p", "P", "C", "Q", "E"):
                raise ValueError(f"\\{self.pattern[end + 1]} needs RE2: {_REMEDY}")
            end += 2 if self.pattern[end] == "\\" else 1
        if end >= len(self.pattern):
            raise ValueError("missing closing ]")
        body = self.pattern[self.position + 1 : end]
        if not body.isascii():
            raise ValueError(f"a class with characters beyond ASCII needs RE2: {_REMEDY}")
        # An inner [ is plain in RE2; Python warns of it.
        self._emit("[" + re.sub(r"(?<!\\)\[", r"\\[", body) + "]", end + 1 - self.position)

    def _open_group(self) -> None:
        rest = self.pattern[self.position :]
        if not rest.startswith("(?"):
            self._emit("(", 1)
        elif rest.startswith("(?:"):
            self._emit("(?:", 3)
        elif named := _NAMED.match(rest):
            self._emit(f"(?P<{named.group(1)}>", named.end())
        elif flags := _FLAGS.match(rest):
            if "m" in flags.group(0):
                raise ValueError(f"the flag m needs RE2: {_REMEDY}")
            self._emit(flags.group(0), flags.end())
            if flags.group(2) == ")":
                return
        else:
            raise ValueError(f"{rest[:4]} is not in RE2 (it has no look-around, no conditions)")
        self.open_groups.append(_Group())

    def _close_group(self) -> None:
        if len(self.open_groups) == 1:
            raise ValueError("unexpected )")
        closed = self.open_groups.pop()
        if closed.branches_or_repeats:
            self._mark(self.open_groups[-1])
        self._emit(")", 1)
        self.last_closed = closed

    def _counted(self) -> bool:
        return _COUNTED.match(self.pattern, self.position) is not None

    def _repeat(self, character: str) -> None:
        text, unbounded, many = character, character in "*+", character in "*+"
        if character == "{" and (counted := _COUNTED.match(self.pattern, self.position)):
            text = counted.group(0)
            unbounded = counted.group(2) is not None and not counted.group(3)
            highest = int(counted.group(3) or counted.group(1))
            many = unbounded or highest > 1
            if highest > 1000:
                raise ValueError("RE2 repeats at most 1000 times")
        if many and self.last_closed is not None and self.last_closed.branches_or_repeats:
            raise ValueError(f"a repeated group with repeats or alternatives needs RE2: {_REMEDY}")
        self.unbounded_repeats += unbounded
        if self.unbounded_repeats > _REPEAT_LIMIT:
            raise ValueError(f"more than {_REPEAT_LIMIT} unbounded repeats need RE2: {_REMEDY}")
        self._emit(text, len(text))
        following = self.pattern[self.position : self.position + 1]
        if following == "?":
            self._emit("?", 1)
        elif following and following in "*+":
            raise ValueError("bad repetition operator: RE2 has no possessive repeats")
        self._mark(self.open_groups[-1])

    @staticmethod
    def _mark(group: _Group) -> None:
        group.branches_or_repeats = True
