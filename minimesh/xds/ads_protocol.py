"""State-of-the-world ADS without I/O, both ends: which request or response follows which.

Owns versions, nonces, subscriptions, ACK and NACK. Knows nothing of sockets, clocks, tasks, or of what the
resources mean; messages come in, messages go out. `ServerStream` lives as long as one gRPC stream; `Client`
lives as long as the proxy, because what it last accepted survives a broken stream.

The one rule that both ends turn on: a request *answers* the response whose nonce it carries. A server ignores
a request that answers an older response; a client therefore repeats its whole list of names with every ACK.

Server, for each type of one stream (`ServerState`):

                     request: first, or names added
    UNSUBSCRIBED ───────────────────────────────────► OWED ◄──────────────┐
                                                       │ respond          │ names added
                                          respond      ▼                  │
                                    ┌───────────────► SENT ◄──┐           │
                                    │            ack ╱    ╲ nack          │
                                    │               ▼      ▼  │ respond   │
                                    └──────────── ACKED  NACKED ──────────┤
                                                    └─────────────────────┘
    A request with another nonce than the last sent changes nothing in any state. The ACK or NACK that also
    adds names takes both arrows.

Client, for each type (`ClientState`):

                    subscribe                accept
    UNSUBSCRIBED ──────────────► WAITING ──────────────► ACCEPTED ◄─┐
                                    │ ▲  reject              │      │ accept
                                    │ └──────┐ (new stream)  │reject│
                                    └─────► REJECTED ◄───────┘ ─────┘
    A new stream takes every subscribed type back to WAITING, keeping the accepted version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m
from minimesh.xds.resource_names import SHORT_TYPE_NAMES, WILDCARD_TYPE_URLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INVALID_ARGUMENT = 3
"""google.rpc.Code that a NACK carries."""

WILDCARD_NAME = "*"

# ---------------------------------------------------------------------------------------------- server


class ServerState(Enum):
    """Where one type of one stream stands, seen from the server."""

    UNSUBSCRIBED = "unsubscribed"
    OWED = "owed"
    SENT = "sent"
    ACKED = "acked"
    NACKED = "nacked"


class Reaction(Enum):
    """What a request turned out to be."""

    SUBSCRIBED = "subscribed"
    ACKED = "acked"
    NACKED = "nacked"
    STALE = "stale"
    UNCHANGED = "unchanged"


class _ServerInput(Enum):
    REQUEST = "first request or names added"
    ACK = "ack"
    NACK = "nack"
    RESPOND = "respond"


_SERVER_TABLE: dict[tuple[ServerState, _ServerInput], ServerState] = {
    (ServerState.UNSUBSCRIBED, _ServerInput.REQUEST): ServerState.OWED,
    (ServerState.OWED, _ServerInput.REQUEST): ServerState.OWED,
    (ServerState.OWED, _ServerInput.RESPOND): ServerState.SENT,
    (ServerState.SENT, _ServerInput.ACK): ServerState.ACKED,
    (ServerState.SENT, _ServerInput.NACK): ServerState.NACKED,
    (ServerState.SENT, _ServerInput.RESPOND): ServerState.SENT,
    (ServerState.ACKED, _ServerInput.REQUEST): ServerState.OWED,
    (ServerState.ACKED, _ServerInput.RESPOND): ServerState.SENT,
    (ServerState.NACKED, _ServerInput.REQUEST): ServerState.OWED,
    (ServerState.NACKED, _ServerInput.RESPOND): ServerState.SENT,
}


@dataclass(slots=True)
class ServerType:
    """One type of one stream. Read freely; only `ServerStream` writes."""

    state: ServerState = ServerState.UNSUBSCRIBED
    wildcard: bool = False
    names: frozenset[str] = frozenset()
    sent_version: str = ""
    sent_nonce: str = ""
    acked_version: str = ""
    acked_nonce: str = ""
    error: str = ""
    """Text of the NACK of what was sent last; empty once something newer was sent."""

    @property
    def subscribed(self) -> bool:
        return self.state is not ServerState.UNSUBSCRIBED

    @property
    def owed(self) -> bool:
        """Whether an answer is due, whatever was sent before."""
        return self.state is ServerState.OWED

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


@dataclass(frozen=True, slots=True)
class Received:
    """A request, understood."""

    type_url: str
    reaction: Reaction
    error: str = ""


class ServerStream:
    """The server's end of one stream."""

    def __init__(self) -> None:
        self.node: Any = None
        """The Node of the first request that carried one; clients send it once."""
        self._types: dict[str, ServerType] = {}
        self._nonce = 0

    def type(self, type_url: str) -> ServerType:
        """Where a type stands (a type never asked for is UNSUBSCRIBED)."""
        return self._types.get(type_url) or ServerType()

    @property
    def type_urls(self) -> tuple[str, ...]:
        """The types asked for so far, in the order of their first request."""
        return tuple(self._types)

    def received(self, request: Any) -> Received:
        """Take in a DiscoveryRequest. Afterwards a type in state OWED waits for `respond`."""
        if self.node is None and request.HasField("node"):
            self.node = request.node
        type_url: str = request.type_url
        known = self._types.setdefault(type_url, ServerType())
        # Before anything was sent, a nonce can only be left over from an earlier stream: a first request.
        if known.sent_nonce and request.response_nonce != known.sent_nonce:
            return Received(type_url, Reaction.STALE)
        if request.HasField("error_detail") and known.state is ServerState.SENT:
            return self._rejected(known, request)
        accepted = known.state is ServerState.SENT
        if accepted:
            _server_step(known, _ServerInput.ACK)
            known.acked_version, known.acked_nonce = known.sent_version, known.sent_nonce
        more = _take_names(known, request)
        if accepted:
            return Received(type_url, Reaction.ACKED)
        return Received(type_url, Reaction.SUBSCRIBED if more else Reaction.UNCHANGED)

    def respond(self, type_url: str, version: str, resources: Iterable[Any]) -> Any:
        """The DiscoveryResponse carrying `resources` (each an Any) of a type that was asked for.

        Raises KeyError when the type never was.
        """
        nonce = self.sent(type_url, version)
        return m.discovery_pb2.DiscoveryResponse(
            type_url=type_url, version_info=version, nonce=nonce, resources=resources
        )

    def sent(self, type_url: str, version: str) -> str:
        """A response made elsewhere goes out; its nonce. Raises KeyError for a type never asked for."""
        known = self._types[type_url]
        _server_step(known, _ServerInput.RESPOND)
        self._nonce += 1
        known.sent_version, known.sent_nonce, known.error = version, str(self._nonce), ""
        return known.sent_nonce

    def settle(self, type_url: str, version: str) -> None:
        """This version says nothing new about what the proxy asks for: it has it without being told."""
        known = self._types[type_url]
        known.sent_version = version
        if known.state is ServerState.ACKED:
            known.acked_version = version

    def _rejected(self, known: ServerType, request: Any) -> Received:
        _server_step(known, _ServerInput.NACK)
        known.error = request.error_detail.message
        _take_names(known, request)
        return Received(request.type_url, Reaction.NACKED, known.error)


