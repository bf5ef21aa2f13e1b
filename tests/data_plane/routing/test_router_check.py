"""Envoy's own route checks: configurations and requests, with what they lead to.

The cases come with what a live Envoy 1.40 did; where it is told, it judges, else the case's expectation does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.routing.actions import (
    ClusterChoice,
    DirectResponseAction,
    RedirectAction,
    RouteAction,
    SslRedirectAction,
)
from minimesh.data_plane.routing.route_table import Route, RouteTable, VirtualHost
from minimesh.data_plane.runtime import Layer, Runtime
from minimesh.data_plane.xds_client.compile.match import compile_header_matchers
from minimesh.xds import messages as m
from tests.data_plane.routing.requests import Clusters, Head, compile_table

ORACLE = Path(__file__).parents[4] / "shared" / "oracles" / "router_check.json"


LEFT_OUT = {
    "Runtime/Test_4": "the check tool lets a share of 0 in 100 hold for the random value 0; Envoy does not",
}


def _load() -> dict[str, Any]:
    if not ORACLE.exists():
        return {"route_configs": {}, "cases": []}
    loaded: dict[str, Any] = json.loads(ORACLE.read_text())
    return loaded


_ORACLE = _load()


def test_the_cases_are_there() -> None:
    if not _ORACLE["cases"]:
        pytest.skip(f"no {ORACLE}: the cases are not part of this repository")
    assert len(_ORACLE["cases"]) == 103


@pytest.mark.parametrize("case", _ORACLE["cases"], ids=lambda case: case["id"])
def test_case(case: dict[str, Any]) -> None:
    clusters = Clusters("some_cluster")
    if case["id"] in LEFT_OUT:
        pytest.skip(LEFT_OUT[case["id"]])
    config = _ORACLE["route_configs"][case["route_config_ref"]]
    outcome = Outcome(compile_table(config, clusters, runtime=_runtime(case["input"])), case)
    if case["negative"]:
        assert not outcome.agrees_with(case["expect"])
        return
    live = case["live_envoy_1_40"]
    if isinstance(live, dict):
        outcome.check_live(live)
    outcome.check_expected(case["expect"])


def _runtime(given: dict[str, Any]) -> Runtime:
    """The check tool's: a key counts only when the case names it."""
    runtime = Runtime()
    if "runtime" not in given:
        runtime.set_layers([Layer("check tool", {"runtime.key": 0})])
    return runtime


class Outcome:
    """What our tables say to one case."""

    def __init__(self, table: RouteTable, case: dict[str, Any]) -> None:
        self.received = _head(case["input"])
        self.head = head = _head(case["input"])
        random_value = case["input"].get("random_value", 0)
        self.virtual_host = table.find_virtual_host(head.authority)
        self.route = self.virtual_host.find_route(head, random_value) if self.virtual_host else None
        self.action = self.route.action if self.route else None
        self.choice: ClusterChoice | None = None
        self.path: str | None = None
        self.host: str | None = None
        self.response_headers = Head()
        if isinstance(self.action, RouteAction):
            self._forward(self.action, random_value)
        elif isinstance(self.action, DirectResponseAction) and self.route is not None:
            self._answer(self.action, self.route)

    def _forward(self, action: RouteAction, random_value: int) -> None:
        self.choice = action.choose(self.head, random_value)
        self.choice.request_headers.apply(self.head, {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "127.0.0.1"})
        self.path = action.rewrite_path(self.head.path)
        self.host = self.choice.host_rewrite or action.rewrite_host(self.head) or self.head.authority
        self.head.path, self.head.authority = self.path, self.host

    def _answer(self, action: DirectResponseAction, route: Route) -> None:
        if action.body:
            self.response_headers.set_header("content-length", str(len(action.body)))
            self.response_headers.set_header("content-type", "text/plain")
        route.response_headers.apply(self.response_headers, {})

    @property
    def cluster(self) -> str:
        return self.choice.handle.name if self.choice else ""

    @property
    def status(self) -> int:
        if isinstance(self.action, RouteAction):
            return 200 if self.cluster else self.action.cluster_not_found_status
        if isinstance(self.action, RedirectAction | SslRedirectAction | DirectResponseAction):
            return self.action.status
        return 404

    @property
    def location(self) -> str:
        redirects = isinstance(self.action, RedirectAction | SslRedirectAction)
        return self.action.location(self.head) if redirects else ""  # type: ignore[union-attr]

    def check_live(self, live: dict[str, Any]) -> None:
        assert (self.status, self.cluster, self.location) == (
            int(live["status"]),
            live["cluster"],
            live["location"],
        )
        if live["path"] is not None:
            assert (self.path, self.host) == (live["path"], live["host"])

    def agrees_with(self, expected: dict[str, Any]) -> bool:
        try:
            self.check_expected(expected)
        except AssertionError:
            return False
        return True

    def check_expected(self, expected: dict[str, Any]) -> None:
        facts: dict[str, object] = {
            "cluster_name": self.cluster,
            "virtual_host_name": self._name(self.virtual_host) if self.choice else "",
            "virtual_cluster_name": self._virtual_cluster(),
            "path_rewrite": self.path or "",
            "host_rewrite": self.host or "",
            "path_redirect": self.location,
            "code_redirect": self.status,
        }
        matchers = {
            "request_header_matches": self.head,
            "response_header_matches": self.response_headers,
        }
        for key, value in expected.items():
            if key in facts:
                assert facts[key] == value, key
            else:
                _check_headers(value, matchers[key])

    def _virtual_cluster(self) -> str:
        return self.virtual_host.virtual_cluster(self.received) if self.virtual_host and self.choice else ""

    @staticmethod
    def _name(virtual_host: VirtualHost | None) -> str:
        return virtual_host.name if virtual_host else ""


def _head(given: dict[str, Any]) -> Head:
    headers = [(name.lower(), value) for name, value in given.get("headers", [])]
    scheme = "https" if given.get("ssl") else "http"
    headers.append(("x-forwarded-proto", scheme))
    if given.get("internal"):
        headers.append(("x-envoy-internal", "true"))
    metadata: dict[str, dict[str, object]] = {}
    for entry in given.get("dynamic_metadata", []):
        namespace = entry["metadata_namespace"]
        if namespace not in metadata or entry.get("allow_overwrite"):
            metadata[namespace] = entry["value"]
    return Head(given["path"], given["method"], given["authority"], scheme, headers, metadata)


def _check_headers(expected: list[dict[str, Any]], headers: Head) -> None:
    for matcher in expected:
        message = m.json_format.ParseDict(matcher, m.route_components_pb2.HeaderMatcher())
        [compiled] = compile_header_matchers([message], "headers")
        assert compiled.matches(headers), matcher
