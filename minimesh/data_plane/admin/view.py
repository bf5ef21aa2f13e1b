"""What the admin API shows and acts on: one process here, and all workers where there are any.

`configuration` is asked for what is in force, which is the same in every worker; numbers that differ from
worker to worker are asked of the view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from minimesh.data_plane.admin.pages import Page
    from minimesh.data_plane.admin.server_state import StateHolder
    from minimesh.data_plane.telemetry.stats import StatsStore
    from minimesh.data_plane.upstream.host import HealthFlag, Host
    from minimesh.data_plane.xds_client.config_update import LiveConfiguration


class HostState(NamedTuple):
    """What is not configured of a host: numbers by Envoy's names, counters first, and why it is shunned."""

    numbers: Mapping[str, int]
    flags: HealthFlag


#: Of a cluster's name and a host.
HostStates = Callable[[str, "Host"], HostState]
HOST_GAUGES = frozenset({"cx_active", "rq_active", "rq_pending_active"})


class AdminView:
    """The view of a proxy that is one process."""

    concurrency = 1

    def __init__(self, configuration: LiveConfiguration, state: StateHolder) -> None:
        self.configuration = configuration
        self.state = state
        #: What ports of their own show.
        self.pages: list[Page] = []

    @property
    def stats(self) -> StatsStore:
        return self.configuration.stats

    @property
    def open_connections(self) -> int:
        return self.configuration.open_connections

    def host_state(self, cluster: str, host: Host) -> HostState:
        return HostState(numbers_of(host), host.flags)

    async def refresh(self, path: str) -> None:
        """Called before a command that only shows: get what it needs from elsewhere."""

    async def perform(self, path: str, query: Mapping[str, str]) -> None:
        """Called after a command that acts: let the others act too."""


def numbers_of(host: Host) -> dict[str, int]:
    """What this process has counted of a host."""
    return {
        "cx_connect_fail": host.connect_failures,
        "cx_total": host.connections_total,
        "rq_error": host.requests_error,
        "rq_success": host.requests_success,
        "rq_timeout": host.requests_timeout,
        "rq_total": host.requests_total,
        "cx_active": host.active_connections,
        "rq_active": host.active_requests,
        "rq_pending_active": len(host.pool.waiting) if host.pool is not None else 0,
    }
