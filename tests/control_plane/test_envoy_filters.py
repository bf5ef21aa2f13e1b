"""EnvoyFilters: which proxies they concern, what they match, and what each operation does."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.envoy_filters.merge import merge
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.explain.explaining import explain
from minimesh.explain.question import Question
from minimesh.explain.world import World
from minimesh.xds import messages as m
from tests.control_plane.labs import GATEWAY, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy
from tests.proofs import proves

MUTATION = """
        name: patched
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
          mutations:
            response_mutations: [{append: {header: {key: x-patched, value: "yes"}}}]
"""
LUA = """
        name: envoy.filters.http.lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          inline_code: "function envoy_on_response(handle) end"
"""
TYPED_STRUCT = """
        name: patched
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
          value: {max_request_bytes: 7}
"""
MANAGER = m.http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR.full_name
ROUTER = "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, %s}}}"
BEFORE_ROUTER = ROUTER % "subFilter: {name: envoy.filters.http.router}"
GATEWAY_PROXY = gateway_proxy()
SIDECAR = sidecar_proxy({"app": "httpbin"})


def envoy_filter(
    apply_to: str,
    operation: str,
    value: str = "{}",
    *,
    match: str = "",
    name: str = "patch",
    namespace: str = "istio-system",
    more: str = "",
) -> str:
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {more}
  configPatches:
  - applyTo: {apply_to}
    match: {{{match}}}
    patch:
      operation: {operation}
      value: {value}
"""


def built(*filters: str, proxy: Proxy = GATEWAY_PROXY) -> Resources:
    return build_resources(proxy, push(GATEWAY, HTTPBIN_LAB, *HTTPBIN_PODS, *filters))


def managers(resources: Resources, listener: str) -> list[Any]:
    found = []
    for chain in resources.listeners[listener].filter_chains:
        for network_filter in chain.filters:
            if network_filter.name == HTTP_CONNECTION_MANAGER:
                manager = m.http_connection_manager_pb2.HttpConnectionManager()
                network_filter.typed_config.Unpack(manager)
                found.append(manager)
    return found


def filter_names(*filters: str, proxy: Proxy = GATEWAY_PROXY, listener: str = "0.0.0.0_8080") -> list[str]:
    manager = managers(built(*filters, proxy=proxy), listener)[0]
    return [each.name.rpartition(".")[2] for each in manager.http_filters]


@proves(
    "EnvoyFilter",
    "spec.configPatches[].applyTo",
    "spec.configPatches[].patch.operation",
    "spec.configPatches[].patch.value.**",
    "spec.configPatches[].match.listener.filterChain.filter.**",
)
@pytest.mark.parametrize(
    ("operation", "sub_filter", "expected"),
    [
        ("INSERT_BEFORE", "router", "grpc_stats fault cors patched router"),
        ("INSERT_BEFORE", "cors", "grpc_stats fault patched cors router"),
        ("INSERT_AFTER", "fault", "grpc_stats fault patched cors router"),
        ("INSERT_FIRST", "router", "patched grpc_stats fault cors router"),
        ("REPLACE", "cors", "grpc_stats fault patched router"),
        ("REMOVE", "cors", "grpc_stats fault router"),
        ("INSERT_BEFORE", "unheard_of", "grpc_stats fault cors router"),
        ("ADD", "router", "grpc_stats fault cors router patched"),
    ],
)
def test_an_http_filter_goes_where_its_operation_says(operation: str, sub_filter: str, expected: str) -> None:
    match = ROUTER % f"subFilter: {{name: envoy.filters.http.{sub_filter}}}"
    value = "{}" if operation == "REMOVE" else MUTATION
    assert " ".join(filter_names(envoy_filter("HTTP_FILTER", operation, value, match=match))) == expected


def test_names_of_old_still_fit() -> None:
    old = "name: envoy.http_connection_manager, subFilter: {name: envoy.router}"
    match = f"listener: {{filterChain: {{filter: {{{old}}}}}}}"
    assert filter_names(envoy_filter("HTTP_FILTER", "INSERT_BEFORE", MUTATION, match=match))[-2] == "patched"


