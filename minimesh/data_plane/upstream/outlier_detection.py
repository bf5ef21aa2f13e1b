"""Passive health: hosts whose answers are bad are left out for a while. The rules are Envoy's.

    requests -> OutlierMonitor (one for each host: counts) --too many in a row--> OutlierDetector.eject
    interval -> OutlierDetector: brings back who has served its time, compares success rates

Decides on counts and on the time that it is given; owns no timer and no clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import sqrt

from minimesh.data_plane.telemetry.stats import Counter, StatsStore
from minimesh.data_plane.upstream.host import HealthFlag, Host

_GATEWAY_TIMEOUT, _SERVICE_UNAVAILABLE = 504, 503


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """`outlier_detection` of a cluster, with Envoy's defaults; `enforcing_*` and thresholds in percent."""

    consecutive_5xx: int = 5
    consecutive_gateway_failure: int = 5
    consecutive_local_origin_failure: int = 5
    interval_s: float = 10.0
    base_ejection_time_s: float = 30.0
    max_ejection_time_s: float = 300.0
    max_ejection_time_jitter_s: float = 0.0
    max_ejection_percent: int = 10
    always_eject_one_host: bool = False
    split_external_local_origin_errors: bool = False
    successful_active_health_check_uneject_host: bool = True
    enforcing_consecutive_5xx: int = 100
    enforcing_consecutive_gateway_failure: int = 0
    enforcing_consecutive_local_origin_failure: int = 100
    enforcing_success_rate: int = 100
    enforcing_local_origin_success_rate: int = 100
    enforcing_failure_percentage: int = 0
    enforcing_failure_percentage_local_origin: int = 0
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    """Thousandths of a standard deviation below the mean."""
    failure_percentage_threshold: int = 85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50


_NOT_KNOWN = (-1.0, -1.0)


class Ejection(Enum):
    """Why a host is ejected; the value is the word of the statistics."""

    CONSECUTIVE_5XX = "consecutive_5xx"
    CONSECUTIVE_GATEWAY_FAILURE = "consecutive_gateway_failure"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "consecutive_local_origin_failure"
    SUCCESS_RATE = "success_rate"
    SUCCESS_RATE_LOCAL_ORIGIN = "local_origin_success_rate"
    FAILURE_PERCENTAGE = "failure_percentage"
    FAILURE_PERCENTAGE_LOCAL_ORIGIN = "local_origin_failure_percentage"


class SuccessRate:
    """Requests of the interval under way, and those of the one before, which counts."""

    __slots__ = ("finished_success", "finished_total", "success", "total")

    def __init__(self) -> None:
        self.success = self.total = 0
        self.finished_success = self.finished_total = 0

    def next_interval(self) -> None:
        self.finished_success, self.finished_total = self.success, self.total
        self.success = self.total = 0

    @property
    def percent(self) -> float | None:
        return 100.0 * self.finished_success / self.finished_total if self.finished_total else None


