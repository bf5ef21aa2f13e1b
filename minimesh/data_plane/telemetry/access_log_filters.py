"""Access-log filters: which streams are worth a line. Each is a function of a StreamInfo, made at
configuration time.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence

from minimesh.data_plane.runtime import AnyFraction
from minimesh.data_plane.telemetry.access_log import LogFilter
from minimesh.data_plane.telemetry.stream_info import HeaderLookup, StreamInfo

_RANDOM_DIGITS = 8
#: Envoy's ComparisonFilter operators.
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "EQ": operator.eq,
    "GE": operator.ge,
    "LE": operator.le,
    "NE": operator.ne,
}


def status_code(comparison: str, value: int) -> LogFilter:
    compare = COMPARISONS[comparison]
    return lambda info: compare(info.response_code, value)


def duration(comparison: str, value_ms: int) -> LogFilter:
    """A stream that has not ended has no duration and is not logged."""
    compare = COMPARISONS[comparison]
    return lambda info: (took_ms := info.duration_ms) is not None and compare(took_ms, value_ms)


def response_flags(flags: Sequence[str]) -> LogFilter:
    """Streams with one of these flags; with no flags given, streams with any flag."""
    wanted = frozenset(flags)

    def accepts(info: StreamInfo) -> bool:
        if not info.response_flags:
            return False
        return not wanted or not wanted.isdisjoint(info.response_flags.split(","))

    return accepts


def not_health_check() -> LogFilter:
    return lambda info: not info.health_check


class _NoHead:
    """The head of a stream that never had one."""

    def header_values(self, name: str, /) -> Sequence[str]:
        return ()


_NO_HEAD = _NoHead()


def request_matches(matches: Callable[[HeaderLookup], bool]) -> LogFilter:
    """Streams whose request head fits a header matcher."""
    return lambda info: matches(_NO_HEAD if info.request is None else info.request)


def sampled(share: AnyFraction, *, by_request_id: bool = False) -> LogFilter:
    """A share of all streams. By request id every proxy on a request's way chooses alike, as in Envoy:
    the first eight digits of x-request-id are the random number, where it has them.
    """

    def accepts(info: StreamInfo) -> bool:
        if not share.numerator:
            return False
        number = _number_of(info.request_id) if by_request_id else None
        return share.includes(random.randrange(share.denominator) if number is None else number)

    return accepts


def _number_of(request_id: str | None) -> int | None:
    if request_id is None or len(request_id) < _RANDOM_DIGITS:
        return None
    try:
        return int(request_id[:_RANDOM_DIGITS], 16)
    except ValueError:
        return None


def all_of(filters: Sequence[LogFilter]) -> LogFilter:
    return lambda info: all(accepts(info) for accepts in filters)


def any_of(filters: Sequence[LogFilter]) -> LogFilter:
    return lambda info: any(accepts(info) for accepts in filters)
