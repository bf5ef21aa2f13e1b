"""Whatever happens in whatever order, a route in force never points at a cluster the proxy does not have."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from minimesh.control_plane.discovery.delivery import Delivery, SyncState
from minimesh.control_plane.discovery.snapshot import Snapshot
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Client
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
)

from .test_discovery_delivery import next_message, unpacked
from .xds_resources import Resources, assignment, cluster, listener, route_configuration


def configuration(target: str, also: frozenset[str], route_name: str) -> Resources:
    """A route to `target`, further clusters, and a listener that takes its routes by this name."""
    names = also | {target}
    return Resources(
        clusters={name: cluster(name) for name in names},
        endpoints={name: assignment(name, 1) for name in names},
        listeners={"front": listener("front", 8080, route_name)},
        routes={route_name: route_configuration(route_name, target)},
    )


class Proxy:
    """A proxy that takes each message when told to, and holds itself to the invariant.

    As in Envoy, a new cluster can be used only once it is warm, and the ACK waits for that too.
    """

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.client = Client(m.base_pb2.Node(id="router~127.0.0.1~gw.default~default"))
        self.client.subscribe_all(CLUSTER_TYPE_URL)
        self.client.subscribe_all(LISTENER_TYPE_URL)
        self.to_server = list(self.client.connected())
        self.to_proxy: list[Any] = []
        self.clusters: set[str] = set()
        self.warming: Any = None
        self.routes: dict[str, str] = {}

    def send(self) -> None:
        if (response := next_message(self.delivery)) is not None:
            self.to_proxy.append(response)

    def speak(self) -> None:
        if self.to_server:
            self.delivery.received(self.to_server.pop(0))

    def take(self, *, reject: bool) -> None:
        if not self.to_proxy:
            return
        response = self.to_proxy.pop(0)
        if reject:
            self.to_server.append(self.client.reject(response, "no"))
            return
        self._apply(response.type_url, unpacked(response))
        if response.type_url == CLUSTER_TYPE_URL:
            self.warming = response
        else:
            self.to_server.append(self.client.accept(response))
        self._check()

    def warm(self) -> None:
        if self.warming is not None:
            self.clusters = {each.name for each in unpacked(self.warming)}
            self.to_server.append(self.client.accept(self.warming))
            self.warming = None

    def round(self, *, warm: bool = True) -> None:
        self.speak()
        self.send()
        self.take(reject=False)
        if warm:
            self.warm()

    def _check(self) -> None:
        for name, target in self.routes.items():
            assert target in self.clusters, f"route {name} leads to {target}, which is not there"

    def _apply(self, type_url: str, found: list[Any]) -> None:
        if type_url == CLUSTER_TYPE_URL:
            names = {each.name for each in found}
            self.clusters &= names
            self._ask(ENDPOINT_TYPE_URL, names)
        elif type_url == LISTENER_TYPE_URL:
            snapshot = Snapshot.build(Resources(listeners={each.name: each for each in found}))
            self._ask(ROUTE_TYPE_URL, set(snapshot.route_references))
        elif type_url == ROUTE_TYPE_URL:
            for each in found:
                if each.virtual_hosts:
                    self.routes[each.name] = each.virtual_hosts[0].routes[0].route.cluster

    def _ask(self, type_url: str, names: set[str]) -> None:
        if type_url == ROUTE_TYPE_URL:
            self.routes = {name: target for name, target in self.routes.items() if name in names}
        if (request := self.client.subscribe(type_url, names)) is not None:
            self.to_server.append(request)


CLUSTERS = st.sampled_from("abc")
WANT = st.tuples(st.just("want"), st.tuples(CLUSTERS, st.frozensets(CLUSTERS), st.sampled_from(["r1", "r2"])))
STEPS = st.lists(
    st.one_of(
        WANT,
        st.sampled_from(["send", "speak", "take", "warm", "reject"]).map(lambda step: (step, None)),
        st.tuples(st.sampled_from(["rounds", "cold rounds"]), st.integers(1, 12)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_routes_never_lead_to_a_cluster_that_is_not_there(steps: list[tuple[str, Any]]) -> None:
    delivery = Delivery()
    proxy = Proxy(delivery)
    for step, detail in [("want", ("a", frozenset(), "r1")), *steps]:
        match step:
            case "want":
                delivery.want(Snapshot.build(configuration(*detail)))
            case "send":
                proxy.send()
            case "speak":
                proxy.speak()
            case "take":
                proxy.take(reject=False)
            case "warm":
                proxy.warm()
            case "rounds" | "cold rounds":
                for _ in range(detail):
                    proxy.round(warm=step == "rounds")
            case "reject":
                proxy.take(reject=True)
    _settle(delivery, proxy)


def _settle(delivery: Delivery, proxy: Proxy) -> None:
    """A last configuration that differs in every type, taken without objection, comes into force whole."""
    last = configuration("d", frozenset(), "r3")
    delivery.want(Snapshot.build(last))
    for _ in range(100):
        proxy.round()
    assert not proxy.to_server
    assert not proxy.to_proxy
    assert proxy.clusters == set(last.clusters)
    assert proxy.routes == {"r3": "d"}
    assert {each.state for each in delivery.status().values()} == {SyncState.SYNCED}
