"""The choice of a host, with a seeded source of chance."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, LoadBalancerPolicy
from minimesh.data_plane.upstream.host import Health, Host, HostSpec
from minimesh.data_plane.upstream.load_balancer import make_load_balancer, usable_hosts


def hosts(*weights: int, health: Health = Health.HEALTHY) -> list[Host]:
    return [Host(HostSpec("127.0.0.1", port, weight, health)) for port, weight in enumerate(weights, 1)]


def picks(policy: LoadBalancerPolicy, members: list[Host], number: int = 1000) -> Counter[int]:
    balancer = make_load_balancer(ClusterSettings("c", lb_policy=policy), members, random.Random(7))
    counted: Counter[int] = Counter()
    for _ in range(number):
        chosen = balancer.choose()
        assert chosen is not None
        counted[chosen.port] += 1
    return counted


def test_round_robin_takes_turns() -> None:
    assert picks(LoadBalancerPolicy.ROUND_ROBIN, hosts(1, 1, 1), 300) == {1: 100, 2: 100, 3: 100}


def test_round_robin_by_weight_is_exact() -> None:
    assert picks(LoadBalancerPolicy.ROUND_ROBIN, hosts(3, 1), 400) == {1: 300, 2: 100}


def test_random_ignores_weights() -> None:
    assert picks(LoadBalancerPolicy.RANDOM, hosts(9, 1))[2] == pytest.approx(500, abs=60)


def test_least_request_compares_two() -> None:
    members = hosts(1, 1, 1)
    members[0].active_requests = 5
    # The busy one is chosen only when it is drawn twice: one time in nine.
    assert picks(LoadBalancerPolicy.LEAST_REQUEST, members, 9000)[1] == pytest.approx(1000, abs=150)


def test_least_request_by_weight_shrinks_with_load() -> None:
    members = hosts(2, 1)
    assert picks(LoadBalancerPolicy.LEAST_REQUEST, members, 300)[1] == pytest.approx(200, abs=2)
    members[0].active_requests = 3
    assert picks(LoadBalancerPolicy.LEAST_REQUEST, members, 300)[1] == pytest.approx(100, abs=3)


@pytest.mark.parametrize("policy", [LoadBalancerPolicy.ROUND_ROBIN, LoadBalancerPolicy.LEAST_REQUEST])
def test_no_hosts(policy: LoadBalancerPolicy) -> None:
    assert make_load_balancer(ClusterSettings("c", lb_policy=policy), (), random.Random(1)).choose() is None


def test_unhealthy_hosts_are_left_out_until_too_many_are() -> None:
    members = [*hosts(1, 1), *hosts(1, health=Health.UNHEALTHY)]
    assert list(usable_hosts(members, 50.0).hosts) == members[:2]
    panic = usable_hosts([*members, *hosts(1, 1, health=Health.UNHEALTHY)], 50.0)
    assert panic.panic
    assert len(panic.hosts) == 5


def test_panic_can_be_switched_off() -> None:
    assert list(usable_hosts(hosts(1, health=Health.UNHEALTHY), 0.0).hosts) == []


def test_the_next_priority_serves_when_the_first_is_down() -> None:
    down = Host(HostSpec("127.0.0.1", 1, health=Health.UNHEALTHY))
    backup = Host(HostSpec("127.0.0.1", 2, priority=1))
    assert list(usable_hosts([down, backup], 50.0).hosts) == [backup]


def cluster(**settings: object) -> Cluster:
    return Cluster(ClusterSettings("c", **settings), StatsStore(), random.Random(1))  # type: ignore[arg-type]


def test_updates_keep_live_hosts() -> None:
    live = cluster()
    live.update_hosts([HostSpec("127.0.0.1", 1), HostSpec("127.0.0.1", 2)])
    kept = live.hosts[1]
    kept.active_requests = 3
    live.update_hosts([HostSpec("127.0.0.1", 2, weight=5), HostSpec("127.0.0.1", 3)])
    assert live.hosts[0] is kept
    assert (kept.weight, kept.active_requests) == (5, 3)
    assert {live.choose_host() for _ in range(50)} == set(live.hosts)


def test_a_retry_prefers_an_untried_host() -> None:
    live = cluster(lb_policy=LoadBalancerPolicy.RANDOM)
    live.update_hosts([HostSpec("127.0.0.1", 1), HostSpec("127.0.0.1", 2)])
    tried = live.hosts[0]
    assert {live.choose_untried_host([tried], 20) for _ in range(20)} == {live.hosts[1]}
    live.update_hosts([HostSpec("127.0.0.1", 1)])
    assert live.choose_untried_host([tried], 5) is tried


def test_subsets_by_metadata() -> None:
    live = cluster()
    live.update_hosts(
        [HostSpec("127.0.0.1", port, metadata={"envoy.lb": {"version": f"v{port}"}}) for port in (1, 2)]
    )
    assert live.choose_host({"version": "v2"}) is live.hosts[1]
    assert live.choose_host({"version": "v3"}) is None
