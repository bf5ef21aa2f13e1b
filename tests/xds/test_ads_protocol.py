"""State-of-the-world ADS as transcripts: each end alone, then both against each other.

In a transcript `->` is the proxy speaking and `<-` the server. A request reads `TYPE version nonce names`,
where `-` stands for nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimesh.xds import ads_protocol as ads
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL as CDS,
)
from minimesh.xds.resource_names import (
    ENDPOINT_TYPE_URL as EDS,
)
from minimesh.xds.resource_names import (
    LISTENER_TYPE_URL as LDS,
)
from minimesh.xds.resource_names import (
    ROUTE_TYPE_URL as RDS,
)
from minimesh.xds.resource_names import SHORT_TYPE_NAMES

NODE = m.base_pb2.Node(id="sidecar~127.10.0.5~httpbin-1.default~default.svc.cluster.local")


def request(
    type_url: str, version: str = "", nonce: str = "", names: tuple[str, ...] = (), error: str = ""
) -> Any:
    message = m.discovery_pb2.DiscoveryRequest(
        type_url=type_url, version_info=version, response_nonce=nonce, resource_names=names
    )
    if error:
        message.error_detail.code = ads.INVALID_ARGUMENT
        message.error_detail.message = error
    return message


def spoken(message: Any) -> str:
    """One line for one message."""
    version, kind = message.version_info or "-", SHORT_TYPE_NAMES[message.type_url]
    if isinstance(message, m.discovery_pb2.DiscoveryResponse):
        return f"<- {kind} {version} {message.nonce}"
    line = f"-> {kind} {version} {message.response_nonce or '-'} {','.join(message.resource_names) or '-'}"
    return line + (f" NACK {message.error_detail.message}" if message.HasField("error_detail") else "")


class TestServer:
    def test_a_first_request_is_owed_an_answer_and_its_ack_settles_it(self) -> None:
        stream = ads.ServerStream()
        assert stream.received(request(CDS)).reaction is ads.Reaction.SUBSCRIBED
        assert stream.type(CDS).state is ads.ServerState.OWED
        assert spoken(stream.respond(CDS, "v1", [])) == "<- CDS v1 1"
        assert stream.received(request(CDS, "v1", "1")).reaction is ads.Reaction.ACKED
        assert stream.type(CDS).acked_version == "v1"

    def test_naming_nothing_means_everything_for_clusters_and_nothing_for_routes(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(CDS))
        stream.received(request(RDS))
        assert stream.type(CDS).wants("any")
        assert not stream.type(RDS).wants("any")
        assert stream.type(RDS).state is ads.ServerState.OWED

    def test_a_star_means_everything(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(CDS, names=("*", "extra")))
        assert stream.type(CDS).wildcard
        assert stream.type(CDS).names == {"extra"}

    def test_taking_back_the_last_name_is_no_wildcard(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(CDS, names=("a",)))
        stream.respond(CDS, "v1", [])
        stream.received(request(CDS, "v1", "1"))
        assert not stream.type(CDS).wants("a")

    def test_a_nack_keeps_its_text_and_the_version_acked_before(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(LDS))
        stream.respond(LDS, "v1", [])
        stream.received(request(LDS, "v1", "1"))
        stream.respond(LDS, "v2", [])
        answer = stream.received(request(LDS, "v1", "2", error="no such filter"))
        assert answer == ads.Received(LDS, ads.Reaction.NACKED, "no such filter")
        known = stream.type(LDS)
        assert (known.state, known.acked_version, known.error) == (
            ads.ServerState.NACKED,
            "v1",
            "no such filter",
        )
        stream.respond(LDS, "v3", [])
        assert stream.type(LDS).error == ""

    @pytest.mark.parametrize("error", ["", "late"])
    def test_an_answer_to_an_older_response_changes_nothing(self, error: str) -> None:
        stream = ads.ServerStream()
        stream.received(request(EDS, names=("a",)))
        stream.respond(EDS, "v1", [])
        stream.respond(EDS, "v2", [])
        late = request(EDS, "v1", "1", ("a", "b"), error)
        assert stream.received(late).reaction is ads.Reaction.STALE
        assert stream.type(EDS).names == {"a"}
        assert stream.type(EDS).state is ads.ServerState.SENT

    def test_an_ack_that_adds_a_name_is_owed_an_answer(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(EDS, names=("a",)))
        stream.respond(EDS, "v1", [])
        assert stream.received(request(EDS, "v1", "1", ("a", "b"))).reaction is ads.Reaction.ACKED
        assert stream.type(EDS).state is ads.ServerState.OWED
        assert stream.type(EDS).acked_version == "v1"

    def test_dropping_a_name_is_owed_nothing(self) -> None:
        stream = ads.ServerStream()
        stream.received(request(EDS, names=("a", "b")))
        stream.respond(EDS, "v1", [])
        stream.received(request(EDS, "v1", "1", ("a", "b")))
        assert stream.received(request(EDS, "v1", "1", ("a",))).reaction is ads.Reaction.UNCHANGED
        assert stream.type(EDS).state is ads.ServerState.ACKED

    def test_a_nonce_of_an_earlier_stream_is_a_first_request(self) -> None:
        stream = ads.ServerStream()
        assert stream.received(request(CDS, "v7", "19")).reaction is ads.Reaction.SUBSCRIBED

    def test_the_node_of_the_first_request_is_kept(self) -> None:
        stream = ads.ServerStream()
        first = request(CDS)
        first.node.CopyFrom(NODE)
        stream.received(first)
        stream.received(request(LDS))
        assert stream.node == NODE

    def test_a_type_never_asked_for_cannot_be_answered(self) -> None:
        with pytest.raises(KeyError):
            ads.ServerStream().respond(CDS, "v1", [])


class TestClient:
    def test_the_first_request_of_a_stream_alone_introduces_the_node(self) -> None:
        client = ads.Client(NODE)
        client.subscribe_all(LDS)
        client.subscribe_all(CDS)
        first = client.connected()
        assert [spoken(each) for each in first] == ["-> CDS - - -", "-> LDS - - -"]
        assert [each.HasField("node") for each in first] == [True, False]

    def test_an_ack_carries_version_nonce_and_every_name(self) -> None:
        client = ads.Client(NODE)
        client.subscribe(RDS, ["http.8080", "8000"])
        client.connected()
        assert spoken(client.accept(response(RDS, "v1", "n1"))) == "-> RDS v1 n1 8000,http.8080"

    def test_a_nack_carries_the_version_still_in_force(self) -> None:
        client = ads.Client(NODE)
        client.subscribe_all(CDS)
        client.connected()
        client.accept(response(CDS, "v1", "n1"))
        assert spoken(client.reject(response(CDS, "v2", "n2"), "bad")) == "-> CDS v1 n2 - NACK bad"
        assert client.type(CDS).state is ads.ClientState.REJECTED
        assert client.type(CDS).accepted_version == "v1"

    def test_a_change_of_names_is_sent_at_once_and_only_if_it_is_one(self) -> None:
        client = ads.Client(NODE)
        client.subscribe_all(CDS)
        client.connected()
        assert spoken(client.subscribe(EDS, ["b", "a"])) == "-> EDS - - a,b"
        assert client.subscribe(EDS, ["a", "b", "a"]) is None
        assert spoken(client.subscribe(EDS, [])) == "-> EDS - - -"

    def test_an_empty_subscription_is_not_spoken_since_it_would_mean_everything(self) -> None:
        client = ads.Client(NODE)
        client.connected()
        assert client.subscribe(EDS, []) is None
        client.disconnected()
        assert client.connected() == []

    def test_a_request_between_response_and_answer_is_no_answer(self) -> None:
        client = ads.Client(NODE)
        client.subscribe(EDS, ["a"])
        client.connected()
        client.accept(response(EDS, "v1", "n1"))
        arrived = response(EDS, "v2", "n2")
        assert spoken(client.subscribe(EDS, ["a", "b"])) == "-> EDS v1 n1 a,b"
        assert spoken(client.accept(arrived)) == "-> EDS v2 n2 a,b"

    def test_a_new_stream_starts_from_the_versions_in_force_without_nonces(self) -> None:
        client = ads.Client(NODE)
        client.subscribe_all(CDS)
        client.subscribe(EDS, ["a"])
        client.connected()
        client.accept(response(CDS, "v1", "n1"))
        client.disconnected()
        assert client.subscribe(EDS, ["a", "b"]) is None
        assert [spoken(each) for each in client.connected()] == ["-> CDS v1 - -", "-> EDS - - a,b"]

    def test_a_type_never_asked_for_is_refused(self) -> None:
        with pytest.raises(ads.UnexpectedResponseError):
            ads.Client(NODE).accept(response(RDS, "v1", "n1"))


def response(type_url: str, version: str, nonce: str) -> Any:
    return m.discovery_pb2.DiscoveryResponse(type_url=type_url, version_info=version, nonce=nonce)


class Exchange:
    """Both ends with a wire between them on which every message waits until it is delivered."""

    def __init__(self) -> None:
        self.client, self.server = ads.Client(NODE), ads.ServerStream()
        self.to_server: list[Any] = []
        self.to_client: list[Any] = []
        self.offered: dict[str, str] = {CDS: "v0", EDS: "v0"}
        self.client.subscribe_all(CDS)
        self.client.subscribe(EDS, ["a"])
        self.to_server.extend(self.client.connected())

    def deliver_request(self) -> None:
        if self.to_server:
            self.server.received(self.to_server.pop(0))

    def serve(self) -> None:
        for type_url in self.server.type_urls:
            known = self.server.type(type_url)
            if known.state is ads.ServerState.OWED or (known.sent_version != self.offered[type_url]):
                names = [m.any_pb2.Any(type_url=name) for name in sorted(known.names)]
                self.to_client.append(self.server.respond(type_url, self.offered[type_url], names))

    def deliver_response(self) -> None:
        if self.to_client:
            arrived = self.to_client.pop(0)
            rejected = arrived.version_info.startswith("bad")
            self.to_server.append(
                self.client.reject(arrived, "bad") if rejected else self.client.accept(arrived)
            )

    def rename(self, names: frozenset[str]) -> None:
        if (message := self.client.subscribe(EDS, names)) is not None:
            self.to_server.append(message)

    def reconnect(self) -> None:
        self.to_server.clear()
        self.to_client.clear()
        self.client.disconnected()
        self.server = ads.ServerStream()
        self.to_server.extend(self.client.connected())

    def settle(self) -> None:
        for _ in range(20):
            if self.to_server:
                self.deliver_request()
            elif self.to_client:
                self.deliver_response()
            else:
                self.serve()
        while self.to_server or self.to_client:
            self.deliver_request()
            self.deliver_response()


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["request", "serve", "response", "reconnect"]).map(lambda step: (step, None)),
        st.tuples(
            st.just("publish"), st.tuples(st.sampled_from([CDS, EDS]), st.sampled_from(["v1", "v2", "bad"]))
        ),
        st.tuples(st.just("rename"), st.frozensets(st.sampled_from("abc"), min_size=1)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_the_interleaving_both_ends_come_to_agree(steps: list[tuple[str, Any]]) -> None:
    exchange = Exchange()
    for step, detail in steps:
        match step:
            case "request":
                exchange.deliver_request()
            case "serve":
                exchange.serve()
            case "response":
                exchange.deliver_response()
            case "reconnect":
                exchange.reconnect()
            case "publish":
                exchange.offered[detail[0]] = detail[1]
            case "rename":
                exchange.rename(detail)
    exchange.settle()

    for type_url, version in exchange.offered.items():
        server, client = exchange.server.type(type_url), exchange.client.type(type_url)
        assert server.names == set(client.names)
        assert server.sent_version == version
        assert client.answered_nonce == server.sent_nonce
        if version.startswith("bad"):
            assert (server.state, client.state) == (ads.ServerState.NACKED, ads.ClientState.REJECTED)
        else:
            assert (server.state, client.state) == (ads.ServerState.ACKED, ads.ClientState.ACCEPTED)
            assert client.accepted_version == server.acked_version == version


def test_a_version_that_says_nothing_new_is_accepted_with_what_was_sent_before() -> None:
    server = ads.ServerStream()
    server.received(request(CDS))
    response = server.respond(CDS, "v1", [])
    server.settle(CDS, "v2")
    known = server.type(CDS)
    assert (known.sent_version, known.acked_version) == ("v2", "")  # v1 is not answered yet
    server.received(request(CDS, nonce=response.nonce))
    assert known.acked_version == "v2"
    server.settle(CDS, "v3")
    assert (known.sent_version, known.acked_version, known.acked_nonce) == ("v3", "v3", response.nonce)