@proves(
    "EnvoyFilter",
    "spec.configPatches[].match.context",
    "spec.configPatches[].match.listener.name",
    "spec.configPatches[].match.listener.portNumber",
    "spec.configPatches[].match.listener.listenerFilter",
    "spec.configPatches[].match.listener.filterChain.name",
    "spec.configPatches[].match.listener.filterChain.sni",
    "spec.configPatches[].match.listener.filterChain.transportProtocol",
    "spec.configPatches[].match.listener.filterChain.applicationProtocols",
    "spec.configPatches[].match.listener.filterChain.destinationPort",
)
@pytest.mark.parametrize(
    ("match", "patched"),
    [
        ("context: ANY", ["0.0.0.0_8000", "127.0.0.1_15080", "virtualInbound"]),
        ("context: SIDECAR_INBOUND", ["virtualInbound"]),
        ("context: SIDECAR_OUTBOUND", ["0.0.0.0_8000", "127.0.0.1_15080"]),
        ("context: GATEWAY", []),
        ("listener: {name: 0.0.0.0_8000}", ["0.0.0.0_8000"]),
        ("context: SIDECAR_OUTBOUND, listener: {portNumber: 8000}", ["0.0.0.0_8000"]),
        ("context: SIDECAR_INBOUND, listener: {filterChain: {destinationPort: 80}}", ["virtualInbound"]),
        ("context: SIDECAR_INBOUND, listener: {filterChain: {destinationPort: 81}}", []),
        ("listener: {filterChain: {name: 0.0.0.0_80}}", ["virtualInbound"]),
        ("listener: {filterChain: {transportProtocol: raw_buffer}}", ["0.0.0.0_8000"]),
        ("listener: {filterChain: {sni: a.com}}", []),
        (
            "context: SIDECAR_OUTBOUND, listener: {filterChain: {applicationProtocols: 'http/1.1,h2c'}}",
            ["0.0.0.0_8000"],
        ),
        ("listener: {listenerFilter: envoy.filters.listener.tls_inspector}", ["0.0.0.0_8000"]),
    ],
)
def test_a_patch_is_made_where_its_match_says(match: str, patched: list[str]) -> None:
    resources = built(envoy_filter("HTTP_FILTER", "INSERT_FIRST", MUTATION, match=match), proxy=SIDECAR)
    found = {
        name
        for name in resources.listeners
        for manager in managers(resources, name)
        if manager.http_filters[0].name == "patched"
    }
    of_the_ingress_gateway = {name for name in found if name.startswith("10.") or name == "0.0.0.0_80"}
    assert found - of_the_ingress_gateway == set(patched)


@proves(
    "EnvoyFilter",
    "spec.workloadSelector.**",
    "spec.configPatches[].match.proxy.**",
    "spec.targetRefs.**",
)
@pytest.mark.parametrize(
    ("changes", "concerned"),
    [
        ({}, True),
        ({"namespace": "default"}, False),
        ({"more": "workloadSelector: {labels: {istio: ingressgateway}}"}, True),
        ({"more": "workloadSelector: {labels: {istio: other}}"}, False),
        ({"more": "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: other}]"}, False),
        ({"more": "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: own}]"}, True),
        ({"match": "proxy: {proxyVersion: '^1\\.27.*'}"}, True),
        ({"match": "proxy: {proxyVersion: '^1\\.2[0-3].*'}"}, False),
        ({"match": "proxy: {metadata: {CLUSTER_ID: Kubernetes}}"}, True),
        ({"match": "proxy: {metadata: {CLUSTER_ID: other}}"}, False),
    ],
)
def test_these_proxies_are_concerned(changes: dict[str, str], concerned: bool) -> None:
    proxy = Proxy(
        type="router",
        id="gateway",
        ip="127.10.0.1",
        namespace="istio-system",
        labels={**GATEWAY_PROXY.labels, "gateway.networking.k8s.io/gateway-name": "own"},
        dns_domain="istio-system.svc.cluster.local",
        metadata={"ISTIO_VERSION": "1.27.0", "CLUSTER_ID": "Kubernetes"},
    )
    written = envoy_filter("HTTP_FILTER", "INSERT_FIRST", MUTATION, **changes)
    assert ("patched" in filter_names(written, proxy=proxy)) is concerned


@proves("EnvoyFilter", "spec.priority")
def test_patches_are_made_by_priority_and_the_root_namespaces_first() -> None:
    def named(name: str, namespace: str = "istio-system", more: str = "") -> str:
        value = MUTATION.replace("name: patched", f"name: {name}")
        return envoy_filter("HTTP_FILTER", "INSERT_FIRST", value, name=name, namespace=namespace, more=more)

    filters = [named("late", more="priority: 1"), named("own", "default"), named("root"), named("a-root")]
    found = filter_names(*filters, proxy=SIDECAR, listener="0.0.0.0_8000")
    assert found[:4] == ["late", "own", "root", "a-root"]


