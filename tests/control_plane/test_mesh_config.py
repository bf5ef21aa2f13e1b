"""Settings of the mesh, as the ConfigMap `istio` has them, and what they change for proxies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.config.store import Store
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.push_context.mesh_settings import MeshSettings
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.labs import HTTPBIN_LAB
from tests.control_plane.meshes import (
    INGRESS_GATEWAY,
    decode_all,
    gateway_proxy,
    push,
    running_pod,
    sidecar_proxy,
    snapshot,
)
from tests.proofs import proves

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: tcp, port: 9000}]
"""
UNKNOWN_PROTOCOL = """
apiVersion: v1
kind: Service
metadata: {name: unknown}
spec: {ports: [{name: unnamed, port: 8001}]}
"""
WEB_80 = "outbound|80||web.default.svc.cluster.local"


def settings(text: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": text},
        }
    )


def mesh(text: str) -> MeshConfig:
    return push(settings(text)).mesh


def resources(text: str, *manifests: str, proxy: Proxy | None = None) -> Any:
    return build_resources(proxy or sidecar_proxy({}), push(WEB, settings(text), *manifests))


def manager(found: Any, listener: str) -> Any:
    message = m.http_connection_manager_pb2.HttpConnectionManager()
    found.listeners[listener].filter_chains[0].filters[0].typed_config.Unpack(message)
    return message


def log_of(text: str) -> Any:
    logs = [log for log in manager(resources(text), "0.0.0.0_80").access_log if "file" in log.name]
    assert len(logs) <= 1
    message = m.file_access_log_pb2.FileAccessLog()
    for log in logs:
        log.typed_config.Unpack(message)
    return json_format.MessageToDict(message)


def test_without_settings_everything_is_istios_default() -> None:
    assert push(WEB).mesh == MeshConfig() == mesh("{}")


@proves(
    "MeshConfig",
    "accessLogFile",
    "accessLogFormat",
    "accessLogEncoding",
)
def test_the_access_log_has_a_file_a_format_and_an_encoding() -> None:
    assert log_of("{}") == {}
    assert log_of("accessLogFile: /dev/stdout")["path"] == "/dev/stdout"
    written = log_of('{accessLogFile: /tmp/a, accessLogFormat: "%PROTOCOL%\\n"}')
    assert written["logFormat"]["textFormatSource"] == {"inlineString": "%PROTOCOL%\n"}
    written = log_of(
        '{accessLogFile: /tmp/a, accessLogEncoding: JSON, accessLogFormat: \'{"a": "%PROTOCOL%"}\'}'
    )
    assert written["logFormat"]["jsonFormat"] == {"a": "%PROTOCOL%"}
    written = log_of("{accessLogFile: /tmp/a, accessLogEncoding: JSON}")
    assert written["logFormat"]["jsonFormat"]["response_code"] == "%RESPONSE_CODE%"


@proves(
    "MeshConfig",
    "extensionProviders[].name",
    "extensionProviders[].envoyFileAccessLog.**",
    "defaultProviders.accessLogging",
)
def test_providers_write_logs_of_their_own() -> None:
    text = """
defaultProviders: {accessLogging: [mine]}
extensionProviders:
- name: mine
  envoyFileAccessLog: {path: /tmp/mine, logFormat: {text: "%PROTOCOL%"}, omitEmptyValues: true}
"""
    written = log_of(text)
    assert (written["path"], written["logFormat"]["omitEmptyValues"]) == ("/tmp/mine", True)


@proves("MeshConfig", "disableEnvoyListenerLog")
def test_listeners_may_be_silent() -> None:
    logged = resources("{accessLogFile: /dev/stdout}").listeners["0.0.0.0_80"]
    silent = resources("{accessLogFile: /dev/stdout, disableEnvoyListenerLog: true}").listeners["0.0.0.0_80"]
    assert (len(logged.access_log), len(silent.access_log)) == (1, 0)


