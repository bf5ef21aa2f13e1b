"""The retries a request has made: hosts tried, the wait for the next try, a part in the count of the cluster.

Made when a first try has failed, so that a request that goes well has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.router.retry import RetryState
    from minimesh.data_plane.network.timers import Deadline, TimerWheel
    from minimesh.data_plane.upstream.circuit_breakers import ClusterResources
    from minimesh.data_plane.upstream.host import Host


class Retrying:
    """See the module. `hosts`: those tried, the last one last."""

    __slots__ = ("_counted", "_resources", "_wait", "hosts")

    def __init__(self, resources: ClusterResources) -> None:
        self.hosts: list[Host] = []
        self._resources = resources
        self._counted = False
        self._wait: Deadline | None = None

    def begin(
        self, retries: RetryState, tried: Host | None, timers: TimerWheel, then: Callable[[], None]
    ) -> None:
        """Wait as long as `retries` say, then call `then` for the next try."""
        resources = self._resources
        self._counted = True
        resources.retries += 1
        resources.stats.rq_retry.inc()
        if tried is not None:
            self.hosts.append(tried)
        kind = "exponential" if retries.told_wait_s is None else "ratelimited"
        resources.stats.count(f"upstream_rq_retry_backoff_{kind}")
        self._wait = timers.call_after(retries.next_wait_s(), then)

    def end(self) -> None:
        """What the retry has led to is known, or it is given up."""
        if self._counted:
            self._counted = False
            self._resources.retries -= 1

    def wait_no_more(self) -> None:
        """The wait is over, or there will be no next try."""
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
