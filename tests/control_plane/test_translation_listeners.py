"""Listeners: what binds, which filters stand in a chain, and when something is logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.control_plane.mesh_config import AccessLogEncoding, OutboundTrafficPolicy
from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.push_context.telemetry import DEFAULT_TEXT_FORMAT
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.listeners import build_listeners
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.descriptions import connection_manager, describe_listeners
from tests.control_plane.labs import GATEWAY, GS_LAB, HTTPBIN_LAB
from tests.control_plane.manifests import EVERYTHING
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy

LOGGED = MeshConfig(access_log_file="/dev/stdout")


def listeners(
    *manifests: str, proxy: Proxy | None = None, mesh: MeshConfig | None = None
) -> Mapping[str, Any]:
    return build_listeners(proxy or gateway_proxy(), push(GATEWAY, *manifests, mesh=mesh))


def gateway_manager(*manifests: str, mesh: MeshConfig | None = None) -> Any:
    [chain] = listeners(*manifests, mesh=mesh)["0.0.0.0_8080"].filter_chains
    return connection_manager(chain)


def as_json(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def test_the_gateways_connection_manager_is_as_istiods() -> None:
    manager = as_json(gateway_manager(GS_LAB))
    filters = manager.pop("http_filters")
    assert manager == {
        "stat_prefix": "outbound_0.0.0.0_8080",
        "rds": {
            "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "route_config_name": "http.8080",
        },
        "server_name": "istio-envoy",
        "use_remote_address": True,
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "proxy_100_continue": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": True, "cert": True, "dns": True, "uri": True},
        "http_protocol_options": {},
    }
    assert [f["name"] for f in filters] == [
        "envoy.filters.http.grpc_stats",
        "envoy.filters.http.fault",
        "envoy.filters.http.cors",
        "envoy.filters.http.router",
    ]


def test_an_inbound_chain_has_its_route_inside() -> None:
    proxy = sidecar_proxy({"app": "httpbin"})
    inbound = listeners(HTTPBIN_LAB, proxy=proxy)["virtualInbound"]
    [chain] = [c for c in inbound.filter_chains if c.name == "0.0.0.0_80"]
    manager = connection_manager(chain)
    assert chain.filter_chain_match.destination_port.value == 80
    assert (manager.stat_prefix, manager.server_name) == ("inbound_0.0.0.0_80", "istio-envoy")
    assert manager.forward_client_cert_details == manager.APPEND_FORWARD
    assert not manager.use_remote_address.value
    [host] = manager.route_config.virtual_hosts
    [route] = host.routes
    assert (manager.route_config.name, host.name, list(host.domains)) == (
        "inbound|80||",
        "inbound|http|8000",
        ["*"],
    )
    assert (route.name, route.route.cluster) == ("default", "inbound|80||")
    assert route.decorator.operation == "httpbin.default.svc.cluster.local:8000/*"
    assert route.route.HasField("timeout")
    assert route.route.timeout.seconds == 0


def test_what_binds_and_what_is_only_handed_connections() -> None:
    found = listeners(HTTPBIN_LAB, proxy=sidecar_proxy({"app": "httpbin"}))
    bound = {
        name: f"{a.address}:{a.port_value}"
        for name, listener in found.items()
        if not listener.HasField("bind_to_port")
        for a in [listener.address.socket_address]
    }
    assert bound == {
        "virtualOutbound": "0.0.0.0:15001",
        "virtualInbound": "0.0.0.0:15006",
        "127.0.0.1_15080": "127.0.0.1:15080",
    }
    assert found["virtualOutbound"].use_original_dst.value


def test_protocols_decide_the_shape_of_outbound_listeners() -> None:
    resources = build_resources(sidecar_proxy({"app": "sleep"}), push(EVERYTHING))
    host = "everything.default.svc.cluster.local"
    described = describe_listeners(resources)
    address = next(n for n in resources.listeners if n.endswith("_9100")).partition("_")[0]
    assert "0.0.0.0_9080 (http/1.1 h2c) -> rds 9080" in described
    weighted = f"60 outbound|9100||{host}, 40 outbound|9080||{host}"
    assert f"{address}_9100 -> tcp {weighted}" in described
    assert f"{address}_9200 (http/1.1 h2c) -> rds {host}:9200" in described
    assert f"{address}_9200 -> tcp outbound|9200||{host}" in described


def test_a_gateways_tcp_server_follows_the_tcp_rules() -> None:
    described = describe_listeners(build_resources(gateway_proxy(), push(EVERYTHING)))
    host = "everything.default.svc.cluster.local"
    assert f"0.0.0.0_9100 -> tcp 60 outbound|9100||{host}, 40 outbound|9080||{host}" in described


EXTERNAL_TLS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  resolution: DNS
  ports: [{{name: https, number: 443, protocol: HTTPS}}]
"""


def test_services_outside_are_told_apart_by_the_name_in_the_tls_hello() -> None:
    found = listeners(EXTERNAL_TLS.format(name="a"), EXTERNAL_TLS.format(name="b"), proxy=sidecar_proxy({}))
    chains = found["0.0.0.0_443"].filter_chains
    assert [list(chain.filter_chain_match.server_names) for chain in chains] == [
        ["a.example.com"],
        ["b.example.com"],
    ]
    assert found["0.0.0.0_443"].default_filter_chain.name == "PassthroughFilterChain"


