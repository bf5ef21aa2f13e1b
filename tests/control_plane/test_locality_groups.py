"""Which endpoints a caller uses first, and how much of the traffic each locality gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from minimesh.control_plane.locality import NOWHERE, Locality, locality_of_labels, topology_labels
from minimesh.control_plane.service_registry.services import Endpoint
from minimesh.control_plane.translation.locality_groups import (
    Caller,
    arranged,
    by_locality,
    effective_setting,
)
from tests.control_plane.meshes import decode_documents

HERE = Locality("region1", "zone1", "sub1")
PLACES = ("region1/zone1/sub1", "region1/zone1/sub2", "region1/zone2", "region2/zone1", "region3")


def endpoint(place: str, labels: Mapping[str, str] | None = None, weight: int = 0) -> Endpoint:
    found = topology_labels(labels or {}, Locality.parse(place))
    return Endpoint(f"{place}/{weight}", 80, found, place, weight)


def setting(**written: Any) -> Any:
    """A localityLbSetting as it comes out of a DestinationRule's YAML."""
    policy = {"loadBalancer": {"localityLbSetting": written}}
    [rule] = decode_documents(
        [
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "DestinationRule",
                "metadata": {"name": "rule"},
                "spec": {"host": "host", "trafficPolicy": policy},
            }
        ]
    )
    spec: Any = rule.spec
    return spec.traffic_policy.load_balancer.locality_lb_setting


def priorities(found: Any, *places: str, caller: Locality = HERE, fails_over: bool = True) -> dict[str, int]:
    groups = by_locality(endpoint(place) for place in places or PLACES)
    arranged_groups = arranged(groups, found, Caller(caller, {}), fails_over=fails_over)
    return {str(group.locality): group.priority for group in arranged_groups}


def test_the_nearest_come_first() -> None:
    assert priorities(setting()) == dict(zip(PLACES, (0, 1, 2, 3, 3), strict=True))


def test_priorities_leave_no_gap() -> None:
    assert priorities(setting(), "region1/zone2", "region3") == {"region1/zone2": 0, "region3": 1}


def test_without_outlier_detection_nothing_fails_over() -> None:
    assert set(priorities(setting(), fails_over=False).values()) == {0}


def test_failover_names_the_region_to_go_to_next() -> None:
    found = priorities(setting(failover=[{"from": "region1", "to": "region3"}]))
    assert (found["region3"], found["region2/zone1"]) == (3, 4)


def test_failover_of_another_region_does_not_concern_the_caller() -> None:
    found = priorities(setting(failover=[{"from": "region9", "to": "region3"}]))
    assert found["region3"] == found["region2/zone1"] == 3


@pytest.mark.parametrize("written", [{"enabled": False}])
def test_switched_off(written: dict[str, Any]) -> None:
    [balancer] = [type("LoadBalancer", (), {"locality_lb_setting": setting(**written)})]
    assert effective_setting(setting(), balancer) is None


def test_a_rules_setting_replaces_the_meshs() -> None:
    own = setting(failover=[{"from": "a", "to": "b"}])
    balancer = type("LoadBalancer", (), {"locality_lb_setting": own})
    assert effective_setting(setting(), balancer) is own
    assert effective_setting(None, balancer) is own
    assert effective_setting(None, None) is None


def test_distribute_gives_weights_and_leaves_out_whom_it_does_not_name() -> None:
    to = {"region1/zone1/*": 70, "region1/zone2/*": 20, "region2/*": 10}
    rule = setting(distribute=[{"from": "other", "to": {"*": 100}}, {"from": "region1/zone1/*", "to": to}])
    groups = by_locality(endpoint(place) for place in PLACES)
    found = arranged(groups, rule, Caller(HERE, {}), fails_over=False)
    shares = {str(group.locality): group.weight for group in found if group.endpoints}
    # Two localities share the 70.
    assert shares == dict(zip(PLACES[:4], (35, 35, 20, 10), strict=True))
    assert {group.priority for group in found} == {0}


def test_a_share_follows_the_weights_of_the_endpoints_there() -> None:
    rule = setting(distribute=[{"from": "*", "to": {"region1/*": 100}}])
    groups = by_locality([endpoint("region1/zone1", weight=3), endpoint("region1/zone2", weight=1)])
    found = arranged(groups, rule, Caller(HERE, {}), fails_over=False)
    assert [group.weight for group in found] == [75, 25]


def test_a_caller_that_no_rule_distributes_keeps_everything() -> None:
    rule = setting(distribute=[{"from": "elsewhere", "to": {"*": 100}}])
    groups = by_locality(endpoint(place) for place in PLACES)
    assert arranged(groups, rule, Caller(HERE, {}), fails_over=False) == groups


def test_failover_priority_counts_the_labels_that_are_alike_from_the_first_on() -> None:
    rule = setting(failoverPriority=["version", "topology.kubernetes.io/region"])
    endpoints = [
        endpoint("region1", {"version": "v1"}),
        endpoint("region1", {"version": "v2"}),
        endpoint("region2", {"version": "v1"}),
    ]
    found = arranged(by_locality(endpoints), rule, Caller(HERE, {"version": "v1"}), fails_over=True)
    levels = {(str(g.locality), e.labels["version"]): g.priority for g in found for e in g.endpoints}
    assert levels == {("region1", "v1"): 0, ("region2", "v1"): 1, ("region1", "v2"): 2}


def test_failover_priority_may_name_a_value() -> None:
    rule = setting(failoverPriority=["version=v2"])
    endpoints = [endpoint("region1", {"version": version}, weight=2) for version in ("v1", "v2")]
    found = arranged(by_locality(endpoints), rule, Caller(HERE, {"version": "v1"}), fails_over=True)
    assert [(group.endpoints[0].labels["version"], group.priority, group.weight) for group in found] == [
        ("v2", 0, 2),
        ("v1", 1, 2),
    ]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, NOWHERE),
        ({"istio-locality": "region1.zone1.sub1"}, HERE),
        ({"istio-locality": "region.1/zone1"}, Locality("region.1", "zone1")),
        (
            {
                "topology.kubernetes.io/region": "region1",
                "topology.kubernetes.io/zone": "zone1",
                "topology.istio.io/subzone": "sub1",
            },
            HERE,
        ),
        ({"istio-locality": "region1.zone1.sub1", "topology.kubernetes.io/region": "other"}, HERE),
    ],
)
def test_labels_say_where_a_workload_is(labels: dict[str, str], expected: Locality) -> None:
    assert locality_of_labels(labels) == expected
