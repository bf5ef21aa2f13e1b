"""The indexed view: names, visibility, merging, and who is chosen when several could be."""

from __future__ import annotations

import pytest

from minimesh.control_plane.hostnames import (
    intersection,
    is_subset,
    resolve_gateway_name,
    resolve_short_name,
)
from minimesh.control_plane.mesh_config import AccessLogEncoding, AccessLogProvider
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.push_context.telemetry import TrafficMode
from tests.control_plane.meshes import push

SUFFIX = "cluster.local"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("reviews", "reviews.ns.svc.cluster.local"),
        ("Reviews", "reviews.ns.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("reviews.other.svc.cluster.local", "reviews.other.svc.cluster.local"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
    ],
)
def test_short_names_belong_to_the_namespace_of_the_rule(written: str, expected: str) -> None:
    assert resolve_short_name(written, "ns", SUFFIX) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("gw", "ns/gw"),
        ("other/gw", "other/gw"),
        ("./gw", "ns/gw"),
        ("gw.other", "other/gw"),
        ("gw.other.svc.cluster.local", "other/gw"),
        ("mesh", "mesh"),
    ],
)
def test_gateway_names(written: str, expected: str) -> None:
    assert resolve_gateway_name(written, "ns") == expected


@pytest.mark.parametrize(
    ("host", "of", "expected"),
    [
        ("a.example.com", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("*.b.example.com", "*.example.com", True),
        ("*.example.com", "*.b.example.com", False),
        ("*", "*.example.com", False),
        ("a", "*", True),
        ("*.com", "*", True),
        ("a", "a", True),
        ("a", "b", False),
    ],
)
def test_subset_of_hosts(host: str, of: str, expected: bool) -> None:
    assert is_subset(host, of) is expected


def test_the_intersection_keeps_the_narrower_host_once() -> None:
    assert intersection(["*.a.com", "b.com"], ["x.a.com", "*", "x.a.com"]) == ["x.a.com", "*.a.com", "b.com"]


def rule(name: str, namespace: str = "default", **spec: object) -> str:
    lines = "\n".join(f"  {key}: {value}" for key, value in spec.items())
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
{lines}
  http: [{{route: [{{destination: {{host: web}}}}]}}]
"""


def test_rules_of_a_gateway_are_those_that_name_it_and_may_be_seen() -> None:
    context = push(
        rule("a", hosts="[a.com]", gateways="[gw]"),
        rule("b", "other", hosts="[b.com]", gateways="[default/gw]"),
        rule("c", "other", hosts="[c.com]", gateways="[gw]"),
        rule("d", "other", hosts="[d.com]", gateways="[default/gw]", exportTo='["."]'),
        rule("e", hosts="[e.com]"),
    )
    assert [v.name for v in context.gateway_rules("istio-system", "default/gw")] == ["a", "b"]
    assert [v.name for v in context.gateway_rules("other", "default/gw")] == ["d", "a", "b"]


def test_a_sidecar_sees_the_rules_of_the_mesh_only() -> None:
    context = push(
        rule("for-gateway", hosts="[web]", gateways="[gw]"),
        rule("for-mesh", hosts="[web]"),
        rule("for-both", hosts="[web]", gateways="[gw, mesh]"),
    )
    [listener] = context.sidecar_scope("default", {}).egress
    assert [v.name for v in listener.virtual_services] == ["for-both", "for-mesh"]


def test_a_delegate_adds_its_rules_to_the_root() -> None:
    context = push(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec:
  hosts: [shop.example.com]
  gateways: [gw]
  http:
  - name: root
    match: [{uri: {prefix: /cart}}]
    delegate: {name: cart, namespace: team}
""",
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: team}
spec:
  http:
  - name: inside
    match: [{uri: {prefix: /cart/v2}}]
    route: [{destination: {host: cart}}]
  - name: outside
    match: [{uri: {prefix: /other}}]
    route: [{destination: {host: cart}}]
