"""How often a fault strikes is ruled by keys of the runtime: those it names, else those of all faults."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.fault import compile_fault
from minimesh.xds import messages as m

FAULT = {
    "delay": {"fixed_delay": "4s", "percentage": {"numerator": 10}},
    "abort": {"http_status": 503, "percentage": {"numerator": 20, "denominator": "MILLION"}},
    "response_rate_limit": {"fixed_limit": {"limit_kbps": 8}, "percentage": {"numerator": 30}},
}
OWN_KEYS = {
    "delay_percent_runtime": "my.delay",
    "abort_percent_runtime": "my.abort",
    "response_rate_limit_percent_runtime": "my.limit",
}
OF_ALL = {
    "fault.http.delay.fixed_delay_percent": 1,
    "fault.http.abort.abort_percent": 2,
    "fault.http.rate_limit.response_percent": 3,
}
OF_ITS_OWN = {"my.delay": 4, "my.abort": 5, "my.limit": 6}
AS_WRITTEN = [(10, 100), (20, 1_000_000), (30, 100)]


@pytest.mark.parametrize(
    ("keys", "values", "shares"),
    [
        ({}, {}, AS_WRITTEN),
        ({}, OF_ALL, [(1, 100), (2, 100), (3, 100)]),
        ({}, OF_ITS_OWN, AS_WRITTEN),
        (OWN_KEYS, OF_ALL, AS_WRITTEN),
        (OWN_KEYS, OF_ALL | OF_ITS_OWN, [(4, 100), (5, 100), (6, 100)]),
    ],
)
def test_the_runtime_may_rule_how_often(
    keys: Mapping[str, str], values: Mapping[str, object], shares: list[tuple[int, int]]
) -> None:
    context = CompileContext(
        stats=StatsStore(),
        log_files=AccessLogFiles(),
        address_map=AddressMap(),
        clusters=ClusterHandle,
        find_cluster=ClusterHandle,
        route_config=lambda _name: RouteConfigHolder(),
    )
    message = m.json_format.ParseDict({**FAULT, **keys}, m.fault_pb2.HTTPFault())
    found = compile_fault(message, "fault", context)
    context.runtime.set_layer("admin", values)
    faults = (found.delay, found.abort, found.rate_limit)
    ruled = [each.share.fraction for each in faults if each is not None]
    assert [(each.numerator, each.denominator) for each in ruled] == shares
