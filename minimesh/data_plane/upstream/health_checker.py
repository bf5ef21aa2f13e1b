"""Probes the hosts of one cluster at intervals and tells when their health has changed.

The thin shell around `health_check`: a task while a probe is under way, one deadline for its time limit or
for the next probe, never both.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from minimesh.data_plane.upstream.health_check import (
    Change,
    HealthCheck,
    HostHealth,
    ProbeResult,
    Verdict,
    next_interval_s,
)
from minimesh.data_plane.upstream.host import HealthFlag, Host

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.cluster_stats import ClusterStats

_SUCCESS = (Verdict.HEALTHY, Verdict.DEGRADED)
_NETWORK = (Verdict.NETWORK, Verdict.TIMEOUT)


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """Where deadlines are set (`network.timers.TimerWheel`, or a clock that a test turns by hand)."""

    def call_after(self, delay_s: float, callback: Callable[[], None]) -> Cancellable: ...


class HealthChecker:
    """One health check of one cluster, over all its hosts.

    `on_result(host, changed, healthy)` is called after each probe: whether the host's flags are others than
    before, and how the probe went.
    """

    __slots__ = ("_counters", "_on_result", "_random", "_sessions", "_settings", "_stats", "_timers", "check")

    def __init__(
        self,
        check: HealthCheck,
        settings: ClusterSettings,
        stats: ClusterStats,
        timers: Timers,
        source: random.Random,
        on_result: Callable[[Host, bool, bool], None],
    ) -> None:
        self.check = check
        self._settings = settings
        self._stats = stats
        self._timers = timers
        self._random = source
        self._on_result = on_result
        self._sessions: dict[Host, _Session] = {}
        prefix = f"{stats.prefix}health_check."
        self._counters = {
            name: stats.store.counter(prefix + name)
            for name in (
                "attempt",
                "success",
                "failure",
                "passive_failure",
                "network_failure",
                "verify_cluster",
            )
        }
        stats.store.computed_gauge(prefix + "healthy", self._number_healthy)
        stats.store.computed_gauge(prefix + "degraded", self._number_degraded)

    # --- told by the cluster ---

    def watch(self, hosts: Sequence[Host]) -> None:
        """The complete list of hosts; those not yet watched are probed at once, or after the first jitter."""
        wanted = [host for host in hosts if not host.spec.health_check_disabled]
        for host in self._sessions.keys() - set(wanted):
            self._sessions.pop(host).close()
        for host in wanted:
            if host not in self._sessions:
                self._sessions[host] = _Session(self, host, self._settings)

    def on_passive_failure(self, host: Host) -> None:
        """A response to a request said that the host wants no more of them."""
        session = self._sessions.get(host)
        if session is not None:
            self._counters["failure"].inc()
            self._counters["passive_failure"].inc()
            session.on_result(ProbeResult(Verdict.BAD, excluded=True), scheduled=False)

    def close(self) -> None:
        """Probe nobody any more."""
        self.watch(())

    # --- told by sessions ---

    def schedule(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        return self._timers.call_after(delay_s, callback)

    def initial_delay_s(self) -> float:
        return self._random.random() * self.check.initial_jitter_s

    def interval_s(self, change: Change, *, healthy: bool) -> float:
        traffic = self._stats.cx_total.value > 0
        return next_interval_s(self.check, change, self._random, healthy=healthy, traffic=traffic)

    def count_attempt(self) -> None:
        self._counters["attempt"].inc()

    def count(self, result: ProbeResult) -> None:
        self._counters["success" if result.verdict in _SUCCESS else "failure"].inc()
        if result.verdict in _NETWORK:
            self._counters["network_failure"].inc()
        if result.wrong_service:
            self._counters["verify_cluster"].inc()

    def tell(self, host: Host, change: Change, *, healthy: bool) -> None:
        self._on_result(host, change is Change.CHANGED, healthy)

    def _number_healthy(self) -> int:
        return sum(not host.flags & HealthFlag.FAILED_ACTIVE_HC for host in self._sessions)

    def _number_degraded(self) -> int:
        return sum(bool(host.flags & HealthFlag.DEGRADED_ACTIVE_HC) for host in self._sessions)


class _Session:
    """The checks of one host: waiting for the next, or at one."""

    __slots__ = ("_checker", "_deadline", "_health", "_prober", "_task", "host")

    def __init__(self, checker: HealthChecker, host: Host, settings: ClusterSettings) -> None:
        self.host = host
        self._checker = checker
        self._health = HostHealth(host, checker.check)
        self._prober = checker.check.make_prober(host, settings)
        self._task: asyncio.Task[ProbeResult] | None = None
        delay_s = checker.initial_delay_s()
        self._deadline: Cancellable | None = None
        if delay_s > 0:
            self._deadline = checker.schedule(delay_s, self._begin)
        else:
            self._begin()

    def close(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._prober.close()

    def on_result(self, result: ProbeResult, *, scheduled: bool = True) -> None:
        """What a probe said, or a response to a request (then the next probe stays where it is)."""
        change = self._health.on_result(result)
        healthy = result.verdict in _SUCCESS
        if scheduled:
            interval_s = self._checker.interval_s(change, healthy=healthy)
            self._deadline = self._checker.schedule(interval_s, self._begin)
        self._checker.tell(self.host, change, healthy=healthy)

    def _begin(self) -> None:
        self._checker.count_attempt()
        self._deadline = self._checker.schedule(self._checker.check.timeout_s, self._on_timeout)
        self._task = asyncio.get_running_loop().create_task(self._probe())
        self._task.add_done_callback(self._on_done)

    async def _probe(self) -> ProbeResult:
        try:
            result = await self._prober.probe()
        except OSError:
            self._prober.close()
            return ProbeResult(Verdict.NETWORK)
        if not self._checker.check.reuse_connection or not result.keep_connection:
            self._prober.close()
        return result

    def _on_timeout(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._prober.close()
            self._conclude(ProbeResult(Verdict.TIMEOUT))

    def _on_done(self, task: asyncio.Task[ProbeResult]) -> None:
        if task is not self._task or task.cancelled():
            return
        self._task = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._conclude(task.result())

    def _conclude(self, result: ProbeResult) -> None:
        self._checker.count(result)
        self.on_result(result)
