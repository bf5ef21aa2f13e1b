"""The local rate limit filter: requests beyond what a token bucket of this proxy gives are answered here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.token_bucket import BucketSettings, TokenBucket
from minimesh.data_plane.routing.actions import NEVER, RouteAction
from minimesh.data_plane.routing.header_mutation import NO_MUTATION, HeaderMutation
from minimesh.data_plane.routing.rate_limit import Descriptor, Entry, RateLimitRule, Subject, descriptors
from minimesh.data_plane.runtime import AnyFraction

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.telemetry.stats import StatsStore

LIMITED = b"local_rate_limited"
_RESOURCE_EXHAUSTED = 8


class VirtualHostRules(Enum):
    """`vh_rate_limits`: which rules of the virtual host count."""

    OVERRIDE = "those, if the route has none"
    INCLUDE = "those as well"
    IGNORE = "none"


@dataclass(frozen=True, slots=True)
class LocalRateLimit:
    """How much is let through, and what becomes of the rest."""

    bucket: BucketSettings | None = None
    descriptors: Mapping[tuple[Entry, ...], BucketSettings] = field(default_factory=dict)
    """Limits for requests of a kind. An empty value stands for any, each with a bucket of its own."""
    max_dynamic_descriptors: int = 20
    status: int = 429
    enabled: AnyFraction = NEVER
    enforced: AnyFraction = NEVER
    request_headers_when_not_enforced: HeaderMutation = NO_MUTATION
    response_headers: HeaderMutation = NO_MUTATION
    per_connection: bool = False
    rules: tuple[RateLimitRule, ...] = ()
    """In place of the route's, if there are any."""
    stage: int = 0
    virtual_host_rules: VirtualHostRules = VirtualHostRules.OVERRIDE
    always_consume_default_bucket: bool = True
    rate_limit_headers: bool = False
    """x-ratelimit-*."""
    resource_exhausted: bool = False
    """gRPC calls are told RESOURCE_EXHAUSTED in place of UNAVAILABLE."""


class Buckets:
    """The live token buckets of one configuration (and of one connection, if it says so)."""

    __slots__ = ("_by_descriptor", "_default", "_dynamic", "_limits")

    def __init__(self, limits: LocalRateLimit, now_s: float) -> None:
        self._limits = limits
        self._default = None if limits.bucket is None else TokenBucket(limits.bucket, now_s)
        self._by_descriptor = {
            entries: TokenBucket(settings, now_s)
            for entries, settings in limits.descriptors.items()
            if all(value for _, value in entries)
        }
        #: Buckets for values that were not configured, the last used at the end.
        self._dynamic: dict[tuple[Entry, ...], TokenBucket] = {}

    def admit(self, asked: Sequence[Descriptor], now_s: float) -> tuple[bool, TokenBucket | None]:
        """Whether a request may pass, and the bucket that tells the client how much is left."""
        matched = [
            (bucket, descriptor.hits)
            for descriptor in asked
            if (bucket := self._bucket_of(descriptor.entries, now_s)) is not None
        ]
        matched.sort(key=lambda each: each[0].tokens_per_s)
        for bucket, hits in matched:
            if not bucket.take(hits, now_s):
                return False, bucket
        default = self._default
        consumes_default = not matched or self._limits.always_consume_default_bucket
        if default is not None and consumes_default and not default.take(1, now_s):
            return False, default
        return True, matched[0][0] if matched else default

    def _bucket_of(self, entries: tuple[Entry, ...], now_s: float) -> TokenBucket | None:
        found = self._by_descriptor.get(entries) or self._dynamic.pop(entries, None)
        if found is None:
            settings = self._wildcard(entries)
            if settings is None:
                return None
            found = TokenBucket(settings, now_s)
        elif entries in self._by_descriptor:
            return found
        self._dynamic[entries] = found
        if len(self._dynamic) > self._limits.max_dynamic_descriptors:
            del self._dynamic[next(iter(self._dynamic))]
        return found

    def _wildcard(self, entries: tuple[Entry, ...]) -> BucketSettings | None:
        for pattern, settings in self._limits.descriptors.items():
            if len(pattern) == len(entries) and all(
                key == wanted_key and wanted in ("", value)
                for (wanted_key, wanted), (key, value) in zip(pattern, entries, strict=True)
            ):
                return settings
        return None


