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
from minimesh.data_plane.upstream.host import Health, Host, HostSpec, Locality
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.lb_settings import (
    ConsistentHashing,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from minimesh.data_plane.upstream.load_balancer import LoadBalancer, slow_start_factor
from minimesh.data_plane.upstream.priority_load import Availability, PriorityLoad, load_after


def hosts(*weights: int, health: Health = Health.HEALTHY) -> list[Host]:
    return [Host(HostSpec("127.0.0.1", port, weight, health)) for port, weight in enumerate(weights, 1)]


def balancer_of(members: Sequence[Host], **settings: Any) -> LoadBalancer:
    factory = BalancerFactory(
        LoadBalancing(**settings), random.Random(7), lambda: 0.0, lambda: 0, StatsStore(), "cluster.c."
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


# --- localities, weights that grow, bounded loads, levels for retries ---


def in_zone(zone: str, number: int, weight: int, unhealthy: int = 0) -> list[Host]:
    port = 1000 * len(zone) + 1
    return [
        Host(
            HostSpec(
                f"127.0.{ord(zone)}.1",
                port + index,
                health=Health.UNHEALTHY if index < unhealthy else Health.HEALTHY,
                locality=Locality(zone=zone),
                locality_weight=weight,
            )
        )
        for index in range(number)
    ]


def shares_by_zone(members: list[Host], **settings: Any) -> dict[str, float]:
    balancer = balancer_of(members, locality_weighted=True, **settings)
    counted: Counter[str] = Counter()
    for _ in range(3000):
        host = balancer.choose()
        assert host is not None
        counted[host.spec.locality.zone] += 1
    return {zone: number / 3000 for zone, number in sorted(counted.items())}


def test_localities_get_traffic_by_weight_whatever_their_size() -> None:
    members = [*in_zone("a", 1, weight=1), *in_zone("b", 4, weight=2)]
    assert shares_by_zone(members) == pytest.approx({"a": 1 / 3, "b": 2 / 3}, abs=0.01)


def test_a_locality_with_failing_hosts_gives_some_of_it_away() -> None:
    # Half of b's hosts are left: 1.4 * 50 % = 70 % of its weight.
    members = [*in_zone("a", 4, weight=1), *in_zone("b", 4, weight=1, unhealthy=2)]
    assert shares_by_zone(members) == pytest.approx({"a": 1 / 1.7, "b": 0.7 / 1.7}, abs=0.01)


def test_a_locality_without_weight_gets_nothing() -> None:
    assert shares_by_zone([*in_zone("a", 1, weight=1), *in_zone("b", 1, weight=0)]) == {"a": 1.0}


def test_localities_share_a_hash_table_by_weight() -> None:
    members = [*in_zone("a", 1, weight=1), *in_zone("b", 1, weight=3)]
    shares = shares_by_zone(members, policy=LoadBalancerPolicy.MAGLEV)
    assert shares == pytest.approx({"a": 0.25, "b": 0.75}, abs=0.04)


@pytest.mark.parametrize("policy", [LoadBalancerPolicy.ROUND_ROBIN, LoadBalancerPolicy.LEAST_REQUEST])
def test_a_new_host_gets_its_share_little_by_little(policy: LoadBalancerPolicy) -> None:
    now = [0.0]
    settings = LoadBalancing(policy, slow_start=SlowStart(window_s=100.0))
    factory = BalancerFactory(
        settings, random.Random(7), lambda: now[0], lambda: 0, StatsStore(), "cluster.c."
    )
    old, new = hosts(1, 1)
    old.healthy_since = -1000.0

    def share_of_new() -> float:
        balancer = factory.make([old, new])
        return Counter(balancer.choose() for _ in range(2000))[new] / 2000

    assert share_of_new() == pytest.approx(0.1 / 1.1, abs=0.01)  # at least 10 % of its weight
    now[0] = 50.0
    assert share_of_new() == pytest.approx(0.5 / 1.5, abs=0.01)
    now[0] = 100.0
    assert share_of_new() == pytest.approx(0.5, abs=0.04)


def test_aggression_makes_a_new_host_grow_faster_at_first() -> None:
    new = hosts(1)[0]
    slow_start = SlowStart(window_s=100.0, aggression=2.0)
    assert slow_start_factor(new, slow_start, 25.0) == pytest.approx(0.5)
    assert slow_start_factor(new, slow_start, 101.0) == 1.0


def test_an_overloaded_host_passes_its_requests_on() -> None:
    members = hosts(1, 1, 1)
    active = [0]
    hashing = ConsistentHashing(balance_factor_percent=150)
    factory = BalancerFactory(
        LoadBalancing(LoadBalancerPolicy.RING_HASH, hashing=hashing),
        random.Random(7),
        lambda: 0.0,
        lambda: active[0],
        StatsStore(),
        "cluster.c.",
    )
    balancer = factory.make(members)
    preferred = balancer.choose(HostSelection(42))
    assert preferred is not None
    for number in range(12):
        chosen = balancer.choose(HostSelection(42))
        assert chosen is not None
        chosen.active_requests += 1
        active[0] = number + 1
    assert preferred.active_requests < 12
    assert max(host.active_requests for host in members) <= 7  # half again as much as the mean of 4, and one


def test_a_hash_for_a_retry_finds_another_host() -> None:
    balancer = balancer_of(hosts(1, 1, 1, 1), policy=LoadBalancerPolicy.MAGLEV)
    found = set()
    for attempt in range(8):
        selection = HostSelection(7)
        selection.attempt = attempt
        found.add(balancer.choose(selection))
    assert len(found) > 1


def test_retries_leave_levels_that_were_tried() -> None:
    three = Availability([100, 100, 100], [0, 0, 0])
    assert load_after(three, [0], 2) is None
    assert load_after(three, [0, 0], 2) == ([0, 50, 50], [0, 0, 0])
    assert load_after(three, [0, 1], 1) == ([0, 0, 100], [0, 0, 0])
    # Nothing is left: all are back.
    assert load_after(three, [0, 1, 2], 1) == ([34, 33, 33], [0, 0, 0])


def test_a_level_is_chosen_by_its_share() -> None:
    load = PriorityLoad([70, 0], [10, 20])
    assert [load.choose(number) for number in (0, 69, 70, 79, 80, 99)] == [
        (0, False),
        (0, False),
        (0, True),
        (0, True),
        (1, True),
        (1, True),
    ]
