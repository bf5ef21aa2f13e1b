"""What one worker has counted, as it travels, and how the numbers of all become those of the proxy.

Counters and histograms are added up. So are gauges of what is under way (connections, requests). What follows
from configuration alone (members of a cluster, updates) is the same in every worker and in the mirror:
there the mirror's number holds. Of what can only be open or shut, one worker's "open" counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from minimesh.data_plane.admin.view import numbers_of
from minimesh.data_plane.telemetry.stats import Histogram, StatsStore
from minimesh.data_plane.upstream.host import HealthFlag
from minimesh.data_plane.xds_client.config_update import LiveConfiguration

_SUMMED_GAUGE = re.compile(r"(?:_active|_buffered|\.remaining_\w+)$")
#: Of these the mirror's number is no part of the sum: it admits nothing.
_REMAINING = re.compile(r"\.remaining_\w+$")
_OPEN_OR_SHUT = re.compile(r"_open$")
_OF_CONFIGURATION = re.compile(
    r"\.(?:membership_change|update_\w+|assignment_\w+|init_fetch_timeout|version|config_reload\w*)$"
    r"|^(?:cluster_manager|listener_manager)\."
)
_LISTENER_CONNECTIONS = re.compile(r"^listener\.(.+)\.(downstream_cx_(?:total|active))$")
_ADMIN = "admin"

#: JSON: {"counters": {name: value}, "gauges": {name: value}, "connections": number,
#: "histograms": {name: [count, total, [[edge, number], ...]]}, "hosts": {cluster: {address: {name: value}}},
#: "flags": {cluster: {address: HealthFlag}}}
Numbers = dict[str, Any]


def numbers_of_worker(configuration: LiveConfiguration) -> Numbers:
    """Everything a worker has counted that is not zero."""
    stats = configuration.stats
    return {
        "counters": {each.name: each.value for each in _counters(stats) if each.value},
        "gauges": {each.name: each.value for each in stats.gauges.values() if each.used},
        "histograms": {
            each.name: [each.count, each.total, list(each.bins.items())]
            for each in stats.histograms.values()
            if each.count
        },
        "hosts": {
            name: {host.name: numbers_of(host) for host in live.cluster.hosts}
            for name, live in configuration.clusters.items()
        },
        "flags": {
            name: {host.name: int(host.flags) for host in live.cluster.hosts if host.flags}
            for name, live in configuration.clusters.items()
        },
        "connections": configuration.open_connections,
    }


def lasting(numbers: Numbers) -> Numbers:
    """What remains of a worker that is gone: what it counted, not what it was at."""
    return {"counters": numbers["counters"], "histograms": numbers["histograms"]}


def summed_stats(mirror: StatsStore, workers: Sequence[Numbers], gone: Sequence[Numbers]) -> StatsStore:
    """The statistics of the proxy. `workers` by their number; `gone`: what is left of former workers."""
    store = StatsStore()
    _begin_with(store, mirror)
    for number, numbers in enumerate(workers):
        _add_counters(store, numbers)
        _add_gauges(store, numbers["gauges"])
        _add_histograms(store, numbers)
        _show_worker(store, number, numbers)
    for numbers in gone:
        _add_counters(store, numbers, only_known=True)
        _add_histograms(store, numbers, only_known=True)
    return store


def summed_host(workers: Sequence[Numbers], cluster: str, host: str) -> dict[str, int]:
    """The numbers of one host."""
    total: dict[str, int] = {}
    for numbers in workers:
        for name, value in numbers["hosts"].get(cluster, {}).get(host, {}).items():
            total[name] = total.get(name, 0) + value
    return total


def summed_flags(workers: Sequence[Numbers], cluster: str, host: str) -> HealthFlag:
    """Why any worker shuns the host."""
    flags = HealthFlag(0)
    for numbers in workers:
        flags |= HealthFlag(numbers["flags"].get(cluster, {}).get(host, 0))
    return flags


def _counters(stats: StatsStore) -> list[Any]:
    return [*stats.counters.values(), *stats.sums.values()]


def _begin_with(store: StatsStore, mirror: StatsStore) -> None:
    for counter in _counters(mirror):
        store.counter(counter.name).value = counter.value
    for gauge in mirror.gauges.values():
        copy = store.gauge(gauge.name)
        if gauge.used and not _REMAINING.search(gauge.name):
            copy.set(gauge.value)
    for histogram in mirror.histograms.values():
        store.histogram(histogram.name)


def _add_counters(store: StatsStore, numbers: Numbers, *, only_known: bool = False) -> None:
    for name, value in numbers["counters"].items():
        if not _OF_CONFIGURATION.search(name) and (not only_known or name in store.counters):
            store.counter(name).inc(value)


def _add_gauges(store: StatsStore, gauges: Mapping[str, int]) -> None:
    for name, value in gauges.items():
        if _OF_CONFIGURATION.search(name):
            continue
        if _SUMMED_GAUGE.search(name):
            store.gauge(name).inc(value)
        elif _OPEN_OR_SHUT.search(name):
            store.gauge(name).set(max(store.gauge(name).value, value))
        elif name not in store.gauges:
            store.gauge(name).set(value)


def _add_histograms(store: StatsStore, numbers: Numbers, *, only_known: bool = False) -> None:
    for name, (count, total, bins) in numbers["histograms"].items():
        if not only_known or name in store.histograms:
            _add_bins(store.histogram(name), count, total, bins)


def _add_bins(histogram: Histogram, count: int, total: float, bins: Sequence[tuple[float, int]]) -> None:
    histogram.count += count
    histogram.total += total
    for edge, number in bins:
        histogram.bins[edge] = histogram.bins.get(edge, 0) + number


def _show_worker(store: StatsStore, worker: int, numbers: Numbers) -> None:
    """How connections are spread, under the names that Envoy has for it."""
    for kind, table in (("counters", store.counter), ("gauges", store.gauge)):
        for name, value in numbers[kind].items():
            found = _LISTENER_CONNECTIONS.match(name)
            if found is not None and found[1] != _ADMIN:
                table(f"listener.{found[1]}.worker_{worker}.{found[2]}").inc(value)
