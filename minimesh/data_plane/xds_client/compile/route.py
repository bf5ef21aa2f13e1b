"""RouteConfiguration message -> `routing.route_table.RouteTable`.

Together with its neighbours (`match`, `action`, `retry`, `headers`) this is
where the route part of xDS is read; after it nobody needs a message. What is not supported is refused by the
path of its field; fields that cannot change what a request gets here are let through (names, statistics,
tracing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from minimesh.data_plane.routing.actions import (
    ClusterHandle,
    HasWeight,
    MirrorPolicy,
    RetryPolicy,
    RouteAction,
    WeightedClusters,
)
from minimesh.data_plane.routing.header_mutation import CompileFormat, MutationStep, combine
from minimesh.data_plane.routing.matchers import RouteMatch
from minimesh.data_plane.routing.route_table import (
    DuplicateDomainError,
    Route,
    RouteTable,
    TlsRequirement,
    VirtualCluster,
    VirtualHost,
    VirtualHostSettings,
)
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.xds_client.compile.action import RouteLevel, compile_action, compile_mirrors
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import (
    compile_filter_configs,
    merge_filter_configs,
    metadata_to_plain,
)
from minimesh.data_plane.xds_client.compile.headers import compile_mutation_step
from minimesh.data_plane.xds_client.compile.match import compile_header_matchers, compile_route_match
from minimesh.data_plane.xds_client.compile.rate_limits import compile_rate_limits
from minimesh.data_plane.xds_client.compile.retry import compile_retry_policy
from minimesh.data_plane.xds_client.compile.route_environment import RouteEnvironment, by_number, wire_text

__all__ = ["CompileError", "compile_route_configuration"]

_MEMO_ENTRIES_IN_ALL = 8192
_MEMO_ENTRIES_AT_LEAST = 16
_MEMO_ENTRIES_AT_MOST = 1024
#: What a host may keep on top grows with what it was configured with.
_MEMO_ENTRIES_A_ROUTE = 2
_HEADER_FIELDS = {
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
}
_ROUTE_CONFIGURATION = frozenset(
    {
        "name",
        "virtual_hosts",
        "internal_only_headers",
        "most_specific_header_mutations_wins",
        "validate_clusters",
        "max_direct_response_body_size_bytes",
        "request_mirror_policies",
        "ignore_port_in_host_matching",
        "ignore_path_parameters_in_path_matching",
        "typed_per_filter_config",
        "metadata",
    }
    | _HEADER_FIELDS
)
_VIRTUAL_HOST = frozenset(
    {
        "name",
        "domains",
        "routes",
        "require_tls",
        "virtual_clusters",
        "rate_limits",
        "typed_per_filter_config",
        "include_request_attempt_count",
        "include_attempt_count_in_response",
        "retry_policy",
        "include_is_timeout_retry_header",
        "per_request_buffer_limit_bytes",
        "request_body_buffer_limit",
        "request_mirror_policies",
        "metadata",
    }
    | _HEADER_FIELDS
)
_ROUTE = frozenset(
    {
        "name",
        "match",
        "route",
        "redirect",
        "direct_response",
        "non_forwarding_action",
        "metadata",
        "decorator",
        "typed_per_filter_config",
        "tracing",
        "per_request_buffer_limit_bytes",
        "request_body_buffer_limit",
        "stat_prefix",
    }
    | _HEADER_FIELDS
)


def compile_route_configuration(
    message: Any,
    clusters: Callable[[str], ClusterHandle],
    *,
    find_cluster: Callable[[str], ClusterHandle | None] | None = None,
    compile_format: CompileFormat | None = None,
    compile_filter_config: Callable[[str, Any], object] | None = None,
    runtime: Runtime | None = None,
    validate_clusters: bool = False,
    version: str = "",
) -> RouteTable:
    """The table for one RouteConfiguration, or CompileError with the text for a NACK.

    `clusters` gives the handle for a name, making it when there is none yet. `find_cluster` must not make
    any: it serves `cluster_header` and the check whether all clusters exist. That check is made when the
    message's `validate_clusters` says so or, where it is silent, the argument of that name (Envoy: true for a
    configuration inside a static listener, false over RDS). For the other hooks see `RouteEnvironment`.
    """
    if message.HasField("validate_clusters"):
        validate_clusters = message.validate_clusters.value
    if validate_clusters and find_cluster is not None:
        clusters = _checked(clusters, find_cluster)
    environment = RouteEnvironment(
        clusters, find_cluster, compile_format, compile_filter_config, runtime or Runtime()
    )
    return _Compiler(message, environment).compile(version)


def _checked(
    clusters: Callable[[str], ClusterHandle], find_cluster: Callable[[str], ClusterHandle | None]
) -> Callable[[str], ClusterHandle]:
    def checked(name: str) -> ClusterHandle:
        if find_cluster(name) is None:
            raise CompileError("", f"unknown cluster {name!r}")
        return clusters(name)

    return checked


class _Level:
    """Header changes and filter configurations of a route configuration, a virtual host or a route."""

    __slots__ = ("filter_configs", "request", "response")

    def __init__(self, message: Any, path: str, environment: RouteEnvironment) -> None:
        compile_format = environment.compile_format
        self.request: MutationStep = compile_mutation_step(message, "request", path, compile_format)
        self.response: MutationStep = compile_mutation_step(message, "response", path, compile_format)
        self.filter_configs: Mapping[str, object] = compile_filter_configs(
            message.typed_per_filter_config, join(path, "typed_per_filter_config"), environment
        )


@dataclass(frozen=True, slots=True)
class _HostLevel:
    """What routes inherit from their virtual host."""

    level: _Level
    retry_policy: RetryPolicy | None
    mirrors: tuple[MirrorPolicy, ...]
    retry_buffer_limit_bytes: int | None


class _Compiler:
    """One RouteConfiguration message."""

    def __init__(self, message: Any, environment: RouteEnvironment) -> None:
        refuse_unsupported(message, "", _ROUTE_CONFIGURATION)
        self.message = message
        self.environment = environment
        self.level = _Level(message, "", environment)
        self.mirrors = compile_mirrors(
            message.request_mirror_policies, "request_mirror_policies", environment
        )
        self.most_specific_wins = message.most_specific_header_mutations_wins
        self.max_body_bytes = message.max_direct_response_body_size_bytes.value
        hosts = max(len(message.virtual_hosts), 1)
        self.memo_limit = max(
            _MEMO_ENTRIES_AT_LEAST, min(_MEMO_ENTRIES_AT_MOST, _MEMO_ENTRIES_IN_ALL // hosts)
        )

    def compile(self, version: str) -> RouteTable:
        message = self.message
        virtual_hosts = [
            self._virtual_host(virtual_host, f"virtual_hosts[{number}]")
            for number, virtual_host in enumerate(message.virtual_hosts)
        ]
        _refuse_equal_names(virtual_hosts)
        try:
            return RouteTable(
                message.name,
                virtual_hosts,
                version=version,
                ignore_port=message.ignore_port_in_host_matching,
                internal_only_headers=[name.lower() for name in message.internal_only_headers],
                metadata=metadata_to_plain(message.metadata),
            )
        except DuplicateDomainError as error:
            raise CompileError("virtual_hosts", str(error)) from None

    def _virtual_host(self, message: Any, path: str) -> VirtualHost:
        refuse_unsupported(message, path, _VIRTUAL_HOST)
        if not message.name:
            raise CompileError(join(path, "name"), "must not be empty")
        level = _Level(message, path, self.environment)
        mirrors_path = join(path, "request_mirror_policies")
        mirrors = compile_mirrors(message.request_mirror_policies, mirrors_path, self.environment)
        host = _HostLevel(
            level,
            compile_retry_policy(message.retry_policy, join(path, "retry_policy")),
            mirrors or self.mirrors,
            _buffer_limit(message),
        )
        shared: dict[bytes, Route] = {}
        routes = [
            self._route(route, host, shared, f"{path}.routes[{number}]")
            for number, route in enumerate(message.routes)
        ]
        return VirtualHost(
            message.name,
            _domains(message.domains, join(path, "domains")),
            routes,
            self._settings(message, path),
            max(self.memo_limit, _MEMO_ENTRIES_A_ROUTE * len(routes)),
        )

    def _settings(self, message: Any, path: str) -> VirtualHostSettings:
        return VirtualHostSettings(
            require_tls=by_number(tuple(TlsRequirement), message.require_tls, join(path, "require_tls")),
            include_request_attempt_count=message.include_request_attempt_count,
            include_attempt_count_in_response=message.include_attempt_count_in_response,
            include_is_timeout_retry_header=message.include_is_timeout_retry_header,
            ignore_path_parameters=self.message.ignore_path_parameters_in_path_matching,
            virtual_clusters=tuple(
                _virtual_cluster(cluster, f"{path}.virtual_clusters[{number}]")
                for number, cluster in enumerate(message.virtual_clusters)
            ),
            rate_limits=compile_rate_limits(message.rate_limits, join(path, "rate_limits")),
            metadata=metadata_to_plain(message.metadata),
        )

    def _route(
        self, message: Any, host: _HostLevel, shared: dict[bytes, Route], path: str
    ) -> tuple[RouteMatch, Route]:
        """What routes do alike, they have in common: thousands of matches with one destination stay small."""
        refuse_unsupported(message, path, _ROUTE)
        match = compile_route_match(message.match, join(path, "match"), self.environment.runtime)
        deed = _deed(message)
        if deed is None:
            route = self._consequence(message, match, host, path)
            return _having_weight(match, route), route
        known = shared.get(deed)
        if known is None:
            known = shared[deed] = self._consequence(message, match, host, path)
        # A route is told from another by being another object.
        return _having_weight(match, known), replace(known)

    def _consequence(self, message: Any, match: RouteMatch, host: _HostLevel, path: str) -> Route:
        own = _Level(message, path, self.environment)
        own_limit = _buffer_limit(message)
        levels = (own, host.level, self.level)
        wins = self.most_specific_wins
        settled = RouteLevel(
            match=match.path,
            request_headers=combine([level.request for level in levels], most_specific_wins=wins),
            response_headers=combine([level.response for level in levels], most_specific_wins=wins),
            filter_configs=merge_filter_configs(
                self.level.filter_configs, host.level.filter_configs, own.filter_configs
            ),
            inherited_retry=host.retry_policy,
            inherited_mirrors=host.mirrors,
            max_direct_response_body_bytes=self.max_body_bytes,
        )
        try:
            action = compile_action(message, settled, path, self.environment)
        except CompileError as error:
            if error.field:
                raise
            raise CompileError(path, error.reason) from None
        return Route(
            action=action,
            name=message.name,
            request_headers=settled.request_headers,
            response_headers=settled.response_headers,
            typed_per_filter_config=settled.filter_configs,
            decorator_operation=message.decorator.operation,
            metadata=metadata_to_plain(message.metadata),
            stat_prefix=message.stat_prefix,
            retry_buffer_limit_bytes=host.retry_buffer_limit_bytes if own_limit is None else own_limit,
        )


def _having_weight(match: RouteMatch, route: Route) -> RouteMatch:
    """The match, and where the runtime rules the weights of the route's clusters, the demand for some."""
    clusters = route.action.clusters if isinstance(route.action, RouteAction) else None
    if not isinstance(clusters, WeightedClusters) or not clusters.ruled_by_runtime:
        return match
    return replace(match, conditions=(*match.conditions, HasWeight(clusters)))


