"""Clusters and their endpoints: defaults as istiod's, and what a DestinationRule changes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.clusters import build_clusters
from minimesh.control_plane.translation.endpoints import build_endpoints
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.labs import GATEWAY, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.manifests import EVERYTHING
from tests.control_plane.meshes import gateway_proxy, push, running_pod, sidecar_proxy

HTTPBIN = "outbound|8000||httpbin.default.svc.cluster.local"
EVERYTHING_HOST = "everything.default.svc.cluster.local"


def clusters(*manifests: str, proxy: Proxy | None = None, mesh: MeshConfig | None = None) -> dict[str, Any]:
    return dict(build_clusters(proxy or gateway_proxy(), push(*manifests, mesh=mesh)))


def as_json(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def test_a_cluster_without_settings_is_as_istiods() -> None:
    assert as_json(clusters(HTTPBIN_LAB)[HTTPBIN]) == {
        "name": HTTPBIN,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "service_name": HTTPBIN,
        },
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 4294967295,
                    "max_pending_requests": 4294967295,
                    "max_requests": 4294967295,
                    "max_retries": 4294967295,
                    "track_remaining": True,
                }
            ]
        },
        "common_lb_config": {},
        "metadata": {
            "filter_metadata": {
                "istio": {
                    "config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/httpbin",
                    "default_original_port": 8000.0,
                    "services": [
                        {
                            "host": "httpbin.default.svc.cluster.local",
                            "name": "httpbin",
                            "namespace": "default",
                        }
                    ],
                }
            }
        },
    }


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("{simple: LEAST_CONN}", "LEAST_REQUEST"),
        ("{simple: LEAST_REQUEST}", "LEAST_REQUEST"),
        ("{simple: ROUND_ROBIN}", "ROUND_ROBIN"),
        ("{simple: RANDOM}", "RANDOM"),
        ("{simple: PASSTHROUGH}", "CLUSTER_PROVIDED"),
        ("{simple: UNSPECIFIED}", "LEAST_REQUEST"),
        ("{consistentHash: {httpHeaderName: x}}", "RING_HASH"),
        ("{consistentHash: {httpHeaderName: x, maglev: {tableSize: 65537}}}", "MAGLEV"),
    ],
)
def test_load_balancing(written: str, policy: str) -> None:
    changed = HTTPBIN_LAB.replace("{simple: LEAST_CONN}", written)
    cluster = clusters(changed)[HTTPBIN]
    assert cluster.LbPolicy.Name(cluster.lb_policy) == policy


def test_pool_and_outlier_settings() -> None:
    cluster = as_json(clusters(EVERYTHING)[f"outbound|9080||{EVERYTHING_HOST}"])
    assert cluster["connect_timeout"] == "3s"
    [thresholds] = cluster["circuit_breakers"]["thresholds"]
    assert thresholds == {
        "max_connections": 100,
        "max_pending_requests": 10,
        "max_requests": 20,
        "max_retries": 4,
        "track_remaining": True,
    }
    assert cluster["outlier_detection"] == {
        "consecutive_5xx": 5,
        "enforcing_consecutive_5xx": 100,
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_success_rate": 0,
        "interval": "10s",
        "base_ejection_time": "30s",
        "max_ejection_percent": 50,
    }
    assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 30.0}}
    assert cluster["upstream_connection_options"] == {
        "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
    }


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("splitExternalLocalOriginErrors: true", {"split_external_local_origin_errors": True}),
        (
            "splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4",
            {
                "split_external_local_origin_errors": True,
                "consecutive_local_origin_failure": 4,
                "enforcing_consecutive_local_origin_failure": 100,
                "enforcing_local_origin_success_rate": 0,
            },
        ),
        ("consecutive5xxErrors: 0", {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}),
    ],
)
def test_what_counts_against_a_host(written: str, made: dict[str, Any]) -> None:
    rule = LOCALITY_RULE.replace("{consecutive5xxErrors: 1}", f"{{{written}}}")
    mesh = push(HTTPBIN_SERVICE, rule, located_pod("a", "127.10.1.1", "west.a"))
    found = as_json(build_clusters(sidecar_proxy({}), mesh)[HTTPBIN])["outlier_detection"]
    assert found == {"enforcing_success_rate": 0, **made}


def test_subset_settings_win_over_the_rules_where_they_say_something() -> None:
    found = clusters(EVERYTHING)
    v1 = as_json(found[f"outbound|9080|v1|{EVERYTHING_HOST}"])
    v2 = as_json(found[f"outbound|9080|v2|{EVERYTHING_HOST}"])
    assert (v1["lb_policy"], v1["ring_hash_lb_config"]) == ("RING_HASH", {"minimum_ring_size": "2048"})
    assert v2["lb_policy"] == "MAGLEV"
    assert v1["connect_timeout"] == "3s"
    # An entry for a port inherits nothing.
    assert v2["connect_timeout"] == "10s"
    assert v1["metadata"]["filter_metadata"]["istio"]["subset"] == "v1"
    other_port = found[f"outbound|9090|v2|{EVERYTHING_HOST}"]
    assert other_port.lb_policy == other_port.ROUND_ROBIN


def protocol_options(cluster: Any) -> Any:
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    [packed] = cluster.typed_extension_protocol_options.values()
    packed.Unpack(options)
    return options


def test_grpc_ports_are_spoken_to_in_http2() -> None:
    options = protocol_options(clusters(EVERYTHING)[f"outbound|9090||{EVERYTHING_HOST}"])
    assert options.explicit_http_config.HasField("http2_protocol_options")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{h2UpgradePolicy: UPGRADE}", "http2"),
        ("{h2UpgradePolicy: DO_NOT_UPGRADE, http1MaxPendingRequests: 1}", ""),
        ("{useClientProtocol: true}", "as downstream"),
        ("{h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 7}", "http2"),
    ],
)
def test_what_a_destination_rule_says_of_http2(written: str, expected: str) -> None:
    manifest = f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web}}
spec:
  host: web
  trafficPolicy: {{connectionPool: {{http: {written}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{ports: [{{port: 80, name: http}}], selector: {{app: web}}}}
"""
    cluster = clusters(manifest)["outbound|80||web.default.svc.cluster.local"]
    if not expected:
        assert not cluster.typed_extension_protocol_options
        return
    options = protocol_options(cluster)
    if expected == "as downstream":
        assert options.use_downstream_protocol_config.HasField("http2_protocol_options")
        return
    http2 = options.explicit_http_config.http2_protocol_options
    assert options.explicit_http_config.HasField("http2_protocol_options")
    assert http2.max_concurrent_streams.value == (7 if "maxConcurrentStreams" in written else 0)


