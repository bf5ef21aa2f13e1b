"""What the admin API shows of a proxy with workers: the mirror's configuration, the numbers of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from minimesh.data_plane.admin.view import AdminView, HostState
from minimesh.data_plane.workers.numbers import Numbers, summed_flags, summed_host, summed_stats

if TYPE_CHECKING:
    from minimesh.data_plane.admin.server_state import StateHolder
    from minimesh.data_plane.telemetry.stats import StatsStore
    from minimesh.data_plane.upstream.host import Host
    from minimesh.data_plane.workers.parent import Workers
    from minimesh.data_plane.xds_client.config_update import LiveConfiguration

#: Commands that show numbers of the workers; the others are the mirror's to answer.
_NUMBERS = frozenset({"/stats", "/stats/prometheus", "/clusters"})
#: Commands that are the parent's alone: it tells the workers in its own way when to end or to reopen.
_PARENT_ONLY = frozenset({"/quitquitquit", "/reopen_logs"})


class WorkersView(AdminView):
    """See the module."""

    def __init__(self, configuration: LiveConfiguration, state: StateHolder, workers: Workers) -> None:
        super().__init__(configuration, state)
        self.concurrency = workers.number
        self._workers = workers
        self._numbers: list[Numbers] = []
        self._stats = configuration.stats

    @property
    def stats(self) -> StatsStore:
        return self._stats

    @property
    def open_connections(self) -> int:
        return sum(int(numbers["connections"]) for numbers in self._numbers)

    def host_state(self, cluster: str, host: Host) -> HostState:
        own = super().host_state(cluster, host)
        return HostState(
            {**own.numbers, **summed_host(self._numbers, cluster, host.name)},
            own.flags | summed_flags(self._numbers, cluster, host.name),
        )

    async def refresh(self, path: str) -> None:
        if path in _NUMBERS:
            self._numbers = await self._workers.numbers()
            self._stats = summed_stats(self.configuration.stats, self._numbers, self._workers.gone)

    async def perform(self, path: str, query: Mapping[str, str]) -> None:
        if path == "/reset_counters":
            self.configuration.stats.reset_counters()
            self._workers.forget_counters()
        if path not in _PARENT_ONLY:
            await self._workers.perform(path, query)