class LocalRateLimiter:
    """One configuration at work: its counters and its buckets."""

    __slots__ = ("_buckets", "_enabled", "_enforced", "_ok", "_rate_limited", "limits")

    def __init__(self, limits: LocalRateLimit, stats: StatsStore, stat_prefix: str) -> None:
        prefix = f"{stat_prefix}.http_local_rate_limit."
        self.limits = limits
        self._enabled = stats.counter(prefix + "enabled")
        self._enforced = stats.counter(prefix + "enforced")
        self._ok = stats.counter(prefix + "ok")
        self._rate_limited = stats.counter(prefix + "rate_limited")
        self._buckets: Buckets | None = None

    def decide(self, stream: Stream, node_cluster: str) -> tuple[_Verdict, TokenBucket | None]:
        """What becomes of a request; counted."""
        limits, source = self.limits, stream.manager.random
        if not limits.enabled.includes(source.getrandbits(63)):
            return _Verdict.CONTINUE, None
        self._enabled.inc()
        now_s = stream.connection.loop.time()
        asked = list(_descriptors(limits, stream, node_cluster))
        admitted, bucket = self._buckets_for(stream, now_s).admit(asked, now_s)
        if admitted:
            self._ok.inc()
            return _Verdict.CONTINUE, bucket
        self._rate_limited.inc()
        if not limits.enforced.includes(source.getrandbits(63)):
            return _Verdict.MARK, bucket
        self._enforced.inc()
        return _Verdict.REFUSE, bucket

    def _buckets_for(self, stream: Stream, now_s: float) -> Buckets:
        if self.limits.per_connection:
            info = stream.connection.info
            kept = info.filter_state
            if kept is None:
                kept = info.filter_state = {}
            buckets = kept.get(self)
            if not isinstance(buckets, Buckets):
                buckets = kept[self] = Buckets(self.limits, now_s)
            return buckets
        if self._buckets is None:
            self._buckets = Buckets(self.limits, now_s)
        return self._buckets


class _Verdict(Enum):
    CONTINUE = "continue"
    MARK = "continue, and say so"
    REFUSE = "refuse"


class LocalRateLimitFilter:
    """See the module. A route's configuration stands in place of the filter's own."""

    __slots__ = ("_limiter", "_node_cluster", "by_route", "name")

    def __init__(self, name: str, limiter: LocalRateLimiter, node_cluster: str) -> None:
        self.name = name
        self.by_route = limiter.limits.enabled.numerator == 0
        self._limiter = limiter
        self._node_cluster = node_cluster

    def on_request(self, stream: Stream) -> FilterStatus:
        own = stream.filter_config(self.name)
        limiter = own if isinstance(own, LocalRateLimiter) else self._limiter
        limits = limiter.limits
        verdict, bucket = limiter.decide(stream, self._node_cluster)
        if bucket is not None and limits.rate_limit_headers:
            stream.filter_state = {**(stream.filter_state or {}), self.name: bucket}
        if verdict is _Verdict.CONTINUE:
            return FilterStatus.CONTINUE
        if verdict is _Verdict.MARK:
            assert stream.head is not None
            limits.request_headers_when_not_enforced.apply(stream.head, stream.info)
            return FilterStatus.CONTINUE
        stream.info.add_flag("RL")
        stream.send_local_reply(
            limits.status,
            LIMITED,
            "local_rate_limited",
            grpc_status=_RESOURCE_EXHAUSTED if limits.resource_exhausted else None,
            change=limits.response_headers,
        )
        return FilterStatus.STOP

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        bucket = stream.filter_state.get(self.name) if stream.filter_state else None
        if isinstance(bucket, TokenBucket):
            now_s = stream.connection.loop.time()
            response.set_header("x-ratelimit-limit", str(bucket.settings.max_tokens))
            response.set_header("x-ratelimit-remaining", str(bucket.remaining(now_s)))
            response.set_header("x-ratelimit-reset", str(bucket.next_token_in_s(now_s)))
        return FilterStatus.CONTINUE


def _descriptors(limits: LocalRateLimit, stream: Stream, node_cluster: str) -> list[Descriptor]:
    """What the rules in force make of a request: the filter's own, or those of route and virtual host."""
    head, choice, route, host = stream.head, stream.choice, stream.route, stream.virtual_host
    if not limits.descriptors or head is None or choice is None or route is None or host is None:
        return []
    assert isinstance(route.action, RouteAction)
    address = stream.info.downstream_remote_address or ""
    subject = Subject(head, address.rpartition(":")[0].strip("[]"), node_cluster, choice.handle.name)
    if limits.rules:
        return list(descriptors(limits.rules, limits.stage, subject))
    rules = route.action.rate_limits
    made = list(descriptors(rules, limits.stage, subject))
    which = limits.virtual_host_rules
    if (
        which is VirtualHostRules.INCLUDE
        or route.action.include_virtual_host_rate_limits
        or (which is VirtualHostRules.OVERRIDE and not rules)
    ):
        made += descriptors(host.settings.rate_limits, limits.stage, subject)
    return made
