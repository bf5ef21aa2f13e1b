"""The numbers of all workers, summed up where that is right."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.workers.numbers import Numbers, lasting, numbers_of_worker, summed_stats
from minimesh.data_plane.xds_client.config_update import LiveConfiguration

Worker = Callable[[StatsStore], Numbers]


@pytest.fixture
async def numbers() -> AsyncIterator[Worker]:
    """The numbers of a worker with these statistics, as they come over the channel."""
    made: list[LiveConfiguration] = []

    def of(stats: StatsStore) -> Numbers:
        made.append(LiveConfiguration(stats))
        return json.loads(json.dumps(numbers_of_worker(made[-1])))  # type: ignore[no-any-return]

    yield of
    for configuration in made:
        configuration.close()


def _stats(
    *, requests: int = 0, active: int = 0, members: int = 2, times_ms: tuple[float, ...] = ()
) -> StatsStore:
    stats = StatsStore()
    stats.counter("cluster.a.upstream_rq_total").inc(requests)
    stats.counter("cluster.a.membership_change").inc()
    stats.gauge("cluster.a.upstream_rq_active").inc(active)
    stats.gauge("cluster.a.membership_total").set(members)
    stats.gauge("cluster.a.circuit_breakers.default.remaining_rq").set(10 - active)
    stats.gauge("cluster.a.circuit_breakers.default.rq_open").set(int(active > 1))
    for value in times_ms:
        stats.histogram("http.in.downstream_rq_time").record(value)
    return stats


async def test_counters_and_gauges_of_what_is_under_way_are_added_up(numbers: Worker) -> None:
    workers = [numbers(_stats(requests=3, active=1)), numbers(_stats(requests=4, active=2))]
    summed = summed_stats(_stats(), workers, [])
    assert summed.counter("cluster.a.upstream_rq_total").value == 7
    assert summed.gauge("cluster.a.upstream_rq_active").value == 3
    assert summed.gauge("cluster.a.circuit_breakers.default.remaining_rq").value == 17


async def test_what_configuration_says_is_said_once(numbers: Worker) -> None:
    summed = summed_stats(_stats(), [numbers(_stats()), numbers(_stats())], [])
    assert summed.gauge("cluster.a.membership_total").value == 2
    assert summed.counter("cluster.a.membership_change").value == 1


async def test_a_circuit_breaker_is_open_when_one_workers_is(numbers: Worker) -> None:
    workers = [numbers(_stats(active=5)), numbers(_stats())]
    summed = summed_stats(_stats(), workers, [])
    assert summed.gauge("cluster.a.circuit_breakers.default.rq_open").value == 1


async def test_histograms_are_merged_value_by_value(numbers: Worker) -> None:
    workers = [numbers(_stats(times_ms=(1, 2, 300))), numbers(_stats(times_ms=(2, 4)))]
    histogram = summed_stats(_stats(), workers, []).histogram("http.in.downstream_rq_time")
    one = _stats(times_ms=(1, 2, 300, 2, 4)).histogram("http.in.downstream_rq_time")
    assert (histogram.count, histogram.total, histogram.bins) == (one.count, one.total, one.bins)


async def test_a_former_workers_counts_stay_as_long_as_what_they_count_is_there(numbers: Worker) -> None:
    gone = lasting(numbers(_stats(requests=5, active=3, times_ms=(1,))))
    summed = summed_stats(_stats(), [numbers(_stats(requests=1))], [gone])
    assert summed.counter("cluster.a.upstream_rq_total").value == 6
    assert summed.gauge("cluster.a.upstream_rq_active").value == 0
    assert "cluster.a.upstream_rq_total" not in summed_stats(StatsStore(), [], [gone]).counters


async def test_connections_are_shown_for_each_worker(numbers: Worker) -> None:
    workers = []
    for connections in (3, 4):
        stats = StatsStore()
        stats.counter("listener.0.0.0.0_80.downstream_cx_total").inc(connections)
        workers.append(numbers(stats))
    summed = summed_stats(StatsStore(), workers, [])
    assert [summed.counter(f"listener.0.0.0.0_80.worker_{n}.downstream_cx_total").value for n in (0, 1)] == [
        3,
        4,
    ]
    assert summed.counter("listener.0.0.0.0_80.downstream_cx_total").value == 7
