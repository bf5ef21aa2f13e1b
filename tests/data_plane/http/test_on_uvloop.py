"""The same, on the event loop that proxies run on: its transports differ from asyncio's in places."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.data_plane.http import (
    test_conformance,
    test_http1_oracle,
    test_http2_downstream,
    test_http2_downstream_limits,
    test_streaming,
)
from tests.data_plane.network import test_tcp_proxy

SCENARIOS: list[Callable[[], Coroutine[Any, Any, None]]] = [
    test_conformance.test_whole_log_line,
    test_conformance.test_a_retry_goes_to_another_host,
    test_conformance.test_overflow_of_pending_requests,
    test_conformance.test_client_gone_before_the_response,
    test_conformance.test_pipelined_requests_are_answered_in_order,
    test_conformance.test_http_10_where_accepted,
    test_conformance.test_websocket_tunnel,
    test_conformance.test_expect_continue,
    test_streaming.test_a_slow_reader_slows_the_upstream_down,
    test_streaming.test_a_slow_upstream_slows_the_client_down,
    test_streaming.test_an_answer_before_the_end_of_the_request_closes,
    test_streaming.test_drain_lets_a_request_finish_and_refuses_new_connections,
    test_streaming.test_new_filter_chains_for_new_connections,
    test_streaming.test_idle_connections_time_out,
    test_streaming.test_a_body_held_for_a_retry_is_sent_again_whole,
    test_http2_downstream.test_many_streams_at_once_on_one_connection,
    test_http2_downstream.test_http1_is_spoken_on_the_same_port,
    test_http2_downstream_limits.test_a_response_waits_for_windows_and_the_upstream_for_the_response,
    test_http2_downstream_limits.test_a_request_waits_for_the_upstream,
    test_http2_downstream_limits.test_rapid_resets,
    test_http2_downstream_limits.test_drain_lets_streams_finish,
    test_http1_oracle.test_no_case_is_forwarded_that_must_not_be,
    test_tcp_proxy.test_bytes_both_ways_with_half_close,
    test_tcp_proxy.test_no_filter_chain,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_on_uvloop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if "no_case" in scenario.__name__ and not test_http1_oracle.ORACLE.exists():
        pytest.skip("the shared oracles are not beside this checkout")
    uvloop.run(scenario())


@pytest.mark.parametrize("name", test_conformance.CASES)
def test_conformance_on_uvloop(name: str) -> None:
    uvloop.run(test_conformance.test_answers_and_logs_as_envoy(test_conformance.CASES[name]))
