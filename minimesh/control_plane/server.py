"""The control plane as one thing to start and stop: store and files in, configured proxies out.

Owns how the parts are joined. Everything runs in the caller's event loop: a change of the store asks the push
queue for a push; the push builds one PushContext, translates for each proxy, and wakes the deliveries.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from minimesh.config.diagnostics import Diagnostic, Severity, has_errors
from minimesh.config.store import ChangeType
from minimesh.control_plane.converted import same_but_status
from minimesh.control_plane.debug_api import DebugApi
from minimesh.control_plane.discovery.access_log_service import AccessLogService
from minimesh.control_plane.discovery.ads_server import AdsServer
from minimesh.control_plane.discovery.push_queue import PushQueue
from minimesh.control_plane.discovery.pusher import Fault, Pusher
from minimesh.control_plane.discovery.refresh import refreshed
from minimesh.control_plane.discovery.registration import GRACE_S
from minimesh.control_plane.discovery.status import proxy_status, registered_workload
from minimesh.control_plane.discovery.traffic_watch import TrafficWatch, watch_layer
from minimesh.control_plane.discovery.workload_health import WorkloadHealth
from minimesh.control_plane.file_source import FileSource
from minimesh.control_plane.history import History, told
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.push_context.incremental import KINDS_WITHOUT_EFFECT, ContextBuilder
from minimesh.control_plane.push_context.mesh_settings import MeshSettings
from minimesh.control_plane.status_writing import StatusWriter
from minimesh.control_plane.translation import build_resources
from minimesh.logs import get_logger

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from minimesh.config.resources import Resource
    from minimesh.config.store import Change, Snapshot, Store
    from minimesh.control_plane.discovery.debounce import Debounce
    from minimesh.control_plane.discovery.pusher import Connection
    from minimesh.control_plane.discovery.snapshot import ResourceSet
    from minimesh.control_plane.discovery.snapshot import Snapshot as ProxySnapshot
    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
    from minimesh.control_plane.translation.proxy import Proxy

ADS_PORT = 15010
DEBUG_PORT = 15014
_KINDS_OF_ENDPOINTS = frozenset({"Pod", "WorkloadEntry"})

_log = get_logger("control plane")


class ControlPlane:
    """Serves proxies from a store. Port 0 takes any free port; see `ads_port` and `debug_port` after
    `start`."""

    def __init__(
        self,
        store: Store,
        *,
        ads_host: str = "127.0.0.1",
        ads_port: int = ADS_PORT,
        ads_tls: ssl.SSLContext | None = None,
        debug_host: str = "127.0.0.1",
        debug_port: int = DEBUG_PORT,
        mesh: MeshConfig | None = None,
        mesh_config: str | Path | None = None,
        config_paths: Sequence[str | Path] = (),
        extra_status: Callable[[], Mapping[str, Any]] | None = None,
        on_diagnostics: Callable[[Mapping[str, tuple[Diagnostic, ...]]], None] | None = None,
        registration_grace_s: float = GRACE_S,
        translate: Callable[[Proxy, PushContext], ResourceSet] = build_resources,
        watches_traffic: bool = False,
        debounce: Debounce | None = None,
        debug_secret: str = "",
    ) -> None:
        """`extra_status` adds its entries to `status()`. `on_diagnostics` hears of all findings, by file,
        after each change of a file. `registration_grace_s`: how long a self-registered workload outlives its
        stream. `watches_traffic`: proxies tell of finished requests while somebody looks. `debug_secret`: who
        bears it is told by the debug API what Secrets hold.
        """
        self._store = store
        self._addresses = ((ads_host, ads_port), (debug_host, debug_port))
        self._ads_tls = ads_tls
        self._settings = MeshSettings(replace(mesh or MeshConfig(), watches_traffic=watches_traffic))
        self._extra_status = extra_status
        self._pushed_version = 0
        self._changes = self._changes_pushed = 0
        self._changed_at: float | None = None
        self._history = History()
        self._pushes: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._files = FileSource(store, config_paths, mesh_config=mesh_config, on_diagnostics=on_diagnostics)
        self._contexts = ContextBuilder(self._settings.of)
        self._statuses = StatusWriter(store)
        self._queue = PushQueue(self._push, debounce)
        self._health = WorkloadHealth(lambda: self._endpoints_changed("workload health"))
        self._pusher: Pusher[PushContext] = Pusher(
            self._build,
            translate,
            self._endpoints_changed,
            refresh=self._refresh if translate is build_resources else None,
            grace_s=registration_grace_s,
        )
        self.traffic_watch = TrafficWatch(lambda share: self._pusher.set_runtime(watch_layer(share)))
        self._pusher.set_runtime(watch_layer(0))
        self._ads = AdsServer(self._pusher, [AccessLogService(self.traffic_watch)])
        self._debug = DebugApi(self, debug_secret)

    @property
    def ads_port(self) -> int:
        """Where proxies connect."""
        return self._ads.port

    @property
    def debug_port(self) -> int:
        """Where operators look."""
        return self._debug.port

    @property
    def connections(self) -> Sequence[Connection]:
        """The connected proxies, gateways first."""
        return self._pusher.connections

    @property
    def push_context(self) -> PushContext | None:
        """What is being translated from; None when no context could be built yet."""
        return self._pusher.context

    @property
    def config(self) -> Snapshot:
        """Everything configured now."""
        return self._store.snapshot()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All findings there are now: of files, then faults of the control plane itself."""
        found = [each for of_file in self._files.diagnostics.values() for each in of_file]
        settings = () if self._files.has_mesh_config else self._settings.diagnostics
        faults = map(_fault_diagnostic, self._pusher.faults)
        return (*found, *settings, *self._store.hidden_by_files(), *faults)

    @property
    def file_diagnostics(self) -> Mapping[str, tuple[Diagnostic, ...]]:
        """The files of this mesh, with what was found in each."""
        return self._files.diagnostics

    @property
    def pushed_version(self) -> int:
        """The version of the configuration that was last pushed without a fault."""
        return self._pushed_version

    @property
    def is_pushed(self) -> bool:
        """Whether a push has taken in every change of what proxies are told; faults keep it from that."""
        return self._changes_pushed == self._changes

    @property
    def changed_at(self) -> float | None:
        """When something changed last that proxies are told of, in seconds since the epoch."""
        return self._changed_at

    def read_file(self, file: str) -> None:
        """Take in a file of this mesh that was just written. Raises OSError."""
        self._files.read_now(file)

    def store_document(self, resource: Resource) -> None:
        """Replace a document that no file declares, so that it outlives this process."""
        self._store.put(resource, durable=True)

    async def start(self) -> None:
        """Read the files, then listen. Raises OSError when an address cannot be had; nothing is left then."""
        try:
            await self._files.start()
            await self._push(frozenset({"start"}))
            self._unwatch = self._store.watch(self._store_changed)
            self._pushes = asyncio.create_task(self._queue.run())
            (ads, debug) = self._addresses
            await self._ads.start(*ads, self._ads_tls)
            await self._debug.start(*debug)
        except BaseException:
            await self.stop()
            raise
        _log.info("start", ads_port=self.ads_port, debug_port=self.debug_port)

    async def stop(self) -> None:
        """End all streams and stop listening. May be called at any time, also twice."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        await self._files.stop()
        if self._pushes is not None:
            self._pushes.cancel()
            await asyncio.wait([self._pushes])
            self._pushes = None
        self.traffic_watch.stop()
        await self._ads.stop()
        await self._debug.stop()
        self._pusher.registrations.stop()
        await self._health.stop()

    async def changed(self) -> None:
        """Wait for the next thing to happen: a connection, an answer of a proxy, a push."""
        await self._pusher.changed()

    def status(self) -> dict[str, Any]:
        """Proxies, findings and files as plain data, with `extra_status` merged in."""
        return {
            "proxies": [proxy_status(each, each.proxy) for each in self.connections if each.proxy],
            "diagnostics": [{**asdict(each), "text": str(each)} for each in self.diagnostics],
            "config": {
                "version": self.config.version,
                "last_good_version": self._pushed_version,
                "files": [
                    {"file": file, "state": "REJECTED" if has_errors(found) else "APPLIED"}
                    for file, found in self._files.diagnostics.items()
                ],
            },
            "registered_workloads": [
                registered_workload(each) for each in self._pusher.registrations.workloads()
            ],
            **(self._extra_status() if self._extra_status is not None else {}),
        }

    def told_at(self, moment: float | None) -> dict[str, Any] | None:
        """All that was in force at a moment (seconds since the epoch), now for None; None: forgotten."""
        pushed = self._history.latest if moment is None else self._history.at(moment)
        context = self.push_context
        if pushed is None or context is None:
            return None
        proxies = [each.proxy for each in self.connections if each.proxy]
        extra = self._extra_status() if self._extra_status is not None else {}
        ingress_port = extra.get("ingress", {}).get("port", 0)
        return {
            **told(pushed, proxies, self._settings.of(self.config), self.diagnostics),
            "ingress_port": ingress_port,
        }

    def _build(self, registered: Sequence[RegisteredWorkload]) -> PushContext:
        return self._contexts.build(self.config, self._health.judged(registered, self.config))

    def _refresh(
        self, proxy: Proxy, context: PushContext, before: PushContext | None, snapshot: ProxySnapshot
    ) -> ProxySnapshot | None:
        changes = self._contexts.changes
        if changes is None or context is before:
            return None
        return refreshed(proxy, context, changes, before, snapshot)

    async def _push(self, reasons: frozenset[str]) -> None:
        snapshot = self.config
        version, changes = snapshot.version, self._changes
        await self._pusher.push(reasons)
        if not self._pusher.faults:
            self._pushed_version, self._changes_pushed = version, changes
            self._write_statuses()
            # A push that changes nothing for anybody is news as well.
            self._pusher.tell()
            self._history.record(time.time(), snapshot, self._pusher.registrations.workloads())

    def _write_statuses(self) -> None:
        """Tell what became of what was pushed. That alone is nothing to push."""
        if self.push_context is None:
            return
        is_newest = self.config.version == self._pushed_version
        self._statuses.write(self.push_context)
        if is_newest:
            self._pushed_version = self.config.version

    def _store_changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if _concerns_proxies(change):
                self._changes += 1
                self._changed_at = time.time()
                of_endpoints = change.resource.kind in _KINDS_OF_ENDPOINTS
                self._queue.request(f"{change.type} {change.resource.key}", of_endpoints=of_endpoints)

    def _endpoints_changed(self, reason: str) -> None:
        self._queue.request(reason, of_endpoints=True)


def _concerns_proxies(change: Change) -> bool:
    if change.resource.kind in KINDS_WITHOUT_EFFECT:
        return False
    if change.type is not ChangeType.MODIFIED or change.old is None:
        return True
    return not same_but_status(change.old, change.resource)


def _fault_diagnostic(fault: Fault) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code=fault.code,
        message=f"{fault.message}; the last good configuration stays in force",
        file="",
        line=0,
        column=0,
        resource=f"proxy {fault.proxy}" if fault.proxy else "",
    )
