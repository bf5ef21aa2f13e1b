"""Hosts of STRICT_DNS and LOGICAL_DNS clusters: names resolved again and again.

One task for each cluster. A name that cannot be resolved leaves the cluster's hosts as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from minimesh.data_plane.upstream.cluster_settings import Discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minimesh.data_plane.upstream.host import HostSpec
    from minimesh.data_plane.xds_client.compile.cluster import CompiledCluster, DnsTarget

#: `localhost` has answers of its own (::1 first) that an IPv4 world does not listen on.
_LOCALHOST = "127.0.0.1"


class DnsResolver:
    """Keeps the hosts of one cluster up to date until closed."""

    def __init__(self, compiled: CompiledCluster, update: Callable[[list[HostSpec]], None]) -> None:
        self._compiled = compiled
        self._update = update
        #: Set once every name has been looked up, with or without success.
        self.resolved = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        targets = self._compiled.dns_targets
        known: list[list[HostSpec]] = [[] for _ in targets]
        while True:
            for index, target in enumerate(targets):
                known[index] = await self._resolve(target) or known[index]
            self._update([spec for specs in known for spec in specs])
            self.resolved.set()
            await asyncio.sleep(self._compiled.settings.dns_refresh_rate_s)

    async def _resolve(self, target: DnsTarget) -> list[HostSpec]:
        """The endpoint once for every address of its name; only the first for LOGICAL_DNS."""
        addresses = await _addresses(target.hostname)
        if self._compiled.settings.discovery is Discovery.LOGICAL_DNS:
            addresses = addresses[:1]
        return [
            replace(target.spec, address=address, hostname=target.spec.hostname or target.hostname)
            for address in addresses
        ]


async def _addresses(hostname: str) -> Sequence[str]:
    """IPv4 addresses of a name, IPv6 ones where there are no others; empty when it cannot be resolved."""
    if hostname == "localhost":
        return [_LOCALHOST]
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(hostname))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    by_family: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, []).append(str(address[0]))
    return list(dict.fromkeys(by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or []))
