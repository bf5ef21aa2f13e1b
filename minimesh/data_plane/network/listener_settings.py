"""What the configuration of a listener says, and what listeners and the protocols of connections ask of each
other. Frozen, made when configuration arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from minimesh.data_plane.network.filter_chains import ANY_CONNECTION, FilterChainMatch
from minimesh.data_plane.network.inspection import NO_INSPECTION, Inspection

if TYPE_CHECKING:
    import asyncio

    from minimesh.data_plane.network.address_map import BindAddress
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.timers import TimerWheel
    from minimesh.data_plane.network.tls.server import ServerTls
    from minimesh.data_plane.telemetry.access_log import AccessLogger


class ServerConnection(Protocol):
    """What a listener asks of the protocol of a connection it accepted (an `asyncio.Protocol` as well)."""

    def drain(self) -> None:
        """The next response is the last: the configuration this connection came by is out of date."""

    def close_if_idle(self) -> None:
        """As `drain`, but a connection that is doing nothing closes now."""

    def close_now(self) -> None:
        """Close without waiting."""


class ListenerScope(Protocol):
    """What a protocol of a connection is given of its listener."""

    timers: TimerWheel

    def connection_closed(self, connection: ServerConnection) -> None:
        """Must be called once when the connection is over."""

    def connection_replaced(self, connection: ServerConnection, successor: ServerConnection) -> None:
        """Another protocol goes on with the same transport."""


ProtocolFactory = Callable[["ConnectionInfo", ListenerScope], "asyncio.Protocol"]
"""Makes the protocol of one accepted connection; it must be a `ServerConnection` too."""


@dataclass(frozen=True, slots=True)
class FilterChain:
    """One way to serve a connection."""

    make_protocol: ProtocolFactory
    match: FilterChainMatch = ANY_CONNECTION
    name: str = ""
    tls: ServerTls | None = None
    """None: plain text."""
    half_closes: bool = False
    """One direction of its connections may end before the other, over TLS too."""
    handshake_timeout_s: float = 0.0
    """0: no limit."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What a listener's configuration says. `addresses` are the real ones, after the address map."""

    name: str
    configured_address: tuple[str, int]
    addresses: tuple[BindAddress, ...] = ()
    """Sockets to open; empty for a listener with `bind_to_port: false`."""
    filter_chains: tuple[FilterChain, ...] = ()
    default_filter_chain: FilterChain | None = None
    access_logs: tuple[AccessLogger, ...] = ()
    """For connections that no chain takes."""
    reuse_port: bool = False
    backlog: int = 1024
    use_original_dst: bool = False
    hands_off: bool = False
    """Connections that were on their way elsewhere go on at the listener of that address."""
    drain_timeout_s: float = 600.0
    stat_prefix: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    inspection: Inspection = NO_INSPECTION
    """What listener filters look at."""