def test_what_our_proxy_cannot_have_goes_to_a_real_envoy_only() -> None:
    lua = envoy_filter("HTTP_FILTER", "INSERT_BEFORE", LUA, match=BEFORE_ROUTER)
    assert "lua" not in filter_names(lua)
    envoy = Proxy("router", "gateway", "127.10.0.1", "istio-system", GATEWAY_PROXY.labels, "x", is_envoy=True)
    assert filter_names(lua, proxy=envoy)[-2:] == ["lua", "router"]


def test_a_typed_struct_becomes_the_message_that_it_carries() -> None:
    resources = built(envoy_filter("HTTP_FILTER", "INSERT_FIRST", TYPED_STRUCT))
    config = managers(resources, "0.0.0.0_8080")[0].http_filters[0].typed_config
    buffer = m.buffer_pb2.Buffer()
    assert config.Unpack(buffer)
    assert buffer.max_request_bytes.value == 7


def test_a_connection_manager_is_merged_from_within() -> None:
    value = f"""
        typed_config:
          "@type": type.googleapis.com/{MANAGER}
          use_remote_address: false
          server_name: patched
          common_http_protocol_options: {{idle_timeout: 30s}}
"""
    match = "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}"
    [manager] = managers(built(envoy_filter("NETWORK_FILTER", "MERGE", value, match=match)), "0.0.0.0_8080")
    assert (manager.server_name, manager.use_remote_address.value) == ("patched", False)
    assert manager.HasField("use_remote_address")
    assert manager.rds.route_config_name == "http.8080"
    assert manager.common_http_protocol_options.idle_timeout.seconds == 30


@proves("EnvoyFilter", "spec.configPatches[].match.cluster.**")
@pytest.mark.parametrize(
    ("match", "patched"),
    [
        ("name: 'outbound|8000||httpbin.default.svc.cluster.local'", True),
        ("service: httpbin.default.svc.cluster.local", True),
        ("service: httpbin.default.svc.cluster.local, portNumber: 8000", True),
        ("service: httpbin.default.svc.cluster.local, portNumber: 80", False),
        ("service: httpbin.default.svc.cluster.local, subset: v1", False),
        ("service: other.default.svc.cluster.local", False),
    ],
)
def test_a_cluster_is_merged(match: str, patched: bool) -> None:
    written = envoy_filter("CLUSTER", "MERGE", "{connect_timeout: 0.5s}", match=f"cluster: {{{match}}}")
    cluster = built(written).clusters["outbound|8000||httpbin.default.svc.cluster.local"]
    assert (cluster.connect_timeout.seconds == 0) is patched
    assert (cluster.connect_timeout.nanos == 500_000_000) is patched


def test_a_sidecars_inbound_cluster_is_known_by_its_service() -> None:
    match = "context: SIDECAR_INBOUND, cluster: {service: httpbin.default.svc.cluster.local}"
    written = envoy_filter("CLUSTER", "MERGE", "{connect_timeout: 1s}", match=match)
    clusters = built(written, proxy=SIDECAR).clusters
    assert clusters["inbound|80||"].connect_timeout.seconds == 1
    assert clusters["outbound|8000||httpbin.default.svc.cluster.local"].connect_timeout.seconds == 10


def test_clusters_are_added_and_removed() -> None:
    added = envoy_filter("CLUSTER", "ADD", "{name: extra, type: STATIC}")
    removed = envoy_filter("CLUSTER", "REMOVE", match="cluster: {name: BlackHoleCluster}", name="r")
    clusters = built(added, removed).clusters
    assert "extra" in clusters
    assert "BlackHoleCluster" not in clusters