class OutlierMonitor:
    """What requests tell of one host. Called by whoever sends them, for each that ends."""

    __slots__ = (
        "_acted_at", "backoff", "consecutive_5xx", "consecutive_gateway_failure",
        "consecutive_local_origin_failure", "detector", "ejected_at", "external", "host", "jitter_s", "local",
        "number_of_ejections", "seconds_since_last_action",
    )  # fmt: skip

    def __init__(self, host: Host, detector: OutlierDetector) -> None:
        self.host = host
        self.detector = detector
        self.external = SuccessRate()
        self.local = SuccessRate()
        #: How often in close succession it was ejected: multiplies the time it stays away.
        self.backoff = 0
        self.ejected_at: float | None = None
        self.jitter_s = 0.0
        self.number_of_ejections = 0
        self._acted_at: float | None = None
        #: Since it was last ejected or brought back before the latest event; None: never was.
        self.seconds_since_last_action: float | None = None
        self.reset_counts()

    def on_event(self, now: float, *, acts: bool = True) -> None:
        """The host is ejected or brought back now; or, unless this `acts`, would be."""
        self.seconds_since_last_action = None if self._acted_at is None else now - self._acted_at
        if acts:
            self._acted_at = now

    def reset_counts(self) -> None:
        """What came in a row so far no longer counts."""
        self.consecutive_5xx = 0
        self.consecutive_gateway_failure = 0
        self.consecutive_local_origin_failure = 0

    def on_response(self, status: int) -> None:
        """The host answered; a gRPC status counts as the HTTP status it amounts to."""
        rate = self.external
        rate.total += 1
        if status < 500:
            rate.success += 1
            self.consecutive_5xx = self.consecutive_gateway_failure = 0
            return
        settings, detector = self.detector.settings, self.detector
        if 502 <= status <= 504:
            self.consecutive_gateway_failure += 1
            if self.consecutive_gateway_failure == settings.consecutive_gateway_failure:
                self.consecutive_gateway_failure = 0
                detector.on_outlier(self, Ejection.CONSECUTIVE_GATEWAY_FAILURE)
        else:
            self.consecutive_gateway_failure = 0
        self.consecutive_5xx += 1
        if self.consecutive_5xx == settings.consecutive_5xx:
            self.consecutive_5xx = 0
            detector.on_outlier(self, Ejection.CONSECUTIVE_5XX)

    def on_connected(self) -> None:
        """A request has got a connection to the host."""
        if self.detector.settings.split_external_local_origin_errors:
            self.local.total += 1
            self.local.success += 1
            self.consecutive_local_origin_failure = 0

    def on_timeout(self) -> None:
        """The host did not answer in time."""
        self._on_local_failure(_GATEWAY_TIMEOUT)

    def on_failure(self) -> None:
        """No connection, or one that broke before the answer."""
        self._on_local_failure(_SERVICE_UNAVAILABLE)

    def _on_local_failure(self, status: int) -> None:
        """A failure seen from here. Where these are not told apart, it counts as this status."""
        settings = self.detector.settings
        if not settings.split_external_local_origin_errors:
            self.on_response(status)
            return
        self.local.total += 1
        self.consecutive_local_origin_failure += 1
        if self.consecutive_local_origin_failure == settings.consecutive_local_origin_failure:
            self.consecutive_local_origin_failure = 0
            self.detector.on_outlier(self, Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE)


class EjectionLog:
    """Who is told of ejections, for the event log; does nothing by itself."""

    def on_eject(self, monitor: OutlierMonitor, reason: Ejection, *, enforced: bool) -> None: ...

    def on_uneject(self, monitor: OutlierMonitor) -> None: ...


