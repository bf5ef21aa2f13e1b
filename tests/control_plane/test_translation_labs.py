"""The two labs, YAML in and resources out, for the gateway and for the sidecars."""

from __future__ import annotations

from minimesh.control_plane.translation import Resources, build_resources
from tests.control_plane.descriptions import describe_endpoints, describe_listeners, describe_routes
from tests.control_plane.labs import GATEWAY, GS_LAB, GS_PODS, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy

GS = "gsservice.default.svc.cluster.local"
HTTPBIN = "httpbin.default.svc.cluster.local"
HTTPBIN_2 = "httpbin-2.default.svc.cluster.local"


def gateway_of(*manifests: str) -> Resources:
    return build_resources(gateway_proxy(), push(GATEWAY, *manifests))


def test_gs_gateway_listens_on_the_target_port_of_its_service() -> None:
    resources = gateway_of(GS_LAB, *GS_PODS)
    assert describe_listeners(resources) == ["0.0.0.0_8080 -> rds http.8080"]


def test_gs_host_goes_to_version_2_alone() -> None:
    resources = gateway_of(GS_LAB, *GS_PODS)
    assert describe_routes(resources.routes["http.8080"]) == [
        "gs.xebia.com:80 [gs.xebia.com]",
        f"  prefix / -> 100 outbound|80|v2|{GS}",
    ]


def test_gs_subsets_are_clusters_with_the_pods_of_their_labels() -> None:
    resources = gateway_of(GS_LAB, *GS_PODS)
    assert describe_endpoints(resources) == [
        f"outbound|80|v1|{GS}: 127.10.0.11:5000",
        f"outbound|80|v2|{GS}: 127.10.0.12:5000",
        f"outbound|80||{GS}: 127.10.0.11:5000 127.10.0.12:5000",
    ]


def test_gs_split_changes_with_its_weights() -> None:
    changed = GS_LAB.replace("weight: 0\n", "weight: 50\n").replace("weight: 100", "weight: 50")
    assert describe_routes(gateway_of(changed).routes["http.8080"])[1:] == [
        f"  prefix / -> 50 outbound|80|v1|{GS}, 50 outbound|80|v2|{GS}"
    ]


def test_httpbin_paths_go_to_their_services_rewritten() -> None:
    resources = gateway_of(HTTPBIN_LAB, *HTTPBIN_PODS)
    assert describe_routes(resources.routes["http.8080"]) == [
        "*:80 [*]",
        f"  prefix /one -> outbound|8000||{HTTPBIN} rewrite /ip",
        f"  prefix /two -> outbound|8000||{HTTPBIN_2} rewrite /user-agent",
    ]


def test_both_labs_share_the_gateway() -> None:
    resources = gateway_of(GS_LAB, HTTPBIN_LAB)
    assert list(resources.listeners) == ["0.0.0.0_8080"]
    assert [v.name for v in resources.routes["http.8080"].virtual_hosts] == ["*:80", "gs.xebia.com:80"]


def test_without_gateway_nothing_listens() -> None:
    without = GS_LAB.replace("istio: ingressgateway", "istio: another")
    resources = gateway_of(without)
    assert (dict(resources.listeners), dict(resources.routes)) == ({}, {})


def test_without_virtual_service_the_gateway_answers_404() -> None:
    gateway_only = "---".join(p for p in GS_LAB.split("---") if "VirtualService" not in p)
    resources = gateway_of(gateway_only)
    assert describe_routes(resources.routes["http.8080"]) == ["blackhole:80 [*]"]


def test_httpbin_sidecar_listens_in_and_out() -> None:
    proxy = sidecar_proxy({"app": "httpbin"})
    resources = build_resources(proxy, push(HTTPBIN_LAB, *HTTPBIN_PODS))
    assert describe_listeners(resources) == [
        "0.0.0.0_8000 (http/1.1 h2c) -> rds 8000",
        "0.0.0.0_8000 -> tcp PassthroughCluster",
        "127.0.0.1_15080 -> rds http_proxy",
        "virtualInbound (15006) -> tcp BlackHoleCluster",
        "virtualInbound (http/1.1 h2c) -> routes InboundPassthroughCluster",
        "virtualInbound -> tcp InboundPassthroughCluster",
        "virtualInbound (80) -> routes inbound|80||",
        "virtualOutbound (15001) -> tcp BlackHoleCluster",
        "virtualOutbound -> tcp PassthroughCluster",
    ]
    assert list(resources.clusters) == [
        "BlackHoleCluster",
        "InboundPassthroughCluster",
        "PassthroughCluster",
        "inbound|80||",
        f"outbound|8000||{HTTPBIN_2}",
        f"outbound|8000||{HTTPBIN}",
    ]


def test_a_sidecar_finds_services_by_every_form_of_their_name() -> None:
    resources = build_resources(sidecar_proxy({"app": "sleep"}), push(HTTPBIN_LAB, *HTTPBIN_PODS))
    assert describe_routes(resources.routes["8000"]) == [
        f"{HTTPBIN_2}:8000 [{HTTPBIN_2}, {HTTPBIN_2}., httpbin-2, httpbin-2.default.svc, "
        "httpbin-2.default, 10.96.0.11]",
        f"  prefix / -> outbound|8000||{HTTPBIN_2}",
        f"{HTTPBIN}:8000 [{HTTPBIN}, {HTTPBIN}., httpbin, httpbin.default.svc, httpbin.default, 10.96.0.10]",
        f"  prefix / -> outbound|8000||{HTTPBIN}",
        "allow_any [*]",
        "  prefix / -> PassthroughCluster",
    ]


def test_the_http_proxy_listener_tells_services_apart_by_port() -> None:
    resources = build_resources(sidecar_proxy({"app": "sleep"}), push(HTTPBIN_LAB, *HTTPBIN_PODS))
    config = resources.routes["http_proxy"]
    domains = {v.name: list(v.domains) for v in config.virtual_hosts}
    assert domains[f"{HTTPBIN}:8000"] == [
        f"{HTTPBIN}:8000",
        f"{HTTPBIN}.:8000",
        "httpbin:8000",
        "httpbin.default.svc:8000",
        "httpbin.default:8000",
        "10.96.0.10:8000",
    ]
    assert not config.ignore_port_in_host_matching


def test_equal_input_gives_equal_bytes() -> None:
    def serialized() -> list[bytes]:
        resources = gateway_of(GS_LAB, HTTPBIN_LAB, *GS_PODS, *HTTPBIN_PODS)
        kinds = (resources.clusters, resources.endpoints, resources.listeners, resources.routes)
        return [m.SerializeToString(deterministic=True) for kind in kinds for m in kind.values()]

    assert serialized() == serialized()


def test_every_name_referred_to_is_there() -> None:
    resources = build_resources(sidecar_proxy({"app": "httpbin"}), push(GS_LAB, HTTPBIN_LAB, *GS_PODS))
    eds = {name for name, cluster in resources.clusters.items() if cluster.type == cluster.EDS}
    assert resources.endpoints.keys() == eds
    routed = {
        route.route.cluster
        for config in resources.routes.values()
        for virtual_host in config.virtual_hosts
        for route in virtual_host.routes
        if route.route.cluster
    }
    assert routed <= resources.clusters.keys()
