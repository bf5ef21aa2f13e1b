"""Active health checks: what results mean, when the next probe is due, what the cluster makes of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster, ClusterSettings, HostSpec
from minimesh.data_plane.upstream.health_check import (
    Change,
    HealthCheck,
    ProbeResult,
    Verdict,
    next_interval_s,
)
from minimesh.data_plane.upstream.host import HealthFlag, Host
from minimesh.data_plane.upstream.tcp_probe import contains_in_order

from .clock import Clock

GOOD, BAD = ProbeResult(Verdict.HEALTHY), ProbeResult(Verdict.BAD)
DOWN = ProbeResult(Verdict.NETWORK)


class Hosts:
    """What the hosts answer, by port; a probe of one that is not in it hangs."""

    def __init__(self, **answers: ProbeResult) -> None:
        self.answers = {int(name[1:]): answer for name, answer in answers.items()}
        self.probes = 0
        self.closed = 0

    def prober(self, host: Host, settings: ClusterSettings) -> Any:
        return _Prober(self, host)


class _Prober:
    def __init__(self, hosts: Hosts, host: Host) -> None:
        self.hosts = hosts
        self.host = host

    async def probe(self) -> ProbeResult:
        self.hosts.probes += 1
        answer = self.hosts.answers.get(self.host.port)
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        if answer is DOWN:
            raise ConnectionRefusedError
        return answer

    def close(self) -> None:
        self.hosts.closed += 1


class Checked:
    def __init__(self, hosts: Hosts, number: int = 1, **settings: Any) -> None:
        self.clock = Clock()
        self.stats = StatsStore()
        cluster_settings = settings.pop("cluster", {})
        self.check = HealthCheck(
            **{
                "make_prober": hosts.prober,
                "timeout_s": 1.0,
                "interval_s": 10.0,
                "unhealthy_threshold": 2,
                "healthy_threshold": 3,
                "no_traffic_interval_s": 10.0,
                "no_traffic_healthy_interval_s": 10.0,
                **settings,
            }
        )
        self.cluster = Cluster(
            ClusterSettings("c", health_check=self.check, **cluster_settings),
            self.stats,
            random.Random(1),
            self.clock,
            self.clock,
        )
        self.update(number)

    def update(self, number: int) -> None:
        self.cluster.update_hosts([HostSpec("127.0.0.1", port) for port in range(1, number + 1)])

    @property
    def flags(self) -> list[HealthFlag]:
        return [host.flags for host in self.cluster.hosts]

    async def after(self, seconds: float) -> list[HealthFlag]:
        """The flags once time has passed and what became due is done."""
        self.clock.advance(seconds)
        await turns()
        return self.flags

    def count(self, name: str) -> int:
        store, full = self.stats, f"cluster.c.health_check.{name}"
        return store.counters[full].value if full in store.counters else store.gauges[full].value


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


HEALTHY = HealthFlag(0)
FAILED = HealthFlag.FAILED_ACTIVE_HC
TIMED_OUT = FAILED | HealthFlag.ACTIVE_HC_TIMEOUT


async def test_a_host_serves_after_its_first_good_check() -> None:
    checked = Checked(Hosts(p1=GOOD))
    assert checked.flags == [FAILED]
    assert await checked.after(0) == [HEALTHY]
    assert (checked.count("attempt"), checked.count("success"), checked.count("healthy")) == (1, 1, 1)


async def test_network_failures_count_to_the_threshold_and_successes_too() -> None:
    hosts = Hosts(p1=GOOD)
    checked = Checked(hosts)
    await checked.after(0)
    hosts.answers[1] = DOWN
    assert await checked.after(10) == [HEALTHY]
    assert await checked.after(10) == [FAILED]
    hosts.answers[1] = GOOD
    assert await checked.after(10) == [FAILED]
    assert await checked.after(10) == [FAILED]
    assert await checked.after(10) == [HEALTHY]
    assert (checked.count("failure"), checked.count("network_failure")) == (2, 2)


async def test_a_bad_answer_fails_at_once() -> None:
    hosts = Hosts(p1=GOOD)
    checked = Checked(hosts)
    await checked.after(0)
    hosts.answers[1] = BAD
    assert await checked.after(10) == [FAILED]
    assert checked.count("network_failure") == 0


async def test_a_retriable_answer_counts_to_the_threshold() -> None:
    hosts = Hosts(p1=GOOD)
    checked = Checked(hosts)
    await checked.after(0)
    hosts.answers[1] = ProbeResult(Verdict.RETRIABLE)
    assert await checked.after(10) == [HEALTHY]
    assert await checked.after(10) == [FAILED]


async def test_a_probe_that_takes_too_long_is_given_up() -> None:
    hosts = Hosts()
    checked = Checked(hosts)
    assert await checked.after(0.5) == [FAILED]
    assert await checked.after(0.5) == [TIMED_OUT]
    hosts.answers[1] = DOWN
    assert await checked.after(10) == [FAILED]


async def test_a_degraded_host_serves_only_with_what_others_leave() -> None:
    checked = Checked(Hosts(p1=ProbeResult(Verdict.DEGRADED), p2=GOOD), 2)
    assert await checked.after(0) == [HealthFlag.DEGRADED_ACTIVE_HC, HEALTHY]
    assert checked.count("degraded") == 1


async def test_new_hosts_may_be_left_out_of_the_reckoning() -> None:
    checked = Checked(Hosts(p1=GOOD), cluster={"ignore_new_hosts_until_first_hc": True})
    await checked.after(0)
    checked.update(5)
    assert checked.cluster.stats.membership_excluded.value == 4
    # One of one, not one of five: no panic.
    assert {checked.cluster.choose_host() for _ in range(20)} == {checked.cluster.hosts[0]}


async def test_without_it_they_count_as_failing() -> None:
    checked = Checked(Hosts(p1=GOOD))
    await checked.after(0)
    checked.update(5)
    assert {checked.cluster.choose_host() for _ in range(50)} == set(checked.cluster.hosts)
    assert checked.cluster.stats.panic.value > 0


async def test_a_host_that_is_no_longer_named_stays_while_it_is_healthy() -> None:
    hosts = Hosts(p1=GOOD, p2=GOOD)
    checked = Checked(hosts, 2)
    await checked.after(0)
    checked.update(1)
    assert checked.flags == [HEALTHY, HealthFlag.PENDING_DYNAMIC_REMOVAL]
    hosts.answers[2] = BAD
    assert await checked.after(10) == [HEALTHY]


async def test_unless_its_health_is_to_be_ignored_then() -> None:
    checked = Checked(Hosts(p1=GOOD, p2=GOOD), 2, cluster={"ignore_health_on_host_removal": True})
    await checked.after(0)
    checked.update(1)
    assert checked.flags == [HEALTHY]


async def test_a_response_can_fail_its_host() -> None:
    checked = Checked(Hosts(p1=GOOD))
    await checked.after(0)
    checked.cluster.health.on_response(checked.cluster.hosts[0], 200, unwelcome=True)
    assert checked.flags == [FAILED | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL]
    assert checked.count("passive_failure") == 1


async def test_who_waits_for_all_first_checks_is_called_once() -> None:
    hosts = Hosts(p1=GOOD)
    checked = Checked(hosts, 2)
    calls: list[None] = []
    checked.cluster.health.when_checked(lambda: calls.append(None))
    await checked.after(0)
    assert calls == []
    await checked.after(1)  # the second host has not answered in time
    assert len(calls) == 1


async def test_connections_are_kept_or_not() -> None:
    kept, anew = Hosts(p1=GOOD), Hosts(p1=GOOD)
    await Checked(kept).after(0)
    await Checked(anew, reuse_connection=False).after(0)
    assert (kept.closed, anew.closed) == (0, 1)


async def test_a_closed_cluster_probes_nobody() -> None:
    hosts = Hosts(p1=GOOD)
    checked = Checked(hosts)
    await checked.after(0)
    checked.cluster.close()
    assert checked.clock.next_in_s is None


@pytest.mark.parametrize(
    ("change", "healthy", "traffic", "seconds"),
    [
        (Change.NONE, True, True, 1.0),
        (Change.PENDING, True, True, 5.0),
        (Change.NONE, False, True, 2.0),
        (Change.PENDING, False, True, 3.0),
        (Change.PENDING, True, False, 7.0),
        (Change.NONE, False, False, 6.0),
    ],
)
def test_intervals(change: Change, healthy: bool, traffic: bool, seconds: float) -> None:
    check = HealthCheck(
        make_prober=Hosts().prober,
        timeout_s=1.0,
        interval_s=1.0,
        unhealthy_threshold=1,
        healthy_threshold=1,
        unhealthy_interval_s=2.0,
        unhealthy_edge_interval_s=3.0,
        healthy_edge_interval_s=5.0,
        no_traffic_interval_s=6.0,
        no_traffic_healthy_interval_s=7.0,
    )
    source = random.Random(1)
    assert next_interval_s(check, change, source, healthy=healthy, traffic=traffic) == seconds


def test_payloads_are_found_in_order() -> None:
    assert contains_in_order(b"..one..two..", [b"one", b"two"])
    assert not contains_in_order(b"..two..one..", [b"one", b"two"])
    assert not contains_in_order(b"on", [b"one"])