def _deed(message: Any) -> bytes | None:
    """A route without its match; None when another's cannot be the same: its rewrite depends on the match, or
    a filter keeps something for this route alone (a bucket of tokens).
    """
    if message.route.prefix_rewrite or message.redirect.prefix_rewrite or message.typed_per_filter_config:
        return None
    if any(choice.typed_per_filter_config for choice in message.route.weighted_clusters.clusters):
        return None
    deed = type(message)()
    deed.CopyFrom(message)
    deed.ClearField("match")
    return bytes(deed.SerializeToString(deterministic=True))


def _virtual_cluster(message: Any, path: str) -> VirtualCluster:
    matchers = compile_header_matchers(message.headers, join(path, "headers"))
    return VirtualCluster(message.name, tuple(matchers))


def _domains(domains: Any, path: str) -> list[str]:
    if not domains:
        raise CompileError(path, "must name at least one domain")
    for number, domain in enumerate(domains):
        inner = domain.removeprefix("*") if domain.startswith("*") else domain.removesuffix("*")
        if not domain or "*" in inner:
            raise CompileError(
                f"{path}[{number}]", f"{domain!r}: one asterisk may stand, at the start or at the end"
            )
    return [wire_text(domain) for domain in domains]


def _refuse_equal_names(virtual_hosts: list[VirtualHost]) -> None:
    seen: set[str] = set()
    for number, virtual_host in enumerate(virtual_hosts):
        if virtual_host.name in seen:
            raise CompileError(f"virtual_hosts[{number}].name", f"{virtual_host.name!r} is there twice")
        seen.add(virtual_host.name)


def _buffer_limit(message: Any) -> int | None:
    """How much of a request body may be kept for a retry; the newer of two fields rules."""
    if message.HasField("request_body_buffer_limit"):
        return int(message.request_body_buffer_limit.value)
    if message.HasField("per_request_buffer_limit_bytes"):
        return int(message.per_request_buffer_limit_bytes.value)
    return None
