"""The ladder of the labs' own requests: every decision, in order, with the line that caused it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minimesh.explain.explaining import explain
from minimesh.explain.ladder import State
from minimesh.explain.question import Question
from minimesh.explain.text import as_text
from minimesh.explain.world import World

CONFIGS = Path(__file__).parents[2] / "configs"
_WAY = ["listener", "filter-chain", "virtual-host", "route", "rewrite", "cluster", "endpoint"]
_INBOUND = ["listener", "filter-chain", "virtual-host", "route", "cluster", "endpoint"]


def world_of(*labs: str) -> World:
    files = [file for lab in labs for file in sorted((CONFIGS / lab).glob("*.yaml"))]
    return World.of_files({str(file.relative_to(CONFIGS)): file.read_text() for file in files})


@pytest.fixture(scope="module")
def world() -> World:
    return world_of("gs", "httpbin")


def test_a_request_at_the_gateway_comes_to_the_application(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://gs.xebia.com/", via="ingressgateway"))
    assert [each.kind for each in found.steps] == ["port-map", *_WAY, *_INBOUND, "application"]
    assert {each.state for each in found.steps} == {State.PASSED}
    assert found.verdict.answered_by == "application"
    cluster = next(each for each in found.steps if each.kind == "cluster")
    assert cluster.title == "outbound|80|v2|gsservice.default.svc.cluster.local"


def test_each_step_names_the_line_that_caused_it(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://gs.xebia.com/", via="ingressgateway"))
    places = {each.kind: each.origin for each in found.steps[:8]}
    wanted = {
        "route": "gs/virtual-service.yaml",
        "cluster": "gs/destination-rule.yaml",
    }
    assert {kind: places[kind].file for kind in wanted} == wanted
    text = (CONFIGS / places["route"].file).read_text().splitlines()
    assert text[places["route"].line - 1][places["route"].column - 1 :].startswith(("- ", "route"))


def test_a_call_from_a_pod_goes_by_its_sidecar(world: World) -> None:
    found = explain(world, Question.parse("GET", "httpbin:8000/ip", source="sleep"))
    assert [each.kind for each in found.steps] == [*_WAY, *_INBOUND, "application"]
    assert found.steps[0].envoy == {"listener": "127.0.0.1_15080"}
    assert [hop.status for hop in found.hops] == [200, 200]


def test_where_it_stops_the_rest_is_not_reached(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://localhost:8080/", via="ingressgateway"))
    assert [each.kind for each in found.steps if each.state is State.FAILED] == ["route"]
    assert [each.kind for each in found.steps if each.state is State.NOT_REACHED] == [
        "cluster",
        "endpoint",
        "application",
    ]
    route = next(each for each in found.steps if each.kind == "route")
    assert [(each.subject, each.wanted, each.actual) for each in route.candidates] == [
        ("path", 'prefix "/one"', "/"),
        ("path", 'prefix "/two"', "/"),
    ]


def test_a_rewrite_shows_before_and_after(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://localhost:8080/one?x=1", via="ingressgateway"))
    rewrite = next(each for each in found.steps if each.kind == "rewrite")
    assert (rewrite.before["path"], rewrite.after["path"]) == ("/one?x=1", "/ip?x=1")
    assert rewrite.after["headers"]["x-envoy-original-path"] == "/one?x=1"


def test_the_log_lines_are_the_proxies_own(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://localhost:8080/one", via="ingressgateway"))
    assert [each.log.split('"')[1] for each in found.hops] == ["GET /one HTTP/1.1"] * 2
    assert all(" 200 - via_upstream " in each.log for each in found.hops)


@pytest.mark.parametrize("url", ["http://gs.xebia.com/", "http://localhost:8080/", "http://localhost:1/"])
def test_the_json_is_plain_data_with_every_field(world: World, url: str) -> None:
    found = explain(world, Question.parse("GET", url, via="ingressgateway"))
    told: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    assert set(told) == {"request", "outcome", "steps", "findings", "hops"}
    place = {"resource", "field", "file", "line", "column"}
    wanted = {
        "kind",
        "title",
        "state",
        "text",
        "proxy",
        "candidates",
        "before",
        "after",
        "rows",
        "envoy",
        "log",
    }
    assert all(set(each) == wanted | place for each in told["steps"])
    assert all(place <= set(candidate) for step in told["steps"] for candidate in step["candidates"])


def test_the_text_tells_answer_cause_and_place(world: World) -> None:
    text = as_text(explain(world, Question.parse("GET", "http://localhost:8080/", via="ingressgateway")))
    assert "✘ route" in text
    assert "Answer: 404 Not Found, with an empty body." in text
    assert "httpbin/virtual-service.yaml:13:7" in text


async def test_it_may_be_asked_where_a_loop_runs(world: World) -> None:
    assert explain(world, Question.parse("GET", "http://gs.xebia.com/")).verdict.status == 200


def test_who_is_not_there_cannot_be_asked(world: World) -> None:
    found = explain(world, Question.parse("GET", "http://a/", source="nobody"))
    assert found.verdict.status == 0
    assert "There is no pod 'nobody'" in found.steps[0].text


def test_delays_take_no_time_and_are_told() -> None:
    config = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: slow}
spec:
  hosts: [httpbin]
  http:
  - fault: {delay: {fixedDelay: 250s, percentage: {value: 100}}}
    route: [{destination: {host: httpbin}}]
"""
    files = {str(each): each.read_text() for each in sorted((CONFIGS / "httpbin").glob("*.yaml"))}
    found = explain(
        World.of_files({**files, "slow.yaml": config}), Question.parse("GET", "httpbin:8000/", source="sleep")
    )
    assert found.hops[0].flags == "DI"
    assert found.verdict.answered_by == "application"