@proves("MeshConfig", "outboundTrafficPolicy.mode")
def test_calls_to_hosts_that_nobody_declared_may_be_blocked() -> None:
    found = resources("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    assert "block_all" in {host.name for host in found.routes["80"].virtual_hosts}


@proves("MeshConfig", "connectTimeout", "tcpKeepalive.**")
def test_connections() -> None:
    text = "{connectTimeout: 3s, tcpKeepalive: {probes: 4, time: 20s, interval: 5s}}"
    cluster = json_format.MessageToDict(resources(text).clusters[WEB_80])
    assert cluster["connectTimeout"] == "3s"
    assert cluster["upstreamConnectionOptions"]["tcpKeepalive"] == {
        "keepaliveProbes": 4,
        "keepaliveTime": 20,
        "keepaliveInterval": 5,
    }


def speaks_http2(cluster: Any) -> bool:
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    for packed in cluster.typed_extension_protocol_options.values():
        packed.Unpack(options)
    return bool(options.explicit_http_config.HasField("http2_protocol_options"))


@proves("MeshConfig", "h2UpgradePolicy")
def test_services_may_be_called_by_http2_unless_their_rule_refuses() -> None:
    upgraded = resources("h2UpgradePolicy: UPGRADE").clusters
    assert speaks_http2(upgraded[WEB_80])
    assert not speaks_http2(upgraded[WEB_80.replace("80", "9000")])
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}}
"""
    assert not speaks_http2(resources("h2UpgradePolicy: UPGRADE", rule).clusters[WEB_80])


@proves("MeshConfig", "localityLbSetting.**")
def test_near_hosts_may_be_preferred_or_not() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, trafficPolicy: {outlierDetection: {}}}
"""
    pods = [
        running_pod(place, f"127.10.0.{number}", {"app": "web", "istio-locality": place}, {})
        for number, place in enumerate(("west", "east"), 2)
    ]
    proxy = sidecar_proxy({"istio-locality": "west"})
    for text, expected in (("{}", {0, 1}), ("localityLbSetting: {enabled: false}", {0})):
        [*groups] = resources(text, rule, *pods, proxy=proxy).endpoints[WEB_80].endpoints
        assert {group.priority for group in groups} == expected


@proves(
    "MeshConfig",
    "defaultHttpRetryPolicy.attempts",
    "defaultHttpRetryPolicy.retryOn",
    "defaultHttpRetryPolicy.perTryTimeout",
    "defaultHttpRetryPolicy.backoff",
    "defaultHttpRetryPolicy.retryIgnorePreviousHosts",
)
def test_retries_of_routes_that_declare_none() -> None:
    more = "backoff: 30ms, retryIgnorePreviousHosts: false"
    text = f"defaultHttpRetryPolicy: {{attempts: 7, retryOn: '503', perTryTimeout: 2s, {more}}}"
    hosts = {host.name: host for host in resources(text).routes["80"].virtual_hosts}
    policy = hosts["web.default.svc.cluster.local:80"].routes[0].route.retry_policy
    assert (policy.num_retries.value, policy.retry_on, policy.per_try_timeout.seconds) == (
        7,
        "retriable-status-codes",
        2,
    )
    assert list(policy.retriable_status_codes) == [503]
    assert policy.retry_back_off.base_interval.ToMilliseconds() == 30
    assert not policy.retry_host_predicate


def test_retries_may_be_switched_off() -> None:
    found = resources("defaultHttpRetryPolicy: {attempts: 0}").routes["80"]
    assert not any(r.route.HasField("retry_policy") for h in found.virtual_hosts for r in h.routes)


@proves("MeshConfig", "pathNormalization.normalization")
@pytest.mark.parametrize(
    ("written", "normalizes", "merges", "escaped"),
    [
        ("DEFAULT", True, False, "KEEP_UNCHANGED"),
        ("NONE", False, False, "KEEP_UNCHANGED"),
        ("BASE", True, False, "KEEP_UNCHANGED"),
        ("MERGE_SLASHES", True, True, "KEEP_UNCHANGED"),
        ("DECODE_AND_MERGE_SLASHES", True, True, "UNESCAPE_AND_FORWARD"),
    ],
)
def test_paths_are_normalized(written: str, normalizes: bool, merges: bool, escaped: str) -> None:
    found = manager(resources(f"pathNormalization: {{normalization: {written}}}"), "0.0.0.0_80")
    action = found.PathWithEscapedSlashesAction.Name(found.path_with_escaped_slashes_action)
    assert (found.normalize_path.value, found.merge_slashes, action) == (normalizes, merges, escaped)


@proves("MeshConfig", "defaultConfig.gatewayTopology.numTrustedProxies")
@pytest.mark.parametrize(
    ("annotation", "hops"), [("", 1), ("gatewayTopology: {numTrustedProxies: 2}", 2), ("concurrency: 1", 1)]
)
def test_gateways_trust_proxies_before_them(annotation: str, hops: int) -> None:
    text = "defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}"
    pod = json.loads(running_pod("istio-ingressgateway-1", "127.10.0.1", {}, {}, "istio-system"))
    pod["metadata"]["annotations"] = {"proxy.istio.io/config": annotation} if annotation else {}
    found = build_resources(
        gateway_proxy(), push(HTTPBIN_LAB, INGRESS_GATEWAY, settings(text), json.dumps(pod))
    )
    assert manager(found, "0.0.0.0_8080").xff_num_trusted_hops == hops


@proves("MeshConfig", "protocolDetectionTimeout")
@pytest.mark.parametrize(("text", "seconds"), [("{}", 0), ("protocolDetectionTimeout: 5s", 5)])
def test_a_client_that_says_nothing_may_be_waited_for(text: str, seconds: int) -> None:
    """0 is Istio's default: for ever. When the time is over, what was seen counts."""
    found = resources(text, UNKNOWN_PROTOCOL).listeners
    sniffing = [each for name, each in found.items() if name.endswith("_8001") or name == "virtualInbound"]
    assert len(sniffing) == 2
    for listener in sniffing:
        assert listener.listener_filters_timeout.seconds == seconds
        assert listener.continue_on_listener_filters_timeout


