"""RouteAction, RedirectAction, DirectResponseAction -> `routing.actions`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.routing import rewrite
from minimesh.data_plane.routing.actions import (
    ALWAYS,
    NO_CLUSTER,
    Action,
    ClusterChoice,
    ClusterFromHeader,
    ClusterSpecifier,
    DirectResponseAction,
    HashPolicy,
    MirrorPolicy,
    NonForwardingAction,
    RedirectAction,
    RetryPolicy,
    RouteAction,
    SingleCluster,
    WeightedClusters,
)
from minimesh.data_plane.routing.header_mutation import HeaderMutation, prepend
from minimesh.data_plane.runtime import AnyFraction, Runtime, integer
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import (
    compile_filter_configs,
    merge_filter_configs,
    struct_to_plain,
)
from minimesh.data_plane.xds_client.compile.headers import compile_mutation_step
from minimesh.data_plane.xds_client.compile.match import compile_runtime_fraction
from minimesh.data_plane.xds_client.compile.rate_limits import compile_rate_limits
from minimesh.data_plane.xds_client.compile.retry import compile_retry_policy
from minimesh.data_plane.xds_client.compile.route_environment import (
    RouteEnvironment,
    by_number,
    compile_substitution,
    optional_seconds,
    seconds,
    wire_text,
)

if TYPE_CHECKING:
    from minimesh.data_plane.routing.matchers import PathMatch
    from minimesh.data_plane.routing.rewrite import HostRewrite, PathRewrite

_LB_METADATA = "envoy.lb"
_DEFAULT_MAX_BODY_BYTES = 4096
_REDIRECT_STATUSES = (301, 302, 303, 307, 308)
_NOT_FOUND_STATUSES = (503, 404, 500)
# Early data comes only with HTTP/3.
_WITHOUT_EFFECT = {"early_data_policy"}
_ROUTE_ACTION = frozenset(
    {
        "cluster",
        "cluster_header",
        "weighted_clusters",
        "cluster_not_found_response_code",
        "metadata_match",
        "prefix_rewrite",
        "regex_rewrite",
        "host_rewrite_literal",
        "auto_host_rewrite",
        "host_rewrite_header",
        "host_rewrite_path_regex",
        "append_x_forwarded_host",
        "timeout",
        "idle_timeout",
        "retry_policy",
        "request_mirror_policies",
        "priority",
        "hash_policy",
        "max_grpc_timeout",
        "grpc_timeout_offset",
        "upgrade_configs",
        "max_stream_duration",
        "rate_limits",
        "include_vh_rate_limits",
    }
    | _WITHOUT_EFFECT
)
_CLUSTER_WEIGHT = frozenset(
    {
        "name",
        "weight",
        "metadata_match",
        "request_headers_to_add",
        "request_headers_to_remove",
        "response_headers_to_add",
        "response_headers_to_remove",
        "typed_per_filter_config",
        "host_rewrite_literal",
    }
)


@dataclass(frozen=True, slots=True)
class RouteLevel:
    """What a route has settled before its action is compiled."""

    match: PathMatch
    request_headers: HeaderMutation
    response_headers: HeaderMutation
    filter_configs: Mapping[str, object]
    inherited_retry: RetryPolicy | None
    inherited_mirrors: tuple[MirrorPolicy, ...]
    max_direct_response_body_bytes: int


def compile_action(message: Any, level: RouteLevel, path: str, environment: RouteEnvironment) -> Action:
    """The action of a Route; CompileError names the field that is refused."""
    kind = message.WhichOneof("action")
    if kind == "route":
        return _RouteActionCompiler(message.route, level, join(path, kind), environment).compile()
    if kind == "redirect":
        return _redirect(message.redirect, level.match, join(path, kind))
    if kind == "direct_response":
        limit_bytes = level.max_direct_response_body_bytes
        return _direct_response(message.direct_response, limit_bytes, join(path, kind))
    if kind == "non_forwarding_action":
        return NonForwardingAction()
    raise CompileError(path, "no action: one of route, redirect, direct_response, non_forwarding_action")


class _RouteActionCompiler:
    """One RouteAction message."""

    def __init__(self, message: Any, level: RouteLevel, path: str, environment: RouteEnvironment) -> None:
        self.message = message
        self.level = level
        self.path = path
        self.environment = environment

    def compile(self) -> RouteAction:
        message, path = self.message, self.path
        refuse_unsupported(message, path, _ROUTE_ACTION)
        duration = message.max_stream_duration
        mirrors = compile_mirrors(
            message.request_mirror_policies, join(path, "request_mirror_policies"), self.environment
        )
        return RouteAction(
            clusters=self._clusters(),
            timeout_s=self._timeout_s(),
            idle_timeout_s=optional_seconds(message, "idle_timeout", path),
            max_stream_duration_s=optional_seconds(
                duration, "max_stream_duration", join(path, "max_stream_duration")
            ),
            grpc_timeout_header_max_s=optional_seconds(
                duration, "grpc_timeout_header_max", join(path, "max_stream_duration")
            ),
            grpc_timeout_header_offset_s=seconds(duration.grpc_timeout_header_offset),
            max_grpc_timeout_s=optional_seconds(message, "max_grpc_timeout", path),
            grpc_timeout_offset_s=seconds(message.grpc_timeout_offset),
            limits_stream=message.HasField("max_stream_duration") or message.HasField("idle_timeout"),
            retry_policy=self._retry_policy(),
            path_rewrite=compile_path_rewrite(message, self.level.match, path),
            host_rewrite=self._host_rewrite(),
            auto_host_rewrite=message.HasField("auto_host_rewrite") and message.auto_host_rewrite.value,
            append_x_forwarded_host=message.append_x_forwarded_host,
            hash_policies=_hash_policies(message.hash_policy, join(path, "hash_policy")),
            mirrors=mirrors or self.level.inherited_mirrors,
            upgrades=_upgrades(message.upgrade_configs, join(path, "upgrade_configs")),
            cluster_not_found_status=by_number(
                _NOT_FOUND_STATUSES,
                message.cluster_not_found_response_code,
                join(path, "cluster_not_found_response_code"),
            ),
            priority_high=message.priority != 0,
            rate_limits=compile_rate_limits(message.rate_limits, join(path, "rate_limits")),
            include_virtual_host_rate_limits=message.include_vh_rate_limits.value,
        )

    # Clusters

    def _clusters(self) -> ClusterSpecifier:
        message, path = self.message, self.path
        kind = message.WhichOneof("cluster_specifier")
        metadata = _lb_metadata(message)
        if kind == "cluster":
            return SingleCluster(self._choice(message.cluster, metadata, join(path, kind)))
        if kind == "weighted_clusters":
            return self._weighted(message.weighted_clusters, metadata, join(path, kind))
        if kind == "cluster_header":
            return self._from_header(message.cluster_header, metadata, join(path, kind))
        raise CompileError(path, "no cluster: one of cluster, weighted_clusters, cluster_header")

    def _choice(self, name: str, metadata: Mapping[str, object], path: str) -> ClusterChoice:
        if not name:
            raise CompileError(path, "must not be empty")
        level = self.level
        return ClusterChoice(
            self.environment.clusters(name),
            level.request_headers,
            level.response_headers,
            metadata_match=metadata,
            typed_per_filter_config=level.filter_configs,
        )

    def _from_header(self, header: str, metadata: Mapping[str, object], path: str) -> ClusterFromHeader:
        find_cluster = self.environment.find_cluster
        if find_cluster is None:
            raise CompileError(path, "not supported here")
        level = self.level
        template = ClusterChoice(
            NO_CLUSTER,
            level.request_headers,
            level.response_headers,
            metadata_match=metadata,
            typed_per_filter_config=level.filter_configs,
        )
        return ClusterFromHeader(wire_text(header).lower(), find_cluster, template)

    def _weighted(self, message: Any, metadata: Mapping[str, object], path: str) -> WeightedClusters:
        supported = frozenset({"clusters", "total_weight", "runtime_key_prefix", "header_name"})
        refuse_unsupported(message, path, supported)
        entries = [(entry, f"{path}.clusters[{number}]") for number, entry in enumerate(message.clusters)]
        # A cluster without weight is never chosen, but may be named.
        bounds = tuple(accumulate(entry.weight.value for entry, _ in entries))
        choices = tuple(self._weighted_choice(entry, metadata, where) for entry, where in entries)
        prefix = message.runtime_key_prefix
        header = wire_text(message.header_name).lower()
        weighted = WeightedClusters(choices, bounds, header, ruled_by_runtime=bool(prefix))
        if prefix:
            _follow_weights(weighted, message.clusters, prefix, self.environment.runtime)
        # Judged with the weights that hold now, as Envoy does; the runtime may take them all away later.
        if not bounds or weighted.upper_bounds[-1] == 0:
            raise CompileError(path, "the sum of the weights must be greater than 0")
        if weighted.upper_bounds[-1] >= 2**32:
            raise CompileError(path, "the sum of the weights must be less than 2**32")
        return weighted

    def _weighted_choice(self, message: Any, metadata: Mapping[str, object], path: str) -> ClusterChoice:
        refuse_unsupported(message, path, _CLUSTER_WEIGHT)
        if not message.name:
            raise CompileError(join(path, "name"), "must not be empty")
        environment, level = self.environment, self.level
        request = compile_mutation_step(message, "request", path, environment.compile_format)
        response = compile_mutation_step(message, "response", path, environment.compile_format)
        own_configs = compile_filter_configs(
            message.typed_per_filter_config, join(path, "typed_per_filter_config"), environment
        )
        return ClusterChoice(
            environment.clusters(message.name),
            prepend(request, level.request_headers),
            prepend(response, level.response_headers),
            wire_text(message.host_rewrite_literal),
            {**metadata, **_lb_metadata(message)},
            merge_filter_configs(level.filter_configs, own_configs),
        )

    # The rest

    def _retry_policy(self) -> RetryPolicy | None:
        if self.message.HasField("retry_policy"):
            return compile_retry_policy(self.message.retry_policy, join(self.path, "retry_policy"))
        return self.level.inherited_retry

    def _host_rewrite(self) -> HostRewrite | None:
        message = self.message
        kind = message.WhichOneof("host_rewrite_specifier")
        if kind == "host_rewrite_literal":
            return rewrite.host_literal(wire_text(message.host_rewrite_literal))
        if kind == "host_rewrite_header":
            return rewrite.host_from_header(wire_text(message.host_rewrite_header).lower())
        if kind == "host_rewrite_path_regex":
            regex, substitution = compile_substitution(message.host_rewrite_path_regex, join(self.path, kind))
            return rewrite.host_from_path(regex, substitution)
        return None

    def _timeout_s(self) -> float | None:
        """Where `max_stream_duration` is set, even to nothing, Envoy no longer looks at `timeout`."""
        if self.message.HasField("max_stream_duration"):
            return 0.0
        return optional_seconds(self.message, "timeout", self.path)


def _follow_weights(
    weighted: WeightedClusters, entries: Sequence[Any], prefix: str, runtime: Runtime
) -> None:
    """Let `prefix.NAME` of the runtime stand for the weight of the cluster NAME."""

    def follow(index: int, written: int) -> Callable[[WeightedClusters, object], None]:
        def assign(owner: WeightedClusters, value: object) -> None:
            weight = integer(value)
            owner.set_weight(index, written if weight is None else weight)

        return assign

    for index, entry in enumerate(entries):
        runtime.follow(f"{prefix}.{entry.name}", weighted, follow(index, entry.weight.value))


def compile_path_rewrite(message: Any, match: PathMatch, path: str) -> PathRewrite | None:
    """`prefix_rewrite` or `regex_rewrite` of a RouteAction or a RedirectAction; None when neither is set."""
    by_regex = message.HasField("regex_rewrite")
    if message.prefix_rewrite and by_regex:
        raise CompileError(
            join(path, "regex_rewrite"), "only one of prefix_rewrite and regex_rewrite may be set"
        )
    if by_regex:
        return rewrite.regex_rewrite(
            *compile_substitution(message.regex_rewrite, join(path, "regex_rewrite"))
        )
    if message.prefix_rewrite:
        return rewrite.prefix_rewrite(match, wire_text(message.prefix_rewrite))
    return None


def compile_mirrors(
    messages: Sequence[Any], path: str, environment: RouteEnvironment
) -> tuple[MirrorPolicy, ...]:
    """RequestMirrorPolicies of a route, a virtual host or a route configuration."""
    return tuple(
        _mirror(message, f"{path}[{number}]", environment) for number, message in enumerate(messages)
    )


def _mirror(message: Any, path: str, environment: RouteEnvironment) -> MirrorPolicy:
    supported = {"cluster", "runtime_fraction", "disable_shadow_host_suffix_append", "host_rewrite_literal"}
    # No tracing, so no sampling of mirrored traces.
    refuse_unsupported(message, path, frozenset(supported | {"trace_sampled"}))
    if not message.cluster:
        raise CompileError(join(path, "cluster"), "must not be empty")
    fraction: AnyFraction = ALWAYS
    if message.HasField("runtime_fraction"):
        where = join(path, "runtime_fraction")
        fraction = compile_runtime_fraction(message.runtime_fraction, where, environment.runtime)
    return MirrorPolicy(
        environment.clusters(message.cluster),
        fraction,
        append_shadow_suffix=not message.disable_shadow_host_suffix_append,
        host_rewrite=wire_text(message.host_rewrite_literal),
    )


def _lb_metadata(message: Any) -> Mapping[str, object]:
    if not message.HasField("metadata_match"):
        return {}
    filter_metadata = message.metadata_match.filter_metadata
    return struct_to_plain(filter_metadata[_LB_METADATA]) if _LB_METADATA in filter_metadata else {}


def _upgrades(messages: Sequence[Any], path: str) -> Mapping[str, bool]:
    upgrades: dict[str, bool] = {}
    for number, message in enumerate(messages):
        where = f"{path}[{number}]"
        refuse_unsupported(message, where, frozenset({"upgrade_type", "enabled"}))
        kind = message.upgrade_type.lower()
        if kind in upgrades:
            raise CompileError(join(where, "upgrade_type"), f"{kind!r} is there twice")
        upgrades[kind] = not message.HasField("enabled") or message.enabled.value
    return upgrades


def _hash_policies(messages: Sequence[Any], path: str) -> tuple[HashPolicy, ...]:
    return tuple(_hash_policy(message, f"{path}[{number}]") for number, message in enumerate(messages))


def _hash_policy(message: Any, path: str) -> HashPolicy:
    kind = message.WhichOneof("policy_specifier")
    terminal = message.terminal
    if kind == "header":
        value_rewrite: PathRewrite | None = None
        if message.header.HasField("regex_rewrite"):
            regex, substitution = compile_substitution(
                message.header.regex_rewrite, join(path, "header.regex_rewrite")
            )

            def value_rewrite(value: str) -> str:
                return regex.replace_all(value, substitution)

        return HashPolicy(kind, message.header.header_name.lower(), terminal, value_rewrite)
    if kind == "cookie":
        cookie = message.cookie
        return HashPolicy(
            kind,
            cookie.name,
            terminal,
            cookie_ttl_s=optional_seconds(cookie, "ttl", path),
            cookie_path=cookie.path,
            cookie_attributes=tuple((attribute.name, attribute.value) for attribute in cookie.attributes),
        )
    if kind == "connection_properties" and message.connection_properties.source_ip:
        return HashPolicy("source_ip", terminal=terminal)
    if kind == "query_parameter":
        return HashPolicy(kind, wire_text(message.query_parameter.name), terminal)
    raise CompileError(join(path, kind) if kind else path, "not supported")


def _redirect(message: Any, match: PathMatch, path: str) -> RedirectAction:
    new_path = wire_text(message.path_redirect)
    if new_path and not new_path.startswith("/"):
        new_path = "/" + new_path
    return RedirectAction(
        status=by_number(_REDIRECT_STATUSES, message.response_code, join(path, "response_code")),
        scheme="https" if message.https_redirect else wire_text(message.scheme_redirect),
        host=wire_text(message.host_redirect),
        port=message.port_redirect,
        path=new_path,
        path_rewrite=compile_path_rewrite(message, match, path),
        strip_query=message.strip_query,
    )


def _direct_response(message: Any, limit_bytes: int, path: str) -> DirectResponseAction:
    refuse_unsupported(message, path, frozenset({"status", "body"}))
    if not 200 <= message.status < 600:
        raise CompileError(join(path, "status"), f"{message.status} is not between 200 and 599")
    body = _data_source(message.body, join(path, "body"))
    limit_bytes = limit_bytes or _DEFAULT_MAX_BODY_BYTES
    if len(body) > limit_bytes:
        raise CompileError(
            join(path, "body"),
            f"{len(body)} bytes are more than max_direct_response_body_size_bytes ({limit_bytes})",
        )
    return DirectResponseAction(message.status, body)


def _data_source(message: Any, path: str) -> bytes:
    kind = message.WhichOneof("specifier")
    if kind is None:
        return b""
    if kind == "inline_bytes":
        return bytes(message.inline_bytes)
    if kind == "inline_string":
        return str(message.inline_string).encode()
    if kind == "filename":
        try:
            return Path(message.filename).read_bytes()
        except OSError as error:
            raise CompileError(join(path, kind), f"{message.filename!r}: {error.strerror}") from None
    raise CompileError(join(path, kind), "not supported")
