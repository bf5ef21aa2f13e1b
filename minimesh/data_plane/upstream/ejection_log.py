"""Envoy's event log of outlier detection: one line of JSON for each ejection and each return."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from minimesh.data_plane.upstream.outlier_detection import Ejection, EjectionLog, OutlierMonitor

_CONSECUTIVE = frozenset(
    {
        Ejection.CONSECUTIVE_5XX,
        Ejection.CONSECUTIVE_GATEWAY_FAILURE,
        Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    }
)
_BY_FAILURES = frozenset({Ejection.FAILURE_PERCENTAGE, Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN})
_LOCAL = frozenset({Ejection.SUCCESS_RATE_LOCAL_ORIGIN, Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN})


class EjectionFile(EjectionLog):
    """Writes the events of one cluster; `write` takes a whole line."""

    def __init__(
        self,
        cluster: str,
        write: Callable[[str], None],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._write = write
        self._wall_clock = wall_clock

    def on_eject(self, monitor: OutlierMonitor, reason: Ejection, *, enforced: bool) -> None:
        self._log(monitor, reason.name, "EJECT", enforced=enforced, **_facts(monitor, reason))

    def on_uneject(self, monitor: OutlierMonitor) -> None:
        # As Envoy: the type has no meaning here, and the first one stands in for it.
        self._log(monitor, Ejection.CONSECUTIVE_5XX.name, "UNEJECT", enforced=False)

    def _log(
        self, monitor: OutlierMonitor, kind: str, action: str, *, enforced: bool, **facts: object
    ) -> None:
        stamp = self._wall_clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event: dict[str, object] = {"type": kind, "timestamp": stamp}
        since_s = monitor.seconds_since_last_action
        if since_s is not None:
            event["secs_since_last_action"] = str(int(since_s))
        event |= {
            "cluster_name": self._cluster,
            "upstream_url": monitor.host.name,
            "action": action,
            "num_ejections": monitor.number_of_ejections,
            "enforced": enforced,
            **facts,
        }
        self._write(json.dumps(event, separators=(",", ":")) + "\n")


def _facts(monitor: OutlierMonitor, reason: Ejection) -> dict[str, object]:
    """What made the host an outlier; rates in whole percent."""
    if reason in _CONSECUTIVE:
        return {"eject_consecutive_event": {}}
    local = reason in _LOCAL
    host = monitor.host
    rate = int(host.local_origin_success_rate if local else host.success_rate)
    if reason in _BY_FAILURES:
        return {"eject_failure_percentage_event": {"host_success_rate": rate}}
    mean, limit = monitor.detector.averages[local]
    return {
        "eject_success_rate_event": {
            "host_success_rate": rate,
            "cluster_average_success_rate": int(mean),
            "cluster_success_rate_ejection_threshold": int(limit),
        }
    }
