"""The conditions of a route: its path, and everything else about the request.

A path is matched by what `route_index` precomputes; `PathMatch.matches` says the same plainly, for one route.
All other conditions offer `matches(head, random_value)` and are tried in order only for routes whose path
fits. Repeated headers are tested value by value, as Envoy 1.40 does: one that matches is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from minimesh.data_plane.routing.regex import Regex
from minimesh.data_plane.routing.request import (
    NO_PEER_CERTIFICATE,
    RequestHead,
    dynamic_metadata_of,
    peer_certificate_of,
)
from minimesh.data_plane.runtime import AnyFraction

StringTest = Callable[[str], bool]
_ABSENT = object()


class PathKind(Enum):
    """How `PathMatch.value` is meant."""

    EXACT = "path"
    PREFIX = "prefix"
    SEPARATED_PREFIX = "path_separated_prefix"
    REGEX = "safe_regex"


@dataclass(frozen=True, slots=True)
class PathMatch:
    """One route's condition on the path; the path given is without query and fragment."""

    kind: PathKind
    value: str
    case_sensitive: bool = True
    regex: Regex | None = None

    def matches(self, path: str) -> bool:
        """Whether this path fits. (`case_sensitive` means nothing to a regular expression.)"""
        if self.regex is not None:
            return self.regex.fullmatch(path)
        value = self.value
        if not self.case_sensitive:
            value, path = value.lower(), path.lower()
        if self.kind is PathKind.EXACT:
            return path == value
        if self.kind is PathKind.PREFIX:
            return path.startswith(value)
        return path == value or path.startswith(value + "/")


class Condition(Protocol):
    """Anything but the path. `random_value` is the request's one random number."""

    def matches(self, head: RequestHead, random_value: int) -> bool: ...


class HasHeaderValues(Protocol):
    """A request head, a response head."""

    def header_values(self, name: str) -> Sequence[str]: ...


# Strings


class StringKind(Enum):
    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    REGEX = "safe_regex"


def string_test(kind: StringKind, value: str, *, ignore_case: bool = False) -> StringTest:
    """A test for one text. `ignore_case` means nothing to a regular expression; RegexError for a bad one."""
    if kind is StringKind.REGEX:
        return Regex(value).fullmatch
    if ignore_case:
        inner = string_test(kind, value.lower())
        return lambda text: inner(text.lower())
    if kind is StringKind.EXACT:
        return lambda text: text == value
    if kind is StringKind.PREFIX:
        return lambda text: text.startswith(value)
    if kind is StringKind.SUFFIX:
        return lambda text: text.endswith(value)
    return lambda text: value in text


def range_test(start: int, end: int) -> StringTest:
    """A whole decimal number with `start <= number < end`."""

    def test(text: str) -> bool:
        number = decimal_number(text)
        return number is not None and start <= number < end

    return test


def decimal_number(text: str) -> int | None:
    """A signed decimal number of 64 bits with spaces around it at most, or None."""
    text = text.strip(" \t")
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


# Headers


@dataclass(frozen=True, slots=True)
class HeaderMatcher:
    """A condition on one header of a request or a response."""

    name: str
    test: StringTest
    invert: bool = False
    treat_missing_as_empty: bool = False
    wanted: str = ""
    """What `test` asks for, in words (`exact "jason"`): for people, never looked at by a request."""

    def matches(self, head: HasHeaderValues, random_value: int = 0) -> bool:
        """An absent header matches nothing, not even inverted, unless it counts as empty."""
        values = head.header_values(self.name)
        if not values:
            return self.treat_missing_as_empty and self.test("") is not self.invert
        test = self.test
        for value in values:
            if test(value):
                return not self.invert
        return self.invert


@dataclass(frozen=True, slots=True)
class HeaderPresence:
    """A header that must be there, or must not."""

    name: str
    present: bool = True
    treat_missing_as_empty: bool = False

    def matches(self, head: HasHeaderValues, random_value: int = 0) -> bool:
        found = self.treat_missing_as_empty or bool(head.header_values(self.name))
        return found is self.present


# Query parameters


@dataclass(frozen=True, slots=True)
class QueryParameterMatcher:
    """A condition on the first occurrence of a query parameter; `test` None asks only for presence."""

    name: str
    test: StringTest | None = None
    present: bool = True
    wanted: str = ""
    """As `HeaderMatcher.wanted`."""

    def matches(self, head: RequestHead, random_value: int) -> bool:
        value = first_query_value(head.path, self.name)
        if self.test is None:
            return (value is not None) is self.present
        return value is not None and self.test(value)


def first_query_value(path: str, name: str) -> str | None:
    """The first value of a query parameter as it is written (nothing is decoded), None when there is none."""
    _, _, query = path.partition("?")
    query, _, _ = query.partition("#")
    for parameter in query.split("&"):
        key, _, value = parameter.partition("=")
        if key == name and parameter:
            return value
    return None


# The rest


@dataclass(frozen=True, slots=True)
class FractionMatcher:
    """Holds for a fraction of the requests."""

    fraction: AnyFraction

    def matches(self, head: RequestHead, random_value: int) -> bool:
        return self.fraction.includes(random_value)


@dataclass(frozen=True, slots=True)
class GrpcMatcher:
    """gRPC, by its content type."""

    def matches(self, head: RequestHead, random_value: int) -> bool:
        return is_grpc(head.header_values("content-type"))


def is_grpc(content_type: Sequence[str]) -> bool:
    """Whether the values of a content-type say `application/grpc`, alone or with a `+proto` and the like."""
    return bool(content_type) and (
        content_type[0] == "application/grpc" or content_type[0].startswith("application/grpc+")
    )


@dataclass(frozen=True, slots=True)
class TlsContextMatcher:
    """Whether the client showed a certificate, and whether it was validated; None asks nothing."""

    presented: bool | None = None
    validated: bool | None = None

    def matches(self, head: RequestHead, random_value: int) -> bool:
        certificate = peer_certificate_of(head) or NO_PEER_CERTIFICATE
        return self.presented in (None, certificate.presented) and self.validated in (
            None,
            certificate.validated,
        )


ValueTest = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class DynamicMetadataMatcher:
    """A condition on what a filter wrote down about the request."""

    namespace: str
    path: tuple[str, ...]
    test: ValueTest
    invert: bool = False

    def matches(self, head: RequestHead, random_value: int) -> bool:
        value: object = dynamic_metadata_of(head).get(self.namespace, _ABSENT)
        for key in self.path:
            value = value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        return (value is not _ABSENT and self.test(value)) is not self.invert


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """When a route applies: its path, and all of its conditions."""

    path: PathMatch
    conditions: tuple[Condition, ...] = ()

    def matches(self, path: str, head: RequestHead, random_value: int) -> bool:
        """The plain meaning, one route at a time; `route_index` gives the same answer faster."""
        return self.path.matches(path) and all(
            condition.matches(head, random_value) for condition in self.conditions
        )
