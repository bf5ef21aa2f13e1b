"""`grpc-timeout` and the limits of routes and connection managers. The figures are the live Envoy's."""

from __future__ import annotations

import pytest

from minimesh.data_plane.http.grpc_timeout import grpc_timeout_s, grpc_timeout_text
from minimesh.data_plane.http.header_block import HeaderBlock
from minimesh.data_plane.http.messages import PreparedHeaders, RequestHead
from tests.data_plane.http.http2_client import http2_client, request
from tests.data_plane.http.lab import lab


def head_with(value: str) -> RequestHead:
    fields = (("grpc-timeout", value),)
    prepared = PreparedHeaders(fields, -1, "127.0.0.1:1")
    return RequestHead("POST", "/", "h", "http", HeaderBlock(fields, dict(fields)), prepared)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("200m", 0.2), ("5S", 5.0), ("2M", 120.0), ("1H", 3600.0), ("1u", 0.001), ("1001u", 0.002),
        ("1n", 0.001), ("0m", 0.0), ("99999999m", 99999.999),
        ("5x", None), ("5", None), ("m", None), ("-1m", None), ("100000000m", None), ("1 m", None),
    ],
)  # fmt: skip
def test_the_header_is_read_strictly(value: str, seconds: float | None) -> None:
    assert grpc_timeout_s(head_with(value)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.3, "300m"), (5.0, "5000m"), (0.0, "0m"), (200_000.0, "200000S")]
)
def test_the_header_is_written_in_milliseconds_while_they_fit(seconds: float, text: str) -> None:
    assert grpc_timeout_text(seconds) == text


ROUTES = """
name: all
virtual_hosts:
- name: all
  domains: ["*"]
  routes:
  - match: {prefix: /header/}
    route:
      {cluster: up, prefix_rewrite: /, timeout: 0.01s, max_stream_duration: {grpc_timeout_header_max: 0s}}
  - match: {prefix: /both/}
    route:
      cluster: up
      prefix_rewrite: /
      max_stream_duration:
        {max_stream_duration: 0.06s, grpc_timeout_header_max: 0.03s, grpc_timeout_header_offset: 0.01s}
  - match: {prefix: /route/}
    route:
      {cluster: up, prefix_rewrite: /, timeout: 0.4s, max_grpc_timeout: 0.03s, grpc_timeout_offset: 0.01s}
  - match: {prefix: /open/}
    route: {cluster: up, prefix_rewrite: /, timeout: 0.4s, max_grpc_timeout: 0s}
  - match: {prefix: /idle/}
    route: {cluster: up, prefix_rewrite: /, timeout: 0s, idle_timeout: 0.03s}
"""
GRPC = ("content-type", "application/grpc")
DURATION, ROUTE = "downstream duration timeout", "upstream request timeout"


@pytest.mark.parametrize(
    ("path", "asked", "answer", "told"),
    [
        # In place of the route's timeout, which then no longer holds.
        ("/header", "30m", ("4", DURATION), "30m"),
        ("/header", None, None, None),
        ("/header", "5x", None, "5x"),
        ("/both", "40m", ("4", DURATION), "20m"),
        ("/both", None, ("4", DURATION), "60m"),
        ("/both", "0m", ("4", DURATION), None),
        # The route's timeout itself.
        ("/route", "30m", ("14", ROUTE), "20m"),
        ("/route", "5S", ("14", ROUTE), "30m"),
        ("/route", None, ("14", ROUTE), "30m"),
        ("/open", "30m", ("14", ROUTE), "30m"),
        ("/open", None, None, None),
    ],
)
async def test_calls_end_when_their_time_is_over(
    path: str, asked: str | None, answer: tuple[str, str] | None, told: str | None
) -> None:
    timeout = [] if asked is None else [("grpc-timeout", asked)]
    async with lab(ROUTES) as running, http2_client(running) as client:
        call = request(f"{path}/delay/0.1", "POST", GRPC, *timeout)
        got = await client.ask(call, b"\0" * 5)
        if answer is None:
            assert got.headers["content-type"] == "application/json"
        else:
            assert (got.headers["grpc-status"], got.headers["grpc-message"]) == answer
        if told is not None:
            assert f"grpc-timeout: {told}\r\n" in running.upstream.requests[0]
        elif running.upstream.requests:
            assert "grpc-timeout" not in running.upstream.requests[0] or asked == "0m"


async def test_other_requests_are_cut_short_but_not_told() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        answer = await client.ask(request("/both/delay/5", "GET", ("grpc-timeout", "40m")))
        assert (answer.status, answer.body) == ("504", DURATION.encode())
        assert "grpc-timeout: 40m\r\n" in running.upstream.requests[0]


async def test_a_route_has_an_idle_timeout_of_its_own() -> None:
    async with lab(ROUTES) as running:
        answer = await running.ask("GET /idle/delay/5 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answer.startswith("HTTP/1.1 504 ")
        assert answer.endswith("stream timeout")
