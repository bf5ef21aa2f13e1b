"""In what order one proxy is given its configuration, so that no request meets a hole: make before break.

Owns the decision "what is to be sent next on this stream", without I/O: requests and snapshots come in, and
`next_response` is asked until it has nothing more to say. Nothing here waits: every decision is made afresh
from what was sent, what was answered and what is wanted now. A newer snapshot thus overtakes an unfinished
delivery at any point, and a proxy that never answers holds up nobody.

    what is wanted changes
      ├─ CDS   the clusters wanted, and those in force that routes may still use
      ├─ EDS   at once after any CDS: Envoy withholds the ACK of CDS until new clusters have endpoints
      │  ····  until every cluster that listeners and routes will use is ACKed
      ├─ LDS
      ├─ RDS   also after any LDS: a listener that is made anew waits for its routes
      │  ····  until both are ACKed (SDS, which nothing else depends on, goes with them)
      └─ CDS   only the clusters wanted (and EDS once more)

Content that a proxy rejected is not sent again until it changes. A rejected CDS holds back LDS and RDS only
if they need a cluster which the proxy has not accepted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.discovery.snapshot import Contents, Snapshot
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Reaction, Received, ServerState, ServerStream, ServerType
from minimesh.xds.delta_protocol import DeltaServerStream
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    RUNTIME_TYPE_URL,
    SECRET_TYPE_URL,
    SHORT_TYPE_NAMES,
)
from minimesh.xds.responses import Packed, Response, delta_response, whole_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KNOWN_TYPES = frozenset({*SHORT_TYPE_NAMES, RUNTIME_TYPE_URL, SECRET_TYPE_URL})
_NOT_WAITED_FOR = frozenset({ENDPOINT_TYPE_URL, SECRET_TYPE_URL, RUNTIME_TYPE_URL})
"""Types after whose acceptance nothing else is due."""
NO_VERSION = "none"
"""Version of the empty answer to a type that this control plane has nothing of."""


class SyncState(StrEnum):
    """How far a type has come, in the words of `istioctl proxy-status`."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    NOT_SENT = "NOT SENT"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One type of one proxy, for operators. `acked_at` is seconds since the epoch, None before any ACK."""

    state: SyncState
    version: str
    nonce: str
    acked_version: str
    acked_nonce: str
    acked_at: float | None
    detail: str


