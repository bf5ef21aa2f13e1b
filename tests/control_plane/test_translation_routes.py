"""Routes beyond what the oracles cover: origin metadata, order, sidecar names, redirects, rewrites."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.control_plane.translation.proxy import Proxy
from minimesh.control_plane.translation.routes import build_routes
from tests.control_plane.descriptions import describe_routes
from tests.control_plane.labs import GATEWAY, GS_LAB, GS_PODS, HTTPBIN_LAB
from tests.control_plane.manifests import EVERYTHING
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy


def route_config(name: str, *manifests: str, proxy: Proxy | None = None) -> Any:
    [config] = build_routes(proxy or gateway_proxy(), push(*manifests), [name])
    return config


def rule(http: str, hosts: str = "[a.com]", name: str = "v") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: {hosts}
  gateways: [gw]
  http: {http}
"""


GW = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
"""

TO_WEB = "route: [{destination: {host: web, port: {number: 80}}}]"


def routes_of(http: str) -> list[Any]:
    config = route_config("http.80", GW, rule(http))
    return list(config.virtual_hosts[0].routes)


def test_a_route_names_its_resource_and_its_line() -> None:
    config = route_config("http.8080", GATEWAY, GS_LAB, *GS_PODS)
    metadata = json_format.MessageToDict(config.virtual_hosts[0].routes[0].metadata)["filterMetadata"]
    assert metadata["istio"] == {
        "config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/gsservice"
    }
    line = next(n for n, text in enumerate(GS_LAB.splitlines(), 1) if text.strip() == "- route:")
    assert metadata["minimesh"] == {
        "source": f"lab1.yaml:{line}",
        "resource": "default/gsservice",
        "field": "spec.http[0]",
    }


def test_a_gateways_route_configuration_ignores_ports_and_missing_clusters() -> None:
    config = route_config("http.8080", GATEWAY, GS_LAB)
    assert config.ignore_port_in_host_matching
    assert config.HasField("validate_clusters")
    assert not config.validate_clusters.value
    assert config.max_direct_response_body_size_bytes.value == 1024 * 1024
    assert config.virtual_hosts[0].include_request_attempt_count


@pytest.mark.parametrize("proxy", [gateway_proxy(), sidecar_proxy({})])
def test_an_unknown_name_gets_an_empty_configuration(proxy: Proxy) -> None:
    config = route_config("nonsense", GATEWAY, GS_LAB, proxy=proxy)
    assert (config.name, len(config.virtual_hosts)) == ("nonsense", 0)


def test_rules_for_one_host_add_up_on_a_gateway_with_what_matches_all_last() -> None:
    first = rule(f"[{{{TO_WEB}}}]", name="a")
    second = rule(f"[{{match: [{{uri: {{prefix: /b}}}}], {TO_WEB}}}]", name="b")
    config = route_config("http.80", GW, first, second)
    cluster = "outbound|80||web.default.svc.cluster.local"
    assert describe_routes(config) == [
        "a.com:80 [a.com]",
        f"  prefix /b -> {cluster}",
        f"  prefix / -> {cluster}",
    ]


def test_hosts_with_the_same_routes_share_a_virtual_host() -> None:
    config = route_config("http.80", GW, rule(f"[{{{TO_WEB}}}]", hosts="[b.com, a.com]"))
    assert [(v.name, list(v.domains)) for v in config.virtual_hosts] == [("a.com:80", ["a.com", "b.com"])]


def test_a_destination_without_port_takes_the_services_only_one() -> None:
    config = route_config("http.8080", GATEWAY, HTTPBIN_LAB.replace(", port: {number: 8000}", ""))
    assert config.virtual_hosts[0].routes[0].route.cluster.startswith("outbound|8000||httpbin.")


def test_a_destination_without_port_of_a_service_with_several_takes_the_one_that_was_called() -> None:
    two_ports = HTTPBIN_LAB.replace(", port: {number: 8000}", "").replace(
        "  ports:\n", "  ports:\n  - {name: http-admin, port: 9000}\n", 1
    )
    config = route_config("http.8080", GATEWAY, two_ports)
    assert config.virtual_hosts[0].routes[0].route.cluster.startswith("outbound|80||httpbin.")


def test_a_route_has_no_timeout_and_istios_retries() -> None:
    action = routes_of(f"[{{{TO_WEB}}}]")[0].route
    assert action.HasField("timeout")
    assert json_format.MessageToDict(action.timeout) == "0s"
    assert action.retry_policy.num_retries.value == 2
    assert action.retry_policy.retry_on == (
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    )


HASHED = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec:
  host: httpbin
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
"""


