"""Access logs that Telemetry asks for, as the proxies get them: conditions, providers, formats, sides."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.config.validate import check
from minimesh.control_plane.mesh_config import AccessLogProvider
from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.labs import GATEWAY, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy
from tests.proofs import proves

GATEWAY_PROXY = gateway_proxy()
SIDECAR = sidecar_proxy({"app": "httpbin"})
MESH = MeshConfig(
    access_log_providers=(
        AccessLogProvider("text", "/tmp/text.log", text_format="%PATH%"),
        AccessLogProvider("json", "/tmp/json.log", json_format={"path": "%PATH%"}),
    )
)


def telemetry(logging: str, *, name: str = "t", namespace: str = "istio-system", more: str = "") -> str:
    return f"""
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {more}
  accessLogging: [{logging}]
"""


def listeners(*manifests: str, proxy: Proxy = GATEWAY_PROXY) -> dict[str, Any]:
    """Without the labs' own Telemetry, so that what is here is what these manifests say."""
    lab = "\n---\n".join(part for part in HTTPBIN_LAB.split("\n---\n") if "kind: Telemetry" not in part)
    context = push(GATEWAY, lab, *HTTPBIN_PODS, *manifests, mesh=MESH)
    return dict(build_resources(proxy, context).listeners)


def request_logs(*manifests: str, proxy: Proxy = GATEWAY_PROXY, listener: str = "0.0.0.0_8080") -> list[Any]:
    for chain in listeners(*manifests, proxy=proxy)[listener].filter_chains:
        for network_filter in chain.filters:
            if network_filter.name == HTTP_CONNECTION_MANAGER:
                manager = m.http_connection_manager_pb2.HttpConnectionManager()
                network_filter.typed_config.Unpack(manager)
                return [log for log in manager.access_log if log.name == "envoy.access_loggers.file"]
    raise AssertionError(f"{listener} has no HTTP")


def condition_of(log: Any) -> str:
    expression = m.cel_filter_pb2.ExpressionFilter()
    log.filter.extension_filter.typed_config.Unpack(expression)
    return str(expression.expression)


def config_of(log: Any) -> Any:
    config = m.file_access_log_pb2.FileAccessLog()
    log.typed_config.Unpack(config)
    return config


FAILURES = "{providers: [{name: envoy}], filter: {expression: 'response.code >= 400'}}"


@proves("Telemetry", "spec.accessLogging[].filter.expression")
def test_a_condition_becomes_envoys_cel_filter() -> None:
    [log] = request_logs(telemetry(FAILURES))
    assert log.filter.extension_filter.name == "envoy.access_loggers.extension_filters.cel"
    assert condition_of(log) == "response.code >= 400"


def test_on_the_listener_both_conditions_must_hold() -> None:
    [log] = listeners(telemetry(FAILURES))["0.0.0.0_8080"].access_log
    unwanted, condition = log.filter.and_filter.filters
    assert list(unwanted.response_flag_filter.flags) == ["NR"]
    assert condition.WhichOneof("filter_specifier") == "extension_filter"


def test_a_condition_without_provider_concerns_the_inherited_one() -> None:
    narrower = telemetry("{filter: {expression: 'response.code == 503'}}", namespace="default")
    [log] = request_logs(
        telemetry("{providers: [{name: envoy}]}"), narrower, proxy=SIDECAR, listener="0.0.0.0_8000"
    )
    assert condition_of(log) == "response.code == 503"


@proves("Telemetry", "spec.accessLogging[].providers[].name")
def test_each_provider_writes_its_own_format_to_its_own_file() -> None:
    logs = request_logs(telemetry("{providers: [{name: text}, {name: json}]}"))
    text, json = (config_of(log) for log in logs)
    assert (text.path, text.log_format.text_format_source.inline_string) == ("/tmp/text.log", "%PATH%\n")
    assert (json.path, json.log_format.json_format.fields["path"].string_value) == ("/tmp/json.log", "%PATH%")


@proves("Telemetry", "spec.accessLogging[].match.mode")
@pytest.mark.parametrize(
    ("mode", "outbound", "inbound"),
    [("CLIENT", 1, 0), ("SERVER", 0, 1), ("CLIENT_AND_SERVER", 1, 1)],
)
def test_a_side_of_the_call_may_be_chosen(mode: str, outbound: int, inbound: int) -> None:
    written = telemetry(f"{{match: {{mode: {mode}}}, providers: [{{name: envoy}}]}}")
    assert len(request_logs(written, proxy=SIDECAR, listener="0.0.0.0_8000")) == outbound
    assert len(request_logs(written, proxy=SIDECAR, listener="virtualInbound")) == inbound


@proves(
    "Telemetry",
    "spec.accessLogging[].disabled",
    "spec.selector.**",
    "spec.targetRef.**",
    "spec.targetRefs.**",
)
@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({"more": "selector: {matchLabels: {istio: ingressgateway}}"}, 0),
        ({"more": "selector: {matchLabels: {istio: other}}"}, 1),
        ({"more": "targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: own}"}, 0),
        ({"more": "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: other}]"}, 1),
        ({"namespace": "elsewhere"}, 1),
    ],
)
def test_what_is_narrower_may_switch_it_off(changes: dict[str, str], count: int) -> None:
    labels = {**GATEWAY_PROXY.labels, "gateway.networking.k8s.io/gateway-name": "own"}
    proxy = Proxy("router", "gateway", "127.10.0.1", "edge", labels, "edge.svc.cluster.local")
    off = telemetry("{disabled: true}", name="switched-off", **{"namespace": "edge", **changes})
    wider = telemetry("{providers: [{name: envoy}]}")
    found = request_logs(wider, off, proxy=proxy, listener="0.0.0.0_80")
    assert len(found) == count


def test_an_expression_that_is_no_cel_is_an_error_with_its_place() -> None:
    found = check({"lab.yaml": telemetry("{filter: {expression: 'response.code >= '}}")})
    [error] = [each for each in found if each.code == "bad-expression"]
    assert (error.field, error.line) == ("spec.accessLogging[0].filter.expression", 7)


def test_metrics_and_traces_are_named_as_not_simulated() -> None:
    written = telemetry("", more="metrics: [{providers: [{name: prometheus}]}]\n  tracing: [{}]")
    noted = [each.field for each in check({"lab.yaml": written}) if each.code == "not-simulated"]
    assert noted == ["spec.metrics", "spec.tracing"]


SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: failures
      envoyFileAccessLog: {path: /dev/stderr}
    - name: prometheus
      prometheus: {}
"""


@pytest.mark.parametrize(
    ("name", "noted"), [("envoy", False), ("failures", False), ("failuers", True), ("prometheus", True)]
)
def test_a_provider_that_writes_no_log_is_named(name: str, noted: bool) -> None:
    found = check({"mesh.yaml": SETTINGS, "lab.yaml": telemetry(f"{{providers: [{{name: {name}}}]}}")})
    warned = [(each.file, each.line) for each in found if each.code == "unknown-provider"]
    assert warned == ([("lab.yaml", 7)] if noted else [])