def test_registry_only_leads_strangers_nowhere() -> None:
    mesh = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy.REGISTRY_ONLY)
    resources = build_resources(sidecar_proxy({"app": "sleep"}), push(HTTPBIN_LAB, mesh=mesh))
    assert "virtualOutbound -> tcp BlackHoleCluster" in describe_listeners(resources)
    last = resources.routes["8000"].virtual_hosts[-1]
    assert (last.name, last.routes[0].direct_response.status) == ("block_all", 502)


def test_an_unprivileged_gateway_leaves_low_ports_alone() -> None:
    proxy = gateway_proxy()
    lowered = GS_LAB.replace("number: 80", "number: 81")
    assert list(listeners(lowered)) == ["0.0.0.0_81"]
    unprivileged = Proxy(
        "router",
        proxy.id,
        proxy.ip,
        proxy.namespace,
        proxy.labels,
        proxy.dns_domain,
        metadata={"UNPRIVILEGED_POD": "true"},
    )
    assert listeners(lowered, proxy=unprivileged) == {}


def test_a_server_that_ends_tls_has_a_chain_for_its_hosts() -> None:
    https = GS_LAB.replace(
        "port: {number: 80, name: http, protocol: HTTP}",
        "tls: {mode: SIMPLE, credentialName: gs}\n    port: {number: 443, name: https, protocol: HTTPS}",
    )
    [found] = listeners(https).values()
    [chain] = found.filter_chains
    assert found.name == "0.0.0.0_8443"
    assert [each.name for each in found.listener_filters] == ["envoy.filters.listener.tls_inspector"]
    assert connection_manager(chain).rds.route_config_name.startswith("https.443.https.")
    context = m.tls_pb2.DownstreamTlsContext()
    assert chain.transport_socket.typed_config.Unpack(context)
    assert as_json(context) == {
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [
                {"name": "kubernetes://gs", "sds_config": {"ads": {}, "resource_api_version": "V3"}}
            ],
        },
        "require_client_certificate": False,
    }


def file_log(message: Any) -> Any:
    log = m.file_access_log_pb2.FileAccessLog()
    message.typed_config.Unpack(log)
    return log


def test_files_of_the_gateways_own_volume_are_the_secret_mounted_there() -> None:
    folder = "/etc/istio/ingressgateway-certs"
    tls = f"{{mode: SIMPLE, serverCertificate: {folder}/tls.crt, privateKey: {folder}/tls.key}}"
    https = GS_LAB.replace(
        "port: {number: 80, name: http, protocol: HTTP}",
        f"tls: {tls}\n    port: {{number: 443, name: https, protocol: HTTPS}}",
    )
    [found] = listeners(https).values()
    context = m.tls_pb2.DownstreamTlsContext()
    assert found.filter_chains[0].transport_socket.typed_config.Unpack(context)
    common = context.common_tls_context
    named = [each.name for each in common.tls_certificate_sds_secret_configs]
    assert named == ["kubernetes://istio-ingressgateway-certs"]
    assert not common.tls_certificates


def test_without_telemetry_nothing_is_logged() -> None:
    assert not gateway_manager(GS_LAB).access_log
    assert not listeners(GS_LAB)["0.0.0.0_8080"].access_log


def test_the_default_line_is_istios() -> None:
    [access_log] = gateway_manager(GS_LAB, mesh=LOGGED).access_log
    log = file_log(access_log)
    assert (access_log.name, log.path) == ("envoy.access_loggers.file", "/dev/stdout")
    assert log.log_format.text_format_source.inline_string == DEFAULT_TEXT_FORMAT


def test_the_listener_logs_connections_that_no_chain_wanted() -> None:
    [access_log] = listeners(GS_LAB, mesh=LOGGED)["0.0.0.0_8080"].access_log
    assert list(access_log.filter.response_flag_filter.flags) == ["NR"]


@pytest.mark.parametrize("written", ["%METHOD%", "%METHOD%\n"])
def test_a_custom_format_ends_with_one_newline(written: str) -> None:
    mesh = MeshConfig(access_log_file="/tmp/log", access_log_format=written)
    log = file_log(gateway_manager(GS_LAB, mesh=mesh).access_log[0])
    assert log.log_format.text_format_source.inline_string == "%METHOD%\n"


def test_json_lines() -> None:
    mesh = MeshConfig(access_log_file="/dev/stdout", access_log_encoding=AccessLogEncoding.JSON)
    log = file_log(gateway_manager(GS_LAB, mesh=mesh).access_log[0])
    assert log.log_format.json_format["method"] == "%REQ(:METHOD)%"


def test_telemetry_switches_the_log_of_everything_on() -> None:
    telemetry = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
    assert gateway_manager(GS_LAB, telemetry).access_log
    found = listeners(HTTPBIN_LAB, telemetry, proxy=sidecar_proxy({"app": "httpbin"}))
    assert all(listener.access_log for listener in found.values())
