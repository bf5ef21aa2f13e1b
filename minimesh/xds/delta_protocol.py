"""Incremental ADS without I/O, the server's end: which resources a proxy has, and what it is to be told.

The state-of-the-world protocol repeats whole lists; this one sends what changed, by name, each resource with
a version of its own. The server remembers for each type of a stream what the proxy holds (`DeltaType.held`);
a proxy that comes back tells it with its first request (`initial_resource_versions`), so that only what
changed meanwhile is sent. Shares states and reactions with `ads_protocol`:

                    first request
    UNSUBSCRIBED ───────────────────► OWED ──respond──► SENT ──ack──► ACKED ──names added──► OWED
                                                       │  ▲ │                │ respond
                                                       └──┘ └──nack─► NACKED ┴─────────────► SENT
                                                     respond

Unlike there, names may be added while an answer is awaited: the type is then both SENT and owed. Each
response has its own answer. What a proxy rejected counts as not held, so that it goes out again together with
the next change, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minimesh.xds.ads_protocol import WILDCARD_NAME, Reaction, Received, ServerState, ServerType
from minimesh.xds.resource_names import WILDCARD_TYPE_URLS


@dataclass(slots=True)
class DeltaType(ServerType):
    """One type of one stream. Read freely; only `DeltaServerStream` writes."""

    held: dict[str, str] = field(default_factory=dict)
    """Name -> version of what the proxy has, or will have when it takes what is under way."""
    more_wanted: bool = False
    """Names were added while an answer was awaited."""
    in_flight: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Nonce -> names, of responses without an answer."""

    @property
    def owed(self) -> bool:
        return self.more_wanted or self.state is ServerState.OWED


@dataclass(frozen=True, slots=True)
class Change:
    """What to send: names of resources that are new or other, and of those that are gone."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class DeltaServerStream:
    """The server's end of one stream of DeltaDiscoveryRequests."""

    def __init__(self) -> None:
        self.node: Any = None
        """The Node of the first request that carried one; clients send it once."""
        self._types: dict[str, DeltaType] = {}
        self._nonce = 0

    def type(self, type_url: str) -> DeltaType:
        """Where a type stands (a type never asked for is UNSUBSCRIBED)."""
        return self._types.get(type_url) or DeltaType()

    @property
    def type_urls(self) -> tuple[str, ...]:
        """The types asked for so far, in the order of their first request."""
        return tuple(self._types)

    def received(self, request: Any) -> Received:
        """Take in a DeltaDiscoveryRequest. Afterwards a type that is `owed` waits for an answer."""
        if self.node is None and request.HasField("node"):
            self.node = request.node
        known = self._types.setdefault(request.type_url, DeltaType())
        answered = _take_answer(known, request)
        more = _take_names(known, request)
        if answered is None:
            answered = Reaction.SUBSCRIBED if more else Reaction.UNCHANGED
        error = request.error_detail.message if answered is Reaction.NACKED else ""
        return Received(request.type_url, answered, error)

    def change(self, type_url: str, versions: Mapping[str, str], *, complete: bool) -> Change:
        """What is to be sent so that the proxy holds these. `complete`: and nothing else."""
        held = self.type(type_url).held
        changed = tuple(name for name, version in versions.items() if held.get(name) != version)
        removed = tuple(name for name in held if name not in versions) if complete else ()
        return Change(changed, removed)

    def forget(self, type_url: str, names: frozenset[str] | None = None) -> bool:
        """Have these resources (None: all) sent anew with the next response; whether there are any."""
        held = self.type(type_url).held
        found = tuple(held) if names is None else names & held.keys()
        for name in found:
            del held[name]
        return bool(found)

    def sent(self, type_url: str, version: str, change: Change, versions: Mapping[str, str]) -> str:
        """A response with this change goes out; its nonce. KeyError for a type never asked for."""
        known = self._types[type_url]
        self._nonce += 1
        nonce = str(self._nonce)
        known.held.update((name, versions[name]) for name in change.changed)
        for name in change.removed:
            known.held.pop(name, None)
        known.in_flight[nonce] = change.changed
        known.state, known.more_wanted = ServerState.SENT, False
        known.sent_version, known.sent_nonce, known.error = version, nonce, ""
        return nonce

    def settle(self, type_url: str, version: str) -> None:
        """This version holds nothing that the proxy has not been sent: it has it without being told."""
        known = self._types[type_url]
        known.sent_version, known.more_wanted = version, False
        if known.state is ServerState.OWED:
            known.state = ServerState.ACKED
        if known.state is ServerState.ACKED:
            known.acked_version, known.acked_nonce = version, known.sent_nonce


def _take_answer(known: DeltaType, request: Any) -> Reaction | None:
    """What the request says about a response; None when it answers none."""
    nonce: str = request.response_nonce
    if not nonce:
        return None
    names = known.in_flight.pop(nonce, None)
    if names is None:  # of an earlier stream
        return Reaction.STALE
    latest = nonce == known.sent_nonce
    if request.HasField("error_detail"):
        for name in names:
            known.held.pop(name, None)
        known.error = request.error_detail.message
        if latest:
            known.state = ServerState.NACKED
        return Reaction.NACKED
    if not latest:
        return Reaction.STALE
    known.state = ServerState.ACKED
    known.acked_version, known.acked_nonce = known.sent_version, nonce
    return Reaction.ACKED


def _take_names(known: DeltaType, request: Any) -> bool:
    """Adopt what is added and removed; True when something is to be sent for it."""
    added = frozenset(request.resource_names_subscribe)
    removed = frozenset(request.resource_names_unsubscribe)
    first = not known.subscribed
    if not (added or removed or first):
        return False  # nearly every request: an ACK
    # Naming nothing means everything, but only in a type's first request (and only for some types).
    everything = WILDCARD_NAME in added or (first and not added and request.type_url in WILDCARD_TYPE_URLS)
    wildcard = (known.wildcard or everything) and WILDCARD_NAME not in removed
    more = first or (wildcard and not known.wildcard) or bool(added - {WILDCARD_NAME})
    known.names = (known.names | added) - removed - {WILDCARD_NAME}
    known.wildcard = wildcard
    if first:
        known.held.update(request.initial_resource_versions)
    else:
        # To ask again for what one has means that one has it no more.
        for name in added:
            known.held.pop(name, None)
    for name in removed if not wildcard else ():
        known.held.pop(name, None)
    if more:
        known.more_wanted = known.state is ServerState.SENT
        if not known.more_wanted:
            known.state = ServerState.OWED
    return more
