"""The local rate limit filter and its token buckets. Envoy is asked the same in the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.data_plane.http.filters.local_rate_limit import Buckets, LocalRateLimit
from minimesh.data_plane.http.token_bucket import BucketSettings, TokenBucket
from minimesh.data_plane.routing.rate_limit import Descriptor
from tests.data_plane.http.filters.chains import TYPE, chain, counted, header, request, routes, status_of
from tests.data_plane.http.filters.refusals import refusal_of, refusal_of_routes
from tests.data_plane.http.lab import lab

KIND = "local_ratelimit.v3.LocalRateLimit"
ALWAYS = {"default_value": {"numerator": 100}}


def limit(tokens: int, **more: Any) -> dict[str, Any]:
    return {
        "stat_prefix": "rl",
        "token_bucket": {"max_tokens": tokens, "fill_interval": "1000s"},
        "filter_enabled": ALWAYS,
        "filter_enforced": ALWAYS,
        **more,
    }


async def test_what_is_beyond_the_bucket_is_answered_here() -> None:
    async with lab(routes(), http_filters=chain(KIND, **limit(2))) as running:
        statuses = [status_of(await running.ask(request("GET /x"))) for _ in range(4)]
        assert statuses == ["200", "200", "429", "429"]
        assert len(running.upstream.requests) == 2
        names = ("enabled", "ok", "rate_limited", "enforced")
        assert [counted(running, f"rl.http_local_rate_limit.{name}") for name in names] == [4, 2, 2, 2]
        [*_, last] = [await running.log.next() for _ in range(4)]
        assert " 429 RL local_rate_limited " in last


async def test_requests_without_a_route_take_tokens_too() -> None:
    async with lab("name: r", http_filters=chain(KIND, **limit(1))) as running:
        assert [status_of(await running.ask(request("GET /x"))) for _ in range(2)] == ["404", "429"]


async def test_a_route_has_buckets_of_its_own() -> None:
    table = routes(("/own", {"@type": TYPE + KIND, **limit(1)}))
    async with lab(table, http_filters=chain(KIND, stat_prefix="none")) as running:
        paths = ("/own", "/own", "/x", "/x")
        assert [status_of(await running.ask(request(f"GET {path}"))) for path in paths] == [
            "200", "429", "200", "200",
        ]  # fmt: skip


async def test_each_connection_may_have_its_own() -> None:
    filters = chain(KIND, **limit(1, local_rate_limit_per_downstream_connection=True))
    async with lab(routes(), http_filters=filters) as running:
        for _ in range(2):
            client = await running.client()
            client.send(request("GET /x") * 2)
            assert [status_of(await client.response()) for _ in range(2)] == ["200", "429"]
            client.close()


async def test_what_is_not_enforced_is_marked() -> None:
    marks = [{"header": {"key": "x-limited", "value": "yes"}}]
    more = {"filter_enforced": {}, "request_headers_to_add_when_not_enforced": marks}
    async with lab(routes(), http_filters=chain(KIND, **limit(1, **more))) as running:
        for _ in range(2):
            assert status_of(await running.ask(request("GET /x"))) == "200"
        assert [header(each, "x-limited") for each in running.upstream.requests] == [[], ["yes"]]


class TestDescriptors:
    ONE = BucketSettings(1, 1, 1000.0)
    MANY = BucketSettings(100, 1, 1000.0)
    BOB = Descriptor((("user", "bob"),))
    AL = Descriptor((("user", "al"),))

    def test_a_known_one_has_its_own_bucket(self) -> None:
        buckets = Buckets(LocalRateLimit(self.MANY, {self.BOB.entries: self.ONE}), 0.0)
        admitted = [buckets.admit([each], 0.0)[0] for each in (self.BOB, self.BOB, self.AL, self.AL)]
        assert admitted == [True, False, True, True]

    def test_an_empty_value_stands_for_any_each_with_its_own_bucket(self) -> None:
        buckets = Buckets(LocalRateLimit(self.MANY, {(("user", ""),): self.ONE}), 0.0)
        admitted = [buckets.admit([each], 0.0)[0] for each in (self.BOB, self.BOB, self.AL, self.AL)]
        assert admitted == [True, False, True, False]

    def test_values_nobody_configured_are_forgotten_when_there_are_too_many(self) -> None:
        limits = LocalRateLimit(self.MANY, {(("user", ""),): self.ONE}, max_dynamic_descriptors=2)
        buckets = Buckets(limits, 0.0)
        for user in ("a", "b", "c", "a"):
            assert buckets.admit([Descriptor((("user", user),))], 0.0)[0]

    def test_the_rest_is_the_default_buckets(self) -> None:
        buckets = Buckets(LocalRateLimit(self.ONE, {self.BOB.entries: self.MANY}), 0.0)
        assert [buckets.admit([self.AL], 0.0)[0] for _ in range(2)] == [True, False]

    def test_the_default_bucket_is_asked_as_well_unless_told_otherwise(self) -> None:
        for also, second in ((True, False), (False, True)):
            limits = LocalRateLimit(
                self.ONE, {self.BOB.entries: self.MANY}, always_consume_default_bucket=also
            )
            buckets = Buckets(limits, 0.0)
            assert [buckets.admit([self.BOB], 0.0)[0] for _ in range(2)] == [True, second]

    def test_a_request_may_cost_several_tokens(self) -> None:
        buckets = Buckets(LocalRateLimit(self.MANY, {self.BOB.entries: BucketSettings(3, 1, 1000.0)}), 0.0)
        costly = Descriptor(self.BOB.entries, 2)
        assert [buckets.admit([costly], 0.0)[0] for _ in range(2)] == [True, False]


class TestTokenBucket:
    def test_fills_up_as_time_goes_by(self) -> None:
        bucket = TokenBucket(BucketSettings(2, 1, 10.0), 0.0)
        assert [bucket.take(1, at) for at in (0.0, 0.0, 0.0, 9.9, 10.1)] == [True, True, False, False, True]

    def test_never_above_its_brim(self) -> None:
        bucket = TokenBucket(BucketSettings(2, 1, 1.0), 0.0)
        assert bucket.remaining(100.0) == 2

    def test_tells_when_there_will_be_one(self) -> None:
        bucket = TokenBucket(BucketSettings(1, 1, 10.0), 0.0)
        assert bucket.next_token_in_s(0.0) == 0
        bucket.take(1, 0.0)
        assert [bucket.next_token_in_s(at) for at in (0.0, 3.5, 9.5, 10.0)] == [10, 7, 1, 0]

    def test_takes_all_or_none(self) -> None:
        bucket = TokenBucket(BucketSettings(3, 1, 1000.0), 0.0)
        assert not bucket.take(4, 0.0)
        assert bucket.remaining(0.0) == 3

    def test_time_that_goes_back_gives_nothing(self) -> None:
        bucket = TokenBucket(BucketSettings(1, 1, 1.0), 5.0)
        bucket.take(1, 5.0)
        assert bucket.remaining(1.0) == 0


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"stat_prefix": ""}, "stat_prefix: must not be empty"),
        (limit(0), "token_bucket.max_tokens: must be greater than 0"),
        (
            limit(1, token_bucket={"max_tokens": 1, "fill_interval": "0.01s"}),
            "token_bucket.fill_interval: must be at least 0.05s",
        ),
        (
            {"stat_prefix": "a", "filter_enabled": ALWAYS},
            "token_bucket: must be there where filter_enabled is",
        ),
        (limit(1, local_cluster_rate_limit={}), "local_cluster_rate_limit: not supported"),
    ],
)
async def test_what_is_refused(config: dict[str, Any], reason: str) -> None:
    assert refusal_of(chain(KIND, **config)) == f"http_filters[0].typed_config.{reason}"


async def test_rules_that_cannot_be_followed_are_refused() -> None:
    table = routes(rate_limits=[{"actions": [{"masked_remote_address": {}}]}])
    assert refusal_of_routes(table) == (
        "virtual_hosts[0].rate_limits[0].actions[0].masked_remote_address: not supported"
    )