""",
    )
    [root] = context.virtual_services
    assert [r.route.name for r in root.http] == ["root-inside"]
    assert root.http[0].route.route[0].destination.host == "cart.team.svc.cluster.local"
    assert root.http[0].resource.location(f"spec.http[{root.http[0].index}]").file == "lab1.yaml"


def destination_rule(
    name: str,
    host: str,
    subset: str,
    namespace: str = "default",
    more: str = "{loadBalancer: {simple: RANDOM}}",
) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  host: "{host}"
  subsets: [{{name: {subset}, labels: {{v: {subset}}}}}]
  trafficPolicy: {more}
"""


WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""
HOST = "web.default.svc.cluster.local"


def subsets_of(context: PushContext, namespace: str) -> list[str]:
    found = context.destination_rule(HOST, namespace, {})
    return [subset.name for subset in found.subsets] if found is not None else []


def test_rules_for_one_host_are_merged_oldest_first() -> None:
    context = push(WEB, destination_rule("a", "web", "v1"), destination_rule("b", "web", "v2"))
    assert subsets_of(context, "default") == ["v1", "v2"]


def test_of_rules_for_one_host_the_oldest_gives_policy_and_subsets_that_it_has() -> None:
    def simple(*rules: str) -> list[str | None]:
        found = push(WEB, *rules).destination_rule(HOST, "default", {})
        assert found is not None
        policies = (found.traffic_policy, *(subset.traffic_policy for subset in found.subsets))
        return [policy.load_balancer.simple if policy is not None else None for policy in policies]

    def rule(name: str, of_all: str, of_v1: str) -> str:
        written = destination_rule(name, "web", "v1", more=f"{{loadBalancer: {{simple: {of_all}}}}}")
        return written.replace("labels:", f"trafficPolicy: {{loadBalancer: {{simple: {of_v1}}}}}, labels:")

    assert simple(rule("a", "RANDOM", "ROUND_ROBIN"), rule("b", "PASSTHROUGH", "LEAST_REQUEST")) == [
        "RANDOM",
        "ROUND_ROBIN",
    ]


def test_the_exact_host_wins_over_the_wildcard() -> None:
    context = push(
        WEB,
        destination_rule("a", "*.default.svc.cluster.local", "wild"),
        destination_rule("b", "*.svc.cluster.local", "wilder"),
        destination_rule("c", "web", "exact"),
    )
    assert subsets_of(context, "default") == ["exact"]
    wilder, wild = ("*.svc.cluster.local", "*.default.svc.cluster.local")
    for rules in ([("a", wilder), ("b", wild)], [("a", wild), ("b", wilder)]):
        context = push(WEB, *(destination_rule(name, host, host.split(".")[1]) for name, host in rules))
        assert subsets_of(context, "default") == ["default"]


def test_the_clients_namespace_is_asked_first_then_the_services_then_the_root() -> None:
    own = destination_rule("own", HOST, "own", namespace="client")
    service = destination_rule("service", HOST, "service")
    root = destination_rule("root", HOST, "root", namespace="istio-system")
    assert subsets_of(push(WEB, own, service, root), "client") == ["own"]
    assert subsets_of(push(WEB, service, root), "client") == ["service"]
    assert subsets_of(push(WEB, root), "client") == ["root"]
    assert subsets_of(push(WEB, own), "another") == []


def test_a_rule_of_the_root_namespace_for_all_hosts_hides_no_service_rule_from_its_gateways() -> None:
    everything = destination_rule("all", "*.local", "all", namespace="istio-system")
    service = destination_rule("service", HOST, "service")
    assert subsets_of(push(WEB, everything, service), "istio-system") == ["service"]
    assert subsets_of(push(WEB, everything), "istio-system") == ["all"]
    private = everything.replace("spec:", 'spec:\n  exportTo: ["."]')
    assert subsets_of(push(WEB, private, service), "istio-system") == ["all"]
    assert subsets_of(push(WEB, private), "client") == []


