"""x-envoy-* request headers that tell the router how to go about a request: time limits and retries.

A connection manager removes them from what a client sends. What is left was put there by a filter, or, for
retries, by the route's own changes to headers. They are taken off the request when they have been read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minimesh.data_plane.http.router.retry import GRPC_CONDITIONS
from minimesh.data_plane.routing.actions import RetryPolicy

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.routing.matchers import HasHeaderValues

_RQ_TIMEOUT = "x-envoy-upstream-rq-timeout-ms"
_PER_TRY_TIMEOUT = "x-envoy-upstream-rq-per-try-timeout-ms"
_RETRY_ON = "x-envoy-retry-on"
_RETRY_GRPC_ON = "x-envoy-retry-grpc-on"
_MAX_RETRIES = "x-envoy-max-retries"
_STATUS_CODES = "x-envoy-retriable-status-codes"
_HEADER_NAMES = "x-envoy-retriable-header-names"

_NO_POLICY = RetryPolicy(frozenset())


@dataclass(frozen=True, slots=True)
class _HasHeader:
    """Holds for a response with this header."""

    name: str

    def matches(self, head: HasHeaderValues, random_value: int = 0) -> bool:
        return bool(head.header_values(self.name))


def take_timeouts(head: RequestHead) -> tuple[float | None, float | None]:
    """(time for the request, time for each try) in seconds; None where no header says."""
    return _take_milliseconds(head, _RQ_TIMEOUT), _take_milliseconds(head, _PER_TRY_TIMEOUT)


def take_retry_policy(head: RequestHead, policy: RetryPolicy | None) -> RetryPolicy | None:
    """The route's policy, with what headers add to it; None when there is nothing to try again for."""
    retry_on, grpc_on = _take(head, _RETRY_ON), _take(head, _RETRY_GRPC_ON)
    most, codes, names = _take(head, _MAX_RETRIES), _take(head, _STATUS_CODES), _take(head, _HEADER_NAMES)
    if not (retry_on or grpc_on or (policy is not None and (most or codes or names))):
        return policy
    base = policy or _NO_POLICY
    # Words that nobody knows do no harm; gRPC's count only in the header that is for them.
    conditions = base.retry_on | (_words(retry_on) - GRPC_CONDITIONS) | (_words(grpc_on) & GRPC_CONDITIONS)
    if not conditions:
        return None
    return replace(
        base,
        retry_on=conditions,
        num_retries=int(most) if _is_number(most) else base.num_retries,
        retriable_status_codes=base.retriable_status_codes
        | {int(word) for word in _words(codes) if _is_number(word)},
        retriable_headers=base.retriable_headers
        + tuple(_HasHeader(word.lower()) for word in sorted(_words(names))),
    )


def _take(head: RequestHead, name: str) -> str:
    """The value of a header, which goes; empty when there is none."""
    values = head.header_values(name)
    if not values:
        return ""
    value = ",".join(values)
    head.remove_header(name)
    return value


def _take_milliseconds(head: RequestHead, name: str) -> float | None:
    value = _take(head, name)
    return int(value) / 1000.0 if _is_number(value) else None


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",") if word.strip()}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
