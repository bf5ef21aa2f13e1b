"""The order of delivery as transcripts.

`<-` is what the proxy is sent (type, then names), `->` what it answers. The proxy here is the protocol's
client half with Envoy's habits: it asks for the load assignments of its clusters and the routes of its
listeners.
"""

from __future__ import annotations

from typing import Any

from minimesh.control_plane.discovery.delivery import Delivery, SyncState
from minimesh.control_plane.discovery.snapshot import Snapshot
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Client
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    SHORT_TYPE_NAMES,
)

from .xds_resources import Resources, assignment, cluster, listener, one_route, route_configuration

MESSAGES = {
    CLUSTER_TYPE_URL: m.cluster_pb2.Cluster,
    ENDPOINT_TYPE_URL: m.endpoint_pb2.ClusterLoadAssignment,
    LISTENER_TYPE_URL: m.listener_pb2.Listener,
    ROUTE_TYPE_URL: m.route_pb2.RouteConfiguration,
}


def unpacked(response: Any) -> list[Any]:
    found = []
    for packed in response.resources:
        message = MESSAGES[response.type_url]()
        packed.Unpack(message)
        found.append(message)
    return found


def next_message(delivery: Delivery) -> Any | None:
    """The next response as a message."""
    response = delivery.next_response()
    return None if response is None else response.message()


class Proxy:
    """A proxy at the other end of one delivery. Answers in `withheld` types wait for `release`."""

    def __init__(self, delivery: Delivery, client: Client | None = None) -> None:
        self.delivery = delivery
        self.client = client or Client(m.base_pb2.Node(id="router~127.0.0.1~gw.default~default"))
        self.client.subscribe_all(CLUSTER_TYPE_URL)
        self.client.subscribe_all(LISTENER_TYPE_URL)
        self.transcript: list[str] = []
        self.withheld: set[str] = set()
        self.rejected: dict[str, str] = {}
        self._waiting: list[Any] = []
        for request in self.client.connected():
            self.delivery.received(request)

    def run(self) -> list[str]:
        """Exchange messages until nothing moves; what was said since the last call."""
        while (response := next_message(self.delivery)) is not None:
            names = ",".join(sorted(self._name(each) for each in unpacked(response)))
            short = SHORT_TYPE_NAMES.get(response.type_url, response.type_url)
            self.transcript.append(f"<- {short} {names}".rstrip())
            if short in self.withheld:
                self._waiting.append(response)
            else:
                self._answer(response)
        said, self.transcript = self.transcript, []
        return said

    def release(self) -> list[str]:
        """Give the answers that were withheld."""
        self.withheld.clear()
        waiting, self._waiting = self._waiting, []
        for response in waiting:
            self._answer(response)
        return self.run()

    def _answer(self, response: Any) -> None:
        short = SHORT_TYPE_NAMES.get(response.type_url, response.type_url)
        if short in self.rejected:
            self.transcript.append(f"-> {short} NACK")
            self.delivery.received(self.client.reject(response, self.rejected[short]))
            return
        self._follow_up(response)
        self.delivery.received(self.client.accept(response))

    def _follow_up(self, response: Any) -> None:
        if response.type_url == CLUSTER_TYPE_URL:
            names = [each.name for each in unpacked(response)]
            request = self.client.subscribe(ENDPOINT_TYPE_URL, names)
        elif response.type_url == LISTENER_TYPE_URL:
            snapshot = Snapshot.build(Resources(listeners={each.name: each for each in unpacked(response)}))
            request = self.client.subscribe(ROUTE_TYPE_URL, snapshot.route_references)
        else:
            return
        if request is not None:
            self.delivery.received(request)

    @staticmethod
    def _name(message: Any) -> str:
        return str(message.cluster_name if hasattr(message, "cluster_name") else message.name)


def given(resources: Resources) -> tuple[Delivery, Proxy]:
    """A proxy that has this configuration, all of it accepted."""
    delivery = Delivery(clock=lambda: 1000.0)
    delivery.want(Snapshot.build(resources))
    proxy = Proxy(delivery)
    proxy.run()
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}
    return delivery, proxy


def want(delivery: Delivery, resources: Resources) -> None:
    delivery.want(Snapshot.build(resources))


def test_a_first_configuration_goes_clusters_endpoints_listeners_routes() -> None:
    delivery = Delivery()
    want(delivery, one_route("a"))
    assert Proxy(delivery).run() == ["<- CDS a", "<- EDS a", "<- LDS front", "<- RDS http.8080"]


def test_nothing_is_said_before_there_is_a_configuration() -> None:
    delivery = Delivery()
    proxy = Proxy(delivery)
    assert proxy.run() == []
    assert {each.state for each in delivery.status().values()} == {SyncState.NOT_SENT}


