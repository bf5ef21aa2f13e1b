"""Requests that have happened, found in access logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from minimesh.explain.past import LogLine, Past, PastError, at_gateway, find_last, find_request
from minimesh.explain.world import World

CONFIGS = Path(__file__).parents[2] / "configs" / "httpbin"
GATEWAY = (
    '[2026-11-21T11:44:17.118Z] "GET / HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - "127.0.0.1" '
    '"curl/8.5.0" '
    '"b7f5cb25" "localhost:8080" "-" - - 127.10.0.6:8080 127.0.0.1:40001 - -'
)
FORWARDED = (
    '[2026-11-21T11:44:18.001Z] "GET /one HTTP/1.1" 200 - via_upstream - "-" 0 2 3 1 "127.0.0.1" '
    '"curl/8.5.0" '
    '"aaaa" "localhost:8080" "127.10.0.4:80" outbound|8000||httpbin.default.svc.cluster.local '
    "127.10.0.6:40002 "
    "127.10.0.6:8080 127.0.0.1:40001 - -"
)
INBOUND = (
    '[2026-11-21T11:44:18.001Z] "GET /ip HTTP/1.1" 200 - via_upstream - "-" 0 2 2 1 "127.0.0.1" "curl/8.5.0" '
    '"aaaa" "localhost:8080" "127.11.0.4:80" inbound|80|| 127.0.0.6:40002 127.10.0.4:80 127.0.0.1:0 - default'
)


def world() -> World:
    return World.of_files({str(each): each.read_text() for each in sorted(CONFIGS.glob("*.yaml"))})


def lines(gateway: str) -> list[LogLine]:
    read = [
        LogLine.read(gateway, GATEWAY),
        LogLine.read("default/httpbin-1", INBOUND),
        LogLine.read(gateway, FORWARDED),
    ]
    return [line for line in read if line is not None]


def test_a_line_is_read_field_by_field() -> None:
    line = LogLine.read("istio-system/gateway", FORWARDED)
    assert line is not None
    assert (line.method, line.path, line.status, line.flags, line.details) == (
        "GET",
        "/one",
        200,
        "",
        "via_upstream",
    )
    assert (line.request_id, line.authority, line.upstream_host) == (
        "aaaa",
        "localhost:8080",
        "127.10.0.4:80",
    )
    assert (line.duration_ms, line.downstream_local) == (3, "127.10.0.6:8080")


@pytest.mark.parametrize("text", ["", "no line of an access log", GATEWAY[:40]])
def test_what_is_no_line_is_passed_over(text: str) -> None:
    assert LogLine.read("a/b", text) is None


def test_all_hops_of_a_request_in_the_order_of_its_way() -> None:
    found = find_request(lines("istio-system/gateway"), "aaaa")
    assert [each.proxy for each in found] == ["istio-system/gateway", "default/httpbin-1"]


@pytest.mark.parametrize("wanted", ["404", "NR", "nr"])
def test_the_last_with_a_status_or_flag(wanted: str) -> None:
    assert [each.request_id for each in find_last(lines("istio-system/gateway"), wanted)] == ["b7f5cb25"]


def test_what_never_was_is_said() -> None:
    with pytest.raises(PastError, match="no access log has"):
        find_last([], "503")
    with pytest.raises(PastError, match="x-request-id"):
        find_request([], "bbbb")


def test_it_is_explained_by_the_configuration_of_its_time() -> None:
    made = world()
    gateway = made.gateways[0]
    asked: list[float | None] = []

    def world_at(moment: float | None) -> World:
        asked.append(moment)
        return made

    found = Past.of(find_last(lines(f"{gateway.namespace}/{gateway.name}"), "404"), world_at)
    assert asked == [pytest.approx(1795261457.118)]
    assert found.explanation is not None
    assert found.explanation.verdict.status == 404
    assert found.differences == ()
    assert "NR: no" not in found.as_text().splitlines()[0]
    assert found.to_json()["lines"][0]["flag_words"]


def test_what_the_log_has_otherwise_is_told() -> None:
    made = world()
    gateway = made.gateways[0]
    line = LogLine.read(
        f"{gateway.namespace}/{gateway.name}", GATEWAY.replace("404 NR route_not_found", "503 UH x")
    )
    assert line is not None
    assert len(Past.of([line], lambda _: made).differences) == 2


BREAKER = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: narrow}
spec:
  host: httpbin
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}}
"""


def test_a_request_that_a_circuit_breaker_refused_names_its_rule() -> None:
    files = {file.name: file.read_text() for file in sorted(CONFIGS.glob("*.yaml"))}
    made = World.of_files({**files, "destination-rule.yaml": BREAKER})
    gateway = made.gateways[0]
    text = GATEWAY.replace("404 NR route_not_found", "503 UO overflow").replace(
        '"-" - -', '"-" outbound|8000||httpbin.default.svc.cluster.local -'
    )
    line = LogLine.read(f"{gateway.namespace}/{gateway.name}", text)
    assert line is not None
    found = Past.of([line], lambda _: made).explanation
    assert found is not None
    assert found.findings[0].topic == "circuit-breaker"
    assert "connectionPool of DestinationRule default/narrow" in found.findings[0].sentence
    assert (found.findings[0].origin.file, found.findings[0].origin.line) == ("destination-rule.yaml", 8)


@pytest.mark.parametrize(
    ("address", "server_name", "url"),
    [
        ("127.0.0.1:8080", "", "http://localhost:8080/one"),
        (
            "127.10.0.9:81",
            "",
            "http://127.10.0.9:81/one",
        ),  # of a deployed gateway
        ("127.0.0.1:8443", "shop.test.com", "https://localhost:8443/one"),
        ("", "", "http://localhost:8080/one"),
    ],
)
def test_where_a_gateway_was_asked_is_where_it_says(address: str, server_name: str, url: str) -> None:
    found = at_gateway("GET", "/one", "shop.test.com", address, server_name, "ingressgateway")
    assert (found.url, found.authority, found.via) == (url, "shop.test.com", "ingressgateway")
