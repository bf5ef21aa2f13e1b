"""What a matched route does. Redirect locations are those a live Envoy 1.40 gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from minimesh.data_plane.routing.actions import (
    DirectResponseAction,
    NonForwardingAction,
    RedirectAction,
    RouteAction,
)
from minimesh.data_plane.routing.route_table import RouteTable
from minimesh.data_plane.runtime import Fraction, Runtime
from minimesh.data_plane.xds_client.compile.error import CompileError
from tests.data_plane.routing.requests import Clusters, Head, compile_table, find, one_host, route_action


def _location(redirect: dict[str, Any], head: Head) -> str:
    name = head.path.split("/")[1]
    route = find(compile_table(one_host({"match": {"prefix": f"/{name}/"}, "redirect": redirect})), head)
    assert route is not None
    assert isinstance(route.action, RedirectAction)
    return route.action.location(head)


PORT = {"port_redirect": 81}
HTTPS = {"https_redirect": True}
SCHEME = {"scheme_redirect": "ftp"}
PATH = {"path_redirect": "/p"}
PATH_WITH_QUERY = {"path_redirect": "/p?a=b"}
STRIP = {"strip_query": True}
PREFIX = {"prefix_rewrite": "/new"}
REGEX = {"regex_rewrite": {"pattern": {"regex": "^/z/(\\w+)"}, "substitution": "/r/\\1"}}


@pytest.mark.parametrize(
    ("redirect", "request_url", "location"),
    [
        ({}, "http://a.com/z/x?q=1", "http://a.com/z/x?q=1"),
        ({"host_redirect": "n.com"}, "http://a.com/z/x?q=1", "http://n.com/z/x?q=1"),
        ({"host_redirect": "n.com"}, "https://a.com:8080/z/x", "https://n.com/z/x"),
        ({"host_redirect": "n.com:99"} | PORT, "http://a.com/z/x", "http://n.com:99:81/z/x"),
        (PATH, "http://a.com:80/z/x", "http://a.com:80/p"),
        (PATH, "https://[::1]:80/z/x", "https://[::1]:80/p"),
        (PATH, "http://a.com/z/x?q=1", "http://a.com/p?q=1"),
        ({"path_redirect": "rel"}, "http://a.com/z/x", "http://a.com/rel"),
        (PATH | STRIP, "http://a.com/z/x?q=1", "http://a.com/p"),
        (PATH_WITH_QUERY, "http://a.com/z/x?q=1", "http://a.com/p?a=b"),
        (PATH_WITH_QUERY | STRIP, "http://a.com/z/x?q=1", "http://a.com/p?a=b"),
        (HTTPS, "http://A.com/z/x?q=1", "https://A.com/z/x?q=1"),
        (HTTPS, "http://a.com:80/z/x", "https://a.com/z/x"),
        (HTTPS, "http://[::1]:80/z/x", "https://[::1]/z/x"),
        (HTTPS, "http://a.com:443/z/x", "https://a.com:443/z/x"),
        (HTTPS, "http://a.com:8080/z/x", "https://a.com:8080/z/x"),
        (HTTPS, "https://a.com:443/z/x", "https://a.com:443/z/x"),
        (HTTPS | {"port_redirect": 8443}, "http://a.com:80/z/x", "https://a.com:8443/z/x"),
        (SCHEME, "http://a.com:80/z/x", "ftp://a.com/z/x"),
        (SCHEME, "https://a.com:80/z/x", "ftp://a.com:80/z/x"),
        (SCHEME, "https://a.com:443/z/x", "ftp://a.com/z/x"),
        (PORT, "http://a.com:8080/z/x", "http://a.com:81/z/x"),
        (PORT, "https://[::1]:80/z/x", "https://[::1]:81/z/x"),
        (PREFIX, "http://a.com/z/x?q=1", "http://a.com/newx?q=1"),
        (PREFIX | STRIP, "http://a.com/z/x?q=1", "http://a.com/newx"),
        (REGEX, "http://a.com/z/x?q=1", "http://a.com/r/x?q=1"),
        (STRIP, "http://a.com/z/x?q=1", "http://a.com/z/x"),
    ],
)
def test_location(redirect: dict[str, Any], request_url: str, location: str) -> None:
    scheme, _, rest = request_url.partition("://")
    authority, _, path = rest.partition("/")
    head = Head("/" + path, "GET", authority, scheme, [("x-forwarded-proto", scheme)])
    assert _location(redirect, head) == location


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("MOVED_PERMANENTLY", 301),
        ("FOUND", 302),
        ("SEE_OTHER", 303),
        ("TEMPORARY_REDIRECT", 307),
        ("PERMANENT_REDIRECT", 308),
    ],
)
def test_redirect_status(code: str, status: int) -> None:
    route = find(
        compile_table(one_host({"match": {"prefix": "/"}, "redirect": {"response_code": code}})), Head()
    )
    assert route is not None
    assert isinstance(route.action, RedirectAction)
    assert route.action.status == status


# Clusters


def _weighted(**options: Any) -> RouteAction:
    clusters = [{"name": name, "weight": weight} for name, weight in (("a", 30), ("none", 0), ("b", 70))]
    return route_action({"weighted_clusters": {"clusters": clusters, **options}})


def test_weights_split_all_random_values() -> None:
    action = _weighted()
    chosen = Counter(action.choose(Head(), value).handle.name for value in range(1000))
    assert chosen == {"a": 300, "b": 700}
    assert action.choose(Head(), 29).handle.name == "a"
    assert action.choose(Head(), 2**64 - 1).handle.name == "a"


@pytest.mark.parametrize(("header", "cluster"), [("29", "a"), ("30", "b"), ("x", "a"), (None, "a")])
def test_a_header_can_bring_the_random_value(header: str | None, cluster: str) -> None:
    head = Head(headers=[("x-random", header)] if header else [])
    assert _weighted(header_name="X-Random").choose(head, 0).handle.name == cluster


def _ruled_table(runtime: Runtime) -> RouteTable:
    clusters = [{"name": "a", "weight": 30}, {"name": "b", "weight": 70}]
    action = {"weighted_clusters": {"clusters": clusters, "runtime_key_prefix": "split"}}
    return compile_table(one_host({"match": {"prefix": "/"}, "route": action}), runtime=runtime)


def _shares(table: RouteTable) -> Mapping[str, int]:
    route = find(table, Head())
    assert route is not None
    assert isinstance(route.action, RouteAction)
    return Counter(route.action.choose(Head(), value).handle.name for value in range(100))


@pytest.mark.parametrize(
    ("values", "shares"),
    [
        ({}, {"a": 30, "b": 70}),
        ({"split.a": 0}, {"b": 100}),
        ({"split.a": 1, "split.b": 3}, {"a": 25, "b": 75}),
        ({"split.a": "0"}, {"b": 100}),
        ({"split.a": 0.5}, {"b": 100}),
        ({"split.a": -1, "split.b": True}, {"a": 30, "b": 70}),
        ({"split.a": Fraction(0, 100)}, {"a": 30, "b": 70}),
    ],
)
def test_the_runtime_may_rule_weights(values: Mapping[str, object], shares: Mapping[str, int]) -> None:
    runtime = Runtime()
    table = _ruled_table(runtime)
    assert _shares(table) == {"a": 30, "b": 70}
    runtime.set_layer("admin", values)
    assert _shares(table) == shares
    runtime.set_layer("admin", {})
    assert _shares(table) == {"a": 30, "b": 70}


def test_a_route_whose_weights_the_runtime_takes_away_is_not_found() -> None:
    runtime = Runtime()
    table = _ruled_table(runtime)
    nothing = {"split.a": 0, "split.b": 0}
    runtime.set_layer("admin", nothing)
    assert find(table, Head()) is None
    with pytest.raises(CompileError, match="must be greater than 0"):
        _ruled_table(runtime)


def test_a_weighted_cluster_has_its_own_host_metadata_and_headers() -> None:
    def step(value: str) -> list[dict[str, Any]]:
        return [{"header": {"key": "x", "value": value}}]

    cluster = {
        "name": "c",
        "weight": 1,
        "host_rewrite_literal": "own",
        "metadata_match": {"filter_metadata": {"envoy.lb": {"version": "v2"}}},
        "request_headers_to_add": step("weighted"),
    }
    config = {
        "weighted_clusters": {"clusters": [cluster]},
        "metadata_match": {"filter_metadata": {"envoy.lb": {"version": "v1", "zone": "z"}}},
    }
    table = compile_table(
        one_host({"match": {"prefix": "/"}, "route": config, "request_headers_to_add": step("route")})
    )
    route = find(table, Head())
    assert route is not None
    assert isinstance(route.action, RouteAction)
    choice = route.action.choose(Head(), 0)
    assert choice.host_rewrite == "own"
    assert choice.metadata_match == {"version": "v2", "zone": "z"}
    head = Head()
    choice.request_headers.apply(head, None)
    assert head.header_values("x") == ["weighted", "route"]


def test_a_handle_is_shared_and_live() -> None:
    """A cluster that comes later is there at once, for tables compiled before."""
    clusters = Clusters()
    config = one_host({"match": {"prefix": "/"}, "route": {"cluster": "late"}})
    table = compile_table(config, clusters)
    route = find(table, Head())
    assert route is not None
    assert isinstance(route.action, RouteAction)
    handle = route.action.choose(Head(), 0).handle
    assert handle.cluster is None
    clusters.handles["late"].cluster = "live"
    assert handle.cluster == "live"


def test_a_header_can_name_the_cluster_but_not_make_one() -> None:
    clusters = Clusters("known")
    table = compile_table(
        one_host({"match": {"prefix": "/"}, "route": {"cluster_header": "X-Cluster"}}), clusters
    )
    route = find(table, Head())
    assert route is not None
    assert isinstance(route.action, RouteAction)

    def chosen(*headers: tuple[str, str]) -> object:
        assert isinstance(route.action, RouteAction)
        handle = route.action.choose(Head(headers=list(headers)), 0).handle
        return handle.name if handle.cluster is not None else None

    assert chosen(("x-cluster", "known")) == "known"
    assert chosen(("x-cluster", "unknown")) is None
    assert chosen() is None
    assert set(clusters.handles) == {"known"}


# Rewrites


@pytest.mark.parametrize(
    ("config", "head", "host"),
    [
        ({}, Head(), None),
        ({"host_rewrite_literal": "n.com"}, Head(), "n.com"),
        ({"host_rewrite_header": "X-Host"}, Head(headers=[("x-host", "h"), ("x-host", "i")]), "h"),
        ({"host_rewrite_header": "X-Host"}, Head(headers=[("x-host", "")]), None),
        ({"host_rewrite_header": "X-Host"}, Head(), None),
        (
            {
                "host_rewrite_path_regex": {
                    "pattern": {"regex": "^/(.+)/.+$"},
                    "substitution": "\\1.com",
                }
            },
            Head("/sub/path?x=/y/z"),
            "sub.com",
        ),
    ],
)
def test_host_rewrite(config: dict[str, Any], head: Head, host: str | None) -> None:
    assert route_action({"cluster": "c", **config}).rewrite_host(head) == host


def test_auto_host_rewrite() -> None:
    action = route_action({"cluster": "c", "auto_host_rewrite": True, "append_x_forwarded_host": True})
    assert action.auto_host_rewrite
    assert action.append_x_forwarded_host


# The rest of a RouteAction


def test_timeouts_are_told_apart_from_their_absence() -> None:
    unset = route_action({"cluster": "c"})
    assert (unset.timeout_s, unset.idle_timeout_s, unset.grpc_timeout_header_max_s) == (None, None, None)
    off = route_action({"cluster": "c", "timeout": "0s", "idle_timeout": "0s", "max_grpc_timeout": "0s"})
    assert (off.timeout_s, off.idle_timeout_s, off.max_grpc_timeout_s) == (0, 0, 0)
    assert off.grpc_timeout_header_max_s is None
    assert (unset.limits_stream, off.limits_stream) == (False, True)
    duration = {
        "max_stream_duration": "3s",
        "grpc_timeout_header_max": "2.5s",
        "grpc_timeout_header_offset": "0.1s",
    }
    some = route_action({"cluster": "c", "timeout": "1.5s", "max_stream_duration": duration})
    # As in Envoy, a limit on the stream's duration takes the place of the route's timeout.
    assert (some.timeout_s, some.max_stream_duration_s) == (0, 3)
    assert (some.grpc_timeout_header_max_s, some.grpc_timeout_header_offset_s) == (2.5, 0.1)


def test_retries_as_istiod_asks_for_them() -> None:
    policy = route_action(
        {
            "cluster": "c",
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                "num_retries": 2,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": "5",
            },
        }
    ).retry_policy
    assert policy is not None
    assert policy.retry_on == {
        "connect-failure",
        "refused-stream",
        "unavailable",
        "cancelled",
        "retriable-status-codes",
    }
    assert (policy.num_retries, policy.previous_hosts, policy.host_selection_retry_max_attempts) == (
        2,
        True,
        5,
    )
    assert (policy.base_interval_s, policy.max_interval_s) == (0.025, 0.25)


def test_retry_conditions() -> None:
    policy = route_action(
        {
            "cluster": "c",
            "retry_policy": {
                "retry_on": "5xx, retriable-headers ,no-such-word",
                "per_try_timeout": "2s",
                "retriable_status_codes": [503, 404],
                "retriable_headers": [{"name": "x-again"}],
                "retriable_request_headers": [{"name": "x-may", "string_match": {"exact": "yes"}}],
                "retry_back_off": {"base_interval": "0.1s"},
            },
        }
    ).retry_policy
    assert policy is not None
    assert policy.retry_on == {"5xx", "retriable-headers"}
    assert (policy.num_retries, policy.per_try_timeout_s) == (1, 2)
    assert policy.retriable_status_codes == {503, 404}
    assert policy.retriable_headers[0].matches(Head(headers=[("x-again", "")]))
    assert not policy.retriable_request_headers[0].matches(Head())
    assert (policy.base_interval_s, policy.max_interval_s) == (0.1, 1.0)


def test_a_virtual_hosts_retry_policy_and_mirrors_serve_routes_without_their_own() -> None:
    def policy(count: int) -> dict[str, Any]:
        return {"retry_on": "5xx", "num_retries": count}

    def mirrors(name: str) -> list[dict[str, Any]]:
        fraction = {"default_value": {"numerator": 5, "denominator": "TEN_THOUSAND"}}
        return [{"cluster": name, "runtime_fraction": fraction}]

    own = {"cluster": "c", "retry_policy": policy(7), "request_mirror_policies": mirrors("route")}
    table = compile_table(
        one_host(
            {"match": {"path": "/own"}, "route": own},
            {"match": {"prefix": "/"}, "route": {"cluster": "c"}},
            retry_policy=policy(3),
            request_mirror_policies=mirrors("host"),
        )
    )
    for path, count, mirror in (("/own", 7, "route"), ("/", 3, "host")):
        route = find(table, Head(path))
        assert route is not None
        assert isinstance(route.action, RouteAction)
        assert route.action.retry_policy is not None
        assert route.action.retry_policy.num_retries == count
        [policy_found] = route.action.mirrors
        assert policy_found.cluster.name == mirror
        assert [policy_found.fraction.includes(value) for value in (4, 5, 10_004)] == [True, False, True]


def test_upgrades_hashes_and_the_status_for_a_missing_cluster() -> None:
    action = route_action(
        {
            "cluster": "c",
            "upgrade_configs": [{"upgrade_type": "WebSocket"}, {"upgrade_type": "x", "enabled": False}],
            "hash_policy": [
                {"header": {"header_name": "X-User"}, "terminal": True},
                {"cookie": {"name": "c", "ttl": "60s", "path": "/"}},
                {"connection_properties": {"source_ip": True}},
                {"query_parameter": {"name": "q"}},
            ],
            "cluster_not_found_response_code": "NOT_FOUND",
        }
    )
    assert action.upgrades == {"websocket": True, "x": False}
    assert action.cluster_not_found_status == 404
    assert [(policy.kind, policy.name, policy.terminal) for policy in action.hash_policies] == [
        ("header", "x-user", True),
        ("cookie", "c", False),
        ("source_ip", "", False),
        ("query_parameter", "q", False),
    ]
    assert action.hash_policies[1].cookie_ttl_s == 60


def test_direct_responses_and_none_at_all(tmp_path: Any) -> None:
    page = tmp_path / "page.txt"
    page.write_bytes(b"from a file")
    for body, expected in (
        ({"inline_string": "é"}, "é".encode()),
        ({"inline_bytes": "AP8="}, b"\x00\xff"),
        ({"filename": str(page)}, b"from a file"),
        (None, b""),
    ):
        response = {"status": 418} | ({"body": body} if body else {})
        route = find(compile_table(one_host({"match": {"prefix": "/"}, "direct_response": response})), Head())
        assert route is not None
        assert route.action == DirectResponseAction(418, expected)
    nothing = find(compile_table(one_host({"match": {"prefix": "/"}, "non_forwarding_action": {}})), Head())
    assert nothing is not None
    assert nothing.action == NonForwardingAction()
