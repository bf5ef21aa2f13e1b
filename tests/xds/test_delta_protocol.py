"""Incremental ADS, the server's end: what is sent after which request."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Reaction, ServerState
from minimesh.xds.delta_protocol import DeltaServerStream
from minimesh.xds.resource_names import CLUSTER_TYPE_URL as CDS
from minimesh.xds.resource_names import ENDPOINT_TYPE_URL as EDS
from minimesh.xds.responses import Packed, delta_response, whole_response


def request(type_url: str, **fields: Any) -> Any:
    error = fields.pop("error", "")
    made = m.discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, **fields)
    if error:
        made.error_detail.message = error
    return made


def send(stream: DeltaServerStream, type_url: str, versions: dict[str, str], *, complete: bool = True) -> str:
    """Send what there is to send; its nonce."""
    change = stream.change(type_url, versions, complete=complete)
    return stream.sent(type_url, "v", change, versions)


@pytest.fixture
def stream() -> DeltaServerStream:
    return DeltaServerStream()


def test_a_first_request_without_names_asks_for_everything(stream: DeltaServerStream) -> None:
    assert stream.received(request(CDS)).reaction is Reaction.SUBSCRIBED
    assert stream.type(CDS).wildcard
    assert stream.type(CDS).owed


def test_a_first_request_without_names_asks_for_nothing_where_there_is_no_everything(
    stream: DeltaServerStream,
) -> None:
    stream.received(request(EDS))
    assert not stream.type(EDS).wildcard


def test_only_what_changed_is_sent(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    nonce = send(stream, CDS, {"a": "1", "b": "1"})
    assert stream.received(request(CDS, response_nonce=nonce)).reaction is Reaction.ACKED
    change = stream.change(CDS, {"a": "1", "b": "2", "c": "1"}, complete=True)
    assert (change.changed, change.removed) == (("b", "c"), ())


def test_what_is_gone_is_removed_by_name(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    send(stream, CDS, {"a": "1", "b": "1"})
    assert stream.change(CDS, {"a": "1"}, complete=True).removed == ("b",)
    assert stream.change(CDS, {"a": "1"}, complete=False).removed == ()


def test_a_proxy_that_comes_back_is_told_only_what_changed_meanwhile(stream: DeltaServerStream) -> None:
    stream.received(request(CDS, initial_resource_versions={"a": "1", "b": "1", "gone": "1"}))
    change = stream.change(CDS, {"a": "1", "b": "2"}, complete=True)
    assert (change.changed, change.removed) == (("b",), ("gone",))


def test_names_are_added_and_removed_one_by_one(stream: DeltaServerStream) -> None:
    stream.received(request(EDS, resource_names_subscribe=["a", "b"]))
    send(stream, EDS, {"a": "1", "b": "1"}, complete=False)
    stream.received(request(EDS, resource_names_subscribe=["c"], resource_names_unsubscribe=["a"]))
    assert stream.type(EDS).names == {"b", "c"}
    assert stream.change(EDS, {"b": "1", "c": "1"}, complete=False).changed == ("c",)


def test_asking_again_for_a_resource_has_it_sent_again(stream: DeltaServerStream) -> None:
    stream.received(request(EDS, resource_names_subscribe=["a"]))
    send(stream, EDS, {"a": "1"}, complete=False)
    stream.received(request(EDS, resource_names_subscribe=["a"]))
    assert stream.type(EDS).owed
    assert stream.change(EDS, {"a": "1"}, complete=False).changed == ("a",)


def test_a_star_asks_for_everything_beside_names_and_can_be_taken_back(stream: DeltaServerStream) -> None:
    stream.received(request(CDS, resource_names_subscribe=["*", "on-demand"]))
    assert stream.type(CDS).wildcard
    stream.received(request(CDS, resource_names_unsubscribe=["*"]))
    assert not stream.type(CDS).wildcard
    assert stream.type(CDS).names == {"on-demand"}


def test_names_added_while_an_answer_is_awaited_are_owed(stream: DeltaServerStream) -> None:
    stream.received(request(EDS, resource_names_subscribe=["a"]))
    nonce = send(stream, EDS, {"a": "1"}, complete=False)
    stream.received(request(EDS, resource_names_subscribe=["b"]))
    assert stream.type(EDS).owed
    stream.received(request(EDS, response_nonce=nonce))
    assert stream.type(EDS).state is ServerState.ACKED
    assert stream.type(EDS).owed


def test_what_was_rejected_goes_out_again_with_the_next_change(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    nonce = send(stream, CDS, {"a": "1", "bad": "1"})
    received = stream.received(request(CDS, response_nonce=nonce, error="no such thing"))
    assert (received.reaction, received.error) == (Reaction.NACKED, "no such thing")
    assert stream.type(CDS).error == "no such thing"
    assert not stream.type(CDS).owed
    assert stream.change(CDS, {"a": "1", "bad": "2"}, complete=True).changed == ("a", "bad")


def test_each_response_has_its_own_answer(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    first = send(stream, CDS, {"a": "1"})
    second = send(stream, CDS, {"a": "1", "b": "1"})
    assert stream.received(request(CDS, response_nonce=first)).reaction is Reaction.STALE
    assert stream.type(CDS).state is ServerState.SENT
    assert stream.received(request(CDS, response_nonce=second)).reaction is Reaction.ACKED


def test_an_answer_of_an_earlier_stream_changes_nothing(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    send(stream, CDS, {"a": "1"})
    assert stream.received(request(CDS, response_nonce="of another stream")).reaction is Reaction.STALE
    assert stream.type(CDS).state is ServerState.SENT


def test_a_version_that_says_nothing_new_is_settled_without_a_word(stream: DeltaServerStream) -> None:
    stream.received(request(CDS))
    nonce = send(stream, CDS, {"a": "1"})
    stream.received(request(CDS, response_nonce=nonce))
    stream.settle(CDS, "v2")
    assert (stream.type(CDS).sent_version, stream.type(CDS).acked_version) == ("v2", "v2")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 20_000])
def test_responses_put_together_from_pieces_are_the_messages_they_stand_for(size: int) -> None:
    clusters = [m.cluster_pb2.Cluster(name=f"{number}" * size) for number in range(3)]
    packed = [Packed.of(f"c{number}", each) for number, each in enumerate(clusters)]
    whole = whole_response(CDS, "v", "n", packed).message()
    assert (whole.version_info, whole.nonce, whole.type_url) == ("v", "n", CDS)
    assert [each.value for each in whole.resources] == [each.SerializeToString() for each in clusters]
    delta = delta_response(CDS, "v", "n", packed, ["gone"]).message()
    assert [(each.name, each.version) for each in delta.resources] == [(p.name, p.version) for p in packed]
    assert list(delta.removed_resources) == ["gone"]