def test_a_rule_that_is_not_for_the_client_hides_wider_ones_of_its_namespace() -> None:
    exact = destination_rule("exact", "web", "exact").replace("spec:", "spec:\n  exportTo: [friend]")
    wild = destination_rule("wild", "*.default.svc.cluster.local", "wild")
    root = destination_rule("root", HOST, "root", namespace="istio-system")
    assert subsets_of(push(WEB, exact, wild, root), "friend") == ["exact"]
    assert subsets_of(push(WEB, exact, wild, root), "stranger") == ["root"]
    assert subsets_of(push(WEB, exact, wild), "stranger") == []


def test_rules_exported_otherwise_are_not_merged() -> None:
    everybody = destination_rule("a", "web", "v1")
    friends = destination_rule("b", "web", "v2").replace("spec:", "spec:\n  exportTo: [friend]")
    assert subsets_of(push(WEB, everybody, friends), "friend") == ["v2"]
    assert subsets_of(push(WEB, everybody, friends), "stranger") == ["v1"]
    assert subsets_of(push(WEB, everybody, friends), "default") == ["v1"]


def selecting(rule: str, label: str) -> str:
    return rule.replace("spec:", f"spec:\n  workloadSelector: {{matchLabels: {{app: {label}}}}}")


def seen_by(context: PushContext, namespace: str, label: str) -> list[str]:
    found = context.destination_rule(HOST, namespace, {"app": label})
    return [subset.name for subset in found.subsets] if found is not None else []


def test_a_rule_for_chosen_workloads_wins_over_the_one_for_all() -> None:
    for_all = destination_rule("a", "web", "all")
    chosen = selecting(destination_rule("b", "web", "chosen"), "caller")
    context = push(WEB, for_all, chosen)
    assert seen_by(context, "default", "caller") == ["chosen"]
    assert seen_by(context, "default", "another") == ["all"]
    assert seen_by(context, "client", "caller") == ["all"]  # it is not for other namespaces


def test_a_rule_for_chosen_workloads_takes_up_what_a_private_one_for_all_has_beyond_it() -> None:
    for_all = destination_rule("a", "web", "all").replace("spec:", 'spec:\n  exportTo: ["."]')
    chosen = selecting(destination_rule("b", "web", "chosen"), "caller")
    context = push(WEB, for_all, chosen)
    assert seen_by(context, "default", "caller") == ["chosen", "all"]
    assert seen_by(context, "default", "another") == ["all"]


def test_where_the_client_has_a_rule_for_other_workloads_alone_no_other_namespace_is_asked() -> None:
    own = selecting(destination_rule("own", HOST, "own", namespace="client"), "caller")
    service = destination_rule("service", HOST, "service")
    context = push(WEB, own, service)
    assert seen_by(context, "client", "caller") == ["own"]
    assert seen_by(context, "client", "another") == []


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: {name}, protocol: {protocol}}}
    hosts: {hosts}
