"""Which filter chain a connection gets: Envoy's criteria in Envoy's order, made into tables beforehand.

At each criterion the most specific entry that fits is taken and the others are forgotten: there is no way
back when a later criterion then fits nothing. Pure; what a chain does is the business of whoever uses it.

    destination port > destination address > server name > transport protocol > application protocols >
    the peer's address > local or external > source address > source port
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PrefixRange = tuple[str, int]
"""An address and the length of its prefix in bits."""


class SourceType(Enum):
    """`source_type` of a match."""

    ANY = "ANY"
    SAME_IP_OR_LOOPBACK = "SAME_IP_OR_LOOPBACK"
    EXTERNAL = "EXTERNAL"


@dataclass(frozen=True, slots=True)
class FilterChainMatch:
    """When a chain applies; an empty criterion admits everything."""

    destination_port: int = 0
    server_names: tuple[str, ...] = ()
    """Lower case; `*.example.com` stands for all below example.com."""
    transport_protocol: str = ""
    """`raw_buffer`, `tls` or empty."""
    application_protocols: tuple[str, ...] = ()
    prefix_ranges: tuple[PrefixRange, ...] = ()
    """Of the destination address."""
    direct_source_prefix_ranges: tuple[PrefixRange, ...] = ()
    source_type: SourceType = SourceType.ANY
    source_prefix_ranges: tuple[PrefixRange, ...] = ()
    source_ports: tuple[int, ...] = ()

    @property
    def needs_first_bytes(self) -> bool:
        """Whether what the client says first has a part in the choice."""
        return bool(self.server_names or self.transport_protocol or self.application_protocols)


#: A match without a criterion.
ANY_CONNECTION = FilterChainMatch()


class ConnectionFacts(NamedTuple):
    """What is known of a connection when its chain is chosen."""

    destination_port: int
    local_host: str
    remote_host: str = ""
    remote_port: int = 0
    server_name: str = ""
    transport_protocol: str = "raw_buffer"
    application_protocols: tuple[str, ...] = ()


class MatchedChain(Protocol):
    """What this module asks of a chain."""

    @property
    def match(self) -> FilterChainMatch: ...


Chain = TypeVar("Chain", bound=MatchedChain)


class DuplicateMatchError(ValueError):
    """Two chains apply to exactly the same connections; `str()` has Envoy's words."""

    def __init__(self) -> None:
        super().__init__("multiple filter chains with the same matching rules are defined")


class FilterChains(Generic[Chain]):
    """The chains of one listener. Raises DuplicateMatchError."""

    __slots__ = ("_default", "_only", "_tree", "needs_first_bytes")

    def __init__(self, chains: Sequence[Chain], default: Chain | None = None) -> None:
        self._default = default
        self._tree: dict[Any, Any] = {}
        for chain in chains:
            for keys in itertools.product(*(criterion.keys(chain.match) for criterion in _CRITERIA)):
                self._insert(keys, chain)
        #: The chain of every connection, where there is but one and it asks nothing.
        self._only = chains[0] if len(chains) == 1 and chains[0].match == FilterChainMatch() else None
        #: Whether a connection's first bytes have a part in the choice.
        self.needs_first_bytes = any(chain.match.needs_first_bytes for chain in chains)

    def choose(self, facts: ConnectionFacts) -> Chain | None:
        """The chain for a connection; None when there is none, not even a default."""
        if self._only is not None:
            return self._only
        node: Any = self._tree
        for criterion in _CRITERIA:
            node = criterion.find(node, facts)
            if node is None:
                return self._default
        found: Chain = node
        return found

    def _insert(self, keys: Sequence[Any], chain: Chain) -> None:
        node = self._tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        if keys[-1] in node:
            raise DuplicateMatchError
        node[keys[-1]] = chain


# --- the criteria: under which keys a chain is filed, and which key a connection takes -------------

_Table = Mapping[Any, Any]


class _Criterion(NamedTuple):
    keys: Callable[[FilterChainMatch], Iterable[Any]]
    find: Callable[[_Table, ConnectionFacts], Any]


#: Stands for all addresses.
_ANYWHERE: tuple[None] = (None,)


def _networks(ranges: Sequence[PrefixRange]) -> Iterable[_Network | None]:
    named = (ipaddress.ip_network(f"{address}/{bits}", strict=False) for address, bits in ranges)
    return tuple(dict.fromkeys(named)) or _ANYWHERE


def _most_specific(table: _Table, host: str) -> Any:
    if len(table) == 1 and None in table:
        return table[None]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a connection without an address has no part of the net
        return table.get(None)
    mapped = getattr(address, "ipv4_mapped", None)
    fitting = [network for network in table if network is not None and (mapped or address) in network]
    return table[max(fitting, key=lambda network: network.prefixlen)] if fitting else table.get(None)


def _by_port(table: _Table, facts: ConnectionFacts) -> Any:
    return table.get(facts.destination_port) or table.get(0)


def _by_server_name(table: _Table, facts: ConnectionFacts) -> Any:
    name = facts.server_name
    found = table.get(name)
    if found is not None:
        return found
    at = name.find(".", 1)
    while 0 < at < len(name) - 1:
        found = table.get(f"*{name[at:]}")
        if found is not None:
            return found
        at = name.find(".", at + 1)
    return table.get("")


def _by_application_protocol(table: _Table, facts: ConnectionFacts) -> Any:
    for protocol in facts.application_protocols:
        found = table.get(protocol)
        if found is not None:
            return found
    return table.get("")


def _by_source_type(table: _Table, facts: ConnectionFacts) -> Any:
    if len(table) == 1 and SourceType.ANY in table:
        return table[SourceType.ANY]
    kind = SourceType.SAME_IP_OR_LOOPBACK if _is_local(facts) else SourceType.EXTERNAL
    return table.get(kind) or table.get(SourceType.ANY)


def _is_local(facts: ConnectionFacts) -> bool:
    if facts.remote_host == facts.local_host:
        return True
    try:
        return ipaddress.ip_address(facts.remote_host).is_loopback
    except ValueError:
        return True


_CRITERIA = (
    _Criterion(lambda match: (match.destination_port,), _by_port),
    _Criterion(
        lambda match: _networks(match.prefix_ranges),
        lambda table, facts: _most_specific(table, facts.local_host),
    ),
    _Criterion(lambda match: match.server_names or ("",), _by_server_name),
    _Criterion(
        lambda match: (match.transport_protocol,),
        lambda table, facts: table.get(facts.transport_protocol) or table.get(""),
    ),
    _Criterion(lambda match: match.application_protocols or ("",), _by_application_protocol),
    _Criterion(
        lambda match: _networks(match.direct_source_prefix_ranges),
        lambda table, facts: _most_specific(table, facts.remote_host),
    ),
    _Criterion(lambda match: (match.source_type,), _by_source_type),
    _Criterion(
        lambda match: _networks(match.source_prefix_ranges),
        lambda table, facts: _most_specific(table, facts.remote_host),
    ),
    _Criterion(
        lambda match: match.source_ports or (0,),
        lambda table, facts: table.get(facts.remote_port) or table.get(0),
    ),
)
