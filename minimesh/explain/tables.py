"""One proxy's own tables, compiled by the data plane from the resources it was sent, and no socket opened."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.explicit_proxy import ExplicitProxy
from minimesh.data_plane.network.filter_chains import ConnectionFacts, FilterChains
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.host import HostSpec
from minimesh.data_plane.xds_client.config_update import LiveConfiguration, RejectedUpdateError
from minimesh.explain.observation import Routing, observe

if TYPE_CHECKING:
    from minimesh.control_plane.translation import Resources
    from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings
    from minimesh.data_plane.telemetry.stream_info import StreamInfo
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.explain.world import Pod

_VERSION = "explained"


class SteadyRandom(random.Random):
    """Draws for weights and shares that come out as `value` says; all else is drawn as ever."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def getrandbits(self, k: int, /) -> int:
        return self.value if k == 63 else super().getrandbits(k)


class _MemoryLog:
    """An access log that is kept instead of written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str, /) -> None:
        self.lines.append(line)


class _MemoryLogs:
    """The log files of one proxy: one log, whatever they are called."""

    def __init__(self) -> None:
        self.log = _MemoryLog()

    def open(self, path: str) -> _MemoryLog:
        return self.log

    def flush(self) -> None:
        """Nothing is ever held back."""


class _Recorder:
    """Stands beside the access logs and keeps what they are told."""

    def __init__(self, tell: Callable[[StreamInfo], None]) -> None:
        self.log = tell


@dataclass(frozen=True, slots=True)
class ChosenChain:
    """The listener and filter chain that a connection gets; `manager` None: its chain does no HTTP."""

    listener: ListenerSettings
    chain: FilterChain | None
    destination_port: int

    @property
    def manager(self) -> ConnectionManager | None:
        made = self.chain.make_protocol if self.chain is not None else None
        if isinstance(made, ExplicitProxy):
            made = made.requests
        return made if isinstance(made, ConnectionManager) else None


class ProxyTables:
    """See the module. Made inside a running loop, whose clock the timeouts go by."""

    def __init__(
        self,
        pod: Pod,
        resources: Resources,
        connect: Callable[[Any, Any], Any],
        connect_http2: Callable[[Any, Any], Any],
        on_routing: Callable[[Routing], None],
        on_end: Callable[[StreamInfo], None],
        *,
        port_map: dict[int, int],
        draw: SteadyRandom,
    ) -> None:
        """`connect` stands in for dialling; `on_routing` and `on_end` hear of every request."""
        self.pod = pod
        self.rejected: dict[str, str] = {}
        """Type of resource -> why the proxy would refuse what it is sent (NACK)."""
        self._logs = _MemoryLogs()
        self.configuration = LiveConfiguration(
            StatsStore(),
            log_files=self._logs,  # type: ignore[arg-type]
            source=random.Random(1),  # the same question gets the same answer
            address_map=AddressMap(
                pod_ip=pod.ip,
                app_address=pod.app_address,
                also_bind=("127.0.0.1",) if pod.is_gateway else (),
                port_map=port_map,
                capture=not pod.is_gateway,
            ),
        )
        self.configuration.drain_listeners(0.0)  # listeners are made, and none is opened
        self._take(resources)
        self._dial_by(connect, connect_http2)
        self._observe(on_routing, on_end, draw)

    @property
    def log_lines(self) -> list[str]:
        """The access log so far."""
        return self._logs.log.lines

    def cluster(self, name: str) -> Cluster | None:
        """A cluster in force."""
        live = self.configuration.clusters.get(name)
        return None if live is None else live.cluster

    def listeners(self) -> list[ListenerSettings]:
        """All listeners, opened or waiting for something."""
        return [each.settings for each in self._compiled_listeners()]

    def at(self, address: str, port: int) -> tuple[ListenerSettings, int] | None:
        """The listener that would accept there, and the port that the caller is taken to mean."""
        for settings in self.listeners():
            for bound in settings.addresses:
                if (bound.host, bound.port) == (address, port):
                    return settings, bound.original_port or settings.configured_address[1]
        return None

    def choose(self, settings: ListenerSettings, facts: ConnectionFacts) -> ChosenChain:
        """The filter chain of a connection, as the listener chooses it."""
        if settings.inspection.http and not facts.application_protocols:
            facts = facts._replace(application_protocols=("http/1.1",))
        chains = FilterChains(settings.filter_chains, settings.default_filter_chain)
        return ChosenChain(settings, chains.choose(facts), facts.destination_port)

    # --- within ---

    def _take(self, resources: Resources) -> None:
        configuration = self.configuration
        updates: tuple[tuple[str, Callable[[list[Any], str], None], Any], ...] = (
            ("clusters", configuration.update_clusters, resources.clusters),
            ("endpoints", configuration.update_endpoints, resources.endpoints),
            ("secrets", configuration.update_secrets, resources.secrets),
            ("listeners", configuration.update_listeners, resources.listeners),
            ("routes", configuration.update_routes, resources.routes),
        )
        for kind, update, messages in updates:
            try:
                update(list(messages.values()), _VERSION)
            except RejectedUpdateError as error:
                self.rejected[kind] = str(error)

    def _dial_by(self, connect: Callable[[Any, Any], Any], connect_http2: Callable[[Any, Any], Any]) -> None:
        for live in self.configuration.clusters.values():
            if live.resolver is not None:
                live.resolver.close()  # nobody is asked for names here: a name stands for itself
                live.cluster.update_hosts(
                    [_named_host(each.spec, each.hostname) for each in live.compiled.dns_targets]
                )
                self.configuration._warm(live, late=True)
            live.cluster.update_settings(
                dataclasses.replace(live.cluster.settings, connect=connect, connect_http2=connect_http2)
            )

    def _observe(
        self, on_routing: Callable[[Routing], None], on_end: Callable[[StreamInfo], None], draw: SteadyRandom
    ) -> None:
        recorder: Any = _Recorder(on_end)
        for compiled in self._compiled_listeners():
            for managed in compiled.managers:
                observe(managed.route_config, on_routing)
                manager = managed.manager
                manager.config = dataclasses.replace(
                    manager.config, access_logs=(*manager.config.access_logs, recorder)
                )
                manager.random = draw

    def _compiled_listeners(self) -> list[Any]:
        live = self.configuration.listeners.values()
        return [each.active or each.warming for each in live]


def _named_host(spec: HostSpec, hostname: str) -> HostSpec:
    return dataclasses.replace(spec, address=spec.address or hostname, hostname=spec.hostname or hostname)
