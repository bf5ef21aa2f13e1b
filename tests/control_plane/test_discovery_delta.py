"""The order of delivery on an incremental stream, as transcripts.

`+` names are sent, `-` names are removed. The proxy has Envoy's habits, and answers at once.
"""

from __future__ import annotations

from typing import Any

from minimesh.control_plane.discovery.delivery import Delivery, SyncState
from minimesh.control_plane.discovery.snapshot import Snapshot
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    SHORT_TYPE_NAMES,
)

from .xds_resources import Resources, assignment, cluster, one_route


class Proxy:
    """Holds what it was sent, by type and name, with versions."""

    def __init__(self, held: dict[str, dict[str, str]] | None = None) -> None:
        self.held = held or {url: {} for url in SHORT_TYPE_NAMES}
        self.rejected: dict[str, str] = {}
        self._asked: dict[str, set[str]] = {ENDPOINT_TYPE_URL: set(), ROUTE_TYPE_URL: set()}
        self._started: set[str] = set()

    def start(self, delivery: Delivery) -> None:
        for url in (CLUSTER_TYPE_URL, LISTENER_TYPE_URL):
            self._send(delivery, url)
        for url, name in ((ENDPOINT_TYPE_URL, "clusters"), (ROUTE_TYPE_URL, "listeners")):
            if self.held[url] and name:
                self._ask(delivery, url, set(self.held[url]))

    def run(self, delivery: Delivery) -> list[str]:
        """Take in responses until there are none; what was said."""
        said = []
        while (response := delivery.next_response()) is not None:
            message = response.message()
            short = SHORT_TYPE_NAMES[message.type_url]
            names = [f"+{each.name}" for each in message.resources]
            said.append(
                " ".join([short, *sorted(names), *(f"-{name}" for name in message.removed_resources)])
            )
            if short in self.rejected:
                self._send(delivery, message.type_url, nonce=message.nonce, error=self.rejected[short])
                said.append(f"{short} NACK")
                continue
            self._take(delivery, message)
        return said

    def _take(self, delivery: Delivery, message: Any) -> None:
        held = self.held[message.type_url]
        held.update({each.name: each.version for each in message.resources})
        for name in message.removed_resources:
            held.pop(name, None)
        if message.type_url == CLUSTER_TYPE_URL:
            self._ask(delivery, ENDPOINT_TYPE_URL, set(held))
        elif message.type_url == LISTENER_TYPE_URL:
            listeners = {}
            for each in message.resources:
                found = m.listener_pb2.Listener()
                each.resource.Unpack(found)
                listeners[each.name] = found
            if listeners:
                references = Snapshot.build(Resources(listeners=listeners)).route_references
                self._ask(delivery, ROUTE_TYPE_URL, set(references))
        self._send(delivery, message.type_url, nonce=message.nonce)

    def _ask(self, delivery: Delivery, url: str, names: set[str]) -> None:
        known = self._asked[url]
        added, gone = names - known, known - names
        self._asked[url] = names
        for name in gone:
            self.held[url].pop(name, None)
        if added or gone:
            self._send(delivery, url, subscribe=sorted(added), unsubscribe=sorted(gone))

    def _send(
        self,
        delivery: Delivery,
        url: str,
        *,
        nonce: str = "",
        error: str = "",
        subscribe: list[str] | None = None,
        unsubscribe: list[str] | None = None,
    ) -> None:
        request = m.discovery_pb2.DeltaDiscoveryRequest(
            type_url=url,
            response_nonce=nonce,
            resource_names_subscribe=subscribe or (),
            resource_names_unsubscribe=unsubscribe or (),
        )
        if url not in self._started:
            self._started.add(url)
            request.initial_resource_versions.update(self.held[url])
        if error:
            request.error_detail.message = error
        delivery.received(request)


def given(resources: Resources) -> tuple[Delivery, Proxy]:
    """A proxy that has this configuration, all of it accepted."""
    delivery, proxy = Delivery(delta=True), Proxy()
    want(delivery, resources)
    proxy.start(delivery)
    proxy.run(delivery)
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}
    return delivery, proxy


def want(delivery: Delivery, resources: Resources) -> None:
    delivery.want(Snapshot.build(resources))


def test_a_first_configuration_goes_clusters_endpoints_listeners_routes() -> None:
    delivery, proxy = Delivery(delta=True), Proxy()
    want(delivery, one_route("a"))
    proxy.start(delivery)
    assert proxy.run(delivery) == ["CDS +a", "EDS +a", "LDS +front", "RDS +http.8080"]


def test_an_unchanged_configuration_is_not_sent() -> None:
    delivery, proxy = given(one_route("a"))
    want(delivery, one_route("a"))
    assert proxy.run(delivery) == []


def two_clusters(port: int) -> Resources:
    resources = one_route("a", upstream_port=port)
    resources.clusters["b"] = cluster("b")
    resources.endpoints["b"] = assignment("b", 9)
    return resources


def test_a_changed_endpoint_sends_the_one_assignment() -> None:
    delivery, proxy = given(two_clusters(1))
    want(delivery, two_clusters(2))
    assert proxy.run(delivery) == ["EDS +a"]
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}


def test_traffic_moves_to_a_new_cluster_before_the_old_one_goes() -> None:
    delivery, proxy = given(one_route("old"))
    want(delivery, one_route("new"))
    assert proxy.run(delivery) == ["CDS +new", "EDS +new", "RDS +http.8080", "CDS -old"]
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}


def test_a_cluster_changed_in_place_gets_its_own_endpoints_again() -> None:
    delivery, proxy = given(two_clusters(1))
    changed = two_clusters(1)
    changed.clusters["a"] = cluster("a", connect_timeout_s=7)
    want(delivery, changed)
    assert proxy.run(delivery) == ["CDS +a", "EDS +a"]


def test_a_proxy_that_comes_back_is_told_only_what_changed() -> None:
    _, proxy = given(one_route("a"))
    again = Delivery(delta=True)
    want(again, one_route("a", upstream_port=2))
    back = Proxy(proxy.held)
    back.start(again)
    said = back.run(again)
    assert [each for each in said if "+" in each or "-" in each] == ["EDS +a"]
    assert {each.state for each in again.status().values()} == {SyncState.SYNCED}


def test_what_went_while_a_proxy_was_away_is_removed() -> None:
    _, proxy = given(two_clusters(1))
    again = Delivery(delta=True)
    want(again, one_route("a", upstream_port=1))
    back = Proxy(proxy.held)
    back.start(again)
    assert "CDS -b" in back.run(again)


def test_a_rejected_resource_is_sent_again_only_when_something_changed() -> None:
    delivery, proxy = given(one_route("a"))
    proxy.rejected = {"LDS": "port 0 is not allowed"}
    bad = one_route("a", listener_port=0)
    want(delivery, bad)
    assert proxy.run(delivery) == ["LDS +front", "LDS NACK", "RDS +http.8080"]
    assert delivery.status()["LDS"].state is SyncState.ERROR
    want(delivery, bad)
    assert proxy.run(delivery) == []
    proxy.rejected = {}
    want(delivery, one_route("a", listener_port=8082))
    assert proxy.run(delivery)[0] == "LDS +front"
    assert delivery.status()["LDS"].state is SyncState.SYNCED


def test_routes_that_do_not_exist_are_answered_with_empty_ones() -> None:
    resources = one_route("a")
    resources.routes.clear()
    delivery, proxy = Delivery(delta=True), Proxy()
    want(delivery, resources)
    proxy.start(delivery)
    assert proxy.run(delivery)[-1] == "RDS +http.8080"
    assert delivery.status()["RDS"].state is SyncState.SYNCED
