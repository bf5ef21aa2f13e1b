"""Active health checks: what the results of probing one host mean, and when to probe again, as in Envoy.

          first result                    healthy_threshold successes
    NEW ---------------> HEALTHY / FAILED ----------------------------> HEALTHY
                         unhealthy_threshold network failures, or one bad answer -----> FAILED

Decides on results; owns no clock, no timer and no socket (`health_checker` does).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from minimesh.data_plane.upstream.host import HealthFlag, Host

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings


class Verdict(Enum):
    """What came of one probe."""

    HEALTHY = "healthy"
    #: The host answers, and asks for fewer requests.
    DEGRADED = "degraded"
    #: A bad answer: fails a host at once.
    BAD = "bad"
    #: A bad answer that counts towards the threshold only.
    RETRIABLE = "retriable"
    #: No connection, or it broke.
    NETWORK = "network"
    TIMEOUT = "timeout"


class ProbeResult(NamedTuple):
    """One probe. `excluded`: the host says that it wants no requests at all."""

    verdict: Verdict
    excluded: bool = False
    wrong_service: bool = False
    """The answer came from a host of another service."""
    keep_connection: bool = True


class Prober(Protocol):
    """Probes one host, again and again, on one connection where that is wanted."""

    async def probe(self) -> ProbeResult:
        """One probe. Raises OSError when there is no connection; is cancelled when it takes too long."""

    def close(self) -> None:
        """Close the connection, if one is open."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One entry of `health_checks`; times in seconds, 0 where something is not set."""

    make_prober: Callable[[Host, ClusterSettings], Prober]
    timeout_s: float
    interval_s: float
    unhealthy_threshold: int
    healthy_threshold: int
    initial_jitter_s: float = 0.0
    interval_jitter_s: float = 0.0
    interval_jitter_percent: int = 0
    reuse_connection: bool = True
    no_traffic_interval_s: float = 60.0
    no_traffic_healthy_interval_s: float = 60.0
    unhealthy_interval_s: float = 0.0
    unhealthy_edge_interval_s: float = 0.0
    healthy_edge_interval_s: float = 0.0


class Change(Enum):
    """What a result changed in the host's health."""

    NONE = "none"
    #: One more or less, and the threshold is reached.
    PENDING = "pending"
    CHANGED = "changed"


class HostHealth:
    """The active health of one host."""

    __slots__ = ("_first", "_healthy_in_a_row", "_settings", "_unhealthy_in_a_row", "host")

    def __init__(self, host: Host, settings: HealthCheck) -> None:
        self.host = host
        self._settings = settings
        self._first = True
        self._healthy_in_a_row = 0
        self._unhealthy_in_a_row = 0

    @property
    def failed(self) -> bool:
        return bool(self.host.flags & HealthFlag.FAILED_ACTIVE_HC)

    def on_result(self, result: ProbeResult) -> Change:
        """Take a result in. The host's flags are as it says afterwards."""
        if result.verdict in (Verdict.HEALTHY, Verdict.DEGRADED):
            change = self._on_success(degraded=result.verdict is Verdict.DEGRADED)
        else:
            change = self._on_failure(result)
        if self.host.flags & HealthFlag.PENDING_ACTIVE_HC:
            self.host.clear_flag(HealthFlag.PENDING_ACTIVE_HC)
            change = Change.CHANGED
        self._first = False
        return change

    def _on_success(self, *, degraded: bool) -> Change:
        host, change = self.host, Change.NONE
        self._unhealthy_in_a_row = 0
        if self.failed:
            self._healthy_in_a_row += 1
            if self._first or self._healthy_in_a_row >= self._settings.healthy_threshold:
                host.clear_flag(
                    HealthFlag.FAILED_ACTIVE_HC
                    | HealthFlag.ACTIVE_HC_TIMEOUT
                    | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
                )
                change = Change.CHANGED
            else:
                change = Change.PENDING
        if degraded != bool(host.flags & HealthFlag.DEGRADED_ACTIVE_HC):
            (host.set_flag if degraded else host.clear_flag)(HealthFlag.DEGRADED_ACTIVE_HC)
            change = Change.CHANGED if change is Change.NONE else change
        return change

    def _on_failure(self, result: ProbeResult) -> Change:
        host, verdict, change = self.host, result.verdict, Change.NONE
        self._healthy_in_a_row = 0
        timeout = verdict is Verdict.TIMEOUT
        if self.failed:
            if timeout != bool(host.flags & HealthFlag.ACTIVE_HC_TIMEOUT):
                (host.set_flag if timeout else host.clear_flag)(HealthFlag.ACTIVE_HC_TIMEOUT)
        else:
            self._unhealthy_in_a_row += 1
            if verdict is Verdict.BAD or self._unhealthy_in_a_row >= self._settings.unhealthy_threshold:
                self._unhealthy_in_a_row = 0
                host.set_flag(HealthFlag.FAILED_ACTIVE_HC)
                if timeout:
                    host.set_flag(HealthFlag.ACTIVE_HC_TIMEOUT)
                change = Change.CHANGED
            else:
                change = Change.PENDING
        if result.excluded and not host.flags & HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL:
            host.set_flag(HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL)
            change = Change.CHANGED
        return change


def next_interval_s(
    settings: HealthCheck, change: Change, source: random.Random, *, healthy: bool, traffic: bool
) -> float:
    """How long to wait after a result.

    `healthy` says how the probe went; `traffic`, whether the cluster has ever had a connection for requests:
    without any, hosts are looked at rarely.
    """
    edge = change is Change.PENDING
    if not traffic:
        base_s = settings.no_traffic_healthy_interval_s if healthy else settings.no_traffic_interval_s
    elif healthy:
        base_s = (settings.healthy_edge_interval_s if edge else 0.0) or settings.interval_s
    else:
        unhealthy_s = settings.unhealthy_interval_s or settings.interval_s
        base_s = (settings.unhealthy_edge_interval_s if edge else 0.0) or unhealthy_s
    jitter_s = settings.interval_jitter_s + base_s * settings.interval_jitter_percent / 100.0
    return base_s + source.random() * jitter_s
