"""Rules of VirtualServices that earlier rules leave nothing for (schema.ValidationAnalyzer's warnings)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message, quoted
from minimesh.config.analysis.view import View, items, mapping

_PATTERN_FIELDS = ("headers", "withoutHeaders", "queryParams")


class _Prefix(NamedTuple):
    """A match by prefix that was met earlier."""

    match: Mapping[str, Any]
    name: str


def check_rule_order(view: View) -> Iterator[Message]:
    """Matches that an earlier rule has or covers, and rules with no other matches."""
    for document in view.of_kind("VirtualService"):
        for protocol in ("http", "tcp", "tls"):
            yield from _Rules(document, protocol).check()


class _Rules:
    """The rules of one protocol, read in order."""

    def __init__(self, document: Document, protocol: str) -> None:
        self.document = document
        self.protocol = protocol
        self.rules: Sequence[Mapping[str, Any]] = items(document.spec, protocol)
        self.seen: dict[str, int] = {}
        self.prefixes: list[_Prefix] = []
        self.catches_all = False

    def check(self) -> Iterator[Message]:
        for number, rule in enumerate(self.rules):
            matches = items(rule, "match")
            if not matches:
                if self.catches_all:
                    yield self._unreachable(number, "only the last rule can have no matches")
                self.catches_all = True
            elif self.catches_all and self.protocol == "http":
                yield self._unreachable(number, "route without matches defined before")
            else:
                yield from self._check_matches(number, matches)

    def _check_matches(self, number: int, matches: list[Mapping[str, Any]]) -> Iterator[Message]:
        repeated = 0
        for index, match in enumerate(matches):
            text = json.dumps({k: v for k, v in match.items() if k != "name"}, sort_keys=True, default=str)
            if text in self.seen:
                repeated += 1
                yield self._ineffective(number, index, _named(match, index), self._rule_name(self.seen[text]))
                continue
            self.seen[text] = number
            yield from self._check_prefix(number, index, match)
        if repeated == len(matches):
            yield self._unreachable(number, "all matches used by prior rules")

    def _check_prefix(self, number: int, index: int, match: Mapping[str, Any]) -> Iterator[Message]:
        prefix = mapping(match, "uri").get("prefix")
        if self.protocol != "http" or not prefix:
            return
        for earlier in self.prefixes:
            if covers(earlier.match, match):
                own = f"{_named(match, index)} of prefix {prefix}"
                yield self._ineffective(number, index, own, earlier.name)
                break
        name = f"{_named(match, index)} of prefix {prefix} on {self._rule_name(number)}"
        self.prefixes.append(_Prefix(match, name))

    def _rule_name(self, number: int) -> str:
        return _named(self.rules[number], number)

    def _unreachable(self, number: int, reason: str) -> Message:
        path = ("spec", self.protocol, number)
        return Message(m.UNREACHABLE_RULE, self.document, (self._rule_name(number), reason), path)

    def _ineffective(self, number: int, index: int, match: str, other: str) -> Message:
        path = ("spec", self.protocol, number, "match", index)
        return Message(m.INEFFECTIVE_MATCH, self.document, (self._rule_name(number), match, other), path)


def covers(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """Whether all that the later match (of a prefix) takes was taken by the earlier one (of a prefix)."""
    if not str(later["uri"]["prefix"]).startswith(str(earlier["uri"]["prefix"])):
        return False
    other = earlier.keys() - {"uri", "name", *_PATTERN_FIELDS}
    if any(earlier[field] != later.get(field) for field in other):
        return False
    return all(_covers_patterns(mapping(earlier, name), mapping(later, name)) for name in _PATTERN_FIELDS)


def _covers_patterns(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    if len(earlier) != len(later):
        return False
    return all(key in later and _covers_pattern(earlier[key], later[key]) for key in earlier)


def _covers_pattern(earlier: Any, later: Any) -> bool:
    if earlier == later:
        return True
    prefix, wanted = mapping({"": earlier}, "").get("prefix"), mapping({"": later}, "").get("prefix")
    return bool(prefix and wanted) and str(wanted).startswith(str(prefix))


def _named(content: Mapping[str, Any], number: int) -> str:
    return quoted(str(content["name"])) if content.get("name") else f"#{number}"
