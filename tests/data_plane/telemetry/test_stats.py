"""Metrics and how they are shown."""

from __future__ import annotations

import math

import pytest

from minimesh.data_plane.routing.regex import Regex
from minimesh.data_plane.telemetry.stats import Histogram, StatsStore
from minimesh.data_plane.telemetry.stats_text import (
    chosen,
    prometheus_name,
    render_json,
    render_prometheus,
    render_text,
)
from minimesh.data_plane.upstream.cluster_stats import ClusterStats


def test_a_metric_is_one_object_for_its_name() -> None:
    store = StatsStore()
    assert store.counter("a") is store.counter("a")


def test_removing_a_prefix_forgets_its_metrics_only() -> None:
    store = StatsStore()
    store.counter("cluster.a.x").inc()
    store.gauge("cluster.b.x").set(1)
    store.remove("cluster.a.")
    assert render_text(store, chosen()) == "cluster.b.x: 1\n"


def test_quantiles_lie_within_the_recorded_values() -> None:
    histogram = Histogram("h")
    for value in range(1, 101):
        histogram.record(value)
    assert histogram.quantile(0.0) == 1
    assert histogram.quantile(0.5) == pytest.approx(50, abs=1)
    assert histogram.quantile(1.0) == pytest.approx(100, abs=10)
    assert histogram.total == 5050


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert math.isnan(Histogram("h").quantile(0.5))


@pytest.mark.parametrize("value", [0, 0.25, 1, 9.99, 99, 101, 12345, 3_600_000])
def test_any_value_falls_into_a_bin_close_to_it(value: float) -> None:
    histogram = Histogram("h")
    histogram.record(value)
    assert histogram.quantile(1.0) == pytest.approx(value, rel=0.11)


def test_memory_of_a_histogram_is_bounded() -> None:
    histogram = Histogram("h")
    for value in range(200_000):
        histogram.record(value)
    assert len(histogram.bins) < 600


def test_text_and_json() -> None:
    store = StatsStore()
    store.counter("b").inc(2)
    store.gauge("a").set(7)
    store.counter("unused")
    store.histogram("h").record(3)
    store.histogram("empty")
    assert render_text(store, chosen(Regex("^[abu]").finds)) == "a: 7\nb: 2\nunused: 0\n"
    assert render_text(store, chosen(Regex("^empty").finds)) == "empty: No recorded values\n"
    assert render_text(store, chosen(Regex("^h$").finds)).startswith("h: P0(3,3) P25(")
    found = render_json(store, chosen(used_only=True))["stats"]
    assert found[:2] == [{"name": "a", "value": 7}, {"name": "b", "value": 2}]
    assert found[2]["histograms"]["computed_quantiles"][0]["name"] == "h"


@pytest.mark.parametrize(
    ("name", "family", "labels"),
    [
        (
            "cluster.outbound|80||a.default.svc.cluster.local.upstream_rq_2xx",
            "envoy_cluster_upstream_rq_xx",
            'envoy_cluster_name="outbound|80||a.default.svc.cluster.local",envoy_response_code_class="2"',
        ),
        ("cluster.a.upstream_cx_total", "envoy_cluster_upstream_cx_total", 'envoy_cluster_name="a"'),
        (
            "cluster.a.upstream_rq_503",
            "envoy_cluster_upstream_rq",
            'envoy_cluster_name="a",envoy_response_code="503"',
        ),
        (
            "http.outbound_0.0.0.0_80.downstream_rq_4xx",
            "envoy_http_downstream_rq_xx",
            'envoy_http_conn_manager_prefix="outbound_0.0.0.0_80",envoy_response_code_class="4"',
        ),
        (
            "listener.0.0.0.0_10000.downstream_cx_total",
            "envoy_listener_downstream_cx_total",
            'envoy_listener_address="0.0.0.0_10000"',
        ),
        (
            "listener.0.0.0.0_80.http.outbound_80.downstream_rq_2xx",
            "envoy_listener_http_downstream_rq_xx",
            'envoy_http_conn_manager_prefix="outbound_80",envoy_listener_address="0.0.0.0_80",'
            'envoy_response_code_class="2"',
        ),
        (
            "cluster.a.b.retry.upstream_rq_503",
            "envoy_cluster_retry_upstream_rq",
            'envoy_cluster_name="a.b",envoy_response_code="503"',
        ),
        ("server.live", "envoy_server_live", ""),
    ],
)
def test_labels_are_taken_out_of_names(name: str, family: str, labels: str) -> None:
    assert prometheus_name(name) == (family, labels)


def test_the_exposition_format() -> None:
    store = StatsStore()
    store.counter("cluster.a.upstream_rq_total").inc(3)
    store.counter("cluster.b.upstream_rq_total").inc(1)
    store.histogram("http.x.downstream_rq_time").record(7)
    lines = render_prometheus(store, chosen()).splitlines()
    assert lines[:3] == [
        "# TYPE envoy_cluster_upstream_rq_total counter",
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 3',
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="b"} 1',
    ]
    prefix = 'envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="x",'
    assert f'{prefix}le="5"}} 0' in lines
    assert f'{prefix}le="10"}} 1' in lines
    assert f'{prefix}le="+Inf"}} 1' in lines


def test_a_sum_is_worked_out_when_it_is_shown() -> None:
    store = StatsStore()
    all_of_them, inner = store.counter("all"), store.hidden_counter("inner")
    outer = store.sum("outer").add(all_of_them).take_off(inner)
    assert store.sum("outer").add(all_of_them) is outer, "counted once, however often it is added"
    all_of_them.inc(5)
    inner.inc(2)
    assert render_text(store, chosen()) == "all: 5\nouter: 3\n"
    store.reset_counters()
    assert render_text(store, chosen(used_only=True)) == ""


def test_responses_of_a_cluster_are_counted_by_code_alone_and_shown_by_all() -> None:
    store = StatsStore()
    stats = ClusterStats(store, "a")
    stats.count_response(200)
    stats.count_response(503)
    stats.count_response(503, internal=True)
    stats.count_retried_response(500)
    shown = dict(
        line.split(": ")
        for line in render_text(store, chosen(Regex("rq_").finds, used_only=True)).splitlines()
    )
    assert {name.removeprefix("cluster.a."): int(value) for name, value in shown.items()} == {
        "upstream_rq_200": 1,
        "upstream_rq_2xx": 1,
        "upstream_rq_503": 2,
        "upstream_rq_5xx": 2,
        "upstream_rq_completed": 3,
        "external.upstream_rq_200": 1,
        "external.upstream_rq_2xx": 1,
        "external.upstream_rq_503": 1,
        "external.upstream_rq_5xx": 1,
        "external.upstream_rq_completed": 2,
        "internal.upstream_rq_503": 1,
        "internal.upstream_rq_5xx": 1,
        "internal.upstream_rq_completed": 1,
        "retry.upstream_rq_500": 1,
        "retry.upstream_rq_5xx": 1,
        "retry.upstream_rq_completed": 1,
    }
