"""Whatever the control plane makes of published configuration, the proxy takes.

No process and no socket: each resource that translation makes, for a gateway and for sidecars, goes through
the proxy's own compile steps. One resource refused would make the proxy refuse all of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.resources import Resource
from minimesh.config.store import Store
from minimesh.control_plane.push_context import PushContext
from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.data_plane.http.filters.cors import CorsPolicy
from minimesh.data_plane.http.filters.fault import FaultSettings
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.routing.actions import ClusterHandle, RouteAction
from minimesh.data_plane.routing.route_table import RouteConfigHolder, RouteTable
from minimesh.data_plane.runtime import Fraction
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.cluster import compile_cluster, compile_load_assignment
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.http_filters import route_filter_compiler
from minimesh.data_plane.xds_client.compile.listener import compile_listener
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from tests.control_plane.labs import GATEWAY, GS_LAB, GS_PODS, HTTPBIN_LAB, HTTPBIN_PODS
from tests.control_plane.manifests import EVERYTHING
from tests.control_plane.meshes import gateway_proxy, running_pod, sidecar_proxy

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "reference" / "samples" / "istio"
#: Folder of rules -> what they are about.
FOLDERS = {
    "bookinfo/networking": (
        "bookinfo/platform/kube/bookinfo.yaml",
        "bookinfo/networking/destination-rule-all.yaml",
    ),
    "bookinfo/platform/kube": ("bookinfo/networking/bookinfo-gateway.yaml",),
    "helloworld": ("helloworld/helloworld.yaml",),
    "httpbin": ("httpbin/httpbin.yaml",),
    "tcp-echo": ("tcp-echo/tcp-echo-services.yaml",),
    "sleep": (),
    "curl": (),
}


def samples() -> Iterator[Any]:
    """Each published file together with the files it is meant to be applied on top of."""
    for folder, base in FOLDERS.items():
        for file in sorted((SAMPLES / folder).glob("*.yaml")):
            below = [SAMPLES / each for each in base if SAMPLES / each != file]
            yield pytest.param([*below, file], id=f"{folder}/{file.stem}")


def proxies(resources: Sequence[Resource]) -> list[Proxy]:
    """The gateway, and a sidecar for each workload."""
    labels = [
        resource.spec.template.metadata.labels for resource in resources if resource.key.kind == "Deployment"
    ]
    return [gateway_proxy(), *(sidecar_proxy(each) for each in labels or [{"app": "other"}])]


def pods(resources: Sequence[Resource]) -> Iterator[str]:
    """A running pod of each Deployment, so that there are endpoints."""
    deployments = [resource for resource in resources if resource.key.kind == "Deployment"]
    for number, deployment in enumerate(deployments, 1):
        template = deployment.spec.template
        ports = {
            f"p{port.container_port}": port.container_port
            for container in template.spec.containers
            for port in container.ports
        }
        yield running_pod(f"{deployment.name}-1", f"127.10.1.{number}", template.metadata.labels, ports)


def mesh_of(*texts: str) -> tuple[PushContext, list[Resource]]:
    store = Store()
    resources: list[Resource] = []
    for text in texts:
        resources += decode(text, "sample.yaml").resources
    for pod in pods(resources):
        resources += decode(pod, "pod.yaml").resources
    for resource in resources:
        store.put(resource)
    return PushContext.build(store.snapshot(), (), None), resources


def new_context() -> CompileContext:
    return CompileContext(
        stats=StatsStore(),
        log_files=AccessLogFiles(),
        address_map=AddressMap(),
        clusters=ClusterHandle,
        find_cluster=ClusterHandle,
        route_config=lambda _name: RouteConfigHolder(),
    )


def compile_routes(message: Any, context: CompileContext) -> RouteTable:
    return compile_route_configuration(
        message,
        context.clusters,
        find_cluster=context.find_cluster,
        compile_format=value_formatter,
        compile_filter_config=route_filter_compiler(context),
    )


def refusals(resources: Resources) -> list[str]:
    """What the proxy says no to, a line each."""
    context = new_context()
    steps: tuple[tuple[Mapping[str, Any], Callable[[Any], object]], ...] = (
        (resources.clusters, lambda message: compile_cluster(message, context)),
        (resources.endpoints, compile_load_assignment),
        (resources.listeners, lambda message: compile_listener(message, context)),
        (resources.routes, lambda message: compile_routes(message, context)),
    )
    refused = []
    for messages, compile_one in steps:
        for name, message in messages.items():
            try:
                compile_one(message)
            except CompileError as error:
                refused.append(f"{name}: {error}")
    return refused


def refusals_of(*texts: str) -> list[str]:
    push, resources = mesh_of(GATEWAY, *texts)
    return [
        f"{proxy.id}: {refusal}"
        for proxy in proxies(resources)
        for refusal in refusals(build_resources(proxy, push))
    ]


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not beside the repository (../shared)")
@pytest.mark.parametrize("files", list(samples()))
def test_a_published_sample_is_taken(files: list[Path]) -> None:
    assert refusals_of(*(file.read_text() for file in files)) == []


@pytest.mark.parametrize(
    "texts",
    [(GS_LAB, *GS_PODS), (HTTPBIN_LAB, *HTTPBIN_PODS), (EVERYTHING,)],
    ids=["gs", "httpbin", "everything"],
)
def test_what_translation_can_make_is_taken(texts: tuple[str, ...]) -> None:
    assert refusals_of(*texts) == []


def test_faults_origins_and_mirrors_arrive_as_written() -> None:
    push, _ = mesh_of(GATEWAY, EVERYTHING)
    message = build_resources(gateway_proxy(), push).routes["http.8080"]
    host = compile_routes(message, new_context()).find_virtual_host("everything.example.com")
    assert host is not None
    route = next(route for _, route in host.routes if route.name == "matches.all")
    fault = route.typed_per_filter_config["envoy.filters.http.fault"]
    assert isinstance(fault, FaultSettings)
    assert fault.delay is not None
    assert fault.abort is not None
    delayed, aborted = fault.delay.share.fraction, fault.abort.share.fraction
    assert (fault.delay.delay_s, delayed.numerator, delayed.denominator) == (1.0, 100_000, 1_000_000)
    assert (fault.abort.status, aborted.numerator, aborted.denominator) == (503, 15_000, 1_000_000)
    policy = route.typed_per_filter_config["envoy.filters.http.cors"]
    assert isinstance(policy, CorsPolicy)
    assert (policy.allow_methods, policy.expose_headers, policy.max_age) == ("GET,POST", "x-b", "86400")
    assert policy.allows("https://a.com")
    assert not policy.allows("http://a.com")
    assert isinstance(route.action, RouteAction)
    [mirror] = route.action.mirrors
    assert mirror.cluster.name == "outbound|9080||everything.default.svc.cluster.local"
    assert mirror.fraction == Fraction(125_000, 1_000_000)
