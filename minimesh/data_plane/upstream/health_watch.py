"""Who is healthy in one cluster: keeps outlier detection and active checks going, and tells of changes.

Starts and stops them as settings say, hands them the hosts, and owns the interval of outlier detection.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minimesh.data_plane.upstream.health_checker import Cancellable, HealthChecker, Timers
from minimesh.data_plane.upstream.host import HealthFlag, Host
from minimesh.data_plane.upstream.outlier_detection import OutlierDetector

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.cluster_stats import ClusterStats

_OK = 200
_OF_CHECKS = (
    HealthFlag.FAILED_ACTIVE_HC
    | HealthFlag.DEGRADED_ACTIVE_HC
    | HealthFlag.PENDING_ACTIVE_HC
    | HealthFlag.ACTIVE_HC_TIMEOUT
    | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
)


class HealthWatch:
    """See the module. `on_change(host)` is called after a host's flags have changed.

    Without timers nothing is watched: a cluster by itself, as tests make it.
    """

    __slots__ = (
        "_clock", "_interval", "_on_change", "_on_checked", "_random", "_settings", "_stats", "_timers",
        "_unchecked", "checker", "detector",
    )  # fmt: skip

    def __init__(
        self,
        stats: ClusterStats,
        timers: Timers | None,
        clock: Callable[[], float],
        source: random.Random,
        on_change: Callable[[Host], None],
    ) -> None:
        self.checker: HealthChecker | None = None
        self.detector: OutlierDetector | None = None
        self._stats = stats
        self._timers = timers
        self._clock = clock
        self._random = source
        self._on_change = on_change
        self._settings: ClusterSettings | None = None
        self._interval: Cancellable | None = None
        #: Hosts whose first result is still to come, and who waits for all of these.
        self._unchecked: set[Host] = set()
        self._on_checked: Callable[[], None] | None = None

    def update(self, settings: ClusterSettings, hosts: Sequence[Host]) -> None:
        """Begin, go on or stop, as the settings say."""
        old, self._settings = self._settings, settings
        if self._timers is None:
            return
        if old is None or old.outlier_detection != settings.outlier_detection:
            self._restart_detection(settings)
        if old is None or old.health_check != settings.health_check:
            self._restart_checks(settings, hosts)
        self.watch(hosts)

    def admit(self, host: Host) -> None:
        """A new host: where there are active checks, it serves only after the first."""
        settings = self._settings
        if settings is None or settings.health_check is None or self._timers is None:
            return
        if not host.spec.health_check_disabled:
            host.set_flag(HealthFlag.FAILED_ACTIVE_HC)
            self._unchecked.add(host)
            if settings.ignore_new_hosts_until_first_hc:
                host.set_flag(HealthFlag.PENDING_ACTIVE_HC)

    def watch(self, hosts: Sequence[Host]) -> None:
        """The complete list of hosts."""
        self._unchecked &= set(hosts)
        if self.detector is not None:
            self.detector.watch(hosts)
        if self.checker is not None:
            self.checker.watch(hosts)
        self._tell_if_checked()

    def when_checked(self, callback: Callable[[], None]) -> None:
        """Call back once every host has had its first active check: now, where there is none to wait for."""
        self._on_checked = callback
        self._tell_if_checked()

    # --- told by requests ---

    def on_response(self, host: Host, status: int, *, unwelcome: bool) -> None:
        """A host has answered. `unwelcome`: and said that it wants no more requests."""
        if host.outlier is not None:
            host.outlier.on_response(status)
        if unwelcome and self.checker is not None:
            self.checker.on_passive_failure(host)

    def on_connected(self, host: Host, *, final: bool = False) -> None:
        """A request has got a connection. `final`: and nothing more will be heard of it (TCP)."""
        monitor = host.outlier
        if monitor is None:
            return
        if final and not monitor.detector.settings.split_external_local_origin_errors:
            monitor.on_response(_OK)
        else:
            monitor.on_connected()

    def on_failure(self, host: Host) -> None:
        """A request got no connection, or no answer."""
        if host.outlier is not None:
            host.outlier.on_failure()

    def on_timeout(self, host: Host) -> None:
        """A request got no answer in time."""
        if host.outlier is not None:
            host.outlier.on_timeout()

    def close(self) -> None:
        """Watch nobody any more."""
        if self._interval is not None:
            self._interval.cancel()
            self._interval = None
        if self.checker is not None:
            self.checker.close()
            self.checker = None
        if self.detector is not None:
            self.detector.watch(())
            self.detector = None

    # --- within ---

    def _restart_detection(self, settings: ClusterSettings) -> None:
        if self._interval is not None:
            self._interval.cancel()
            self._interval = None
        if self.detector is not None:
            self.detector.watch(())
            self.detector = None
        if settings.outlier_detection is not None:
            self.detector = OutlierDetector(
                settings.outlier_detection,
                self._stats.store,
                self._stats.prefix,
                self._clock,
                self._random,
                self._on_change,
                settings.ejection_log,
            )
            self._next_interval()

    def _next_interval(self) -> None:
        assert self._timers is not None
        assert self.detector is not None
        interval_s = self.detector.settings.interval_s
        self._interval = self._timers.call_after(interval_s, self._on_interval)

    def _on_interval(self) -> None:
        if self.detector is not None:
            self.detector.on_interval()
            self._next_interval()

    def _restart_checks(self, settings: ClusterSettings, hosts: Sequence[Host]) -> None:
        """A check that is new looks at everybody anew; without any, nobody is held to be failing."""
        assert self._timers is not None
        if self.checker is not None:
            self.checker.close()
            self.checker = None
        if settings.health_check is None:
            for host in hosts:
                host.clear_flag(_OF_CHECKS)
            return
        self.checker = HealthChecker(
            settings.health_check, settings, self._stats, self._timers, self._random, self._on_result
        )

    def _on_result(self, host: Host, changed: bool, healthy: bool) -> None:
        first = host in self._unchecked
        self._unchecked.discard(host)
        if healthy and self.detector is not None and not host.flags & HealthFlag.FAILED_ACTIVE_HC:
            self.detector.on_healthy(host)
        if changed:
            if healthy:  # an outlier that comes back has no slow start
                host.healthy_since = self._clock()
            self._on_change(host)
        if first:
            self._tell_if_checked()

    def _tell_if_checked(self) -> None:
        callback = self._on_checked
        if callback is not None and not self._unchecked:
            self._on_checked = None
            callback()