@pytest.mark.parametrize(
    ("rules", "retries", "avoids"),
    [
        ([], "", True),
        ([HASHED], "", False),
        ([HASHED], "retries: {attempts: 2, retryIgnorePreviousHosts: true}", True),
        ([], "retries: {attempts: 2, retryIgnorePreviousHosts: false}", False),
    ],
)
def test_a_retry_avoids_the_hosts_tried_before_unless_a_hash_chooses(
    rules: list[str], retries: str, avoids: bool
) -> None:
    lab = HTTPBIN_LAB.replace("    route:\n", f"    {retries}\n    route:\n") if retries else HTTPBIN_LAB
    config = route_config("http.8080", GATEWAY, lab, *rules)
    assert bool(config.virtual_hosts[0].routes[0].route.retry_policy.retry_host_predicate) is avoids


def test_a_header_that_must_not_be_there_counts_as_empty_but_where_its_presence_is_the_question() -> None:
    http = f"[{{match: [{{withoutHeaders: {{a: {{exact: x}}, b: {{}}, c: {{regex: '*'}}}}}}], {TO_WEB}}}]"
    [route] = routes_of(http)
    assert [
        (each.name, each.invert_match, each.present_match, each.treat_missing_header_as_empty)
        for each in route.match.headers
    ] == [("a", True, False, True), ("b", True, True, False), ("c", True, True, False)]


def test_no_attempts_means_no_retries() -> None:
    [route] = routes_of(f"[{{retries: {{attempts: 0}}, {TO_WEB}}}]")
    assert not route.route.HasField("retry_policy")


@pytest.mark.parametrize(
    ("redirect", "port"),
    [
        ("{port: 8443}", 8443),
        ("{port: 80}", 0),
        ("{scheme: https, port: 443}", 0),
        ("{scheme: https, port: 80}", 80),
        ("{derivePort: FROM_REQUEST_PORT}", 0),
        ("{scheme: https, derivePort: FROM_REQUEST_PORT}", 80),
        ("{derivePort: FROM_PROTOCOL_DEFAULT}", 0),
    ],
)
def test_a_redirect_names_a_port_only_where_the_scheme_does_not_imply_it(redirect: str, port: int) -> None:
    [route] = routes_of(f"[{{redirect: {redirect}}}]")
    assert route.redirect.port_redirect == port


def test_a_mirror_of_nothing_is_none() -> None:
    def mirrored(share: str) -> list[tuple[str, int]]:
        [route] = routes_of(f"[{{{TO_WEB}, mirrors: [{{destination: {{host: copy}}{share}}}]}}]")
        policies = route.route.request_mirror_policies
        return [(p.cluster.split("|")[3], p.runtime_fraction.default_value.numerator) for p in policies]

    assert mirrored("") == [("copy.default.svc.cluster.local", 100)]
    assert mirrored(", percentage: {value: 0.5}") == [("copy.default.svc.cluster.local", 5_000)]
    assert mirrored(", percentage: {value: 0}") == []


def test_the_hosts_rewrite_comes_from_rewrite_or_headers() -> None:
    headers = 'headers: {request: {set: {":authority": from-headers}}}'
    [route] = routes_of(f"[{{{headers}, {TO_WEB}}}]")
    assert route.route.host_rewrite_literal == "from-headers"
    assert not route.request_headers_to_add
    [route] = routes_of(f"[{{rewrite: {{authority: from-rewrite}}, {TO_WEB}}}]")
    assert route.route.host_rewrite_literal == "from-rewrite"


def test_a_zero_weight_beside_others_is_left_out() -> None:
    destinations = "[{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 100}]"
    [route] = routes_of(f"[{{route: {destinations}}}]")
    assert [c.name for c in route.route.weighted_clusters.clusters] == [
        "outbound|80||b.default.svc.cluster.local"
    ]


def test_a_match_for_another_port_or_gateway_makes_no_route() -> None:
    foreign = "{port: 81}, {gateways: [other]}"
    matches = f"[{foreign}, {{port: 80, uri: {{exact: /x}}}}, {{gateways: [gw], uri: {{exact: /y}}}}]"
    paths = [route.match.path for route in routes_of(f"[{{match: {matches}, {TO_WEB}}}]")]
    assert paths == ["/x", "/y"]


def test_https_redirect_needs_no_rule() -> None:
    config = route_config("http.80", EVERYTHING)
    hosts = {v.name: v.require_tls == v.ALL for v in config.virtual_hosts}
    assert hosts == {"everything.example.com:80": False, "secure.example.com:80": True}


