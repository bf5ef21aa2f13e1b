"""The hosts of one priority level, sorted by health and by locality: what balancers are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minimesh.data_plane.upstream.host import Health, Host
from minimesh.data_plane.upstream.priority_load import LevelHosts


class HostSet:
    """Hosts that belong together, in the order of the configuration."""

    __slots__ = ("degraded", "excluded", "healthy", "hosts")

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = hosts
        counted = [host for host in hosts if not host.excluded]
        self.excluded = len(hosts) - len(counted)
        self.healthy = [host for host in counted if host.health is Health.HEALTHY]
        self.degraded = [host for host in counted if host.health is Health.DEGRADED]

    @property
    def numbers(self) -> LevelHosts:
        return LevelHosts(len(self.hosts), len(self.healthy), len(self.degraded), self.excluded)

    def by_locality(self) -> list[HostSet]:
        """One set for each locality, in the order of their first hosts."""
        found: dict[object, list[Host]] = {}
        for host in self.hosts:
            found.setdefault(host.spec.locality, []).append(host)
        return [HostSet(hosts) for hosts in found.values()]


def priority_levels(hosts: Iterable[Host]) -> list[HostSet]:
    """One set for each level from 0 up; at least one, and those between without hosts are empty."""
    found: dict[int, list[Host]] = {}
    for host in hosts:
        found.setdefault(host.spec.priority, []).append(host)
    return [HostSet(found.get(level, ())) for level in range(max(found, default=0) + 1)]