def _server_step(known: ServerType, happened: _ServerInput) -> None:
    known.state = _SERVER_TABLE[known.state, happened]


def _take_names(known: ServerType, request: Any) -> bool:
    """Adopt the request's names; True (and OWED) when it asks for something not asked for before."""
    asked = frozenset(request.resource_names)
    first = not known.subscribed
    # Naming nothing means everything, but only as long as no name was ever given (and only for some types).
    everything = WILDCARD_NAME in asked or (
        not asked
        and request.type_url in WILDCARD_TYPE_URLS
        and (first or (known.wildcard and not known.names))
    )
    names = asked - {WILDCARD_NAME}
    more = first or (everything and not known.wildcard) or (not known.wildcard and not names <= known.names)
    known.wildcard, known.names = everything, names
    if more:
        _server_step(known, _ServerInput.REQUEST)
    return more


# ---------------------------------------------------------------------------------------------- client


class UnexpectedResponseError(ValueError):
    """The server sent a type that this client never asked for."""


class ClientState(Enum):
    """Where one type stands, seen from the client."""

    UNSUBSCRIBED = "unsubscribed"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class _ClientInput(Enum):
    SUBSCRIBE = "subscribe"
    ACCEPT = "accept"
    REJECT = "reject"
    NEW_STREAM = "new stream"


_CLIENT_TABLE: dict[tuple[ClientState, _ClientInput], ClientState] = {
    (ClientState.UNSUBSCRIBED, _ClientInput.SUBSCRIBE): ClientState.WAITING,
    **{
        (state, happened): after
        for state in (ClientState.WAITING, ClientState.ACCEPTED, ClientState.REJECTED)
        for happened, after in (
            (_ClientInput.SUBSCRIBE, state),
            (_ClientInput.ACCEPT, ClientState.ACCEPTED),
            (_ClientInput.REJECT, ClientState.REJECTED),
            (_ClientInput.NEW_STREAM, ClientState.WAITING),
        )
    },
}


