"""A route's conditions one by one: what each asks, what the request has, and whether it holds.

The conditions are those the proxy routes by. Each is asked itself whether it holds; only the words are made
here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.matchers import (
    FractionMatcher,
    GrpcMatcher,
    HeaderMatcher,
    HeaderPresence,
    PathKind,
    PathMatch,
    QueryParameterMatcher,
    TlsContextMatcher,
    first_query_value,
)
from minimesh.data_plane.routing.request import path_without_query

if TYPE_CHECKING:
    from minimesh.data_plane.routing.matchers import Condition, RouteMatch
    from minimesh.data_plane.routing.request import RequestHead
    from minimesh.data_plane.routing.route_table import VirtualHost

_PATH_KINDS = {
    PathKind.EXACT: "exact",
    PathKind.PREFIX: "prefix",
    PathKind.SEPARATED_PREFIX: "path prefix",
    PathKind.REGEX: "regex",
}
PRESENT, ABSENT = "must be there", "must not be there"
_PSEUDO = {":method": "method", ":authority": "authority", ":scheme": "scheme", ":path": "path"}


@dataclass(frozen=True, slots=True)
class Check:
    """One condition on one request. `actual` is None where the request has no such thing."""

    subject: str
    """What is looked at: `path`, `header end-user`, `query parameter debug`."""
    wanted: str
    actual: str | None
    holds: bool

    def __str__(self) -> str:
        had = "there is none" if self.actual is None else f'it is "{self.actual}"'
        return f"{self.subject}: {self.wanted}; {had}"


def checks(match: RouteMatch, virtual_host: VirtualHost, head: RequestHead, random_value: int) -> list[Check]:
    """All conditions of a route, the path first, in the order in which the proxy asks them."""
    path = path_without_query(head.path)
    if virtual_host.settings.ignore_path_parameters:
        path = path.partition(";")[0]
    return [_path_check(match.path, path), *_other_checks(match, head, random_value)]


def first_failing(found: list[Check]) -> Check | None:
    """The condition because of which a route does not apply; None when it does."""
    return next((each for each in found if not each.holds), None)


def _path_check(match: PathMatch, path: str) -> Check:
    case = "" if match.case_sensitive else " in any case"
    return Check("path", f'{_PATH_KINDS[match.kind]} "{match.value}"{case}', path, match.matches(path))


def _other_checks(match: RouteMatch, head: RequestHead, random_value: int) -> Iterator[Check]:
    for condition in match.conditions:
        subject, wanted, actual = _described(condition, head)
        yield Check(subject, wanted, actual, condition.matches(head, random_value))


def _described(condition: Condition, head: RequestHead) -> tuple[str, str, str | None]:
    """(what is looked at, what it should be, what it is)."""
    if isinstance(condition, HeaderMatcher):
        wanted = f"anything but {condition.wanted}" if condition.invert else condition.wanted
        return _header_subject(condition.name), wanted, _values(head, condition.name)
    if isinstance(condition, HeaderPresence):
        wanted = PRESENT if condition.present else ABSENT
        return _header_subject(condition.name), wanted, _values(head, condition.name)
    if isinstance(condition, QueryParameterMatcher):
        wanted = condition.wanted or (PRESENT if condition.present else ABSENT)
        return f"query parameter {condition.name}", wanted, first_query_value(head.path, condition.name)
    if isinstance(condition, FractionMatcher):
        return "lot", "a fraction of the requests", "drawn"
    if isinstance(condition, GrpcMatcher):
        return "header content-type", "gRPC", _values(head, "content-type")
    if isinstance(condition, TlsContextMatcher):
        return "client certificate", _certificate(condition), None
    return type(condition).__name__, "must hold", None


def _header_subject(name: str) -> str:
    return _PSEUDO.get(name, f"header {name}")


def _values(head: RequestHead, name: str) -> str | None:
    values = head.header_values(name)
    return ", ".join(values) if values else None


def _certificate(condition: TlsContextMatcher) -> str:
    words = {"shown": condition.presented, "validated": condition.validated}
    return " and ".join(
        f"{'' if wanted else 'not '}{word}" for word, wanted in words.items() if wanted is not None
    )
