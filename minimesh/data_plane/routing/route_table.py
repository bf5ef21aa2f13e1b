"""The route table: hosts to virtual hosts, requests to routes.

Made at push time and never changed after; a new configuration is a new table, put into a
`RouteConfigHolder` in one assignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.actions import Action, SslRedirectAction
from minimesh.data_plane.routing.authority import without_port
from minimesh.data_plane.routing.header_mutation import NO_MUTATION, HeaderMutation
from minimesh.data_plane.routing.rate_limit import RateLimitRule
from minimesh.data_plane.routing.request import RequestHead, path_without_query
from minimesh.data_plane.routing.route_index import RouteIndex

if TYPE_CHECKING:
    from minimesh.data_plane.routing.matchers import Condition, RouteMatch

_MEMO_SIZE = 1024
_MEMO_HOST_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Route:
    """A match and what to do about it."""

    action: Action
    name: str = ""
    request_headers: HeaderMutation = NO_MUTATION
    """Route's, virtual host's and route configuration's changes (a `ClusterChoice` has them with its own)."""
    response_headers: HeaderMutation = NO_MUTATION
    typed_per_filter_config: Mapping[str, object] = field(default_factory=dict)
    """Filter name -> its compiled configuration, the most specific of route, virtual host, configuration."""
    decorator_operation: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """`filter_metadata` as plain values, by namespace."""
    stat_prefix: str = ""
    retry_buffer_limit_bytes: int | None = None


class TlsRequirement(Enum):
    """Which requests a virtual host sends to `https` first."""

    NONE = 0
    EXTERNAL_ONLY = 1
    ALL = 2


SSL_REDIRECT_ROUTE = Route(SslRedirectAction())