@proves("EnvoyFilter", "spec.configPatches[].match.routeConfiguration.**")
@pytest.mark.parametrize(
    ("match", "patched"),
    [
        ("", True),
        ("name: http.8080", True),
        ("name: http.80", False),
        ("portNumber: 80", True),
        ("portNumber: 81", False),
        ("portName: http", True),
        ("portName: other", False),
        ("gateway: default/httpbin-gateway", True),
        ("gateway: default/other", False),
        ("vhost: {name: '*:80'}", True),
        ("vhost: {name: other}", False),
        ("vhost: {domainName: '*'}", True),
        ("vhost: {route: {action: ROUTE}}", True),
        ("vhost: {route: {action: REDIRECT}}", False),
        ("vhost: {route: {name: other}}", False),
    ],
)
def test_a_gateways_routes_are_merged(match: str, patched: bool) -> None:
    value = "{route: {timeout: 7s}}"
    written = envoy_filter("HTTP_ROUTE", "MERGE", value, match=f"routeConfiguration: {{{match}}}")
    routes = built(written).routes["http.8080"].virtual_hosts[0].routes
    assert all((route.route.timeout.seconds == 7) is patched for route in routes)


def test_routes_and_virtual_hosts_come_and_go() -> None:
    route = "{name: first, match: {prefix: /hello}, direct_response: {status: 200}}"
    host = "{name: extra, domains: [extra.com]}"
    [config] = built(
        envoy_filter("HTTP_ROUTE", "INSERT_FIRST", route, name="a"),
        envoy_filter("VIRTUAL_HOST", "ADD", host, name="b"),
        envoy_filter("ROUTE_CONFIGURATION", "MERGE", "{request_headers_to_remove: [x-a]}", name="c"),
    ).routes.values()
    assert [host.name for host in config.virtual_hosts] == ["*:80", "extra"]
    assert config.virtual_hosts[0].routes[0].name == "first"
    assert list(config.request_headers_to_remove) == ["x-a"]


def test_inbound_routes_of_a_sidecar_are_patched_where_they_are() -> None:
    match = "context: SIDECAR_INBOUND, routeConfiguration: {vhost: {name: 'inbound|http|8000'}}"
    written = envoy_filter("HTTP_ROUTE", "MERGE", "{route: {timeout: 7s}}", match=match)
    found = managers(built(written, proxy=SIDECAR), "virtualInbound")
    timeouts = {
        host.name: host.routes[0].route.timeout.seconds
        for each in found
        for host in each.route_config.virtual_hosts
    }
    assert timeouts == {"inbound|http|0": 0, "inbound|http|8000": 7}


def test_listeners_and_chains_are_merged_added_and_removed() -> None:
    listener = "{name: extra, address: {socket_address: {address: 127.0.0.1, port_value: 9999}}}"
    resources = built(
        envoy_filter("LISTENER", "ADD", listener, name="a"),
        envoy_filter("LISTENER", "MERGE", "{per_connection_buffer_limit_bytes: 1024}", name="b"),
        envoy_filter("FILTER_CHAIN", "MERGE", "{transport_socket_connect_timeout: 3s}", name="c"),
    )
    assert "extra" in resources.listeners
    [chain] = resources.listeners["0.0.0.0_8080"].filter_chains
    assert resources.listeners["0.0.0.0_8080"].per_connection_buffer_limit_bytes.value == 1024
    assert chain.transport_socket_connect_timeout.seconds == 3
    assert built(envoy_filter("LISTENER", "REMOVE", match="listener: {portNumber: 8080}")).listeners == {}


def test_lists_are_lengthened_or_replaced() -> None:
    def merged(*, replace_lists: bool) -> list[str]:
        target = m.route_components_pb2.VirtualHost(domains=["a"])
        merge(target, m.route_components_pb2.VirtualHost(domains=["b"]), replace_lists=replace_lists)
        return list(target.domains)

    assert (merged(replace_lists=False), merged(replace_lists=True)) == (["a", "b"], ["b"])


def test_our_proxy_does_what_the_patches_say() -> None:
    """Asked of the proxy's own code, with what it is sent."""
    route = "{name: first, match: {prefix: /hello}, direct_response: {status: 418}}"
    world = World.of_files(
        {
            "lab.yaml": HTTPBIN_LAB,
            "filter.yaml": envoy_filter("HTTP_FILTER", "INSERT_BEFORE", MUTATION, match=BEFORE_ROUTER),
            "lua.yaml": envoy_filter("HTTP_FILTER", "INSERT_BEFORE", LUA, match=BEFORE_ROUTER, name="lua"),
            "route.yaml": envoy_filter("HTTP_ROUTE", "INSERT_FIRST", route, name="route"),
        }
    )
    verdict = explain(world, Question.parse("GET", "http://localhost:8080/hello")).verdict
    assert verdict.status == 418
    assert dict(verdict.headers)["x-patched"] == "yes"