@proves("MeshConfig", "defaultServiceExportTo")
def test_what_is_exported_by_default() -> None:
    text = "{defaultServiceExportTo: ['.'], defaultDestinationRuleExportTo: ['.']}"
    assert WEB_80 in resources(text).clusters
    assert WEB_80 not in resources(text, proxy=sidecar_proxy({}, "other")).clusters


@proves("MeshConfig", "defaultVirtualServiceExportTo")
def test_virtual_services_may_be_for_their_own_namespace_by_default() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{timeout: 7s, route: [{destination: {host: web}}]}]}
"""
    text = "defaultVirtualServiceExportTo: ['.']"
    assert "7s" in str(json_format.MessageToDict(resources(text, rule).routes["80"]))
    other = resources(text, rule, proxy=sidecar_proxy({}, "other")).routes["80"]
    assert "7s" not in str(json_format.MessageToDict(other))


@proves("MeshConfig", "defaultDestinationRuleExportTo")
def test_destination_rules_may_be_for_their_own_namespace_by_default() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: rules}
spec: {host: web.default.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 7s}}}}
"""
    text = "defaultDestinationRuleExportTo: ['.']"
    caller = sidecar_proxy({}, "rules")
    assert resources(text, rule, proxy=caller).clusters[WEB_80].connect_timeout.seconds == 7
    other = sidecar_proxy({}, "other")
    assert resources(text, rule, proxy=other).clusters[WEB_80].connect_timeout.seconds == 10


@proves("MeshConfig", "dnsRefreshRate")
def test_names_are_resolved_as_often_as_the_mesh_says() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far}
spec: {hosts: [far.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
"""
    found = resources("dnsRefreshRate: 7s", entry).clusters["outbound|80||far.example"]
    assert found.dns_refresh_rate.seconds == 7


INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  {class_line}
  rules:
  - host: web.example
    http:
      paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]
"""
ANOTHER_GATEWAY = """
apiVersion: v1
kind: Service
metadata: {name: front, namespace: istio-system}
spec:
  type: LoadBalancer
  selector: {istio: front}
  ports: [{name: http2, port: 80, targetPort: 8080}]
"""


@proves(
    "MeshConfig",
    "ingressClass",
    "ingressControllerMode",
    "ingressService",
    "ingressSelector",
)
@pytest.mark.parametrize(
    ("text", "class_line", "gateway", "is_served"),
    [
        ("{}", "ingressClassName: istio", "ingressgateway", True),
        ("{}", "ingressClassName: mine", "ingressgateway", False),
        ("ingressClass: mine", "", "ingressgateway", False),
        ("{ingressControllerMode: DEFAULT}", "", "ingressgateway", True),
        ("{ingressControllerMode: 'OFF'}", "ingressClassName: istio", "ingressgateway", False),
        ("{ingressService: front}", "ingressClassName: istio", "front", True),
        ("{ingressService: front}", "ingressClassName: istio", "ingressgateway", False),
        ("{ingressService: none, ingressSelector: mine}", "ingressClassName: istio", "mine", True),
        ("{ingressSelector: mine}", "ingressClassName: istio", "ingressgateway", False),
    ],
)
def test_which_ingresses_are_served_and_by_which_gateway(
    text: str, class_line: str, gateway: str, is_served: bool
) -> None:
    ingress = INGRESS.format(class_line=class_line)
    proxy = replace(gateway_proxy(), labels={"istio": gateway, "app": "istio-ingressgateway"})
    found = resources(text, INGRESS_GATEWAY, ANOTHER_GATEWAY, ingress, proxy=proxy)
    hosts = {
        name for config in found.routes.values() for host in config.virtual_hosts for name in host.domains
    }
    assert ("web.example" in hosts) is is_served


@proves("MeshConfig", "rootNamespace")
def test_the_root_namespace_may_be_another() -> None:
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: root}
spec: {egress: [{hosts: ["~/*"]}]}
"""
    assert WEB_80 in resources("{}", sidecar).clusters
    assert WEB_80 not in resources("rootNamespace: root", sidecar).clusters


def test_a_text_with_an_error_changes_nothing() -> None:
    kept = MeshSettings(MeshConfig())
    assert kept.of(snapshot(settings("connectTimeout: 3s"))).connect_timeout_s == 3
    assert kept.of(snapshot(settings("connectTimeout: soon"))).connect_timeout_s == 3
    assert [each.field for each in kept.diagnostics] == ["connectTimeout"]
    assert kept.of(snapshot(settings("connectTimeout: 4s"))).connect_timeout_s == 4
    # What is taken back is as if it had never been there.
    assert kept.of(snapshot(WEB)) == MeshConfig()


def test_a_push_context_reads_the_settings_of_its_snapshot() -> None:
    store = Store()
    for resource in decode_all(settings("rootNamespace: root")):
        store.put(resource)
    assert PushContext.build(store.snapshot()).mesh.root_namespace == "root"
