"""The configuration in force, for a worker that comes later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.data_plane.workers.journal import Journal
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    SHORT_TYPE_NAMES,
)
from tests.data_plane.xds_client.control_plane import cluster, endpoints, routes


def _response(type_url: str, version: str, *messages: Any) -> Any:
    response = m.discovery_pb2.DiscoveryResponse(type_url=type_url, version_info=version)
    for message in messages:
        response.resources.add().Pack(message)
    return response


def _told(journal: Journal) -> list[tuple[str, str, int]]:
    """Type, version and number of resources of each response."""
    return [
        (SHORT_TYPE_NAMES[each.type_url], each.version_info, len(each.resources))
        for each in journal.responses()
    ]


def test_types_come_in_the_order_of_a_first_delivery() -> None:
    journal = Journal(lambda type_url: None)
    journal.note(_response(ROUTE_TYPE_URL, "1", routes("a", "x")))
    journal.note(_response(LISTENER_TYPE_URL, "1"))
    journal.note(_response(ENDPOINT_TYPE_URL, "1", endpoints("a", 1)))
    journal.note(_response(CLUSTER_TYPE_URL, "1"))
    assert [short for short, _, _ in _told(journal)] == ["CDS", "EDS", "LDS", "RDS"]


def test_of_clusters_and_listeners_the_last_response_is_all_there_is() -> None:
    journal = Journal(lambda type_url: None)
    journal.note(_response(CLUSTER_TYPE_URL, "1", cluster("a"), cluster("b")))
    journal.note(_response(CLUSTER_TYPE_URL, "2", cluster("c")))
    assert _told(journal) == [("CDS", "2", 1)]


def test_of_endpoints_and_routes_each_stays_until_it_comes_again() -> None:
    journal = Journal(lambda type_url: None)
    journal.note(_response(ENDPOINT_TYPE_URL, "1", endpoints("a", 1), endpoints("b", 1)))
    journal.note(_response(ENDPOINT_TYPE_URL, "2", endpoints("b", 2)))
    assert _told(journal) == [("EDS", "1", 1), ("EDS", "2", 1)]


def test_what_nobody_wants_any_more_is_dropped() -> None:
    wanted: Sequence[str] = ["a", "b"]
    journal = Journal(lambda type_url: wanted)
    journal.note(_response(ROUTE_TYPE_URL, "1", routes("a", "x"), routes("b", "x")))
    wanted = ["b"]
    assert _told(journal) == [("RDS", "1", 1)]
    wanted = ["a", "b"]
    assert _told(journal) == [("RDS", "1", 1)]
