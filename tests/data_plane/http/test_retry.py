"""Decisions of a retry policy, and what request headers add to it."""

from __future__ import annotations

import random
import time

import pytest

from minimesh.data_plane.http.header_block import Field, HeaderBlock
from minimesh.data_plane.http.messages import PreparedHeaders, RequestHead, ResponseFields, ResponseHead
from minimesh.data_plane.http.router.control_headers import take_retry_policy, take_timeouts
from minimesh.data_plane.http.router.retry import Retry, RetryState
from minimesh.data_plane.routing.actions import ResetHeader, RetryPolicy


def response(status: int, *fields: Field) -> ResponseHead:
    return ResponseHead(status, ResponseFields(fields), -1)


def request(*fields: Field) -> RequestHead:
    return RequestHead("GET", "/", "t", "http", HeaderBlock(fields, {}), PreparedHeaders(fields, -1, ""))


def state(**policy: object) -> RetryState:
    return RetryState(
        RetryPolicy(frozenset({"5xx"}), num_retries=9, **policy),  # type: ignore[arg-type]
        random.Random(1),
    )


def test_waits_grow_to_their_maximum_and_are_drawn_from_all_of_it() -> None:
    retries = state(base_interval_s=1.0, max_interval_s=4.0)
    for longest in (1.0, 2.0, 4.0, 4.0):
        assert 0 <= retries.next_wait_s() < longest


def test_the_upstream_may_say_how_long_to_wait() -> None:
    retries = state(reset_headers=(ResetHeader("retry-after", "seconds"),), reset_max_interval_s=60.0)
    assert retries.after_response(response(503, ("retry-after", "20"))) is Retry.YES
    assert 20 <= retries.next_wait_s() <= 30
    # That held for this response only.
    assert retries.next_wait_s() < 0.25


def test_it_may_name_a_point_in_time() -> None:
    retries = state(reset_headers=(ResetHeader("x-reset", "unix"),))
    retries.after_response(response(503, ("x-reset", str(int(time.time()) + 100))))
    assert 98 <= retries.next_wait_s() <= 151


@pytest.mark.parametrize("value", ["61", "soon", "0", "-5"])
def test_a_wait_that_is_too_long_or_none_is_not_heeded(value: str) -> None:
    retries = state(reset_headers=(ResetHeader("retry-after", "seconds"),), reset_max_interval_s=60.0)
    retries.after_response(response(503, ("retry-after", value)))
    assert retries.next_wait_s() < 0.25


def test_the_first_reset_header_that_is_there_counts() -> None:
    headers = (ResetHeader("x-first", "seconds"), ResetHeader("x-second", "seconds"))
    retries = state(reset_headers=headers)
    retries.after_response(response(503, ("x-second", "7"), ("x-first", "3")))
    assert 3 <= retries.next_wait_s() <= 4.5


def test_headers_add_to_a_policy_and_are_taken_off() -> None:
    head = request(
        ("x-envoy-retry-on", "reset, unavailable"),
        ("x-envoy-retry-grpc-on", "cancelled,5xx"),
        ("x-envoy-max-retries", "4"),
        ("x-envoy-retriable-status-codes", "418,x"),
        ("x-envoy-retriable-header-names", "X-Again"),
        ("x-other", "stays"),
    )
    policy = take_retry_policy(head, RetryPolicy(frozenset({"5xx"})))
    assert policy is not None
    # Each header has words of its own.
    assert policy.retry_on == {"5xx", "reset", "cancelled"}
    assert policy.num_retries == 4
    assert policy.retriable_status_codes == {418}
    assert policy.retriable_headers[0].matches(response(200, ("x-again", "1")))
    assert head.header_text() == "x-other: stays\r\n"


def test_headers_alone_make_a_policy() -> None:
    policy = take_retry_policy(request(("x-envoy-retry-on", "5xx")), None)
    assert policy is not None
    assert (policy.retry_on, policy.num_retries) == ({"5xx"}, 1)
    assert take_retry_policy(request(("x-envoy-max-retries", "3")), None) is None


def test_without_headers_the_policy_stays_what_it_is() -> None:
    policy = RetryPolicy(frozenset({"5xx"}))
    assert take_retry_policy(request(), policy) is policy


def test_timeouts_by_headers() -> None:
    head = request(
        ("x-envoy-upstream-rq-timeout-ms", "1500"), ("x-envoy-upstream-rq-per-try-timeout-ms", "250")
    )
    assert take_timeouts(head) == (1.5, 0.25)
    assert take_timeouts(head) == (None, None)
    assert take_timeouts(request(("x-envoy-upstream-rq-timeout-ms", "soon"))) == (None, None)
