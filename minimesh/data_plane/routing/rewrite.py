"""How path and host change on the way to the upstream, or in a redirect.

Each function returns what a route keeps: a function of the request target (query string and all) or of the
head. What part of the path a rewrite replaces follows from how the route matched: a prefix its own length, an
exact path or a regular expression the whole path. The query string always stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.matchers import PathKind, PathMatch
from minimesh.data_plane.routing.request import RequestHead, path_without_query

if TYPE_CHECKING:
    from minimesh.data_plane.routing.regex import Regex, Substitution

PathRewrite = Callable[[str], str]
"""Takes the request target with its query, gives the new one."""
HostRewrite = Callable[[RequestHead], str | None]
"""Takes the request head, gives the new host; None leaves it as it is."""


def prefix_rewrite(match: PathMatch, replacement: str) -> PathRewrite:
    """The matched part of the path replaced by `replacement`."""
    if match.kind in (PathKind.PREFIX, PathKind.SEPARATED_PREFIX):
        length = len(match.value)
        return lambda target: replacement + target[length:]
    return lambda target: replacement + target[len(path_without_query(target)) :]


def regex_rewrite(regex: Regex, substitution: Substitution) -> PathRewrite:
    """Every match in the path replaced."""

    def rewrite(target: str) -> str:
        path = path_without_query(target)
        return regex.replace_all(path, substitution) + target[len(path) :]

    return rewrite


def host_literal(host: str) -> HostRewrite:
    """Always this host."""
    return lambda head: host


def host_from_header(name: str) -> HostRewrite:
    """The first value of a header; an absent or empty one changes nothing."""

    def rewrite(head: RequestHead) -> str | None:
        values = head.header_values(name)
        return values[0] or None if values else None

    return rewrite


def host_from_path(regex: Regex, substitution: Substitution) -> HostRewrite:
    """The path (without query) after a replacement."""
    return lambda head: regex.replace_all(path_without_query(head.path), substitution)
