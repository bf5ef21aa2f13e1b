"""The choice of a host, with a seeded source of chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.balancer_factory import BalancerFactory
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, LoadBalancerPolicy, LoadBalancing
from minimesh.data_plane.upstream.host import Health, Host, HostSpec
from minimesh.data_plane.upstream.lb_settings import SubsetFallback, Subsets, SubsetSelector
from minimesh.data_plane.upstream.load_balancer import LoadBalancer


def hosts(*weights: int, health: Health = Health.HEALTHY) -> list[Host]:
    return [Host(HostSpec("127.0.0.1", port, weight, health)) for port, weight in enumerate(weights, 1)]


def balancer_of(members: Sequence[Host], **settings: Any) -> LoadBalancer:
    stats = StatsStore()
    factory = BalancerFactory(
        LoadBalancing(**settings), random.Random(7), lambda: 0.0, lambda: 0, stats.counter("panics")
    )
    return factory.make(members)


def picks(policy: LoadBalancerPolicy, members: list[Host], number: int = 1000) -> Counter[int]:
    balancer = balancer_of(members, policy=policy)
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
    assert balancer_of((), policy=policy).choose() is None


def reached(members: Sequence[Host], **settings: Any) -> set[Host | None]:
    balancer = balancer_of(members, **settings)
    return {balancer.choose() for _ in range(300)}


def test_unhealthy_hosts_are_left_out_until_too_many_are() -> None:
    members = [*hosts(1, 1), *hosts(1, health=Health.UNHEALTHY)]
    assert reached(members) == set(members[:2])
    members += hosts(1, 1, health=Health.UNHEALTHY)
    assert reached(members) == set(members)
    assert reached(members, fail_traffic_on_panic=True) == {None}


def test_panic_can_be_switched_off() -> None:
    assert reached(hosts(1, health=Health.UNHEALTHY), panic_threshold_percent=0.0) == {None}


def test_the_next_priority_serves_when_the_first_is_down() -> None:
    down = Host(HostSpec("127.0.0.1", 1, health=Health.UNHEALTHY))
    backup = Host(HostSpec("127.0.0.1", 2, priority=1))
    assert reached([down, backup]) == {backup}


def test_degraded_hosts_take_what_healthy_ones_cannot_bear() -> None:
    members = [*hosts(1), *hosts(1, 1, 1, health=Health.DEGRADED)]
    balancer = balancer_of(members)
    counted = Counter(balancer.choose() for _ in range(4000))
    # One in four healthy bears 1.4 * 25 % = 35 % of the traffic.
    assert counted[members[0]] == pytest.approx(1400, abs=120)


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
    live = cluster(load_balancing=LoadBalancing(LoadBalancerPolicy.RANDOM))
    live.update_hosts([HostSpec("127.0.0.1", 1), HostSpec("127.0.0.1", 2)])
    tried = live.hosts[0]
    chosen = {live.choose_acceptable_host(lambda host: host is not tried, 20) for _ in range(20)}
    assert chosen == {live.hosts[1]}
    live.update_hosts([HostSpec("127.0.0.1", 1)])
    assert live.choose_acceptable_host(lambda host: host is not tried, 5) is tried


def versions(*numbers: int) -> list[HostSpec]:
    return [
        HostSpec("127.0.0.1", port, metadata={"envoy.lb": {"version": f"v{port}", "stage": "prod"}})
        for port in numbers
    ]


def with_subsets(**settings: Any) -> Cluster:
    subsets = Subsets((SubsetSelector(frozenset({"version"})),), **settings)
    live = cluster(load_balancing=LoadBalancing(subsets=subsets))
    live.update_hosts(versions(1, 2))
    return live


def test_subsets_by_metadata() -> None:
    live = with_subsets()
    assert live.choose_host({"version": "v2"}) is live.hosts[1]
    assert live.choose_host({"version": "v3"}) is None
    # Only sets of keys that a selector names make subsets.
    assert live.choose_host({"stage": "prod"}) is None
    assert live.choose_host() is None


def test_without_selectors_metadata_chooses_nothing() -> None:
    live = cluster()
    live.update_hosts(versions(1, 2))
    assert {live.choose_host({"version": "v2"}) for _ in range(20)} == set(live.hosts)


def test_subset_fallbacks() -> None:
    any_host = with_subsets(fallback=SubsetFallback.ANY_ENDPOINT)
    assert {any_host.choose_host({"version": "v9"}) for _ in range(20)} == set(any_host.hosts)
    default = with_subsets(fallback=SubsetFallback.DEFAULT_SUBSET, default_subset={"version": "v1"})
    assert {default.choose_host({"version": "v9"}) for _ in range(20)} == {default.hosts[0]}
    nowhere = {"fallback": SubsetFallback.DEFAULT_SUBSET, "default_subset": {"version": "v8"}}
    assert with_subsets(**nowhere).choose_host() is None
    panic = with_subsets(**nowhere, panic_mode_any=True)
    assert {panic.choose_host() for _ in range(20)} == set(panic.hosts)


def test_fallback_to_fewer_keys() -> None:
    both = SubsetSelector(
        frozenset({"version", "stage"}), SubsetFallback.KEYS_SUBSET, fallback_keys=frozenset({"stage"})
    )
    subsets = Subsets((both, SubsetSelector(frozenset({"stage"}))))
    live = cluster(load_balancing=LoadBalancing(subsets=subsets))
    live.update_hosts(versions(1, 2))
    assert live.choose_host({"version": "v1", "stage": "prod"}) is live.hosts[0]
    assert {live.choose_host({"version": "v7", "stage": "prod"}) for _ in range(20)} == set(live.hosts)