def test_an_unchanged_configuration_is_not_sent() -> None:
    delivery, proxy = given(one_route("a"))
    want(delivery, one_route("a"))
    assert proxy.run() == []


def test_a_changed_endpoint_sends_endpoints_alone() -> None:
    delivery, proxy = given(one_route("a", upstream_port=1))
    want(delivery, one_route("a", upstream_port=2))
    assert proxy.run() == ["<- EDS a"]


def test_traffic_moves_to_a_new_cluster_before_the_old_one_goes() -> None:
    delivery, proxy = given(one_route("old"))
    want(delivery, one_route("new"))
    assert proxy.run() == ["<- CDS new,old", "<- EDS new,old", "<- RDS http.8080", "<- CDS new", "<- EDS new"]


def test_endpoints_do_not_wait_for_the_ack_of_clusters_and_routes_do() -> None:
    delivery, proxy = given(one_route("old"))
    proxy.withheld = {"CDS"}
    want(delivery, one_route("new"))
    assert proxy.run() == ["<- CDS new,old", "<- EDS old"]
    assert delivery.status()["RDS"].state is SyncState.STALE
    assert proxy.release() == ["<- EDS new,old", "<- RDS http.8080", "<- CDS new", "<- EDS new"]


def test_the_old_cluster_stays_until_the_new_routes_are_accepted() -> None:
    delivery, proxy = given(one_route("old"))
    proxy.withheld = {"RDS"}
    want(delivery, one_route("new"))
    assert proxy.run()[-1] == "<- RDS http.8080"
    assert proxy.release() == ["<- CDS new", "<- EDS new"]


def test_the_old_cluster_stays_when_the_new_routes_are_rejected() -> None:
    delivery, proxy = given(one_route("old"))
    proxy.rejected = {"RDS": "no such action"}
    want(delivery, one_route("new"))
    assert proxy.run() == ["<- CDS new,old", "<- EDS new,old", "<- RDS http.8080", "-> RDS NACK"]
    assert proxy.run() == []


def test_a_cluster_changed_in_place_gets_its_endpoints_again() -> None:
    delivery, proxy = given(one_route("a"))
    changed = one_route("a")
    changed.clusters["a"] = cluster("a", connect_timeout_s=7)
    want(delivery, changed)
    assert proxy.run() == ["<- CDS a", "<- EDS a"]


def test_a_changed_listener_gets_its_routes_again() -> None:
    delivery, proxy = given(one_route("a", listener_port=8080))
    want(delivery, one_route("a", listener_port=8081))
    assert proxy.run() == ["<- LDS front", "<- RDS http.8080"]


def test_routes_that_do_not_exist_are_answered_with_empty_ones() -> None:
    resources = one_route("a")
    resources.routes.clear()
    delivery = Delivery()
    want(delivery, resources)
    assert Proxy(delivery).run()[-1] == "<- RDS http.8080"
    assert delivery.status()["RDS"].state is SyncState.SYNCED


def test_routes_still_draining_are_neither_emptied_nor_robbed_of_their_clusters() -> None:
    delivery, proxy = given(one_route("a"))
    # The proxy goes on asking for http.8080 as long as connections of the old listener live.
    proxy._follow_up = lambda response: None  # type: ignore[method-assign]
    moved = Resources(
        clusters={"b": cluster("b")},
        endpoints={"b": assignment("b", 1)},
        listeners={"front": listener("front", 8080, "http.9090")},
        routes={"http.9090": route_configuration("http.9090", "b")},
    )
    want(delivery, moved)
    said = proxy.run()
    assert said[0] == "<- CDS a,b"
    assert said[-1] == "<- RDS"  # nothing new to say about http.8080
    assert proxy.client.type(ROUTE_TYPE_URL).names == ("http.8080",)


def test_clusters_of_draining_routes_stay_until_the_proxy_asks_for_those_no_more() -> None:
    delivery, proxy = given(one_route("a"))
    moved = one_route("b", listener_port=8080)
    moved.listeners = {"front": listener("front", 8080, "http.9090")}
    moved.routes = {"http.9090": route_configuration("http.9090", "b")}
    follow_up = proxy._follow_up

    def keep_old_routes(response: Any) -> None:
        if response.type_url != LISTENER_TYPE_URL:
            follow_up(response)
        elif request := proxy.client.subscribe(ROUTE_TYPE_URL, ["http.8080", "http.9090"]):
            delivery.received(request)

    proxy._follow_up = keep_old_routes  # type: ignore[method-assign]
    want(delivery, moved)
    assert proxy.run()[-1] == "<- RDS http.9090"
    assert proxy.run() == []
    delivery.received(proxy.client.subscribe(ROUTE_TYPE_URL, ["http.9090"]))
    assert proxy.run() == ["<- CDS b", "<- EDS b"]