def test_a_sidecars_rule_serves_the_service_and_its_other_hosts() -> None:
    config = route_config("80", EVERYTHING, proxy=sidecar_proxy({"app": "sleep"}))
    assert [v.name for v in config.virtual_hosts] == [
        "api.example.com:80",
        "everything.default.svc.cluster.local:80",
        "everything.example.com:80",
        "headless.default.svc.cluster.local:80",
        "allow_any",
    ]
    config = route_config("9080", EVERYTHING, proxy=sidecar_proxy({"app": "sleep"}))
    names = {v.name: [r.name for r in v.routes] for v in config.virtual_hosts}
    assert names["everything.default.svc.cluster.local:9080"][:2] == ["matches.all", "rewritten"]


def test_an_alias_is_one_more_name_of_its_service() -> None:
    config = route_config("9080", EVERYTHING, proxy=sidecar_proxy({"app": "sleep"}))
    [host] = [v for v in config.virtual_hosts if v.name.startswith("everything.default")]
    assert {"alias", "alias.default.svc.cluster.local"} <= set(host.domains)


def test_a_pod_of_another_namespace_needs_the_namespace_in_the_name() -> None:
    config = route_config("8000", HTTPBIN_LAB, proxy=sidecar_proxy({}, namespace="other"))
    domains = {v.name: list(v.domains) for v in config.virtual_hosts}
    assert domains["httpbin.default.svc.cluster.local:8000"] == [
        "httpbin.default.svc.cluster.local",
        "httpbin.default.svc.cluster.local.",
        "httpbin.default",
        "httpbin.default.svc",
        "10.96.0.10",
    ]


ENTRY_OF_A_SHORT_NAME = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: z-younger}
spec: {hosts: [web.default], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
"""


def test_an_abbreviation_gives_way_to_the_service_that_really_has_that_name() -> None:
    config = route_config("80", PLAIN_WEB, ENTRY_OF_A_SHORT_NAME, proxy=sidecar_proxy({}))
    domains = {v.name: list(v.domains) for v in config.virtual_hosts}
    assert "web.default" in domains["web.default:80"]
    assert {"web", "web.default.svc"} <= set(domains["web.default.svc.cluster.local:80"])
    assert "web.default" not in domains["web.default.svc.cluster.local:80"]


PLAIN_WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""


def mesh_rule(name: str, second: int, host: str, namespace: str = "default", more: str = "") -> str:
    """A VirtualService for sidecars; `second` says how late it was created."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "2026-01-01T00:00:{second:02}Z"}}
spec:
  {more}
  hosts: ["{host}"]
  http: [{{name: {name}, route: [{{destination: {{host: web.default.svc.cluster.local}}}}]}}]
"""


def rule_for_web(*manifests: str, namespace: str = "default") -> list[str]:
    """The routes that a sidecar has for the service, by name."""
    config = route_config("80", PLAIN_WEB, *manifests, proxy=sidecar_proxy({}, namespace=namespace))
    [host] = [v for v in config.virtual_hosts if v.name.startswith("web.default")]
    return [route.name for route in host.routes]


def test_in_the_mesh_the_oldest_rule_of_a_service_counts() -> None:
    assert rule_for_web(mesh_rule("older", 2, "web"), mesh_rule("a-newer", 3, "web")) == ["older"]


def test_a_services_own_name_wins_over_an_older_wildcard_and_the_longer_wildcard_over_the_shorter() -> None:
    wide = mesh_rule("wide", 1, "*.cluster.local")
    narrow = mesh_rule("narrow", 2, "*.default.svc.cluster.local")
    exact = mesh_rule("exact", 3, "web")
    assert rule_for_web(wide, narrow, exact) == ["exact"]
    assert rule_for_web(wide, narrow) == ["narrow"]
    assert rule_for_web(wide) == ["wide"]


def test_a_rule_private_to_the_callers_namespace_wins_then_one_exported_to_it_then_older_ones() -> None:
    host = "web.default.svc.cluster.local"
    public = mesh_rule("public", 1, host)
    exported = mesh_rule("exported", 2, host, more='exportTo: [".", client]')
    private = mesh_rule("private", 3, host, namespace="client", more='exportTo: ["."]')
    assert rule_for_web(public, exported, private, namespace="client") == ["private"]
    assert rule_for_web(public, exported, namespace="client") == ["exported"]
    assert rule_for_web(public, exported, private, namespace="another") == ["public"]
