"""Whether to try again, and how long to wait first: the decisions of a retry policy. No clock, no I/O."""

from __future__ import annotations

import random
from enum import Enum

from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import ResponseHead
from minimesh.data_plane.routing.actions import RetryPolicy

_CONNECT_FAILURES = frozenset({ResetReason.REMOTE_CONNECTION_FAILURE, ResetReason.CONNECTION_TIMEOUT})
_GRPC_STATUS = {
    "cancelled": "1",
    "deadline-exceeded": "4",
    "resource-exhausted": "8",
    "internal": "13",
    "unavailable": "14",
}


class Retry(Enum):
    """A decision."""

    NO = "no"
    YES = "yes"
    #: Would be tried again, were there tries left.
    EXHAUSTED = "exhausted"


class RetryState:
    """The retries of one request."""

    __slots__ = ("_random", "policy", "remaining", "waits")

    def __init__(self, policy: RetryPolicy, source: random.Random) -> None:
        self.policy = policy
        self.remaining = policy.num_retries
        self.waits = 0
        self._random = source

    def after_reset(self, reason: ResetReason, request_sent: bool) -> Retry:
        """The upstream gave no response."""
        retry_on = self.policy.retry_on
        if reason is ResetReason.OVERFLOW:
            return Retry.NO
        wanted = (
            not retry_on.isdisjoint(("5xx", "gateway-error", "reset"))
            or (reason in _CONNECT_FAILURES and "connect-failure" in retry_on)
            or (reason is ResetReason.REMOTE_REFUSED_STREAM and "refused-stream" in retry_on)
            or (not request_sent and "reset-before-request" in retry_on)
        )
        return self._decide(wanted)

    def after_response(self, response: ResponseHead) -> Retry:
        """The upstream answered, but perhaps not well."""
        policy, status = self.policy, response.status
        if response.header_values("x-envoy-ratelimited"):
            # The upstream says that it is overrun: no other condition counts then, whatever the status.
            return self._decide("envoy-ratelimited" in policy.retry_on)
        if status < 400 and not policy.retriable_headers and not response.header_values("grpc-status"):
            return Retry.NO
        retry_on = policy.retry_on
        wanted = (
            (status >= 500 and "5xx" in retry_on)
            or (502 <= status <= 504 and "gateway-error" in retry_on)
            or (status == 409 and "retriable-4xx" in retry_on)
            or ("retriable-status-codes" in retry_on and status in policy.retriable_status_codes)
            or (
                "retriable-headers" in retry_on
                and any(each.matches(response) for each in policy.retriable_headers)
            )
            or any(
                _GRPC_STATUS.get(word) == value
                for value in response.header_values("grpc-status")
                for word in retry_on
            )
        )
        return self._decide(wanted)

    def next_wait_s(self) -> float:
        """Full jitter over an interval that doubles up to its maximum."""
        interval = min(self.policy.base_interval_s * (1 << self.waits), self.policy.max_interval_s)
        self.waits += 1
        return interval * self._random.random()

    def _decide(self, wanted: bool) -> Retry:
        if not wanted:
            return Retry.NO
        if self.remaining <= 0:
            return Retry.EXHAUSTED
        self.remaining -= 1
        return Retry.YES
