"""What a matched route does: forward to a cluster, redirect, answer by itself, or nothing.

All of it is made at push time. A request asks `RouteAction.choose`, `rewrite_path`, `rewrite_host`, or
`RedirectAction.location`; the rest are plain values. Times are in seconds; None means "not set", 0 means "no
limit".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Protocol

from minimesh.data_plane.routing.authority import without_port
from minimesh.data_plane.routing.header_mutation import NO_MUTATION, HeaderMutation
from minimesh.data_plane.routing.matchers import HasHeaderValues
from minimesh.data_plane.routing.rate_limit import RateLimitRule
from minimesh.data_plane.routing.request import RequestHead
from minimesh.data_plane.routing.rewrite import HostRewrite, PathRewrite
from minimesh.data_plane.runtime import AnyFraction, Fraction

DEFAULT_ROUTE_TIMEOUT_S = 15.0
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class ClusterHandle:
    """The place where a route finds its live cluster, without looking up a name.

    Made once for each name; whoever applies configuration assigns `cluster`; None means that no such cluster
    exists now. `Any` because the cluster's own package lies above this one.
    """

    __slots__ = ("cluster", "name")

    def __init__(self, name: str, cluster: Any = None) -> None:
        self.name = name
        self.cluster = cluster

    def __repr__(self) -> str:
        return f"ClusterHandle({self.name!r}, {'there' if self.cluster is not None else 'missing'})"


class HeaderPredicate(Protocol):
    """A condition on headers (see `matchers.HeaderMatcher`); works on responses as well as on requests."""

    def matches(self, head: HasHeaderValues, random_value: int = 0) -> bool: ...


ALWAYS = Fraction(100, 100)
NEVER = Fraction(0, 100)


@dataclass(frozen=True, slots=True)
class ResetHeader:
    """A response header that says when to try again: `seconds`, or `unix` (a point in time)."""

    name: str
    format: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a request is tried again."""

    retry_on: frozenset[str]
    num_retries: int = 1
    per_try_timeout_s: float | None = None
    retriable_status_codes: frozenset[int] = frozenset()
    retriable_headers: tuple[HeaderPredicate, ...] = ()
    """Conditions on the response, for `retriable-headers`; one that holds is enough."""
    retriable_request_headers: tuple[HeaderPredicate, ...] = ()
    """When not empty, only requests for which one of these holds are tried again."""
    base_interval_s: float = 0.025
    max_interval_s: float = 0.25
    previous_hosts: bool = False
    """Avoid hosts that were tried before."""
    omitted_hosts: tuple[Mapping[str, object], ...] = ()
    """Avoid hosts that have all of the metadata (`envoy.lb`) of one of these."""
    host_selection_retry_max_attempts: int = 1
    previous_priorities_update_frequency: int = 0
    """After so many tries, priorities that were tried get no more traffic of this request; 0: they do."""
    per_try_idle_timeout_s: float | None = None
    """How long a try may go on without anything happening."""
    reset_headers: tuple[ResetHeader, ...] = ()
    reset_max_interval_s: float = 300.0


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """One source of the consistent-hash key."""

    kind: str
    """`header`, `cookie`, `source_ip` or `query_parameter`."""
    name: str = ""
    terminal: bool = False
    regex_rewrite: PathRewrite | None = None
    """For `header`: changes the value before it is hashed."""
    cookie_ttl_s: float | None = None
    """None: no cookie is made. 0: a session cookie."""
    cookie_path: str = ""
    cookie_attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MirrorPolicy:
    """A copy of the request goes to another cluster; its answer is dropped."""

    cluster: ClusterHandle
    fraction: AnyFraction = ALWAYS
    append_shadow_suffix: bool = True
    host_rewrite: str = ""


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """One cluster that a route may send to, with everything that depends on this choice."""

    handle: ClusterHandle
    request_headers: HeaderMutation = NO_MUTATION
    """Weighted cluster's, route's, virtual host's and route configuration's changes together."""
    response_headers: HeaderMutation = NO_MUTATION
    host_rewrite: str = ""
    """The weighted cluster's own host; empty when the route's rule holds."""
    metadata_match: Mapping[str, object] = field(default_factory=dict)
    """Subset of hosts to use (`envoy.lb` metadata); empty means all."""
    typed_per_filter_config: Mapping[str, object] = field(default_factory=dict)
    """Most specific configuration of each filter."""


NO_CLUSTER = ClusterHandle("")


class ClusterSpecifier(Protocol):
    """How a route finds its cluster. One of the three classes below."""

    def choose(self, head: RequestHead, random_value: int) -> ClusterChoice: ...


@dataclass(frozen=True, slots=True)
class SingleCluster:
    """The plain case: always the same."""

    choice: ClusterChoice

    def choose(self, head: RequestHead, random_value: int) -> ClusterChoice:
        return self.choice


@dataclass(slots=True, weakref_slot=True)
class WeightedClusters:
    """One of several by weight; `upper_bounds` are the running totals of the weights.

    Weights that keys of the runtime rule change while requests run, everything else is fixed.
    """

    choices: tuple[ClusterChoice, ...]
    upper_bounds: tuple[int, ...]
    random_header: str = ""
    """A request header with the number to use in place of the random one; empty when not set."""

    ruled_by_runtime: bool = False

    def set_weight(self, index: int, weight: int) -> None:
        """Give one of them another weight."""
        totals = (0, *self.upper_bounds)
        weights = [after - before for before, after in pairwise(totals)]
        weights[index] = weight
        self.upper_bounds = tuple(accumulate(weights))

    def choose(self, head: RequestHead, random_value: int) -> ClusterChoice:
        if self.random_header:
            random_value = _number_in_header(head, self.random_header, random_value)
        return self.choices[bisect_right(self.upper_bounds, random_value % self.upper_bounds[-1])]


