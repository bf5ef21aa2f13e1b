"""Metrics as the admin API shows them: Envoy's text and JSON, and the Prometheus exposition format."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from minimesh.data_plane.telemetry.stats import (
    BUCKET_BOUNDS,
    QUANTILES,
    Counter,
    Gauge,
    Histogram,
    Metric,
    StatsStore,
    Sum,
)

Wanted = Callable[[Metric], bool]


def chosen(named: Callable[[str], bool] | None = None, *, used_only: bool = False) -> Wanted:
    """Which metrics to show: those with a name that is wanted, all unless given."""

    def wanted(metric: Metric) -> bool:
        return (not used_only or metric.used) and (named is None or named(metric.name))

    return wanted


def render_text(store: StatsStore, wanted: Wanted) -> str:
    """`name: value`, sorted; histograms after the rest."""
    numbers = sorted((metric.name, metric.value) for metric in _numbers(store) if wanted(metric))
    lines = [f"{name}: {value}" for name, value in numbers]
    lines += [f"{histogram.name}: {_summary(histogram)}" for histogram in _histograms(store, wanted)]
    return "".join(f"{line}\n" for line in lines)


def render_json(store: StatsStore, wanted: Wanted) -> dict[str, Any]:
    """Envoy's `/stats?format=json`: one list, the histograms together in its last element."""
    stats: list[dict[str, Any]] = [
        {"name": metric.name, "value": metric.value}
        for metric in sorted(_numbers(store), key=lambda each: each.name)
        if wanted(metric)
    ]
    computed = [
        {
            "name": histogram.name,
            "values": [{"cumulative": value, "interval": value} for value in _quantiles(histogram)],
        }
        for histogram in _histograms(store, wanted)
    ]
    quantiles = [quantile * 100 for quantile in QUANTILES]
    stats.append({"histograms": {"supported_quantiles": quantiles, "computed_quantiles": computed}})
    return {"stats": stats}


def _numbers(store: StatsStore) -> list[Counter | Sum | Gauge]:
    return [*store.counters.values(), *store.sums.values(), *store.gauges.values()]


def _histograms(store: StatsStore, wanted: Wanted) -> list[Histogram]:
    return sorted(filter(wanted, store.histograms.values()), key=lambda each: each.name)


def _quantiles(histogram: Histogram) -> list[float | None]:
    values = (histogram.quantile(quantile) for quantile in QUANTILES)
    return [None if math.isnan(value) else round(value, 4) for value in values]


def _summary(histogram: Histogram) -> str:
    if not histogram.count:
        return "No recorded values"
    # The interval and the whole life are the same here: nothing is flushed at intervals.
    pairs = zip(QUANTILES, _quantiles(histogram), strict=True)
    return " ".join(
        f"P{quantile * 100:g}({value:g},{value:g})" for quantile, value in pairs if value is not None
    )


# --- Prometheus -----------------------------------------------------------------------------------

#: Parts of a name that become labels, in Envoy's words: pattern with one group, label. The group is cut out.
_TAGS = tuple(
    (re.compile(pattern), label)
    for pattern, label in (
        (r"^cluster\.(.+?)\.(?=(?:upstream_|circuit_breakers\.|membership_|lb_|update_|assignment_|external\.|internal\."
         r"|version$|max_host_weight|retry[_.]|bind_errors|original_dst|warming|outlier|health_check))",
         "envoy_cluster_name"),
        (r"^http\.(.+?)\.(?:downstream_|rq_|passthrough|tracing|no_route|no_cluster|rds|fault|user_agent)",
         "envoy_http_conn_manager_prefix"),
        (r"^tcp\.(.+?)\.(?:downstream_|upstream_|max_|idle_|on_demand)", "envoy_tcp_prefix"),
        (r"^listener\.((?:\[.*?\]|[^_]+)_\d+|[^.]+)\.", "envoy_listener_address"),
    )
)  # fmt: skip
_MANAGER_OF_LISTENER = re.compile(r"^listener\.http\.(.+?)\.(?=downstream_)")
_RESPONSE_CODE = re.compile(r"_rq_(\d)xx$")
_EXACT_CODE = re.compile(r"_rq_(\d{3})$")


@functools.lru_cache(maxsize=20_000)
def prometheus_name(name: str) -> tuple[str, str]:
    """Envoy's exposition name of a metric and its labels, as `key="value",...`."""
    labels = []
    for pattern, label in _TAGS:
        found = pattern.search(name)
        if found is not None:
            labels.append((label, found[1]))
            name = name[: found.start(1)].rstrip(".") + name[found.end(1) :]
            break
    found = _MANAGER_OF_LISTENER.match(name)
    if found is not None:
        labels.append(("envoy_http_conn_manager_prefix", found[1]))
        name = f"listener.http.{name[found.end() :]}"
    for pattern, label in (
        (_RESPONSE_CODE, "envoy_response_code_class"),
        (_EXACT_CODE, "envoy_response_code"),
    ):
        found = pattern.search(name)
        if found is not None:
            labels.append((label, found[1]))
            name = name[: found.start()] + ("_rq_xx" if label.endswith("class") else "_rq")
    text = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(labels))
    return "envoy_" + re.sub(r"[^a-zA-Z0-9_]", "_", name), text


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render_prometheus(store: StatsStore, wanted: Wanted) -> str:
    """The exposition format, one TYPE line for each family."""
    counters: list[Metric] = [*store.counters.values(), *store.sums.values()]
    parts = [
        *_families(filter(wanted, counters), "counter", _number),
        *_families(filter(wanted, store.gauges.values()), "gauge", _number),
        *_families(filter(wanted, store.histograms.values()), "histogram", _buckets),
    ]
    return "".join(parts)


def _families(metrics: Iterable[Metric], kind: str, render: Callable[[str, str, Any], str]) -> Iterable[str]:
    families: dict[str, list[tuple[str, Metric]]] = {}
    for metric in metrics:
        family, labels = prometheus_name(metric.name)
        families.setdefault(family, []).append((labels, metric))
    for family, members in sorted(families.items()):
        yield f"# TYPE {family} {kind}\n"
        for labels, metric in sorted(members, key=lambda member: member[0]):
            yield render(family, labels, metric)
        yield "\n"


def _number(family: str, labels: str, metric: Any) -> str:
    return f"{family}{{{labels}}} {metric.value}\n"


def _buckets(family: str, labels: str, histogram: Histogram) -> str:
    before = f"{labels}," if labels else ""
    lines = [
        f'{family}_bucket{{{before}le="{bound:g}"}} {histogram.cumulative_count(bound)}\n'
        if bound < 1e6
        else f'{family}_bucket{{{before}le="{bound:.0f}"}} {histogram.cumulative_count(bound)}\n'
        for bound in BUCKET_BOUNDS
    ]
    lines.append(f'{family}_bucket{{{before}le="+Inf"}} {histogram.count}\n')
    lines.append(f"{family}_sum{{{labels}}} {histogram.total:g}\n")
    lines.append(f"{family}_count{{{labels}}} {histogram.count}\n")
    return "".join(lines)