def test_a_port_of_unknown_protocol_is_spoken_to_as_its_clients_speak_but_not_by_gateways() -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: guess}
spec: {ports: [{port: 5000, name: what}], selector: {app: guess}}
"""
    name = "outbound|5000||guess.default.svc.cluster.local"
    options = protocol_options(clusters(service, proxy=sidecar_proxy({"app": "x"}))[name])
    assert options.HasField("use_downstream_protocol_config")
    assert not clusters(service, proxy=gateway_proxy())[name].typed_extension_protocol_options


def test_an_inbound_cluster_leads_to_the_address_only_the_sidecar_uses() -> None:
    proxy = sidecar_proxy({"app": "httpbin"}, app_address="127.11.0.5", port_map={80: 20080})
    cluster = clusters(HTTPBIN_LAB, proxy=proxy, mesh=MeshConfig(inbound_source_address="127.0.0.6"))[
        "inbound|80||"
    ]
    [[endpoint]] = [locality.lb_endpoints for locality in cluster.load_assignment.endpoints]
    address = endpoint.endpoint.address.socket_address
    assert (address.address, address.port_value) == ("127.11.0.5", 20080)
    assert cluster.upstream_bind_config.source_address.address == "127.0.0.6"
    assert cluster.type == cluster.STATIC


def test_where_loopback_is_one_address_the_source_is_left_open() -> None:
    proxy = sidecar_proxy({"app": "httpbin"})
    found = clusters(HTTPBIN_LAB, proxy=proxy, mesh=MeshConfig(inbound_source_address=""))
    assert not found["inbound|80||"].HasField("upstream_bind_config")


def test_kinds_of_services_are_kinds_of_clusters() -> None:
    found = clusters(EVERYTHING)
    kinds = {name: cluster.DiscoveryType.Name(cluster.type) for name, cluster in found.items()}
    assert kinds["outbound|80||api.example.com"] == "STRICT_DNS"
    assert kinds["outbound|80||headless.default.svc.cluster.local"] == "EDS"
    assert not any("alias" in name for name in kinds)


def test_endpoints_follow_the_pods() -> None:
    context = push(HTTPBIN_LAB, *HTTPBIN_PODS)
    [assignment] = build_endpoints(gateway_proxy(), context, [HTTPBIN]).values()
    assert as_json(assignment) == {
        "cluster_name": HTTPBIN,
        "endpoints": [
            {
                "locality": {},
                "load_balancing_weight": 1,
                "lb_endpoints": [
                    {
                        "endpoint": {
                            "address": {"socket_address": {"address": "127.10.0.21", "port_value": 80}}
                        },
                        "health_status": "HEALTHY",
                        "load_balancing_weight": 1,
                        "metadata": {
                            "filter_metadata": {
                                "istio": {"workload": "httpbin-1;default;httpbin;;Kubernetes"}
                            }
                        },
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    "name", [HTTPBIN, "outbound|1||unknown", "outbound|8000|nosuch|httpbin.default.svc.cluster.local", "odd"]
)
def test_a_cluster_without_endpoints_gets_an_empty_answer(name: str) -> None:
    [assignment] = build_endpoints(gateway_proxy(), push(HTTPBIN_LAB), [name]).values()
    assert assignment.cluster_name == name
    assert not assignment.endpoints


def test_a_second_replica_changes_only_its_load_assignment() -> None:
    before = build_resources(gateway_proxy(), push(GATEWAY, HTTPBIN_LAB, *HTTPBIN_PODS))
    replica = running_pod("httpbin-9", "127.10.0.29", {"app": "httpbin"}, {})
    after = build_resources(gateway_proxy(), push(GATEWAY, HTTPBIN_LAB, *HTTPBIN_PODS, replica))
    assert before.clusters == after.clusters
    assert before.listeners == after.listeners
    assert before.routes == after.routes
    changed = [name for name in before.endpoints if before.endpoints[name] != after.endpoints[name]]
    assert changed == [HTTPBIN]


def test_a_sidecar_resource_does_not_narrow_a_gateway() -> None:
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: istio-system}
spec: {egress: [{hosts: ["istio-system/*"]}]}
"""
    assert HTTPBIN in clusters(HTTPBIN_LAB, sidecar)
    assert HTTPBIN not in clusters(HTTPBIN_LAB, sidecar, proxy=sidecar_proxy({"app": "sleep"}))