"""


def gateway(name: str, port: int, protocol: str = "HTTP", hosts: str = '["*"]') -> str:
    return GATEWAY.format(name=name, port=port, protocol=protocol, hosts=hosts)


def test_http_servers_of_one_port_share_a_route_configuration() -> None:
    context = push(gateway("a", 80), gateway("b", 80), gateway("c", 81), gateway("d", 80, "TCP"))
    merged = context.merged_gateway("istio-system", {"istio": "ingressgateway"}, {})
    names = {route: [s.gateway for s in servers] for route, servers in merged.servers_by_route.items()}
    assert names == {"http.80": ["default/a", "default/b"], "http.81": ["default/c"]}


def tls_gateway(name: str, hosts: str) -> str:
    plain = gateway(name, 443, "HTTPS", hosts)
    return plain.replace("    hosts:", "    tls: {mode: PASSTHROUGH}\n    hosts:")


def test_a_port_keeps_the_protocol_of_the_oldest_and_a_name_its_first_server() -> None:
    context = push(
        tls_gateway("a", "[a.com]"),
        tls_gateway("b", "[b.com, a.com]"),
        tls_gateway("c", "[c.com]"),
        gateway("d", 443, "HTTP"),
        gateway("e", 81),
        tls_gateway("f", "[b.com]").replace("443", "81"),
    )
    merged = context.merged_gateway("default", {"istio": "ingressgateway"}, {})
    plain, tls = (
        {port.port: [server.gateway for server in servers] for port, servers in found.items()}
        for found in (merged.plain_servers, merged.tls_servers)
    )
    assert (plain, tls) == ({81: ["default/e"]}, {443: ["default/a", "default/c"]})


def test_http_servers_of_different_addresses_share_nothing_but_the_port() -> None:
    other = gateway("b", 80).replace("- port:", "- bind: 10.0.0.1\n    port:")
    merged = push(gateway("a", 80), other).merged_gateway("default", {"istio": "ingressgateway"}, {})
    assert {
        name: [server.gateway for server in servers] for name, servers in merged.servers_by_route.items()
    } == {"http.80": ["default/a"], "http.80.10.0.0.1": ["default/b"]}


SERVICE_OF_GATEWAY = """
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{istio: ingressgateway}}, ports: [{{name: http, port: 80, targetPort: {target}}}]}}
"""


def test_a_port_of_several_services_is_that_of_the_first() -> None:
    services = [
        SERVICE_OF_GATEWAY.format(name=name, target=port) for name, port in (("a", 8080), ("b", 8081))
    ]
    merged = push(gateway("gw", 80), *services).merged_gateway("default", {"istio": "ingressgateway"}, {})
    assert [port.port for port in merged.plain_servers] == [8080]


def test_a_gateway_chooses_proxies_by_all_its_labels() -> None:
    context = push(gateway("a", 80))
    assert context.merged_gateway("any", {"istio": "other"}, {}).gateway_names == frozenset()
    assert context.merged_gateway("any", {"istio": "ingressgateway", "x": "y"}, {}).gateway_names


def test_server_hosts_may_be_limited_to_a_namespace() -> None:
    hosts = '["./a.com", "team/b.com", "*/c.com", "D.com"]'
    context = push(gateway("a", 80, hosts=hosts))
    merged = context.merged_gateway("any", {"istio": "ingressgateway"}, {})
    [[server]] = merged.plain_servers.values()
    assert server.hosts_for("default") == ["a.com", "c.com", "d.com"]
    assert server.hosts_for("team") == ["b.com", "c.com", "d.com"]


TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def telemetry(namespace: str, spec: str, name: str = "t") -> str:
    return TELEMETRY.format(name=name, namespace=namespace, spec=spec)


def logs(context: PushContext, mode: TrafficMode = TrafficMode.CLIENT) -> list[str]:
    found = context.telemetry.access_logs("default", {"app": "web"}, mode)
    return [f"{chosen.provider.name} {chosen.provider.path}" for chosen in found]


ON = "{accessLogging: [{providers: [{name: envoy}]}]}"
OFF = "{accessLogging: [{disabled: true}]}"


def test_there_is_no_access_log_unless_somebody_asks() -> None:
    assert logs(push()) == []


def test_mesh_config_switches_the_log_on() -> None:
    assert logs(push(mesh=MeshConfig(access_log_file="/dev/stdout"))) == ["envoy /dev/stdout"]


def test_telemetry_of_the_root_namespace_counts_everywhere() -> None:
    assert logs(push(telemetry("istio-system", ON))) == ["envoy /dev/stdout"]
    assert logs(push(telemetry("elsewhere", ON))) == []


def test_the_narrower_telemetry_wins() -> None:
    root_on, own_off = telemetry("istio-system", ON), telemetry("default", OFF)
    assert logs(push(root_on, own_off)) == []
    workload = "{selector: {matchLabels: {app: web}}, accessLogging: [{providers: [{name: envoy}]}]}"
    assert logs(push(root_on, own_off, telemetry("default", workload, "w"))) == ["envoy /dev/stdout"]
    other = workload.replace("web", "other")
    assert logs(push(root_on, own_off, telemetry("default", other, "w"))) == []


def test_telemetry_may_concern_one_side_only() -> None:
    context = push(
        telemetry("default", "{accessLogging: [{match: {mode: SERVER}, providers: [{name: envoy}]}]}")
    )
    assert logs(context, TrafficMode.CLIENT) == []
    assert logs(context, TrafficMode.SERVER) == ["envoy /dev/stdout"]


def test_telemetry_off_wins_over_mesh_config() -> None:
    assert logs(push(telemetry("default", OFF), mesh=MeshConfig(access_log_file="/dev/stdout"))) == []


def test_providers_of_the_mesh_may_be_named() -> None:
    mesh = MeshConfig(access_log_providers=(AccessLogProvider("mine", "/tmp/log", "%METHOD%"),))
    named = "{accessLogging: [{providers: [{name: mine}, {name: unknown}]}]}"
    assert logs(push(telemetry("default", named), mesh=mesh)) == ["mine /tmp/log"]


def test_json_encoding_without_format_means_istios_keys() -> None:
    mesh = MeshConfig(access_log_file="/dev/stdout", access_log_encoding=AccessLogEncoding.JSON)
    [chosen] = push(mesh=mesh).telemetry.access_logs("default", {}, TrafficMode.CLIENT)
    provider = chosen.provider
    assert len(provider.json_format) == 24
    assert provider.json_format["upstream_cluster"] == "%UPSTREAM_CLUSTER_RAW%"


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec:
  egress:
  - hosts: ["./web.default.svc.cluster.local"]
"""


