"""Whether to try again, and how long to wait first: by the policy, and by what the cluster has room for.

No I/O.
"""

from __future__ import annotations

import random
import time
from enum import Enum
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import ResponseHead
from minimesh.data_plane.routing.actions import RetryPolicy

if TYPE_CHECKING:
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.telemetry.stream_info import StreamInfo
    from minimesh.data_plane.upstream.circuit_breakers import ClusterResources

_CONNECT_FAILURES = frozenset({ResetReason.REMOTE_CONNECTION_FAILURE, ResetReason.CONNECTION_TIMEOUT})
_GRPC_STATUS = {
    "cancelled": "1",
    "deadline-exceeded": "4",
    "resource-exhausted": "8",
    "internal": "13",
    "unavailable": "14",
}
#: The words of `retry_on` that are gRPC statuses.
GRPC_CONDITIONS = frozenset(_GRPC_STATUS)


class Retry(Enum):
    """A decision."""

    NO = "no"
    YES = "yes"
    #: Would be tried again, were there tries left.
    EXHAUSTED = "exhausted"


class RetryState:
    """The retries of one request."""

    __slots__ = ("_random", "policy", "remaining", "told_wait_s", "waits")

    def __init__(self, policy: RetryPolicy, source: random.Random) -> None:
        self.policy = policy
        self.remaining = policy.num_retries
        self.waits = 0
        #: How long the last response asked to wait; None: it did not say.
        self.told_wait_s: float | None = None
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

    def concerns(self, response: ResponseHead) -> bool:
        """Whether `after_response` has to be asked: False, cheaply, for a good first answer."""
        return (
            response.status >= 400
            or response.shared.tells_outcome
            or self.waits > 0
            or bool(self.policy.retriable_headers)
        )

    def after_response(self, response: ResponseHead) -> Retry:
        """The upstream answered, but perhaps not well."""
        policy, status = self.policy, response.status
        if response.header_values("x-envoy-ratelimited"):
            # The upstream says that it is overrun: no other condition counts then, whatever the status.
            if policy.reset_headers:
                self.told_wait_s = self._asked_wait_s(response)
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
        if wanted and policy.reset_headers:
            self.told_wait_s = self._asked_wait_s(response)
        return self._decide(wanted)

    def next_wait_s(self) -> float:
        """Full jitter over an interval that doubles up to its maximum; or what the last response asked for,
        and up to half as much again.
        """
        told_s, self.told_wait_s = self.told_wait_s, None
        if told_s is not None:
            return told_s * (1.0 + self._random.random() / 2)
        interval = min(self.policy.base_interval_s * (1 << self.waits), self.policy.max_interval_s)
        self.waits += 1
        return interval * self._random.random()

    def _asked_wait_s(self, response: ResponseHead) -> float | None:
        """What the first of the policy's reset headers says that is there, and not too long."""
        for header in self.policy.reset_headers:
            values = response.header_values(header.name)
            if not values or not (values[0].isascii() and values[0].isdigit()):
                continue
            wait_s = float(values[0]) - (time.time() if header.format == "unix" else 0.0)
            if 0.001 < wait_s <= self.policy.reset_max_interval_s:
                return wait_s
        return None

    def _decide(self, wanted: bool) -> Retry:
        if not wanted:
            return Retry.NO
        if self.remaining <= 0:
            return Retry.EXHAUSTED
        self.remaining -= 1
        return Retry.YES


def retries_of(policy: RetryPolicy, stream: Stream) -> RetryState | None:
    """The retries of a stream's request, if the policy is for requests like it."""
    head, conditions = stream.head, policy.retriable_request_headers
    assert head is not None
    if conditions and not any(each.matches(head) for each in conditions):
        return None
    return RetryState(policy, stream.manager.random)


def is_admitted(decision: Retry, resources: ClusterResources, info: StreamInfo) -> bool:
    """Whether there is another try. If only the policy would have it: flags and counts what is against it."""
    if decision is Retry.NO:
        return False
    if decision is Retry.EXHAUSTED:
        info.add_flag("URX")
        resources.stats.rq_retry_limit_exceeded.inc()
        return False
    if resources.retries >= resources.max_retries:
        info.add_flag("UO")
        resources.stats.rq_retry_overflow.inc()
        return False
    return True
