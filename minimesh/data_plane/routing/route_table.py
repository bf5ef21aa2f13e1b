"""The route table: hosts to virtual hosts, requests to routes.

Made at push time and never changed after; a new configuration is a new table, put into a
`RouteConfigHolder` in one assignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minimesh.data_plane.routing.actions import Action
from minimesh.data_plane.routing.header_mutation import NO_MUTATION, HeaderMutation
from minimesh.data_plane.routing.request import RequestHead


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


class VirtualHost:
    """Routes for some domains."""

    __slots__ = (
        "domains",
        "include_attempt_count_in_response",
        "include_request_attempt_count",
        "metadata",
        "name",
        "routes",
    )

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    include_request_attempt_count: bool
    """Upstream gets `x-envoy-attempt-count`."""
    include_attempt_count_in_response: bool

    def find_route(self, head: RequestHead, random_value: int) -> Route | None:
        """The first route that matches, in configured order. `random_value`: 0 to 2**64-1, one for a request."""
        raise NotImplementedError


class RouteTable:
    """One route configuration."""

    __slots__ = ("internal_only_headers", "name", "version", "virtual_hosts")

    name: str
    version: str
    virtual_hosts: tuple[VirtualHost, ...]
    internal_only_headers: tuple[str, ...]
    """Removed from requests that do not come from inside (lower case)."""

    def find_virtual_host(self, authority: str) -> VirtualHost | None:
        """Exact host, else the longest `*.suffix`, else the longest `prefix.*`, else `*`."""
        raise NotImplementedError


class RouteConfigHolder:
    """Where a connection manager finds its current table: read once for each request."""

    __slots__ = ("name", "table")

    def __init__(self, name: str, table: RouteTable | None = None) -> None:
        self.name = name
        self.table = table
        """None until the first configuration arrived."""
