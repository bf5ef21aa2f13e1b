"""Names as istiod spells them."""

import pytest

from minimesh.xds import resource_names as names

HTTPBIN = "httpbin.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("built", "spelled"),
    [
        (names.outbound(8000, HTTPBIN), f"outbound|8000||{HTTPBIN}"),
        (names.outbound(8000, HTTPBIN, "v2"), f"outbound|8000|v2|{HTTPBIN}"),
        (names.inbound(5000), "inbound|5000||"),
        (names.listener_name("0.0.0.0", 8080), "0.0.0.0_8080"),
        (names.gateway_http_route_name(8080), "http.8080"),
        (names.gateway_https_route_name(443, "https-gs", "gs", "default"), "https.443.https-gs.gs.default"),
        (names.sidecar_route_name(8000), "8000"),
    ],
)
def test_names_are_spelled_as_istiod_does(built: str, spelled: str) -> None:
    assert built == spelled


@pytest.mark.parametrize(
    "text",
    [
        f"outbound|8000|v2|{HTTPBIN}",
        f"outbound|80||{HTTPBIN}",
        "inbound|5000||",
        "outbound|443||*.example.com",
    ],
)
def test_a_cluster_name_survives_parsing(text: str) -> None:
    parsed = names.parse_cluster_name(text)
    assert parsed is not None
    assert str(parsed) == text


@pytest.mark.parametrize("subset", ["", "v2"])
def test_the_sni_form_carries_the_same_parts(subset: str) -> None:
    name = names.ClusterName(names.TrafficDirection.OUTBOUND, 7777, subset, HTTPBIN)
    assert name.sni() == f"outbound_.7777_.{subset}_.{HTTPBIN}"
    assert names.parse_cluster_name(name.sni()) == name


@pytest.mark.parametrize(
    "text",
    ["", "BlackHoleCluster", "outbound|80|v1", "sideways|80||host", "outbound|http||host", "a|b|c|d|e"],
)
def test_other_names_are_not_taken_apart(text: str) -> None:
    assert names.parse_cluster_name(text) is None