@dataclass(slots=True)
class ClientType:
    """One type that the client follows. Read freely; only `Client` writes."""

    type_url: str
    wildcard: bool = False
    names: tuple[str, ...] = ()
    """Sorted, so that equal subscriptions are equal bytes."""
    state: ClientState = field(default=ClientState.UNSUBSCRIBED)
    accepted_version: str = ""
    answered_nonce: str = ""
    """Nonce of the response last accepted or rejected on this stream."""


class Client:
    """The proxy's end: what to send after each response and each change of subscription.

    Call order: `subscribe` (and `subscribe_all`) at will; `connected()` on each new stream, sending the
    requests it returns in order; `accept` or `reject` once for every response received, sending what it
    returns; `disconnected()` when the stream ends. Requests that `subscribe` returns are to be sent at once;
    without a stream it returns None and `connected()` says it all.

    The resources of an accepted CDS response name new load assignments, those of LDS new routes: call
    `subscribe` for them before or after `accept`, either order is sound.
    """

    def __init__(self, node: Any) -> None:
        """`node`: the core.v3.Node that introduces this proxy, sent in the first request of a stream."""
        self._node = node
        self._types: dict[str, ClientType] = {}
        self._connected = False
        self._introduced = False

    def type(self, type_url: str) -> ClientType:
        """Where a type stands (a type never asked for is UNSUBSCRIBED)."""
        return self._types.get(type_url) or ClientType(type_url)

    def subscribe_all(self, type_url: str) -> Any | None:
        """Ask for every resource of a type (CDS, LDS); the request to send now, if any."""
        return self._subscribe(type_url, wildcard=True, names=())

    def subscribe(self, type_url: str, names: Iterable[str]) -> Any | None:
        """Make `names` the whole list asked for of a type (EDS, RDS); the request to send now, if any.

        No request comes back without a stream or when nothing changed.
        """
        return self._subscribe(type_url, wildcard=False, names=tuple(sorted(set(names))))

    def connected(self) -> Sequence[Any]:
        """A new stream: its first requests, with the versions in force from before. CDS goes first."""
        self._connected, self._introduced = True, False
        requests = []
        for known in sorted(self._types.values(), key=_delivery_order):
            _client_step(known, _ClientInput.NEW_STREAM)
            known.answered_nonce = ""
            if known.wildcard or known.names:  # an empty list in a first request would mean everything
                requests.append(self._request(known))
        return requests

    def disconnected(self) -> None:
        """The stream is gone."""
        self._connected = False

    def accept(self, response: Any) -> Any:
        """The ACK of a response whose resources are now in force.

        Raises UnexpectedResponseError for a type never asked for.
        """
        known = self._answered(response, _ClientInput.ACCEPT)
        known.accepted_version = response.version_info
        return self._request(known)

    def reject(self, response: Any, error: str) -> Any:
        """The NACK of a response that could not be applied; `error` reaches the operator word for word.

        Raises UnexpectedResponseError for a type never asked for.
        """
        known = self._answered(response, _ClientInput.REJECT)
        request = self._request(known)
        request.error_detail.code = INVALID_ARGUMENT
        request.error_detail.message = error
        return request

    def _subscribe(self, type_url: str, *, wildcard: bool, names: tuple[str, ...]) -> Any | None:
        known = self._types.setdefault(type_url, ClientType(type_url))
        changed = (known.wildcard, known.names) != (wildcard, names)
        first = known.state is ClientState.UNSUBSCRIBED
        if not changed and not first:
            return None
        known.wildcard, known.names = wildcard, names
        _client_step(known, _ClientInput.SUBSCRIBE)
        # Nothing asked for yet, nothing to ask for: silence, since an empty first request means everything.
        if not self._connected or (first and not wildcard and not names):
            return None
        return self._request(known)

    def _answered(self, response: Any, happened: _ClientInput) -> ClientType:
        known = self._types.get(response.type_url)
        if known is None:
            raise UnexpectedResponseError(f"a response of type {response.type_url}, never asked for")
        _client_step(known, happened)
        known.answered_nonce = response.nonce
        return known

    def _request(self, known: ClientType) -> Any:
        request = m.discovery_pb2.DiscoveryRequest(
            type_url=known.type_url,
            version_info=known.accepted_version,
            response_nonce=known.answered_nonce,
            resource_names=known.names,
        )
        if not self._introduced:
            request.node.CopyFrom(self._node)
            self._introduced = True
        return request


def _client_step(known: ClientType, happened: _ClientInput) -> None:
    known.state = _CLIENT_TABLE[known.state, happened]


def _delivery_order(known: ClientType) -> int:
    order = list(SHORT_TYPE_NAMES)
    return order.index(known.type_url) if known.type_url in order else len(order)
