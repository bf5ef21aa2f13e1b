"""The live configuration of a proxy, and how an update changes it.

An update of one xDS type is compiled as a whole first; one mistake anywhere and nothing of it is applied,
and the mistakes make up the text of the NACK. Then it is applied in one function without `await`, so a
request sees either all of it or nothing. What is given away here (handles, holders, clusters, listeners)
lives on across updates.

Warming, as in Envoy: a cluster that takes its endpoints from EDS exists for routes only once its first
endpoints are there, one whose endpoints have names once these were looked up; a listener opens only when
every route configuration it names has come. Either waits 15 s at most.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.server_sockets import OWN_SOCKETS, SocketSource
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder, RouteTable
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import Cluster
from minimesh.data_plane.upstream.host import HostSpec
from minimesh.data_plane.xds_client.compile.cluster import (
    CompiledCluster,
    compile_cluster,
    compile_load_assignment,
    overprovisioning_factor,
)
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.http_filters import route_filter_compiler
from minimesh.data_plane.xds_client.compile.listener import CompiledListener, compile_listener
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.data_plane.xds_client.compile.runtime import compile_layers, layer_values, rtds_layers
from minimesh.data_plane.xds_client.dns import DnsResolver
from minimesh.xds import messages as m

#: Envoy's `initial_fetch_timeout`: how long warming waits for what it needs.
INITIAL_FETCH_TIMEOUT_S = 15.0

Compiled = TypeVar("Compiled")


@dataclass(slots=True)
class LiveCluster:
    """A cluster in force or warming."""

    compiled: CompiledCluster
    cluster: Cluster
    version: str
    updated_at: float
    static: bool
    warm: bool = False
    resolver: DnsResolver | None = None
    waits_for_secrets: bool = False


@dataclass(slots=True)
class LiveListener:
    """A listener: what serves, and what is to take its place once its routes are there."""

    listener: Listener | None
    active: CompiledListener | None
    warming: CompiledListener | None
    version: str
    updated_at: float
    static: bool


@dataclass(slots=True)
class LiveEndpoints:
    """The last load assignment of a name."""

    message: Any
    specs: tuple[HostSpec, ...]
    version: str
    updated_at: float


@dataclass(slots=True)
class LiveRoutes:
    """A route configuration that RDS delivers; `message` is None until it does."""

    holder: RouteConfigHolder
    message: Any = None
    version: str = ""
    updated_at: float = 0.0


@dataclass(slots=True)
class Rejection:
    """Why one resource was not taken; shown by /config_dump."""

    message: Any
    reason: str
    version: str
    at: float


class RejectedUpdateError(ValueError):
    """An update of which nothing is in force; `str()` is the text of the NACK."""


class PartlyRejectedUpdateError(RejectedUpdateError):
    """An update that is in force but for listeners whose addresses cannot be had."""


class LiveConfiguration:
    """Everything that configuration made, by name. Made inside a running event loop."""

    def __init__(
        self,
        stats: StatsStore,
        *,
        address_map: AddressMap | None = None,
        log_files: AccessLogFiles | None = None,
        access_log_override: str = "",
        warming_timeout_s: float = INITIAL_FETCH_TIMEOUT_S,
        sockets: SocketSource = OWN_SOCKETS,
        node_cluster: str = "",
        outlier_event_log_path: str = "",
        fails_health_checks: Callable[[], bool] = lambda: False,
        source: random.Random | None = None,
    ) -> None:
        """`sockets`: where listeners get theirs from, when several processes serve the same ports."""
        self.stats = stats
        self._random = source
        self.timers = TimerWheel(asyncio.get_running_loop())
        self.log_files = log_files or AccessLogFiles()
        self.clusters: dict[str, LiveCluster] = {}
        self.listeners: dict[str, LiveListener] = {}
        self.endpoints: dict[str, LiveEndpoints] = {}
        self.routes: dict[str, LiveRoutes] = {}
        self.rejections: dict[str, Rejection] = {}
        self.draining_listeners: list[Listener] = []
        self.started_at = time.time()
        self._handles: dict[str, ClusterHandle] = {}
        self._rtds_layers: dict[str, str] = {}
        self._warming_timeout_s = warming_timeout_s
        self._sockets = sockets
        self._accepting = True
        self._warmth_changed = asyncio.Event()
        self.context = CompileContext(
            stats=stats,
            log_files=self.log_files,
            address_map=address_map or AddressMap(),
            clusters=self._handle,
            find_cluster=self._find_cluster,
            route_config=lambda name: self._routes(name).holder,
            access_log_override=access_log_override,
            outlier_event_log_path=outlier_event_log_path,
            node_cluster=node_cluster,
            fails_health_checks=fails_health_checks,
        )
        self.context.secrets.timers = self.timers
        self.context.secrets.on_change = self._take_secrets

    # --- what the client has to subscribe to ---

    @property
    def endpoint_names(self) -> list[str]:
        """Load assignments that EDS clusters want."""
        return sorted({live.compiled.eds_name for live in self.clusters.values() if live.compiled.eds_name})

    @property
    def route_names(self) -> list[str]:
        """Route configurations that listeners want, warming ones included."""
        return sorted(self._wanted_routes())

    @property
    def secret_names(self) -> list[str]:
        """Secrets that transport sockets want over ADS."""
        return self.context.secrets.ads_names

    @property
    def runtime_names(self) -> list[str]:
        """Runtime layers that come over ADS."""
        return sorted(self._rtds_layers)

    @property
    def is_warming(self) -> bool:
        """Whether a cluster or listener waits for what it needs."""
        return self.has_warming_clusters or any(live.warming is not None for live in self.listeners.values())

    @property
    def has_warming_clusters(self) -> bool:
        """Whether a cluster waits for what it needs; requests do not find it meanwhile."""
        return any(not live.warm for live in self.clusters.values())

    async def warmed(self) -> None:
        """Return when nothing is warming."""
        while self.is_warming:
            self._warmth_changed.clear()
            await self._warmth_changed.wait()

    async def clusters_warmed(self) -> None:
        """Return when no cluster is warming."""
        while self.has_warming_clusters:
            self._warmth_changed.clear()
            await self._warmth_changed.wait()

    # --- static resources of a bootstrap file ---

    async def apply_bootstrap(self, bootstrap: Any) -> None:
        """Runtime layers and static resources of a Bootstrap message.

        Raises CompileError with the field's path from the root of the bootstrap, or OSError.
        """
        self.context.runtime.set_layers(compile_layers(bootstrap.layered_runtime, "layered_runtime"))
        self._rtds_layers = rtds_layers(bootstrap.layered_runtime, "layered_runtime")
        self.context.access_log_services.node = bootstrap.node
        await self.add_static_resources(bootstrap.static_resources)

    async def add_static_resources(self, message: Any, path: str = "static_resources") -> None:
        """Clusters, then listeners, of a bootstrap's StaticResources; in between, names are resolved.

        Raises CompileError with the field's path from the root of the bootstrap, or OSError.
        """
        static = replace(self.context, strict=True)
        for index, secret in enumerate(message.secrets):
            self.context.secrets.add_static(secret, f"{path}.secrets[{index}]")
        for index, cluster in enumerate(message.clusters):
            where = f"{path}.clusters[{index}]"
            if cluster.name in self.clusters:
                raise CompileError(f"{where}.name", f"cluster {cluster.name!r} is there twice")
            compiled = compile_cluster(cluster, static, where)
            self._apply_cluster(compiled, version="", static=True)
        listeners = [
            compile_listener(listener, static, f"{path}.listeners[{index}]")
            for index, listener in enumerate(message.listeners)
        ]
        for live in list(self.clusters.values()):
            if live.resolver is not None:
                await live.resolver.resolved.wait()
        for compiled_listener in listeners:
            self._apply_listener(compiled_listener, version="", static=True)

    # --- updates, one method for each type; each raises RejectedUpdateError ---

    def update_clusters(self, messages: Sequence[Any], version: str) -> None:
        """CDS: the complete set of clusters."""
        compiled = self._compile_all(
            messages,
            "cluster",
            version,
            lambda message: compile_cluster(message, self.context),
        )
        wanted = {each.settings.name for each in compiled}
        for each in compiled:
            live = self.clusters.get(each.settings.name)
            if live is None or (not live.static and live.compiled.message != each.message):
                self._apply_cluster(each, version, static=False)
        for name in [name for name, live in self.clusters.items() if not live.static]:
            if name not in wanted:
                self._remove_cluster(name)
        self._count("cluster_manager", "cluster", len(compiled))

    def update_endpoints(self, messages: Sequence[Any], version: str) -> None:
        """EDS: load assignments of some names; those not mentioned stay as they are."""
        compiled = self._compile_all(
            messages,
            "load assignment",
            version,
            lambda message: (message, compile_load_assignment(message)),
        )
        for message, specs in compiled:
            self._apply_endpoints(LiveEndpoints(message, specs, version, time.time()))

    def update_listeners(self, messages: Sequence[Any], version: str) -> None:
        """LDS: the complete set of listeners."""
        compiled = self._compile_all(
            messages, "listener", version, lambda message: compile_listener(message, self.context)
        )
        wanted = {each.settings.name for each in compiled}
        # Addresses are freed before others bind them.
        for name in [name for name, live in self.listeners.items() if not live.static]:
            if name not in wanted:
                self._remove_listener(name)
        failures = []
        for each in compiled:
            live = self.listeners.get(each.settings.name)
            if live is not None and (live.static or _newest(live).message == each.message):
                continue
            try:
                self._apply_listener(each, version, static=False)
            except OSError as error:
                failures.append(f"{each.settings.name}: {error.strerror or error}")
        self._forget_unwanted_routes()
        if failures:
            raise PartlyRejectedUpdateError(f"Error adding/updating listener(s) {', '.join(failures)}")

    def update_routes(self, messages: Sequence[Any], version: str) -> None:
        """RDS: route configurations of some names; those not mentioned stay as they are."""
        compiled = self._compile_all(
            messages,
            "route configuration",
            version,
            lambda message: (message, self._compile_routes(message, version)),
        )
        for message, table in compiled:
            live = self._routes(message.name)
            live.message, live.version, live.updated_at = message, version, time.time()
            live.holder.table = table
        self._finish_warming_listeners()

    def update_secrets(self, messages: Sequence[Any], version: str) -> None:
        """SDS: secrets of some names; those not mentioned stay as they are."""
        try:
            self.context.secrets.update(messages, version)
        except CompileError as error:
            raise RejectedUpdateError(f"Error adding/updating secret(s) {error}") from None
        self._take_secrets()

    def update_runtime(self, messages: Sequence[Any], version: str) -> None:
        """RTDS: layers of some names; those not mentioned stay as they are."""
        unknown = [each.name for each in messages if each.name not in self._rtds_layers]
        if unknown:
            raise RejectedUpdateError(f"Unexpected RTDS runtime (nobody asked for it): {', '.join(unknown)}")
        for message in messages:
            self.context.runtime.set_layer(self._rtds_layers[message.name], layer_values(message.layer))

    # --- draining ---

    def drain_listeners(self, timeout_s: float | None = None, *, inbound_only: bool = False) -> None:
        """Stop accepting; connections finish what they are at, within `timeout_s`."""
        self._accepting = self._accepting and inbound_only
        for live in self.listeners.values():
            if live.listener is not None and (not inbound_only or _is_inbound(live)):
                live.listener.drain(timeout_s)

    @property
    def open_connections(self) -> int:
        """Downstream connections of all listeners, draining ones included."""
        active = [live.listener for live in self.listeners.values() if live.listener is not None]
        return sum(len(listener.connections) for listener in (*active, *self.draining_listeners))

    def close(self) -> None:
        """Close everything at once and write out the logs."""
        self.drain_listeners(0.0)
        for live in self.listeners.values():
            if live.listener is not None:
                live.listener.close_connections()
        for name in list(self.clusters):
            self._remove_cluster(name)
        self.context.access_log_services.close()
        self.timers.close()
        self.log_files.flush()

    # --- clusters ---

    def _handle(self, name: str) -> ClusterHandle:
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = ClusterHandle(name)
        return handle

    def _find_cluster(self, name: str) -> ClusterHandle | None:
        return self._handle(name) if name in self.clusters else None

    def _apply_cluster(self, compiled: CompiledCluster, version: str, *, static: bool) -> None:
        name = compiled.settings.name
        live = self.clusters.get(name)
        if live is None:
            cluster = Cluster(compiled.settings, self.stats, self._random, timers=self.timers)
            live = LiveCluster(compiled, cluster, version, time.time(), static)
            self.clusters[name] = live
        else:
            live.compiled, live.version, live.updated_at = compiled, version, time.time()
            live.cluster.update_settings(compiled.settings)
        self._give_hosts(live)

    def _give_hosts(self, live: LiveCluster) -> None:
        """Let the cluster have its endpoints from where its configuration says; warm once it has them."""
        compiled = live.compiled
        if live.resolver is not None:
            live.resolver.close()
            live.resolver = None
        if compiled.eds_name:
            known = self.endpoints.get(compiled.eds_name)
            if known is None:
                self.timers.call_after(self._warming_timeout_s, lambda: self._warm(live))
                return
            self._take_endpoints(live, known)
            return
        if compiled.dns_targets:
            live.resolver = DnsResolver(compiled, lambda hosts: self._take_resolved(live, hosts))
            self.timers.call_after(self._warming_timeout_s, lambda: self._warm(live))
            return
        if compiled.hosts or live.cluster.hosts:
            factor_percent = overprovisioning_factor(compiled.message.load_assignment)
            live.cluster.update_hosts(compiled.hosts, factor_percent)
        live.cluster.health.when_checked(lambda: self._warm(live))

    def _take_endpoints(self, live: LiveCluster, endpoints: LiveEndpoints) -> None:
        live.cluster.update_hosts(endpoints.specs, overprovisioning_factor(endpoints.message))
        live.cluster.health.when_checked(lambda: self._warm(live))

    def _take_resolved(self, live: LiveCluster, hosts: Sequence[HostSpec]) -> None:
        live.cluster.update_hosts(hosts)
        live.cluster.health.when_checked(lambda: self._warm(live))

    def _warm(self, live: LiveCluster, *, late: bool = False) -> None:
        name = live.compiled.settings.name
        if not late and not _has_secrets(live):
            if not live.waits_for_secrets:
                live.waits_for_secrets = True
                self.timers.call_after(self._warming_timeout_s, lambda: self._warm(live, late=True))
            return
        if not live.warm and self.clusters.get(name) is live:
            live.warm = True
            self._handle(name).cluster = live.cluster
            self._warmth_changed.set()

    def _take_secrets(self) -> None:
        """Secrets have come: what waited for them is ready."""
        for live in self.clusters.values():
            if live.waits_for_secrets:
                self._warm(live)
        self._finish_warming_listeners()

    def _remove_cluster(self, name: str) -> None:
        live = self.clusters.pop(name)
        self._warmth_changed.set()
        self._handle(name).cluster = None
        if live.resolver is not None:
            live.resolver.close()
        live.cluster.close()
        self.stats.remove(f"cluster.{live.compiled.settings.alt_stat_name or name}.")
        if live.compiled.eds_name not in self.endpoint_names:
            self.endpoints.pop(live.compiled.eds_name, None)

    def _apply_endpoints(self, endpoints: LiveEndpoints) -> None:
        name = endpoints.message.cluster_name
        self.endpoints[name] = endpoints
        for live in self.clusters.values():
            if live.compiled.eds_name == name:
                self._take_endpoints(live, endpoints)

    # --- routes ---

    def _routes(self, name: str) -> LiveRoutes:
        live = self.routes.get(name)
        if live is None:
            live = self.routes[name] = LiveRoutes(RouteConfigHolder())
        return live

    def _compile_routes(self, message: Any, version: str) -> RouteTable:
        return compile_route_configuration(
            message,
            self._handle,
            find_cluster=self._find_cluster,
            compile_format=value_formatter,
            compile_filter_config=route_filter_compiler(self.context),
            runtime=self.context.runtime,
            version=version,
        )

    def _wanted_routes(self) -> set[str]:
        return {
            name
            for live in self.listeners.values()
            for compiled in (live.active, live.warming)
            if compiled is not None
            for name in compiled.route_config_names
        }

    def _forget_unwanted_routes(self) -> None:
        wanted = self._wanted_routes()
        for name in [name for name in self.routes if name not in wanted]:
            del self.routes[name]

    # --- listeners ---

    def _apply_listener(self, compiled: CompiledListener, version: str, *, static: bool) -> None:
        """Open or update a listener, or keep it warming until its routes have come. Raises OSError."""
        name = compiled.settings.name or str(compiled.settings.configured_address)
        live = self.listeners.get(name)
        if self._has_routes(compiled):
            self._activate(name, live, compiled, version, static=static)
            return
        if live is None:
            live = self.listeners[name] = LiveListener(None, None, None, version, time.time(), static)
        live.warming, live.version, live.updated_at = compiled, version, time.time()
        self.timers.call_after(self._warming_timeout_s, lambda: self._stop_waiting(name, compiled))

    def _activate(
        self, name: str, live: LiveListener | None, compiled: CompiledListener, version: str, *, static: bool
    ) -> None:
        listener = live.listener if live is not None else None
        if listener is None:
            directory = self.context.listeners
            listener = Listener(compiled.settings, self.stats, self.timers, self._sockets, directory)
            if self._accepting:
                listener.start()
        else:
            listener.update(compiled.settings)
        self.listeners[name] = LiveListener(listener, compiled, None, version, time.time(), static)
        self._warmth_changed.set()

    def _has_routes(self, compiled: CompiledListener) -> bool:
        return all(self._routes(name).message is not None for name in compiled.route_config_names) and all(
            tls.ready for tls in compiled.tls_sockets
        )

    def _finish_warming_listeners(self) -> None:
        failures = []
        for name, live in list(self.listeners.items()):
            if live.warming is not None and self._has_routes(live.warming):
                try:
                    self._activate(name, live, live.warming, live.version, static=live.static)
                except OSError as error:
                    failures.append(f"{name}: {error.strerror or error}")
        self._forget_unwanted_routes()
        if failures:
            raise PartlyRejectedUpdateError(f"Error adding/updating listener(s) {', '.join(failures)}")

    def _stop_waiting(self, name: str, compiled: CompiledListener) -> None:
        """The routes did not come in time: open without them, and answer 404 meanwhile."""
        live = self.listeners.get(name)
        if live is None or live.warming is not compiled:
            return
        try:
            self._activate(name, live, compiled, live.version, static=live.static)
        except OSError as error:
            self._reject(name, compiled.message, str(error), live.version)

    def _remove_listener(self, name: str) -> None:
        listener = self.listeners.pop(name).listener
        self._warmth_changed.set()
        if listener is None:
            return
        listener.drain()
        self.draining_listeners = [each for each in self.draining_listeners if each.connections]
        if listener.connections:
            self.draining_listeners.append(listener)

    # --- compiling a whole response ---

    def _compile_all(
        self, messages: Iterable[Any], noun: str, version: str, compile_one: Callable[[Any], Compiled]
    ) -> list[Compiled]:
        """Compile every resource of a response, or raise with all their mistakes."""
        compiled, failures = [], []
        for message in messages:
            name = getattr(message, "name", "") or getattr(message, "cluster_name", "")
            try:
                compiled.append(compile_one(message))
                self.rejections.pop(f"{noun} {name}", None)
            except CompileError as error:
                failures.append(f"{name}: {error}")
                self._reject(f"{noun} {name}", message, str(error), version)
        if failures:
            raise RejectedUpdateError(f"Error adding/updating {noun}(s) {', '.join(failures)}")
        return compiled

    def _reject(self, key: str, message: Any, reason: str, version: str) -> None:
        self.rejections[key] = Rejection(message, reason, version, time.time())

    def _count(self, prefix: str, noun: str, number: int) -> None:
        self.stats.gauge(f"{prefix}.active_{noun}s").set(number)


def _newest(live: LiveListener) -> CompiledListener:
    newest = live.warming or live.active
    assert newest is not None, "a listener is active, warming or gone"
    return newest


def _has_secrets(live: LiveCluster) -> bool:
    sockets = live.compiled.settings.transport_sockets
    return sockets is None or all(tls.ready for tls in sockets.all)


def _is_inbound(live: LiveListener) -> bool:
    return bool(_newest(live).message.traffic_direction == m.base_pb2.TrafficDirection.INBOUND)