def test_a_sidecar_resource_narrows_what_its_namespace_sees() -> None:
    other = WEB.replace("name: web}", "name: other}")
    context = push(WEB, other, SIDECAR)
    assert [s.name for s in context.sidecar_scope("default", {}).services] == ["web"]
    assert [s.name for s in context.sidecar_scope("elsewhere", {}).services] == ["other", "web"]


@pytest.mark.parametrize(
    ("there", "known"),
    [
        (["root"], {"root"}),
        (["root", "own"], {"own"}),
        (["root", "own", "selecting"], {"selected"}),
        (["own", "selecting-others"], {"own"}),
    ],
)
def test_the_sidecar_that_selects_a_workload_wins_then_its_namespaces_then_the_roots(
    there: list[str], known: set[str]
) -> None:
    def sidecar(name: str, host: str, namespace: str = "default", selector: str = "") -> str:
        spec = f"{{{selector}egress: [{{hosts: ['*/{host}.example.com']}}]}}"
        head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\n"
        return f"{head}metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"

    sidecars = {
        "root": sidecar("root", "root", "istio-system"),
        "own": sidecar("own", "own"),
        "selecting": sidecar("z", "selected", selector="workloadSelector: {labels: {app: web}}, "),
        "selecting-others": sidecar("a", "selected", selector="workloadSelector: {labels: {app: b}}, "),
    }
    context = push(
        *(service_entry(host, f"{host}.example.com") for host in ("root", "own", "selected")),
        *(sidecars[each] for each in there),
    )
    assert {s.name for s in context.sidecar_scope("default", {"app": "web"}).services} == known


def service_entry(name: str, host: str, namespace: str = "default", export_to: str = "*") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: [{host}], exportTo: ["{export_to}"], ports: [{{number: 80, name: http, protocol: HTTP}}]}}
"""


def test_a_rule_means_the_service_of_its_own_namespace_where_the_caller_may_see_it() -> None:
    context = push(
        service_entry("of-a", "x.example.com", "a"),
        service_entry("of-b", "x.example.com", "b"),
        service_entry("hidden", "x.example.com", "c", export_to="."),
    )

    def meant(rule_namespace: str, namespace: str) -> str:
        found = context.service_for("x.example.com", rule_namespace, namespace)
        return found.name if found is not None else ""

    assert meant("b", "a") == "of-b"
    assert meant("elsewhere", "b") == "of-b"
    assert meant("c", "b") == "of-b"
    assert meant("c", "c") == "hidden"
    assert meant("elsewhere", "elsewhere") == "of-a"
