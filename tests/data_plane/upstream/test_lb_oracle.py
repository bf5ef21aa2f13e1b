"""Tables and shares gathered from Envoy's own tests (`shared/oracles/lb/lb.json`)."""

from __future__ import annotations

import heapq
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.balancer_factory import BalancerFactory
from minimesh.data_plane.upstream.consistent_hash import Maglev, Ring, normalized
from minimesh.data_plane.upstream.hashing import murmurhash2, xxhash64
from minimesh.data_plane.upstream.host import Host, HostSpec
from minimesh.data_plane.upstream.lb_settings import ConsistentHashing, LoadBalancerPolicy, LoadBalancing
from minimesh.data_plane.upstream.load_balancer import LoadBalancer
from minimesh.data_plane.upstream.priority_load import LevelHosts, spread

ORACLE = Path(__file__).parents[4] / "shared" / "oracles" / "lb" / "lb.json"
if not ORACLE.exists():
    pytest.skip(f"{ORACLE} is absent", allow_module_level=True)
FACTS: dict[str, Any] = json.loads(ORACLE.read_text())


def hosts_named(names: Sequence[str], weights: Sequence[int] = ()) -> list[Host]:
    specs = []
    for index, name in enumerate(names):
        address, _, port = name.rpartition(":")
        specs.append(HostSpec(address, int(port), weights[index] if weights else 1))
    return [Host(spec) for spec in specs]


def balancer(policy: LoadBalancerPolicy, hosts: Sequence[Host], **settings: Any) -> LoadBalancer:
    factory = BalancerFactory(
        LoadBalancing(policy, **settings),
        random.Random(5),
        lambda: 0.0,
        lambda: 0,
        StatsStore(),
        "cluster.c.",
    )
    return factory.make(hosts)


@pytest.mark.parametrize("case", FACTS["maglev"], ids=lambda case: case["source"].partition("#")[2])
def test_maglev_tables(case: dict[str, Any]) -> None:
    hosts = hosts_named(case["hosts"], case["weights"])
    table = Maglev(normalized(hosts), ConsistentHashing(table_size=case["table_size"]))
    assert [hosts.index(host) for host in table.slots] == case["table"]
    for bound in case.get("entries_per_host", {}).items():
        counts = Counter(table.slots).values()
        assert {"min": min(counts), "max": max(counts)}[bound[0]] == bound[1]


@pytest.mark.parametrize("case", FACTS["ring_hash"], ids=lambda case: case["source"].partition("#")[2])
def test_rings(case: dict[str, Any]) -> None:
    hosts = hosts_named(case["hosts"])
    ring = Ring(normalized(hosts), ConsistentHashing(minimum_ring_size=case["minimum_ring_size"]))
    assert [[position, host.name] for position, host in zip(ring.positions, ring.hosts, strict=True)] == case[
        "ring"
    ]
    assert [[key, ring.find(key, 0).name] for key, _ in case["lookups"]] == case["lookups"]


@pytest.mark.parametrize("case", FACTS["least_request_selection_probability"])
def test_shares_of_least_request(case: dict[str, Any]) -> None:
    hosts = hosts_named(
        [f"127.0.0.1:{port}" for port in range(1, case["hosts"] + 1)],
        [case["busy_host_weight"]] + [1] * (case["hosts"] - 1),
    )
    hosts[0].active_requests = case["busy_host_active"]
    chooser = balancer(LoadBalancerPolicy.LEAST_REQUEST, hosts, choice_count=case["choice_count"])
    number = 20_000
    counted = Counter(chooser.choose() for _ in range(number))
    shares = sorted(100 * counted[host] / number for host in hosts)
    assert shares == pytest.approx(case["expected_pct_sorted"], abs=case["tolerance_pct"] + 0.5)


@pytest.mark.parametrize("case", FACTS["panic"]["two_priorities_p1_100pct"])
def test_spill_over_to_the_next_priority(case: dict[str, Any]) -> None:
    found = spread([LevelHosts(100, case["p0_healthy"]), LevelHosts(100, 100)])
    assert found.load.healthy == [case["p0_traffic"], case["p1_traffic"]]
    assert found.panic[0] is case["p0_panic"]


@pytest.mark.parametrize("case", FACTS["stat_checks"], ids=lambda case: case["id"])
def test_statistical_checks(case: dict[str, Any]) -> None:
    if "slow_ms" in case:
        found = re.search(r"share < (\d+)%", case["expect"])
        assert found is not None
        assert _share_of_slow_host(case) < int(found[1])
        return
    if "weights" in case:
        weights = case["weights"]
        hosts = hosts_named([f"127.0.0.1:{port}" for port in range(1, len(weights) + 1)], weights)
        chooser = balancer(LoadBalancerPolicy.ROUND_ROBIN, hosts)
        counted = Counter(chooser.choose() for _ in range(case["requests"]))
        assert [counted[host] for host in hosts] == case["expected"]
        return
    hosts = hosts_named([f"127.0.0.1:{port}" for port in range(1, case["hosts"] + 1)])
    chooser = balancer(LoadBalancerPolicy[case["policy"]], hosts)
    counted = Counter(chooser.choose() for _ in range(case["requests"]))
    expected = case["requests"] / len(hosts)
    assert sum((counted[host] - expected) ** 2 / expected for host in hosts) < case["critical"]


def _share_of_slow_host(case: dict[str, Any]) -> float:
    """Per cent, when `concurrency` clients ask one after the other; the clock is made up."""
    hosts = hosts_named([f"127.0.0.1:{port}" for port in range(1, case["hosts"] + 1)])
    takes_ms = dict(zip(hosts, case["slow_ms"], strict=True))
    chooser = balancer(LoadBalancerPolicy.LEAST_REQUEST, hosts)
    counted: Counter[Host] = Counter()
    under_way: list[tuple[float, int, Host]] = []
    now_ms = 0.0
    # Two draws hit the slow host in a ninth of all choices; of a thousand, chance alone can make that more
    # than the check admits.
    requests = 20 * case["requests"]
    for number in range(requests):
        if len(under_way) == case["concurrency"]:
            now_ms, _, done = heapq.heappop(under_way)
            done.active_requests -= 1
        host = chooser.choose()
        assert host is not None
        host.active_requests += 1
        counted[host] += 1
        heapq.heappush(under_way, (now_ms + takes_ms[host], number, host))
    return 100 * counted[hosts[0]] / requests


def test_defaults_are_the_oracles() -> None:
    settings = ConsistentHashing()
    constraints = FACTS["ring_constraints"]
    assert settings.table_size == FACTS["maglev_constraints"]["default_table_size"]
    assert settings.minimum_ring_size == constraints["default_minimum_ring_size"]
    assert settings.maximum_ring_size == constraints["default_maximum_ring_size"]


def test_hash_functions() -> None:
    """Published test vectors of both functions, short, of one stripe, and longer."""
    assert xxhash64(b"") == 0xEF46DB3751D8E999
    assert xxhash64(b"abc") == 0x44BC2CF5AD770999
    assert xxhash64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1
    # What libstdc++'s std::hash says, whose seed and function it is.
    assert murmurhash2(b"hello") == 2762169579135187400
    assert murmurhash2(b"127.0.0.1:94_0 and more") == 10650185219356684311