@dataclass(frozen=True, slots=True)
class VirtualCluster:
    """A name for requests that have something in common; counted, never routed by."""

    name: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class VirtualHostSettings:
    """What holds for all routes of a virtual host."""

    require_tls: TlsRequirement = TlsRequirement.NONE
    include_request_attempt_count: bool = False
    """Upstream gets `x-envoy-attempt-count`."""
    include_attempt_count_in_response: bool = False
    include_is_timeout_retry_header: bool = False
    ignore_path_parameters: bool = False
    """Path matchers do not see what follows a `;`."""
    virtual_clusters: tuple[VirtualCluster, ...] = ()
    rate_limits: tuple[RateLimitRule, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


class VirtualHost:
    """Routes for some domains."""

    __slots__ = ("_ignore_path_parameters", "_index", "_require_tls", "domains", "name", "routes", "settings")

    def __init__(
        self,
        name: str,
        domains: Sequence[str],
        routes: Sequence[tuple[RouteMatch, Route]],
        settings: VirtualHostSettings = VirtualHostSettings(),
        memo_limit: int = 1024,
    ) -> None:
        self.name = name
        self.domains = tuple(domains)
        self.routes = tuple(routes)
        self.settings = settings
        self._index = RouteIndex(self.routes, memo_limit)
        # Own copies: one attribute less to follow for each request.
        self._require_tls = settings.require_tls is not TlsRequirement.NONE
        self._ignore_path_parameters = settings.ignore_path_parameters

    def __repr__(self) -> str:
        return f"VirtualHost({self.name!r}, {len(self.routes)} routes)"

    def find_route(self, head: RequestHead, random_value: int) -> Route | None:
        """The first route that matches, in configured order.

        `random_value` is the request's one random number, 0 to 2**64-1; `RouteAction.choose` takes the same.
        """
        if self._require_tls and self._must_redirect(head):
            return SSL_REDIRECT_ROUTE
        path = path_without_query(head.path)
        if self._ignore_path_parameters:
            path = path.partition(";")[0]
        for conditions, route in self._index.candidates(path):
            for condition in conditions:
                if not condition.matches(head, random_value):
                    break
            else:
                return route
        return None

    def virtual_cluster(self, head: RequestHead) -> str:
        """Name of the first virtual cluster that fits, `other` when none does, empty when there are none."""
        for cluster in self.settings.virtual_clusters:
            if all(condition.matches(head, 0) for condition in cluster.conditions):
                return cluster.name
        return "other" if self.settings.virtual_clusters else ""

    def _must_redirect(self, head: RequestHead) -> bool:
        forwarded = head.header_values("x-forwarded-proto")
        if (forwarded[0] if forwarded else head.scheme) == "https":
            return False
        if self.settings.require_tls is TlsRequirement.ALL:
            return True
        return "true" not in head.header_values("x-envoy-internal")


class DuplicateDomainError(ValueError):
    """Two virtual hosts claim one domain (or one does twice)."""

    def __init__(self, domain: str, virtual_host: str) -> None:
        super().__init__(f"domain {domain!r} of virtual host {virtual_host!r} is already taken")
        self.domain = domain
        self.virtual_host = virtual_host


class RouteTable:
    """One route configuration.

    Raises DuplicateDomainError. Domains are compared without regard to case.
    """

    __slots__ = (
        "_default",
        "_exact",
        "_memo",
        "_only_default",
        "_prefixes",
        "_suffixes",
        "ignore_port",
        "internal_only_headers",
        "metadata",
        "name",
        "version",
        "virtual_hosts",
    )

    def __init__(
        self,
        name: str,
        virtual_hosts: Sequence[VirtualHost],
        *,
        version: str = "",
        ignore_port: bool = False,
        internal_only_headers: Sequence[str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.virtual_hosts = tuple(virtual_hosts)
        self.ignore_port = ignore_port
        self.internal_only_headers = tuple(internal_only_headers)
        """Removed from requests that do not come from inside (lower case)."""
        self.metadata = metadata or {}
        self._exact: dict[str, VirtualHost] = {}
        self._default: VirtualHost | None = None
        suffixes: dict[str, VirtualHost] = {}
        prefixes: dict[str, VirtualHost] = {}
        for virtual_host in self.virtual_hosts:
            for domain in virtual_host.domains:
                self._add_domain(domain, virtual_host, suffixes, prefixes)
        self._suffixes = _by_length_descending(suffixes)
        self._prefixes = _by_length_descending(prefixes)
        self._only_default = not (self._exact or suffixes or prefixes)
        self._memo: dict[str, VirtualHost | None] = {}

    def __repr__(self) -> str:
        return f"RouteTable({self.name!r}, {len(self.virtual_hosts)} virtual hosts)"

    def find_virtual_host(self, authority: str) -> VirtualHost | None:
        """Exact host, else the longest `*.suffix`, else the longest `prefix.*`, else `*`."""
        if self._only_default:
            return self._default
        try:
            return self._memo[authority]
        except KeyError:
            pass
        found = self._look_up(authority)
        if len(authority) <= _MEMO_HOST_LIMIT:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[authority] = found
        return found

    def _look_up(self, authority: str) -> VirtualHost | None:
        host = (without_port(authority) if self.ignore_port else authority).lower()
        found = self._exact.get(host)
        if found is not None:
            return found
        # A wildcard stands for at least one character.
        for length, table in self._suffixes:
            if length < len(host) and (found := table.get(host[-length:])) is not None:
                return found
        for length, table in self._prefixes:
            if length < len(host) and (found := table.get(host[:length])) is not None:
                return found
        return self._default

    def _add_domain(
        self,
        domain: str,
        virtual_host: VirtualHost,
        suffixes: dict[str, VirtualHost],
        prefixes: dict[str, VirtualHost],
    ) -> None:
        key = domain.lower()
        if key == "*":
            if self._default is not None:
                raise DuplicateDomainError(domain, virtual_host.name)
            self._default = virtual_host
            return
        table = self._exact
        if key.startswith("*"):
            table, key = suffixes, key[1:]
        elif key.endswith("*"):
            table, key = prefixes, key[:-1]
        if key in table:
            raise DuplicateDomainError(domain, virtual_host.name)
        table[key] = virtual_host


def _by_length_descending(
    domains: Mapping[str, VirtualHost],
) -> tuple[tuple[int, dict[str, VirtualHost]], ...]:
    tables: dict[int, dict[str, VirtualHost]] = {}
    for domain, virtual_host in domains.items():
        tables.setdefault(len(domain), {})[domain] = virtual_host
    return tuple(sorted(tables.items(), reverse=True))


class RouteConfigHolder:
    """Where a connection manager finds its current table: read once for each request."""

    __slots__ = ("name", "table")

    def __init__(self, table: RouteTable | None = None, name: str = "") -> None:
        self.table = table
        """None until the first configuration arrived."""
        self.name = name
        """Of the route configuration it waits for; empty when the listener brought its own."""
