"""Server sockets: which filter chain a connection gets, updates in place, draining.

A listener is told its settings and keeps its sockets across updates; new connections take the chains of the
moment at which they were accepted. Settings are frozen, made when configuration arrives; the protocol of a
chain comes from the factory that compile_listener put into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from minimesh.data_plane.network.address_map import BindAddress
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.timers import TimerWheel
    from minimesh.data_plane.telemetry.access_log import AccessLog


class ServerConnection(Protocol):
    """What a listener asks of the protocol of a connection it accepted (an `asyncio.Protocol` as well)."""

    def drain(self) -> None:
        """Finish what is going on, then close; never begin anything new."""

    def close_now(self) -> None:
        """Close without waiting."""


class ListenerScope(Protocol):
    """What a protocol of a connection is given of its listener."""

    timers: TimerWheel

    def connection_closed(self, connection: ServerConnection) -> None:
        """Must be called once when the connection is over."""


ProtocolFactory = Callable[["ConnectionInfo", ListenerScope], "asyncio.Protocol"]
"""Makes the protocol of one accepted connection; it must be a `ServerConnection` too."""


@dataclass(frozen=True, slots=True)
class FilterChainMatch:
    """When a chain applies; an empty criterion admits everything."""

    destination_port: int = 0
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    """`raw_buffer`, `tls` or empty."""
    application_protocols: tuple[str, ...] = ()
    prefix_ranges: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FilterChain:
    """One way to serve a connection."""

    make_protocol: ProtocolFactory
    match: FilterChainMatch = FilterChainMatch()
    name: str = ""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What a listener's configuration says. `addresses` are the real ones, after the address map."""

    name: str
    configured_address: tuple[str, int]
    addresses: tuple[BindAddress, ...] = ()
    """Sockets to open; empty for a listener with `bind_to_port: false`."""
    filter_chains: tuple[FilterChain, ...] = ()
    default_filter_chain: FilterChain | None = None
    access_logs: tuple[AccessLog, ...] = ()
    """For connections that no chain takes."""
    reuse_port: bool = False
    backlog: int = 1024
    use_original_dst: bool = False
    drain_timeout_s: float = 600.0
    stat_prefix: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