@dataclass(frozen=True, slots=True)
class HasWeight:
    """A condition: a route all of whose clusters the runtime has given no weight applies to nothing."""

    clusters: WeightedClusters

    def matches(self, _head: RequestHead, _random_value: int) -> bool:
        return self.clusters.upper_bounds[-1] > 0


@dataclass(frozen=True, slots=True)
class ClusterFromHeader:
    """A request header names the cluster."""

    header: str
    find_cluster: Callable[[str], ClusterHandle | None]
    template: ClusterChoice

    def choose(self, head: RequestHead, random_value: int) -> ClusterChoice:
        values = head.header_values(self.header)
        handle = self.find_cluster(values[0]) if values else None
        template = self.template
        return ClusterChoice(
            handle if handle is not None else NO_CLUSTER,
            template.request_headers,
            template.response_headers,
            template.host_rewrite,
            template.metadata_match,
            template.typed_per_filter_config,
        )


def _number_in_header(head: RequestHead, name: str, otherwise: int) -> int:
    values = head.header_values(name)
    if len(values) == 1 and values[0].isascii() and values[0].isdigit():
        return int(values[0])
    return otherwise


@dataclass(frozen=True, slots=True)
class RouteAction:
    """Forward the request to a cluster."""

    clusters: ClusterSpecifier
    timeout_s: float | None = None
    """None: Envoy's default of 15 s holds and `x-envoy-expected-rq-timeout-ms` is sent; 0: no limit."""
    idle_timeout_s: float | None = None
    max_stream_duration_s: float | None = None
    grpc_timeout_header_max_s: float | None = None
    """None: `grpc-timeout` is not looked at. 0: it is, without an upper limit."""
    grpc_timeout_header_offset_s: float = 0.0
    max_grpc_timeout_s: float | None = None
    """None: gRPC calls have `timeout_s` like all. 0: what `grpc-timeout` says, without an upper limit."""
    grpc_timeout_offset_s: float = 0.0
    limits_stream: bool = False
    """The route says how long a stream may be idle or last (or that it may for ever)."""
    retry_policy: RetryPolicy | None = None
    path_rewrite: PathRewrite | None = None
    """Set: the request target is replaced and the old one goes upstream as `x-envoy-original-path`."""
    host_rewrite: HostRewrite | None = None
    auto_host_rewrite: bool = False
    """The host becomes the chosen upstream host's name."""
    append_x_forwarded_host: bool = False
    hash_policies: tuple[HashPolicy, ...] = ()
    mirrors: tuple[MirrorPolicy, ...] = ()
    upgrades: Mapping[str, bool] = field(default_factory=dict)
    """Upgrade type in lower case -> allowed here or not; a type not named is as the listener says."""
    cluster_not_found_status: int = 503
    priority_high: bool = False
    rate_limits: tuple[RateLimitRule, ...] = ()
    include_virtual_host_rate_limits: bool = False

    def choose(self, head: RequestHead, random_value: int) -> ClusterChoice:
        """The cluster for this request. `choice.handle.cluster` is None when no such cluster exists."""
        return self.clusters.choose(head, random_value)

    def rewrite_path(self, path: str) -> str:
        """The request target for the upstream, query kept."""
        return path if self.path_rewrite is None else self.path_rewrite(path)

    def rewrite_host(self, head: RequestHead) -> str | None:
        """The host for the upstream, or None when it stays. (`ClusterChoice.host_rewrite` comes first.)"""
        return None if self.host_rewrite is None else self.host_rewrite(head)


@dataclass(frozen=True, slots=True)
class RedirectAction:
    """Answer with a `location`."""

    status: int = 301
    scheme: str = ""
    """Empty: the request's own."""
    host: str = ""
    port: int = 0
    """0: none is added."""
    path: str = ""
    """A whole new path; with a query string of its own, the request's is dropped and this one stays."""
    path_rewrite: PathRewrite | None = None
    """Used when `path` is empty."""
    strip_query: bool = False

    def location(self, head: RequestHead) -> str:
        """The `location` header for this request."""
        scheme = self.scheme or head.scheme
        port = f":{self.port}" if self.port else ""
        return f"{scheme}://{self.host or self._request_host(head, scheme)}{port}{self._path(head.path)}"

    def _request_host(self, head: RequestHead, scheme: str) -> str:
        """The request's host; its port goes when another is set, or when it was the old scheme's default."""
        authority = head.authority
        host = without_port(authority)
        if host == authority or self.port:
            return host
        forwarded = head.header_values("x-forwarded-proto")
        protocol = forwarded[0] if forwarded else head.scheme
        if scheme != protocol and authority[len(host) :] == _DEFAULT_PORTS.get(protocol):
            return host
        return authority

    def _path(self, target: str) -> str:
        path = self.path
        if path and "?" in path:
            return path
        if path:
            _, mark, query = target.partition("?")
            target = path + mark + query
        elif self.path_rewrite is not None:
            target = self.path_rewrite(target)
        return target.partition("?")[0] if self.strip_query else target


@dataclass(frozen=True, slots=True)
class SslRedirectAction:
    """The virtual host requires TLS: the same address with `https`."""

    status: int = 301

    def location(self, head: RequestHead) -> str:
        return f"https://{head.authority}{head.path}"


@dataclass(frozen=True, slots=True)
class DirectResponseAction:
    """Answer with a fixed status and body; `content-type: text/plain` when there is a body."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NonForwardingAction:
    """Matches, and says nothing on what to do: an error when a proxy has to serve it."""


Action = RouteAction | RedirectAction | SslRedirectAction | DirectResponseAction | NonForwardingAction
