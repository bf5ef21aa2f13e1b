"""First match in order without trying every route.

Built once from the routes of a virtual host. For a path, `candidates` gives the routes whose path fits,
in configured order, up to the first one that asks nothing else: usually one. What it costs does not depend on
how many routes there are, but on how many distinct prefix lengths there are (a dict for each) and on how many
regular expressions begin with the same literal text as this path.

The answer is a pure function of the path, so it is kept in a bounded memo; unusually long paths are left out
of it, and a full memo is emptied, so that a client cannot make the proxy grow.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from minimesh.data_plane.routing.matchers import Condition, PathKind, PathMatch, RouteMatch

if TYPE_CHECKING:
    from minimesh.data_plane.routing.regex import Regex

T = TypeVar("T")
_MEMO_PATH_LIMIT = 512
_META = frozenset("\\.+*?()|[]{}^$")


class _PrefixTable:
    """Positions of routes by prefix: one dict for each distinct length, shortest first."""

    __slots__ = ("by_length",)

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        tables: dict[int, dict[str, list[int]]] = {}
        for prefix, position in entries:
            tables.setdefault(len(prefix), {}).setdefault(prefix, []).append(position)
        self.by_length = tuple(sorted(tables.items()))

    def collect(self, path: str, found: list[int]) -> None:
        """Adds the positions of all prefixes of `path`."""
        size = len(path)
        for length, table in self.by_length:
            if length > size:
                return
            hit = table.get(path[:length])
            if hit is not None:
                found += hit

    def collect_separated(self, path: str, found: list[int]) -> None:
        """The same, where the path must end or go on with a slash after the prefix."""
        size = len(path)
        for length, table in self.by_length:
            if length > size:
                return
            if length == size or path[length] == "/":
                hit = table.get(path[:length])
                if hit is not None:
                    found += hit


class _LiteralTables:
    """Exact, prefix and separated-prefix matches of one kind of case-sensitivity."""

    __slots__ = ("exact", "prefixes", "separated")

    def __init__(self, entries: Sequence[tuple[PathMatch, int]]) -> None:
        def of_kind(kind: PathKind) -> list[tuple[str, int]]:
            return [(_key(path), position) for path, position in entries if path.kind is kind]

        self.exact: dict[str, list[int]] = {}
        for value, position in of_kind(PathKind.EXACT):
            self.exact.setdefault(value, []).append(position)
        self.prefixes = _PrefixTable(of_kind(PathKind.PREFIX))
        self.separated = _PrefixTable(of_kind(PathKind.SEPARATED_PREFIX))

    def collect(self, path: str, found: list[int]) -> None:
        hit = self.exact.get(path)
        if hit is not None:
            found += hit
        self.prefixes.collect(path, found)
        self.separated.collect_separated(path, found)


class RouteIndex(Generic[T]):
    """Routes of one virtual host; `T` is whatever a match leads to."""

    __slots__ = ("_any_case", "_candidates", "_exact_case", "_memo", "_memo_limit", "_regexes", "_stops")

    def __init__(self, routes: Sequence[tuple[RouteMatch, T]], memo_limit: int = 1024) -> None:
        self._candidates = tuple((match.conditions, target) for match, target in routes)
        kept = _reachable(routes)
        self._stops = frozenset(position for match, position in kept if not match.conditions)
        literal = [(match.path, position) for match, position in kept if match.path.regex is None]
        self._exact_case = _LiteralTables([entry for entry in literal if entry[0].case_sensitive])
        insensitive = [entry for entry in literal if not entry[0].case_sensitive]
        self._any_case = _LiteralTables(insensitive) if insensitive else None
        regexes: dict[int, Regex] = {
            position: match.path.regex for match, position in kept if match.path.regex is not None
        }
        table = _PrefixTable((literal_prefix(regex.pattern), position) for position, regex in regexes.items())
        self._regexes = (table, regexes) if regexes else None
        self._memo: dict[str, tuple[tuple[tuple[Condition, ...], T], ...]] = {}
        self._memo_limit = memo_limit

    def candidates(self, path: str) -> tuple[tuple[tuple[Condition, ...], T], ...]:
        """(conditions, target) of the routes whose path fits, in order.

        Only the last of them may be without conditions.
        """
        known = self._memo.get(path)
        if known is not None:
            return known
        found = tuple(self._candidates[position] for position in self._positions(path))
        if len(path) <= _MEMO_PATH_LIMIT and self._memo_limit:
            if len(self._memo) >= self._memo_limit:
                self._memo.clear()
            self._memo[path] = found
        return found

    def _positions(self, path: str) -> list[int]:
        found: list[int] = []
        self._exact_case.collect(path, found)
        if self._any_case is not None:
            self._any_case.collect(path.lower(), found)
        found.sort()
        for count, position in enumerate(found, start=1):
            if position in self._stops:
                del found[count:]
                break
        if self._regexes is not None:
            self._add_regexes(path, found)
        return found

    def _add_regexes(self, path: str, found: list[int]) -> None:
        """Tries, in order, only those regular expressions that could still come before what is found."""
        assert self._regexes is not None
        table, regexes = self._regexes
        possible: list[int] = []
        table.collect(path, possible)
        possible.sort()
        end = found[-1] if found and found[-1] in self._stops else None
        for position in possible:
            if end is not None and position > end:
                return
            if regexes[position].fullmatch(path):
                insort(found, position)
                if position in self._stops:
                    del found[found.index(position) + 1 :]
                    return


def _reachable(routes: Sequence[tuple[RouteMatch, T]]) -> list[tuple[RouteMatch, int]]:
    """Routes and positions, less those that an earlier equal path without conditions hides for good."""
    kept: list[tuple[RouteMatch, int]] = []
    closed: set[tuple[PathKind, str, bool]] = set()
    for position, (match, _) in enumerate(routes):
        path = match.path
        key = (path.kind, _key(path), path.case_sensitive)
        if key in closed:
            continue
        kept.append((match, position))
        if not match.conditions:
            closed.add(key)
    return kept


def _key(path: PathMatch) -> str:
    return path.value if path.case_sensitive or path.regex is not None else path.value.lower()


def literal_prefix(pattern: str) -> str:
    """Text with which every match of a regular expression begins; empty when nothing can be said.

    `/users/[0-9]+` gives `/users/`, `/v1/(a|b)` gives `/v1/`, `/a|/b` gives nothing.
    """
    if _has_top_level_alternatives(pattern):
        return ""
    pattern = pattern.removeprefix("^")
    end = 0
    while end < len(pattern) and pattern[end] not in _META and pattern[end].isascii():
        end += 1
    # What is before a repeat may occur no time at all; a plus keeps it at least once.
    if end and pattern[end : end + 1] in ("*", "?", "{"):
        end -= 1
    return pattern[:end]


def _has_top_level_alternatives(pattern: str) -> bool:
    """Errs on the side of yes."""
    if "|" not in pattern:
        return False
    if "\\Q" in pattern:
        return True
    depth = 0
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
        elif character == "[":
            position = _class_end(pattern, position)
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            return True
        position += 1
    return False


def _class_end(pattern: str, start: int) -> int:
    """Position of the bracket that closes the class opened at `start`."""
    position = start + (2 if pattern.startswith("^", start + 1) else 1)
    first = position
    while position < len(pattern):
        if pattern.startswith("[:", position):
            position = max(pattern.find(":]", position), position) + 1
        elif pattern[position] == "\\":
            position += 1
        elif pattern[position] == "]" and position > first:
            return position
        position += 1
    return position