class OutlierDetector:
    """The hosts of one cluster under watch. `on_change` is called when a host was ejected or is back."""

    __slots__ = (
        "_clock", "_counters", "_ejections_active", "_ejections_overflow", "_ejections_total", "_log",
        "_on_change", "_random", "averages", "monitors", "settings",
    )  # fmt: skip

    def __init__(
        self,
        settings: OutlierDetection,
        stats: StatsStore,
        prefix: str,
        clock: Callable[[], float],
        source: random.Random,
        on_change: Callable[[Host], None],
        log: EjectionLog | None = None,
    ) -> None:
        self.settings = settings
        self.monitors: dict[Host, OutlierMonitor] = {}
        #: (mean success rate, rate below which a host is an outlier) of the last interval, in percent: of
        #: answers, and of failures seen from here. -1: too few hosts or requests to say.
        self.averages = [_NOT_KNOWN, _NOT_KNOWN]
        self._clock = clock
        self._random = source
        self._on_change = on_change
        self._log = log or EjectionLog()
        prefix += "outlier_detection."
        self._ejections_active = stats.gauge(f"{prefix}ejections_active")
        self._ejections_active.set(0)
        self._ejections_overflow = stats.counter(f"{prefix}ejections_overflow")
        #: Deprecated: counts two of the reasons, enforced or not.
        self._ejections_total = stats.counter(f"{prefix}ejections_total")
        self._counters = _counters(stats, prefix)

    # --- told by the cluster ---

    def watch(self, hosts: Sequence[Host]) -> None:
        """The complete list of hosts; those no longer in it are forgotten."""
        for host in self.monitors.keys() - set(hosts):
            self.forget(host)
        for host in hosts:
            if host not in self.monitors:
                self.monitors[host] = host.outlier = OutlierMonitor(host, self)

    def forget(self, host: Host) -> None:
        """The host is gone, or is no longer watched: if it is ejected, it is not any more."""
        del self.monitors[host]
        host.outlier = None
        if host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
            self._ejections_active.dec()
            host.clear_flag(HealthFlag.FAILED_OUTLIER_CHECK)

    def on_healthy(self, host: Host) -> None:
        """An active health check has found the host healthy again: that ends its ejection."""
        if self.settings.successful_active_health_check_uneject_host and (
            host.flags & HealthFlag.FAILED_OUTLIER_CHECK
        ):
            self._uneject(self.monitors[host])

    def on_outlier(self, monitor: OutlierMonitor, reason: Ejection) -> None:
        """Too many failures in a row."""
        if not monitor.host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
            self._detected(monitor, reason)

    def on_interval(self) -> None:
        """One interval is over."""
        for monitor in self.monitors.values():
            self._consider_return(monitor)
            for rate in (monitor.external, monitor.local):
                rate.next_interval()
            monitor.host.success_rate = monitor.host.local_origin_success_rate = -1.0
        self._compare(Ejection.SUCCESS_RATE, Ejection.FAILURE_PERCENTAGE, local=False)
        self._compare(
            Ejection.SUCCESS_RATE_LOCAL_ORIGIN, Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN, local=True
        )

    # --- ejection and return ---

    def _detected(self, monitor: OutlierMonitor, reason: Ejection) -> None:
        detected, _ = self._counters[reason]
        for counter in detected:
            counter.inc()
        settings, active = self.settings, self._ejections_active.value
        share = 100.0 * (active + 1) / len(self.monitors)
        if share > min(100, settings.max_ejection_percent) and not (
            settings.always_eject_one_host and not active
        ):
            self._ejections_overflow.inc()
            return
        if reason in (Ejection.CONSECUTIVE_5XX, Ejection.SUCCESS_RATE):
            self._ejections_total.inc()
        enforced = self._random.randrange(100) < self._enforcing_percent(reason)
        if enforced:
            self._eject(monitor, reason)
        else:
            monitor.on_event(self._clock(), acts=False)
        self._log.on_eject(monitor, reason, enforced=enforced)

    def _eject(self, monitor: OutlierMonitor, reason: Ejection) -> None:
        _, enforced = self._counters[reason]
        for counter in enforced:
            counter.inc()
        self._ejections_active.inc()
        settings = self.settings
        monitor.ejected_at = self._clock()
        monitor.number_of_ejections += 1
        monitor.on_event(monitor.ejected_at)
        monitor.jitter_s = self._random.random() * settings.max_ejection_time_jitter_s
        longest_s = max(settings.max_ejection_time_s, settings.base_ejection_time_s)
        if monitor.backoff * settings.base_ejection_time_s < longest_s:
            monitor.backoff += 1
        monitor.host.set_flag(HealthFlag.FAILED_OUTLIER_CHECK)
        self._on_change(monitor.host)

    def _consider_return(self, monitor: OutlierMonitor) -> None:
        if not monitor.host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
            if monitor.backoff:  # good behaviour for an interval
                monitor.backoff -= 1
            return
        settings = self.settings
        longest_s = max(settings.max_ejection_time_s, settings.base_ejection_time_s)
        stay_s = min(settings.base_ejection_time_s * monitor.backoff, longest_s) + monitor.jitter_s
        assert monitor.ejected_at is not None
        if self._clock() - monitor.ejected_at >= stay_s:
            self._uneject(monitor)

    def _uneject(self, monitor: OutlierMonitor) -> None:
        self._ejections_active.dec()
        monitor.on_event(self._clock())
        monitor.reset_counts()
        monitor.host.clear_flag(HealthFlag.FAILED_OUTLIER_CHECK)
        self._on_change(monitor.host)
        self._log.on_uneject(monitor)

    # --- comparing hosts ---

    def _compare(self, by_rate: Ejection, by_failures: Ejection, *, local: bool) -> None:
        """Who is much worse than the mean, and who is worse than a fixed limit."""
        settings = self.settings
        self.averages[local] = _NOT_KNOWN
        if len(self.monitors) < min(
            settings.success_rate_minimum_hosts, settings.failure_percentage_minimum_hosts
        ):
            return
        rates = self._rates(local=local)
        for_mean = [rate for rate in rates if rate[2] >= settings.success_rate_request_volume and rate[2] > 0]
        if for_mean and len(for_mean) >= settings.success_rate_minimum_hosts:
            percents = [percent for _, percent, _ in for_mean]
            limit = success_rate_limit(percents, settings.success_rate_stdev_factor)
            self.averages[local] = (sum(percents) / len(percents), limit)
            for monitor, percent, _ in for_mean:
                if percent < limit:
                    self._detected(monitor, by_rate)
        for_limit = [rate for rate in rates if rate[2] >= settings.failure_percentage_request_volume]
        if for_limit and len(for_limit) >= settings.failure_percentage_minimum_hosts:
            for monitor, percent, _ in for_limit:
                ejected = monitor.host.flags & HealthFlag.FAILED_OUTLIER_CHECK
                if not ejected and 100.0 - percent >= settings.failure_percentage_threshold:
                    self._detected(monitor, by_failures)

    def _rates(self, *, local: bool) -> list[tuple[OutlierMonitor, float, int]]:
        """(monitor, success rate in percent, requests) of hosts that are not ejected, and had any."""
        settings = self.settings
        enough = min(settings.success_rate_request_volume, settings.failure_percentage_request_volume)
        found = []
        for monitor in self.monitors.values():
            rate = monitor.local if local else monitor.external
            percent, host = rate.percent, monitor.host
            if percent is None or host.flags & HealthFlag.FAILED_OUTLIER_CHECK:
                continue
            if rate.finished_total >= enough:
                if local:
                    host.local_origin_success_rate = percent
                else:
                    host.success_rate = percent
            found.append((monitor, percent, rate.finished_total))
        return found

    def _enforcing_percent(self, reason: Ejection) -> int:
        settings = self.settings
        return {
            Ejection.CONSECUTIVE_5XX: settings.enforcing_consecutive_5xx,
            Ejection.CONSECUTIVE_GATEWAY_FAILURE: settings.enforcing_consecutive_gateway_failure,
            Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE: settings.enforcing_consecutive_local_origin_failure,
            Ejection.SUCCESS_RATE: settings.enforcing_success_rate,
            Ejection.SUCCESS_RATE_LOCAL_ORIGIN: settings.enforcing_local_origin_success_rate,
            Ejection.FAILURE_PERCENTAGE: settings.enforcing_failure_percentage,
            Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN: settings.enforcing_failure_percentage_local_origin,
        }[reason]


def success_rate_limit(percents: Sequence[float], stdev_factor: int) -> float:
    """The success rate below which a host is an outlier: the mean less so many thousandths of a deviation."""
    mean = sum(percents) / len(percents)
    deviation = sqrt(sum((percent - mean) ** 2 for percent in percents) / len(percents))
    return mean - deviation * stdev_factor / 1000.0


def _counters(
    stats: StatsStore, prefix: str
) -> dict[Ejection, tuple[tuple[Counter, ...], tuple[Counter, ...]]]:
    """For each reason: what counts detection and what counts enforcement, deprecated names included."""
    total = stats.counter(f"{prefix}ejections_enforced_total")
    old = {
        Ejection.CONSECUTIVE_5XX: stats.counter(f"{prefix}ejections_consecutive_5xx"),
        Ejection.SUCCESS_RATE: stats.counter(f"{prefix}ejections_success_rate"),
    }
    return {
        reason: (
            (
                stats.counter(f"{prefix}ejections_detected_{reason.value}"),
                *((old[reason],) if reason in old else ()),
            ),
            (stats.counter(f"{prefix}ejections_enforced_{reason.value}"), total),
        )
        for reason in Ejection
    }
