"""The tables of `proxy-status`, the differences of one proxy, and `version`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from minimesh.cli.istioctl.config_dump import ConfigDump
from minimesh.cli.istioctl.dump_diff import describe_differences
from minimesh.cli.istioctl.proxy_status_table import (
    ProxyRow,
    TypeSync,
    human_duration,
    long_status_table,
    old_status_table,
    status_table,
)
from minimesh.cli.istioctl.version import version_text
from tests.cli.istioctl import dumps

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SYNCED = TypeSync("SYNCED", NOW - timedelta(seconds=11))
PROXIES = [
    ProxyRow("web.default", "Kubernetes", "1.27.0", {**dict.fromkeys(("CDS", "LDS", "EDS", "RDS"), SYNCED)}),
    ProxyRow("gw.istio-system", "Kubernetes", "1.27.0", {**dict.fromkeys(("CDS", "LDS", "EDS"), SYNCED)}),
]


def test_todays_columns_say_which_types_a_proxy_asks_for() -> None:
    assert status_table(PROXIES, "istiod") == (
        "NAME                CLUSTER        ISTIOD     VERSION     SUBSCRIBED TYPES\n"
        "gw.istio-system     Kubernetes     istiod     1.27.0      3 (CDS,LDS,EDS)\n"
        "web.default         Kubernetes     istiod     1.27.0      4 (CDS,LDS,EDS,RDS)\n"
    )


def test_the_long_form_has_a_column_for_each_type() -> None:
    assert long_status_table(PROXIES[1:], "istiod", NOW) == (
        "NAME                CLUSTER        CDS              ECDS        EDS              LDS              "
        "RDS         ISTIOD     VERSION\n"
        "gw.istio-system     Kubernetes     SYNCED (11s)     IGNORED     SYNCED (11s)     SYNCED (11s)     "
        "IGNORED     istiod     1.27.0\n"
    )


def test_the_older_columns() -> None:
    assert old_status_table(PROXIES[1:], "istiod") == (
        "NAME                CLUSTER        CDS        LDS        EDS        RDS          ECDS         "
        "ISTIOD     VERSION\n"
        "gw.istio-system     Kubernetes     SYNCED     SYNCED     SYNCED     NOT SENT     NOT SENT     "
        "istiod     1.27.0\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (125, "2m5s"), (1020, "17m"), (12000, "3h20m"), (32400, "9h"), (259200, "3d")],
)
def test_ages_are_written_as_kubernetes_writes_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_a_proxy_that_has_what_it_should_matches() -> None:
    dump = ConfigDump(dumps.config_dump(clusters=[{"name": "a", "lb_policy": "RANDOM"}]))
    assert describe_differences(dump, dump) == "Clusters Match\nListeners Match\nRoutes Match\n"


def test_a_difference_is_shown_as_a_unified_diff() -> None:
    meant = ConfigDump(dumps.config_dump(clusters=[{"name": "a", "lb_policy": "RANDOM"}]))
    had = ConfigDump(dumps.config_dump(clusters=[{"name": "a"}]))
    shown = describe_differences(meant, had)
    assert shown.startswith("--- Istiod Clusters\n+++ Envoy Clusters\n")
    assert '-      "lbPolicy": "RANDOM",\n' in shown
    assert shown.endswith("Listeners Match\nRoutes Match\n")


def test_version_counts_the_proxies_of_each_version() -> None:
    assert version_text("1.27.0", ["1.27.0", "1.26.1", "1.27.0"], remote=True, runs=True) == (
        "client version: 1.27.0\ncontrol plane version: 1.27.0\n"
        "data plane version: 1.26.1 (1 proxy), 1.27.0 (2 proxies)"
    )
    assert version_text("1.27.0", [], remote=False, runs=False) == "1.27.0"
