"""LocalRateLimit, of a filter chain or of a route -> `http.filters.local_rate_limit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.data_plane.http.filters.local_rate_limit import (
    LocalRateLimit,
    LocalRateLimiter,
    LocalRateLimitFilter,
    VirtualHostRules,
)
from minimesh.data_plane.http.token_bucket import BucketSettings
from minimesh.data_plane.routing.header_mutation import HeaderMutation, MutationStep
from minimesh.data_plane.routing.rate_limit import Entry
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.headers import compile_addition
from minimesh.data_plane.xds_client.compile.match import compile_runtime_fraction
from minimesh.data_plane.xds_client.compile.rate_limits import compile_rate_limits
from minimesh.data_plane.xds_client.compile.route_environment import by_number, seconds, wire_text
from minimesh.xds import messages as m

_LOCAL_RATE_LIMIT = frozenset(
    {
        "stat_prefix",
        "status",
        "token_bucket",
        "filter_enabled",
        "filter_enforced",
        "request_headers_to_add_when_not_enforced",
        "response_headers_to_add",
        "descriptors",
        "stage",
        "local_rate_limit_per_downstream_connection",
        "enable_x_ratelimit_headers",
        "vh_rate_limits",
        "always_consume_default_token_bucket",
        "rate_limited_as_resource_exhausted",
        "rate_limits",
        "max_dynamic_descriptors",
    }
)
_DEFAULT_STATUS = 429
_SHORTEST_INTERVAL_S = 0.05
_DEFAULT_DYNAMIC_DESCRIPTORS = 20


def _compile(message: Any, site: FilterSite) -> LocalRateLimitFilter:
    limiter = _limiter(message, site.path, site.context)
    return LocalRateLimitFilter(site.name, limiter, site.context.node_cluster)


def _limiter(message: Any, path: str, context: CompileContext) -> LocalRateLimiter:
    if not message.stat_prefix:
        raise CompileError(join(path, "stat_prefix"), "must not be empty")
    return LocalRateLimiter(_limits(message, path, context.runtime), context.stats, message.stat_prefix)


def _limits(message: Any, path: str, runtime: Runtime) -> LocalRateLimit:
    refuse_unsupported(message, path, _LOCAL_RATE_LIMIT)
    if message.HasField("filter_enabled") and not message.HasField("token_bucket"):
        raise CompileError(join(path, "token_bucket"), "must be there where filter_enabled is")
    bucket = None
    if message.HasField("token_bucket"):
        bucket = _bucket(message.token_bucket, join(path, "token_bucket"))
    status = message.status.code
    return LocalRateLimit(
        bucket=bucket,
        descriptors=_descriptors(message.descriptors, join(path, "descriptors"), bucket),
        max_dynamic_descriptors=message.max_dynamic_descriptors.value or _DEFAULT_DYNAMIC_DESCRIPTORS,
        status=status if status >= 400 else _DEFAULT_STATUS,
        enabled=compile_runtime_fraction(message.filter_enabled, join(path, "filter_enabled"), runtime),
        enforced=compile_runtime_fraction(message.filter_enforced, join(path, "filter_enforced"), runtime),
        request_headers_when_not_enforced=_additions(
            message, "request_headers_to_add_when_not_enforced", path
        ),
        response_headers=_additions(message, "response_headers_to_add", path),
        per_connection=message.local_rate_limit_per_downstream_connection,
        rules=compile_rate_limits(message.rate_limits, join(path, "rate_limits")),
        stage=message.stage,
        virtual_host_rules=by_number(
            tuple(VirtualHostRules), message.vh_rate_limits, join(path, "vh_rate_limits")
        ),
        always_consume_default_bucket=(
            message.always_consume_default_token_bucket.value
            if message.HasField("always_consume_default_token_bucket")
            else True
        ),
        rate_limit_headers=message.enable_x_ratelimit_headers != 0,
        resource_exhausted=message.rate_limited_as_resource_exhausted,
    )


def _bucket(message: Any, path: str) -> BucketSettings:
    interval_s = seconds(message.fill_interval)
    if interval_s < _SHORTEST_INTERVAL_S:
        raise CompileError(join(path, "fill_interval"), "must be at least 0.05s")
    if not message.max_tokens:
        raise CompileError(join(path, "max_tokens"), "must be greater than 0")
    per_fill = message.tokens_per_fill.value if message.HasField("tokens_per_fill") else 1
    if not per_fill:
        raise CompileError(join(path, "tokens_per_fill"), "must be greater than 0")
    return BucketSettings(message.max_tokens, per_fill, interval_s)


def _descriptors(
    messages: Sequence[Any], path: str, default: BucketSettings | None
) -> dict[tuple[Entry, ...], BucketSettings]:
    limits: dict[tuple[Entry, ...], BucketSettings] = {}
    for number, message in enumerate(messages):
        where = f"{path}[{number}]"
        entries = tuple((wire_text(entry.key), wire_text(entry.value)) for entry in message.entries)
        if default is None:
            raise CompileError(where, "needs a token_bucket for all other requests")
        if entries in limits:
            raise CompileError(join(where, "entries"), "is there twice")
        limits[entries] = _bucket(message.token_bucket, join(where, "token_bucket"))
    return limits


def _additions(message: Any, field: str, path: str) -> HeaderMutation:
    where = join(path, field)
    add = tuple(
        compile_addition(option, f"{where}[{number}]", value_formatter)
        for number, option in enumerate(getattr(message, field))
    )
    return HeaderMutation((MutationStep(add),) if add else ())


_MESSAGE = m.local_rate_limit_pb2.LocalRateLimit
LOCAL_RATE_LIMIT = FilterKind(_MESSAGE, _compile, _MESSAGE, _limiter)