def test_after_rejected_endpoints_all_are_sent_again_and_not_only_what_changed_since() -> None:
    def two(port_of_a: int, port_of_b: int) -> Resources:
        resources = one_route("a")
        resources.clusters["b"] = cluster("b")
        resources.endpoints = {"a": assignment("a", port_of_a), "b": assignment("b", port_of_b)}
        return resources

    delivery, proxy = given(two(1, 1))
    want(delivery, two(2, 1))
    proxy.rejected = {"EDS": "no such port"}
    assert proxy.run() == ["<- EDS a", "-> EDS NACK"]
    proxy.rejected = {}
    want(delivery, two(2, 2))
    assert proxy.run() == ["<- EDS a,b"]
    want(delivery, two(2, 3))
    assert proxy.run() == ["<- EDS b"]


def test_a_rejected_type_keeps_its_error_and_is_not_sent_again_until_it_changes() -> None:
    delivery, proxy = given(one_route("a"))
    proxy.rejected = {"LDS": "port 0 is not allowed"}
    bad = one_route("a", listener_port=0)
    want(delivery, bad)
    assert "-> LDS NACK" in proxy.run()
    status = delivery.status()["LDS"]
    assert (status.state, status.detail) == (SyncState.ERROR, "port 0 is not allowed")
    assert status.acked_version != status.version

    want(delivery, bad)
    assert proxy.run() == []

    proxy.rejected = {}
    want(delivery, one_route("a", listener_port=8082))
    assert proxy.run()[0] == "<- LDS front"
    assert delivery.status()["LDS"].state is SyncState.SYNCED


def test_rejected_clusters_hold_back_only_the_routes_that_need_them() -> None:
    delivery, proxy = given(one_route("a"))
    proxy.rejected = {"CDS": "bad cluster"}
    want(delivery, one_route("b"))
    assert proxy.run() == ["<- CDS a,b", "-> CDS NACK", "<- EDS a"]

    unrelated = one_route("a", listener_port=8081)
    unrelated.clusters["c"] = cluster("c")
    want(delivery, unrelated)
    assert proxy.run()[-2:] == ["<- LDS front", "<- RDS http.8080"]


def test_a_newer_configuration_overtakes_one_under_way() -> None:
    delivery, proxy = given(one_route("a"))
    proxy.withheld = {"CDS"}
    want(delivery, one_route("b"))
    proxy.run()
    want(delivery, one_route("c"))
    assert proxy.run()[0] == "<- CDS a,c"
    assert proxy.release()[-2:] == ["<- CDS c", "<- EDS c"]
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}


def test_routes_back_to_a_cluster_that_is_being_removed_wait_for_it() -> None:
    delivery, proxy = given(one_route("a"))
    want(delivery, one_route("b"))
    proxy.withheld = set()
    response = None
    while (response := next_message(delivery)) is not None:
        names = [each.name for each in unpacked(response)] if response.type_url == CLUSTER_TYPE_URL else []
        if names == ["b"]:
            break  # the removal of `a` is on its way, not answered yet
        proxy._answer(response)
    want(delivery, one_route("a"))
    proxy.withheld = {"CDS"}
    assert "<- RDS http.8080" not in proxy.run()
    assert "<- RDS http.8080" in proxy.release()


def test_a_stream_taken_up_again_is_answered_even_if_nothing_changed() -> None:
    _, proxy = given(one_route("a"))
    again = Delivery()
    want(again, one_route("a"))
    proxy.client.disconnected()
    assert Proxy(again, proxy.client).run() == ["<- CDS a", "<- EDS a", "<- LDS front", "<- RDS http.8080"]


def test_a_proxy_that_asks_only_for_endpoints_is_served() -> None:
    delivery = Delivery()
    want(delivery, one_route("a"))
    client = Client(m.base_pb2.Node(id="x"))
    client.subscribe(ENDPOINT_TYPE_URL, ["a"])
    for request in client.connected():
        delivery.received(request)
    response = next_message(delivery)
    assert [each.cluster_name for each in unpacked(response)] == ["a"]
    assert delivery.next_response() is None


def test_a_type_unknown_here_is_answered_with_nothing_in_it() -> None:
    delivery = Delivery()
    want(delivery, one_route("a"))
    secret = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    delivery.received(m.discovery_pb2.DiscoveryRequest(type_url=secret, resource_names=["default"]))
    response = next_message(delivery)
    assert (response.type_url, len(response.resources)) == (secret, 0)
    assert delivery.next_response() is None


def test_an_ack_has_its_time() -> None:
    delivery, _ = given(one_route("a"))
    assert delivery.status()["CDS"].acked_at == 1000.0