class Delivery:
    """One stream's deliveries. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time, *, delta: bool = False) -> None:
        """`delta`: the stream speaks incremental ADS, and is told only what it does not have."""
        self.stream: ServerStream | DeltaServerStream = DeltaServerStream() if delta else ServerStream()
        self.wanted: Snapshot | None = None
        self.runtime = Contents({})
        """Runtime layers: they come at once, since Envoy serves nothing before it has those it asked for."""
        self._clock = clock
        self._acked_at: dict[str, float] = {}
        self._to_repeat: set[str] = set()
        self._clusters_sent: Mapping[str, Packed] = {}
        self._clusters_acked: Mapping[str, Packed] = {}
        self._clusters_held: frozenset[str] = frozenset()
        """Clusters the proxy has for certain, whatever becomes of the responses under way."""
        self._leaving: tuple[Mapping[str, Packed], Contents | None, frozenset[str]] = ({}, None, frozenset())
        """Clusters acknowledged, clusters wanted, and the names of the former that are not of the latter."""
        self._endpoints_given: dict[str, Packed] = {}
        self._endpoints_last: Contents | None = None
        """The load assignments as of the last response: of what came since, only the differences go out."""
        self._routes_given: set[str] = set()

    def want(self, snapshot: Snapshot) -> None:
        """Make this the configuration to reach."""
        self.wanted = snapshot

    def may_go_on(self, received: Received) -> bool:
        """Whether there may be something to send after this request: nothing waits for ACKs of some types."""
        waited_for = received.reaction is not Reaction.ACKED or received.type_url not in _NOT_WAITED_FOR
        return waited_for or self.stream.type(received.type_url).owed

    def received(self, request: Any) -> Received:
        """Take in a request of the stream's protocol; ask `next_response` afterwards."""
        received = self.stream.received(request)
        if received.reaction is Reaction.ACKED:
            self._acked_at[received.type_url] = self._clock()
            if received.type_url == CLUSTER_TYPE_URL:
                self._clusters_acked = self._clusters_sent
                self._clusters_held = frozenset(self._clusters_sent)
        return received

    def next_response(self) -> Response | None:
        """The response to send now, counted as sent; None when there is none for the moment."""
        runtime = self._next_runtime()
        if runtime is not None or self.wanted is None:
            return runtime
        return (
            self._next_clusters(self.wanted)
            or self._next_endpoints(self.wanted)
            or self._next_listeners(self.wanted)
            or self._next_routes(self.wanted)
            or self._next_secrets(self.wanted)
            or self._next_unknown()
        )

    @property
    def is_settled(self) -> bool:
        """Whether the proxy has accepted, of all types that it asks for, what it is to have."""
        if self.wanted is None:
            return False
        types = ((url, self.stream.type(url)) for url in SHORT_TYPE_NAMES)
        return self.wanted.route_references <= self.stream.type(ROUTE_TYPE_URL).names and all(
            _is_settled(known, self._target(self.wanted, url)) for url, known in types if known.subscribed
        )

    def status(self) -> dict[str, TypeStatus]:
        """The four types by their short names (CDS, EDS, LDS, RDS)."""
        return {short: self._type_status(type_url) for type_url, short in SHORT_TYPE_NAMES.items()}

    # -- one method a type, in the order of the drawing

    def _next_clusters(self, wanted: Snapshot) -> Response | None:
        known = self.stream.type(CLUSTER_TYPE_URL)
        if not known.subscribed:
            return None
        target = self._cluster_target(wanted)
        if not known.owed and known.sent_version == target.version:
            return None
        chosen = {name: cluster for name, cluster in target.resources.items() if known.wants(name)}
        self._clusters_sent = chosen
        self._clusters_held &= chosen.keys()
        response = self._respond(CLUSTER_TYPE_URL, target.version, chosen, complete=True)
        if response is not None:
            changed = frozenset(wanted.endpoint_name(each.name) for each in response.resources)
            self._repeat(ENDPOINT_TYPE_URL, changed)
        elif known.state is ServerState.ACKED:
            self._clusters_acked, self._clusters_held = chosen, frozenset(chosen)
        return response

    def _next_endpoints(self, wanted: Snapshot) -> Response | None:
        known = self.stream.type(ENDPOINT_TYPE_URL)
        if not self._is_due(known, ENDPOINT_TYPE_URL, wanted.endpoints):
            return None
        there = wanted.endpoints.resources
        names = frozenset(there) if known.wildcard else known.names
        before, self._endpoints_last = self._endpoints_last, wanted.endpoints
        rejected = known.state is ServerState.NACKED
        whole = known.owed or rejected or before is None or ENDPOINT_TYPE_URL in self._to_repeat
        if before is not None and not whole:
            names &= wanted.endpoints.differences(before)
        for name in names & there.keys():
            self._endpoints_given[name] = there[name]
        # An assignment wanted no more is repeated as it was: its cluster may live on until routes moved.
        given = self._endpoints_given
        chosen = {name: given[name] for name in sorted(names) if name in given}
        if not chosen and not whole:
            self.stream.settle(ENDPOINT_TYPE_URL, wanted.endpoints.version)
            return None
        return self._respond(ENDPOINT_TYPE_URL, wanted.endpoints.version, chosen)

    def _next_listeners(self, wanted: Snapshot) -> Response | None:
        known = self.stream.type(LISTENER_TYPE_URL)
        if not self._is_due(known, LISTENER_TYPE_URL, wanted.listeners) or not self._clusters_ready(wanted):
            return None
        chosen = {name: each for name, each in wanted.listeners.resources.items() if known.wants(name)}
        response = self._respond(LISTENER_TYPE_URL, wanted.listeners.version, chosen, complete=True)
        if response is not None and response.resources:
            self._repeat(ROUTE_TYPE_URL, None)
        return response

    def _next_routes(self, wanted: Snapshot) -> Response | None:
        known = self.stream.type(ROUTE_TYPE_URL)
        if not self._is_due(known, ROUTE_TYPE_URL, wanted.routes) or not self._clusters_ready(wanted):
            return None
        chosen = {}
        for name in sorted(known.names):
            if (found := wanted.routes.resources.get(name)) is not None:
                self._routes_given.add(name)
                chosen[name] = found
            elif name not in self._routes_given:
                # Without any answer the listener that asked would never come up. Routes that were given and
                # are wanted no more are passed over: connections that drain still use them.
                chosen[name] = Packed.of(name, m.route_pb2.RouteConfiguration(name=name))
        return self._respond(ROUTE_TYPE_URL, wanted.routes.version, chosen)

    def _next_secrets(self, wanted: Snapshot) -> Response | None:
        """A secret that is not there is passed over: its chain waits for it."""
        known = self.stream.type(SECRET_TYPE_URL)
        secrets = wanted.secrets.resources
        chosen = {name: secrets[name] for name in sorted(known.names & secrets.keys())}
        nothing_yet = not chosen and not known.owed
        if nothing_yet or not self._is_due(known, SECRET_TYPE_URL, wanted.secrets):
            return None
        return self._respond(SECRET_TYPE_URL, wanted.secrets.version, chosen)

    def _next_runtime(self) -> Response | None:
        known = self.stream.type(RUNTIME_TYPE_URL)
        if not known.subscribed or not self._is_due(known, RUNTIME_TYPE_URL, self.runtime):
            return None
        layers = self.runtime.resources
        chosen = {name: layers[name] for name in sorted(known.names & layers.keys())}
        return self._respond(RUNTIME_TYPE_URL, self.runtime.version, chosen)

    def _next_unknown(self) -> Response | None:
        for type_url in self.stream.type_urls:
            if type_url not in _KNOWN_TYPES and self.stream.type(type_url).owed:
                return self._respond(type_url, NO_VERSION, {})
        return None

    # -- the conditions

    def _is_due(self, known: ServerType, type_url: str, contents: Contents) -> bool:
        if known.owed:
            return True
        if not known.wildcard and not known.names:
            return False
        return known.sent_version != contents.version or type_url in self._to_repeat

    def _repeat(self, type_url: str, names: frozenset[str] | None) -> None:
        """Send again what depends on something that was sent anew (None: all that the proxy asks for).

        The whole state repeats everything anyway; increments repeat what the proxy has of it.
        """
        if isinstance(self.stream, ServerStream) or self.stream.forget(type_url, names):
            self._to_repeat.add(type_url)

    def _respond(
        self, type_url: str, version: str, chosen: Mapping[str, Packed], *, complete: bool = False
    ) -> Response | None:
        """The response that gives the proxy these; None when it has them.

        `complete`: what it has beside these is to go.
        """
        self._to_repeat.discard(type_url)
        if isinstance(self.stream, ServerStream):
            nonce = self.stream.sent(type_url, version)
            return whole_response(type_url, version, nonce, tuple(chosen.values()))
        versions = {name: each.version for name, each in chosen.items()}
        change = self.stream.change(type_url, versions, complete=complete)
        # The first request of a type is answered even with nothing: the proxy waits for it.
        if not change and self.stream.type(type_url).sent_nonce:
            self.stream.settle(type_url, version)
            return None
        nonce = self.stream.sent(type_url, version, change, versions)
        resources = tuple(chosen[name] for name in change.changed)
        return delta_response(type_url, version, nonce, resources, change.removed)

    def _clusters_ready(self, wanted: Snapshot) -> bool:
        """Whether the proxy surely has every cluster that the wanted listeners and routes use."""
        if not self.stream.type(CLUSTER_TYPE_URL).subscribed:
            return True
        return wanted.cluster_references & wanted.clusters.resources.keys() <= self._clusters_held

    def _cluster_target(self, wanted: Snapshot) -> Contents:
        # Asked at every turn of every stream, while either side changes seldom.
        acked, target, leaving = self._leaving
        if acked is not self._clusters_acked or target is not wanted.clusters:
            leaving = frozenset(self._clusters_acked.keys() - wanted.clusters.resources.keys())
            self._leaving = (self._clusters_acked, wanted.clusters, leaving)
        if not leaving or self._routes_moved(wanted):
            return wanted.clusters
        kept = {name: self._clusters_acked[name] for name in leaving}
        return Contents({**wanted.clusters.resources, **kept})

    def _routes_moved(self, wanted: Snapshot) -> bool:
        """Whether no listener or route of this proxy can still use a cluster that is not wanted."""
        listeners, routes = self.stream.type(LISTENER_TYPE_URL), self.stream.type(ROUTE_TYPE_URL)
        listeners_moved = _is_settled(listeners, wanted.listeners) and wanted.route_references <= routes.names
        if listeners.subscribed and not listeners_moved:
            return False
        if not routes.subscribed:
            return True
        draining = routes.names & self._routes_given - wanted.routes.resources.keys()
        return not draining and (not routes.names or _is_settled(routes, wanted.routes))

    def _type_status(self, type_url: str) -> TypeStatus:
        known = self.stream.type(type_url)
        return TypeStatus(
            state=self._sync_state(known, type_url),
            version=known.sent_version,
            nonce=known.sent_nonce,
            acked_version=known.acked_version,
            acked_nonce=known.acked_nonce,
            acked_at=self._acked_at.get(type_url),
            detail=known.error,
        )

    def _sync_state(self, known: ServerType, type_url: str) -> SyncState:
        if known.error:
            return SyncState.ERROR
        if not known.sent_nonce:
            return SyncState.NOT_SENT
        if self.wanted is None or not _is_settled(known, self._target(self.wanted, type_url)):
            asks_for_nothing = not known.wildcard and not known.names and known.state is ServerState.ACKED
            return SyncState.SYNCED if asks_for_nothing else SyncState.STALE
        return SyncState.SYNCED

    def _target(self, wanted: Snapshot, type_url: str) -> Contents:
        return {
            CLUSTER_TYPE_URL: self._cluster_target(wanted),
            ENDPOINT_TYPE_URL: wanted.endpoints,
            LISTENER_TYPE_URL: wanted.listeners,
            ROUTE_TYPE_URL: wanted.routes,
        }[type_url]


def _is_settled(known: ServerType, contents: Contents) -> bool:
    """Whether the proxy has accepted the contents, and they are the last that it was sent."""
    return known.sent_version == contents.version and known.acked_nonce == known.sent_nonce and not known.owed
