"""Outlier detection: when a host is ejected, for how long, and what is counted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, HostSpec
from minimesh.data_plane.upstream.host import HealthFlag, Host
from minimesh.data_plane.upstream.outlier_detection import OutlierDetection, success_rate_limit

from .clock import Clock


class Watched:
    """A cluster of some hosts under watch, and a clock."""

    def __init__(self, hosts: int = 3, **settings: Any) -> None:
        self.clock = Clock()
        self.stats = StatsStore()
        settings = {"max_ejection_percent": 100, **settings}
        self.cluster = Cluster(
            ClusterSettings("c", outlier_detection=OutlierDetection(**settings)),
            self.stats,
            random.Random(3),
            self.clock,
            self.clock,
        )
        self.cluster.update_hosts([HostSpec("127.0.0.1", port) for port in range(1, hosts + 1)])

    @property
    def hosts(self) -> list[Host]:
        return list(self.cluster.hosts)

    def answer(self, host: int, *statuses: int) -> None:
        for status in statuses:
            self.cluster.health.on_response(self.hosts[host], status, unwelcome=False)

    @property
    def ejected(self) -> list[int]:
        return [
            index for index, host in enumerate(self.hosts) if host.flags & HealthFlag.FAILED_OUTLIER_CHECK
        ]

    def count(self, name: str) -> int:
        store, full = self.stats, f"cluster.c.outlier_detection.{name}"
        return store.counters[full].value if full in store.counters else store.gauges[full].value


def test_five_server_errors_in_a_row_eject() -> None:
    watched = Watched()
    watched.answer(0, 500, 500, 500, 500, 200, 500, 500, 500, 500)
    assert watched.ejected == []
    watched.answer(0, 500)
    assert watched.ejected == [0]
    assert {watched.cluster.choose_host() for _ in range(20)} == set(watched.hosts[1:])
    assert watched.count("ejections_active") == 1
    assert watched.count("ejections_enforced_consecutive_5xx") == 1
    assert watched.count("ejections_enforced_total") == 1


def test_what_is_not_enforced_is_only_counted() -> None:
    watched = Watched(consecutive_5xx=0, enforcing_consecutive_gateway_failure=0)
    watched.answer(0, *[503] * 5)
    assert watched.ejected == []
    assert watched.count("ejections_detected_consecutive_gateway_failure") == 1
    assert watched.count("ejections_enforced_total") == 0


def test_gateway_failures_end_with_another_error() -> None:
    watched = Watched(consecutive_5xx=100, enforcing_consecutive_gateway_failure=100)
    watched.answer(0, 502, 503, 504, 502, 500, 502, 503, 504, 502)
    assert watched.ejected == []
    watched.answer(0, 503)
    assert watched.ejected == [0]


def test_failures_seen_from_here_count_as_server_errors() -> None:
    watched = Watched(consecutive_5xx=2)
    watched.cluster.health.on_failure(watched.hosts[1])
    watched.cluster.health.on_timeout(watched.hosts[1])
    assert watched.ejected == [1]


def test_failures_seen_from_here_may_count_for_themselves() -> None:
    watched = Watched(
        consecutive_5xx=2, consecutive_local_origin_failure=2, split_external_local_origin_errors=True
    )
    health, host = watched.cluster.health, watched.hosts[0]
    health.on_failure(host)
    health.on_connected(host)
    watched.answer(0, 500)
    health.on_failure(host)
    assert watched.ejected == []
    health.on_timeout(host)
    assert watched.ejected == [0]
    assert watched.count("ejections_enforced_consecutive_local_origin_failure") == 1


def test_a_host_comes_back_after_its_time_and_stays_away_longer_the_next() -> None:
    watched = Watched(consecutive_5xx=1, interval_s=1.0, base_ejection_time_s=30.0)
    watched.answer(0, 500)
    watched.clock.advance(29.5)
    assert watched.ejected == [0]
    watched.clock.advance(0.5)
    assert watched.ejected == []
    assert watched.count("ejections_active") == 0
    watched.answer(0, 500)
    watched.clock.advance(59.5)
    assert watched.ejected == [0]
    watched.clock.advance(0.5)
    assert watched.ejected == []


def test_good_behaviour_shortens_the_next_ejection() -> None:
    watched = Watched(consecutive_5xx=1, interval_s=10.0, base_ejection_time_s=30.0)
    watched.answer(0, 500)
    watched.clock.advance(30)
    watched.clock.advance(10)
    watched.answer(0, 500)
    watched.clock.advance(30)
    assert watched.ejected == []


def test_the_longest_ejection_is_limited() -> None:
    watched = Watched(consecutive_5xx=1, interval_s=1.0, base_ejection_time_s=10.0, max_ejection_time_s=15.0)
    for stays_s in (10, 15, 15):
        watched.answer(0, 500)
        watched.clock.advance(stays_s - 0.5)
        assert watched.ejected == [0]
        watched.clock.advance(0.5)
        assert watched.ejected == []


@pytest.mark.parametrize(
    ("settings", "ejected"),
    [
        ({"max_ejection_percent": 50}, [0]),  # one of three is 33 %, two would be 67 %
        ({"max_ejection_percent": 67}, [0, 1]),
        ({"max_ejection_percent": 10}, []),
        ({"max_ejection_percent": 10, "always_eject_one_host": True}, [0]),
    ],
)
def test_only_so_many_at_a_time(settings: dict[str, Any], ejected: list[int]) -> None:
    watched = Watched(consecutive_5xx=1, **settings)
    for host in range(3):
        watched.answer(host, 500)
    assert watched.ejected == ejected
    assert watched.count("ejections_overflow") == 3 - len(ejected)


def test_success_rates_are_compared_at_the_end_of_an_interval() -> None:
    watched = Watched(5, consecutive_5xx=0, success_rate_request_volume=10, interval_s=10.0)
    for host in range(4):
        watched.answer(host, *[200] * 10)
    watched.answer(4, *[200] * 5, *[500] * 5)
    assert watched.ejected == []
    watched.clock.advance(10)
    assert watched.ejected == [4]
    assert watched.count("ejections_enforced_success_rate") == 1
    assert watched.hosts[0].success_rate == 100.0
    assert watched.hosts[4].success_rate == 50.0


def test_too_few_hosts_or_requests_say_nothing() -> None:
    few_hosts = Watched(4, consecutive_5xx=0, success_rate_request_volume=10)
    few_requests = Watched(5, consecutive_5xx=0, success_rate_request_volume=11)
    for watched in (few_hosts, few_requests):
        for host in range(len(watched.hosts) - 1):
            watched.answer(host, *[200] * 10)
        watched.answer(len(watched.hosts) - 1, *[500] * 10)
        watched.clock.advance(10)
        assert watched.ejected == []


def test_failure_percentage_is_a_fixed_limit() -> None:
    watched = Watched(
        consecutive_5xx=0,
        enforcing_success_rate=0,
        enforcing_failure_percentage=100,
        failure_percentage_minimum_hosts=3,
        failure_percentage_request_volume=10,
        failure_percentage_threshold=40,
    )
    watched.answer(0, *[200] * 6, *[500] * 4)
    watched.answer(1, *[200] * 7, *[500] * 3)
    watched.answer(2, *[200] * 10)
    watched.clock.advance(10)
    assert watched.ejected == [0]
    assert watched.count("ejections_enforced_failure_percentage") == 1


def test_the_limit_lies_deviations_below_the_mean() -> None:
    assert success_rate_limit([100, 100, 100, 100, 50], 1900) == pytest.approx(90 - 1.9 * 20)
    assert success_rate_limit([80, 80], 1900) == 80


def test_a_removed_host_is_no_longer_counted() -> None:
    watched = Watched(consecutive_5xx=1)
    watched.answer(0, 500)
    watched.cluster.update_hosts([HostSpec("127.0.0.1", 2)])
    assert watched.count("ejections_active") == 0


def test_switched_off_nobody_is_ejected_any_more() -> None:
    watched = Watched(consecutive_5xx=1)
    watched.answer(0, 500)
    watched.cluster.update_settings(ClusterSettings("c"))
    assert watched.ejected == []
    assert {watched.cluster.choose_host() for _ in range(20)} == set(watched.hosts)
    assert watched.clock.next_in_s is None
