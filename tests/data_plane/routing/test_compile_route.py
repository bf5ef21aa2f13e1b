"""What a RouteConfiguration is refused for, by the path of the field, and what passes."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.data_plane.routing.actions import RouteAction
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.xds import messages as m
from tests.data_plane.routing.requests import Clusters, Head, compile_table, find, one_host

ROUTE = "virtual_hosts[0].routes[0]"


def _refusal(config: dict[str, Any], **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        compile_table(config, **options)
    return str(caught.value)


def _route(match: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    fields = fields or {"route": {"cluster": "c"}}
    return one_host({"match": match if match is not None else {"prefix": "/"}, **fields})


def _regex(text: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": text}}


@pytest.mark.parametrize(
    ("match", "refusal"),
    [
        ({}, ": no path specifier"),
        ({"prefix": "/", "filter_state": [{"key": "k"}]}, ".filter_state: not supported"),
        ({"connect_matcher": {}}, ".connect_matcher: not supported"),
        ({"path_match_policy": {"name": "x"}}, ".path_match_policy: not supported"),
        ({"path_separated_prefix": "/a/"}, ".path_separated_prefix: '/a/' must begin with a slash"),
        (_regex("(?=a)"), ".safe_regex.regex: "),
        (_regex(""), ".safe_regex.regex: must not be empty"),
        (
            {"prefix": "/", "headers": [{"name": "h", "string_match": {}}]},
            ".headers[0].string_match: no match",
        ),
        (
            {"prefix": "/", "headers": [{"name": "a"}, {"name": "h", "string_match": {"prefix": ""}}]},
            ".headers[1].string_match.prefix: must not be empty",
        ),
        (
            {"prefix": "/", "query_parameters": [{"name": "h", "string_match": {"custom": {"name": "x"}}}]},
            ".query_parameters[0].string_match.custom: not supported",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_matches(match: dict[str, Any], refusal: str) -> None:
    assert _refusal(_route(match)).startswith(f"{ROUTE}.match{refusal}")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"name": "x"}, ": no action: one of route, redirect"),
        ({"filter_action": {}}, ".filter_action: not supported"),
        ({"route": {}}, ".route: no cluster: one of"),
        ({"route": {"cluster": ""}}, ".route.cluster: must not be empty"),
        ({"route": {"cluster_specifier_plugin": "x"}}, ".route.cluster_specifier_plugin: not supported"),
        ({"route": {"cluster": "c", "hedge_policy": {}}}, ".route.hedge_policy: not supported"),
        (
            {"route": {"cluster": "c", "internal_redirect_policy": {}}},
            ".route.internal_redirect_policy: not supported",
        ),
        (
            {"route": {"cluster": "c", "timeout": "-1s"}},
            ".route.timeout: must not be negative",
        ),
        (
            {
                "route": {
                    "cluster": "c",
                    "prefix_rewrite": "/a",
                    "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "b"},
                }
            },
            ".route.regex_rewrite: only one of",
        ),
        (
            {
                "route": {
                    "cluster": "c",
                    "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "\\1"},
                }
            },
            ".route.regex_rewrite.substitution: substitution names group 1",
        ),
        (
            {"route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}},
            ".route.weighted_clusters: the sum of the weights must be greater than 0",
        ),
        (
            {"route": {"weighted_clusters": {"clusters": [{"weight": 1, "cluster_header": "x"}]}}},
            ".route.weighted_clusters.clusters[0].cluster_header: not supported",
        ),
        (
            {
                "route": {
                    "cluster": "c",
                    "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
                }
            },
            ".route.upgrade_configs[0].connect_config: not supported",
        ),
        (
            {
                "route": {
                    "cluster": "c",
                    "upgrade_configs": [{"upgrade_type": "a"}, {"upgrade_type": "A"}],
                }
            },
            ".route.upgrade_configs[1].upgrade_type: 'a' is there twice",
        ),
        (
            {"route": {"cluster": "c", "retry_policy": {"retry_priority": {"name": "x"}}}},
            ".route.retry_policy.retry_priority: 'x' is not supported",
        ),
        (
            {"route": {"cluster": "c", "retry_policy": {"retry_host_predicate": [{"name": "mine"}]}}},
            ".route.retry_policy.retry_host_predicate[0]: 'mine' is not supported",
        ),
        (
            {"route": {"cluster": "c", "hash_policy": [{"filter_state": {"key": "k"}}]}},
            ".route.hash_policy[0].filter_state: not supported",
        ),
        ({"direct_response": {"status": 99}}, ".direct_response.status: 99 is not between"),
        (
            {"direct_response": {"status": 200, "body": {"inline_string": "x" * 4097}}},
            ".direct_response.body: 4097 bytes are more than max_direct_response_body_size_bytes (4096)",
        ),
        (
            {"direct_response": {"status": 200, "body": {"filename": "/no/such/file"}}},
            ".direct_response.body.filename: '/no/such/file': No such file or directory",
        ),
        (
            {
                "direct_response": {"status": 200},
                "response_headers_to_add": [{"header": {"key": ":path", "value": "x"}}],
            },
            ".response_headers_to_add[0].header.key: ':path': headers that begin with a colon, and host",
        ),
        (
            {"direct_response": {"status": 200}, "request_headers_to_remove": ["a", "Host"]},
            ".request_headers_to_remove[1]: 'Host': headers that begin",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_routes(fields: dict[str, Any], refusal: str) -> None:
    assert _refusal(_route(**fields)).startswith(ROUTE + refusal)


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        ({"vhds": {}}, "vhds: not supported"),
        ({"vhost_header": "x"}, "vhost_header: not supported"),
        (
            {"virtual_hosts": [{"name": "a", "domains": []}]},
            "virtual_hosts[0].domains: must name at least one",
        ),
        ({"virtual_hosts": [{"name": "", "domains": ["a"]}]}, "virtual_hosts[0].name: must not be empty"),
        (
            {"virtual_hosts": [{"name": "a", "domains": ["ok", "a*b"]}]},
            "virtual_hosts[0].domains[1]: 'a*b': one asterisk",
        ),
        (
            {"virtual_hosts": [{"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["X"]}]},
            "virtual_hosts: domain 'X' of virtual host 'b' is already taken",
        ),
        (
            {"virtual_hosts": [{"name": "a", "domains": ["x"]}, {"name": "a", "domains": ["y"]}]},
            "virtual_hosts[1].name: 'a' is there twice",
        ),
        (
            {"virtual_hosts": [{"name": "a", "domains": ["x"], "matcher": {}}]},
            "virtual_hosts[0].matcher: not supported",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_configurations(config: dict[str, Any], refusal: str) -> None:
    assert _refusal(config).startswith(refusal)


def test_an_enum_value_of_a_later_version_is_refused() -> None:
    message = m.route_pb2.RouteConfiguration()
    route = message.virtual_hosts.add(name="v", domains=["*"]).routes.add()
    route.match.prefix = "/"
    route.redirect.response_code = 99
    with pytest.raises(CompileError, match=r"redirect\.response_code: unknown value 99"):
        compile_route_configuration(message, Clusters().get)


def test_clusters_are_checked_when_asked() -> None:
    config = _route()
    text = f"{ROUTE}: unknown cluster 'c'"
    assert _refusal(config, validate_clusters=True) == text
    assert _refusal(config | {"validate_clusters": True}) == text
    compile_table(config, Clusters("c"), validate_clusters=True)
    compile_table(config | {"validate_clusters": False}, validate_clusters=True)


def test_what_a_missing_hook_would_do_is_refused() -> None:
    config = _route(
        request_headers_to_add=[{"header": {"key": "x", "value": "%PROTOCOL%"}}], route={"cluster": "c"}
    )
    message = m.json_format.ParseDict(config, m.route_pb2.RouteConfiguration())
    with pytest.raises(CompileError, match="format operators are not supported here: '%PROTOCOL%'"):
        compile_route_configuration(message, Clusters().get)
    message = m.json_format.ParseDict(_route(route={"cluster_header": "x"}), m.route_pb2.RouteConfiguration())
    with pytest.raises(CompileError, match="cluster_header: not supported here"):
        compile_route_configuration(message, Clusters().get)


CORS = {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"}


def test_filter_configurations_most_specific_first() -> None:
    def named(*names: str) -> dict[str, Any]:
        return dict.fromkeys(names, CORS)

    cluster = {"name": "c", "weight": 1, "typed_per_filter_config": named("d")}
    route = {
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": [cluster]}},
        "typed_per_filter_config": named("c", "d"),
    }
    config = one_host(route, typed_per_filter_config=named("b", "c", "d"))
    config["typed_per_filter_config"] = named("a", "b", "c", "d")
    calls: list[str] = []

    def compile_filter_config(name: str, message: Any) -> object:
        calls.append(name)
        return f"{name}{calls.count(name)}"

    found = find(compile_table(config, compile_filter_config=compile_filter_config), Head())
    assert found is not None
    assert isinstance(found.action, RouteAction)
    # Compiled from the outside in: the highest number is the innermost.
    assert found.typed_per_filter_config == {"a": "a1", "b": "b2", "c": "c3", "d": "d3"}
    choice = found.action.choose(Head(), 0)
    assert choice.typed_per_filter_config == {"a": "a1", "b": "b2", "c": "c3", "d": "d4"}


def test_a_filters_refusal_names_the_whole_path() -> None:
    def refuse(name: str, message: Any) -> object:
        raise CompileError("allow_origin[0]", "not supported")

    config = _route(route={"cluster": "c"}, typed_per_filter_config={"cors": CORS})
    text = _refusal(config, compile_filter_config=refuse)
    assert text == f"{ROUTE}.typed_per_filter_config[cors].allow_origin[0]: not supported"


def test_what_istiod_sends_passes_and_is_kept() -> None:
    config = one_host(
        {
            "name": "default",
            "match": {"prefix": "/", "case_sensitive": True},
            "route": {
                "cluster": "outbound|8000||httpbin.default.svc.cluster.local",
                "timeout": "0s",
                "max_grpc_timeout": "0s",
            },
            "metadata": {
                "filter_metadata": {
                    "istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/x"}
                }
            },
            "decorator": {"operation": "httpbin.default.svc.cluster.local:8000/*"},
            "stat_prefix": "s",
            "tracing": {},
        },
        include_request_attempt_count=True,
        rate_limits=[{"actions": [{"remote_address": {}}]}],
    )
    config |= {
        "validate_clusters": False,
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": 1048576,
        "internal_only_headers": ["X-Inside"],
    }
    table = compile_table(config, version="7")
    assert (table.name, table.version, table.ignore_port) == ("r", "7", True)
    assert table.internal_only_headers == ("x-inside",)
    host = table.find_virtual_host("any:80")
    assert host is not None
    assert host.settings.include_request_attempt_count
    route = host.find_route(Head(), 0)
    assert route is not None
    assert (route.name, route.stat_prefix) == ("default", "s")
    assert route.decorator_operation == "httpbin.default.svc.cluster.local:8000/*"
    assert route.metadata == {
        "istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/x"}
    }


def test_buffer_limits_are_inherited() -> None:
    config = one_host(
        {
            "match": {"path": "/own"},
            "route": {"cluster": "c"},
            "per_request_buffer_limit_bytes": 0,
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "c"}},
        per_request_buffer_limit_bytes=9,
    )
    table = compile_table(config)
    limits = [getattr(find(table, Head(path)), "retry_buffer_limit_bytes", None) for path in ("/own", "/")]
    assert limits == [0, 9]


@pytest.mark.parametrize(
    ("alike", "fields"),
    [
        (True, {"route": {"cluster": "c", "timeout": "3s"}}),
        (False, {"route": {"cluster": "c", "prefix_rewrite": "/"}}),
        (False, {"redirect": {"prefix_rewrite": "/"}}),
        (False, {"route": {"cluster": "c"}, "typed_per_filter_config": {"cors": CORS}}),
        (
            False,
            {
                "route": {
                    "weighted_clusters": {
                        "clusters": [{"name": "c", "weight": 1, "typed_per_filter_config": {"cors": CORS}}]
                    }
                }
            },
        ),
    ],
)
def test_routes_that_do_the_same_have_it_in_common(alike: bool, fields: dict[str, Any]) -> None:
    config = one_host(*({"match": {"prefix": path}, **fields} for path in ("/a", "/b")))
    table = compile_table(config, compile_filter_config=lambda _name, _message: object())
    first, second = (find(table, Head(path=path)) for path in ("/a", "/b"))
    assert first is not None
    assert second is not None
    assert first is not second
    assert (first.action is second.action) == alike
