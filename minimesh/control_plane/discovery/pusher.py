"""Who is connected and what each is given: translation on one side, deliveries on the other.

Owns the list of connections, the push context in force, and the faults met on the way. Translation may fail
for one proxy or for all; then the last good configuration stays in force, the fault is kept for operators
to see, and everything else goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from minimesh.control_plane.discovery.delivery import Delivery
from minimesh.control_plane.discovery.registration import GRACE_S, WorkloadRegistrations
from minimesh.control_plane.discovery.snapshot import Contents, Packing, ResourceSet, Snapshot
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.logs import get_logger
from minimesh.xds.ads_protocol import Reaction
from minimesh.xds.resource_names import SHORT_TYPE_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload

PushT = TypeVar("PushT")

_log = get_logger("discovery")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that kept configuration from a proxy. `proxy` is empty when it concerns all of them."""

    code: str
    message: str
    proxy: str = ""


class Connection:
    """One stream of one proxy. `wake` is set when there may be something to send."""

    def __init__(self, number: int, *, delta: bool = False) -> None:
        self.number = number
        self.connected_since = time.time()
        self.delivery = Delivery(delta=delta)
        self.proxy: Proxy | None = None
        self.fault: Fault | None = None
        self.translated_from: Any = None
        """The push context that its configuration was last made from."""
        self.wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Connection {self.number} {self.proxy.id if self.proxy else 'unknown'}>"


class Pusher(Generic[PushT]):
    """Translates for every connection. `PushT` is the immutable context that `build` makes once for a push.

    `build(registered workloads)` and `translate(proxy, context)` may raise anything. `request_push(reason)`
    is called when a workload registers or leaves.
    """

    def __init__(
        self,
        build: Callable[[Sequence[RegisteredWorkload]], PushT],
        translate: Callable[[Proxy, PushT], ResourceSet],
        request_push: Callable[[str], None],
        *,
        refresh: Callable[[Proxy, PushT, PushT | None, Snapshot], Snapshot | None] | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        """`refresh(proxy, context, context of its last snapshot, that snapshot)` gives the next snapshot
        where that is less work than to translate, else None."""
        self._refresh = refresh
        self._packing = Packing()
        self._translated = self._refreshed = 0
        self._build = build
        self._translate = translate
        self._numbers = itertools.count(1)
        self._connections: dict[int, Connection] = {}
        self._build_fault: Fault | None = None
        self._runtime = Contents({})
        self._changed = asyncio.Event()
        self.context: PushT | None = None
        self._request_push = request_push
        self.registrations = WorkloadRegistrations(self._registrations_changed, grace_s=grace_s)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Streams whose proxy has introduced itself, gateways first: they are what users look at."""
        known = [(each.proxy, each) for each in self._connections.values() if each.proxy is not None]
        known.sort(key=lambda pair: (pair[0].type != "router", pair[0].id, pair[1].number))
        return tuple(each for _, each in known)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What currently keeps configuration from proxies."""
        return tuple(self._faults())

    async def changed(self) -> None:
        """Wait for the next thing to happen: a connection, an answer of a proxy, a push."""
        await self._changed.wait()

    def tell(self) -> None:
        """Something happened: wake who waits in `changed`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def push(self, reasons: frozenset[str]) -> None:
        """Build a new context and bring every connection up to it. Never raises on bad configuration."""
        started = time.perf_counter()
        rebuilt = self._rebuild()
        for connection in self.connections:
            # With the context before still in force, only those who have nothing at all gain by it.
            if rebuilt or connection.delivery.wanted is None:
                self._deliver(connection)
            await asyncio.sleep(0)  # let what is ready go out before the next proxy is translated
        if self._translated > self._refreshed:
            # A push of refreshed configurations alone asks for nothing that is packed, and forgets nothing.
            self._packing.turn()
        self._translated = self._refreshed = 0
        _log.debug(
            "push",
            reasons=sorted(reasons),
            proxies=len(self._connections),
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
        )

    def set_runtime(self, layers: Contents) -> None:
        """Bring every proxy to these runtime layers."""
        self._runtime = layers
        for connection in self._connections.values():
            connection.delivery.runtime = layers
            connection.wake.set()

    def open(self, *, delta: bool = False) -> Connection:
        """A stream began, of incremental ADS if `delta`; who it is comes with its first request."""
        connection = Connection(next(self._numbers), delta=delta)
        connection.delivery.runtime = self._runtime
        self._connections[connection.number] = connection
        return connection

    def received(self, connection: Connection, request: Any) -> None:
        """A request came on a stream. Raises InvalidNodeError when the proxy's node cannot be understood."""
        received = connection.delivery.received(request)
        if connection.proxy is None and connection.delivery.stream.node is not None:
            self._introduce(connection, connection.delivery.stream.node)
        if received.reaction is Reaction.NACKED:
            _log.warning(
                "configuration rejected",
                proxy=connection.proxy.id if connection.proxy else "",
                type=SHORT_TYPE_NAMES.get(received.type_url, received.type_url),
                error=received.error,
            )
        if connection.delivery.may_go_on(received):
            connection.wake.set()
        self.tell()

    def closed(self, connection: Connection) -> None:
        """A stream ended."""
        self._connections.pop(connection.number, None)
        if connection.proxy is not None:
            _log.info("proxy disconnected", proxy=connection.proxy.id)
            self.registrations.disconnected(connection.proxy.id)
        self.tell()

    def _introduce(self, connection: Connection, node: Any) -> None:
        proxy = Proxy.from_node(node)
        connection.proxy = proxy
        _log.info("proxy connected", proxy=proxy.id, type=proxy.type)
        workload = proxy.registration()
        # A new workload changes what its own proxy is to have: then its first configuration is the next push.
        if workload is not None and self.registrations.connected(proxy.id, workload):
            return
        self._deliver(connection)

    def _registrations_changed(self) -> None:
        self._request_push("registration")
        self.tell()

    def _rebuild(self) -> bool:
        try:
            self.context = self._build(self.registrations.workloads())
        except Exception as error:
            _log.exception("push context failed")
            self._build_fault = Fault("internal-push-context", _said(error))
            self.tell()
            return False
        self._build_fault = None
        self.tell()
        return True

    def _deliver(self, connection: Connection) -> None:
        if self.context is None or connection.proxy is None:
            return
        try:
            snapshot = self._next_snapshot(connection, connection.proxy, self.context)
        except Exception as error:
            _log.exception("translation failed", proxy=connection.proxy.id)
            connection.fault = Fault("internal-translation", _said(error), connection.proxy.id)
        else:
            connection.fault = None
            connection.translated_from = self.context
            if snapshot is not connection.delivery.wanted:
                connection.delivery.want(snapshot)
                connection.wake.set()
        self.tell()

    def _next_snapshot(self, connection: Connection, proxy: Proxy, context: PushT) -> Snapshot:
        before = connection.delivery.wanted
        if before is not None and self._refresh is not None:
            refreshed = self._refresh(proxy, context, connection.translated_from, before)
            if refreshed is not None:
                self._refreshed += 1
                return refreshed
        self._translated += 1
        return Snapshot.build(self._translate(proxy, context), self._packing)

    def _faults(self) -> Iterator[Fault]:
        if self._build_fault is not None:
            yield self._build_fault
        for connection in self.connections:
            if connection.fault is not None:
                yield connection.fault


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