LOCALITY_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin-near}
spec:
  host: httpbin
  trafficPolicy:
    retryBudget: {percent: 25, minRetryConcurrency: 5}
    outlierDetection: {consecutive5xxErrors: 1}
    loadBalancer:
      localityLbSetting:
        failoverPriority: [topology.kubernetes.io/region]
"""
HTTPBIN_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: 80}]
"""


def located_pod(name: str, ip: str, locality: str) -> str:
    return running_pod(name, ip, {"app": "httpbin", "istio-locality": locality}, {"http": 80})


def test_pods_far_away_are_fallen_back_on() -> None:
    near, far = located_pod("near", "127.10.1.1", "west.a"), located_pod("far", "127.10.1.2", "east.a")
    mesh = push(HTTPBIN_SERVICE, LOCALITY_RULE, near, far)
    proxy = sidecar_proxy({"app": "sleep", "istio-locality": "west.b"})
    cluster = as_json(build_clusters(proxy, mesh)[HTTPBIN])
    assert "locality_weighted_lb_config" in cluster["common_lb_config"]
    [thresholds] = cluster["circuit_breakers"]["thresholds"]
    assert thresholds["retry_budget"] == {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 5}
    [assignment] = build_endpoints(proxy, mesh, [HTTPBIN]).values()
    found = {
        (e.locality.region, e.lb_endpoints[0].endpoint.address.socket_address.address): e.priority
        for e in assignment.endpoints
    }
    assert found == {("west", "127.10.1.1"): 0, ("east", "127.10.1.2"): 1}


def test_localities_without_weights_do_not_weigh() -> None:
    """They would else overrule the choice of the least busy host."""
    rule = LOCALITY_RULE.replace("failoverPriority: [topology.kubernetes.io/region]", "enabled: true")
    cluster = clusters(HTTPBIN_SERVICE, rule)[HTTPBIN]
    assert not cluster.common_lb_config.HasField("locality_weighted_lb_config")
