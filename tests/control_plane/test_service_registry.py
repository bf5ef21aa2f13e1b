"""Services, the pods behind them, and what their ports speak."""

from __future__ import annotations

import gc
import ipaddress
from dataclasses import replace

import pytest

from minimesh.config.port_map import parse_port_map, port_map_text
from minimesh.control_plane.service_registry import ServiceRegistry
from minimesh.control_plane.service_registry.cluster_ips import CLUSTER_IP_RANGE
from minimesh.control_plane.service_registry.protocols import Protocol, infer_protocol
from minimesh.control_plane.service_registry.services import Resolution, Service, is_exported
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload, Workload
from tests.control_plane.meshes import running_pod, snapshot

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: web-port}
  - {name: http-numbered, port: 81, targetPort: 8081}
  - {name: http-same, port: 82}
"""


def registry_of(*manifests: str, registered: tuple[RegisteredWorkload, ...] = ()) -> ServiceRegistry:
    return ServiceRegistry.from_snapshot(snapshot(*manifests), registered)


def addresses(registry: ServiceRegistry, hostname: str, port: int) -> list[str]:
    service = registry.service(hostname)
    assert service is not None
    service_port = service.port(port)
    assert service_port is not None
    return [f"{e.address}:{e.port}" for e in registry.endpoints(service, service_port)]


WEB_HOST = "web.default.svc.cluster.local"


@pytest.mark.parametrize(("port", "target"), [(80, 8080), (81, 8081), (82, 82)])
def test_a_target_port_is_a_name_a_number_or_the_same(port: int, target: int) -> None:
    registry = registry_of(WEB, running_pod("web-1", "127.10.0.2", {"app": "web"}, {"web-port": 8080}))
    assert addresses(registry, WEB_HOST, port) == [f"127.10.0.2:{target}"]


def test_a_pod_without_the_named_port_is_no_endpoint_of_it() -> None:
    registry = registry_of(WEB, running_pod("web-1", "127.10.0.2", {"app": "web"}, {"other": 8080}))
    assert addresses(registry, WEB_HOST, 80) == []


def test_only_ready_pods_with_all_labels_of_the_namespace_count() -> None:
    ready = running_pod("a", "127.10.0.2", {"app": "web", "version": "v1"}, {})
    unready = running_pod("b", "127.10.0.3", {"app": "web"}, {}).replace('"True"', '"False"')
    other = running_pod("c", "127.10.0.4", {"app": "other"}, {})
    elsewhere = running_pod("d", "127.10.0.5", {"app": "web"}, {}, namespace="elsewhere")
    registry = registry_of(WEB, ready, unready, other, elsewhere)
    assert addresses(registry, WEB_HOST, 82) == ["127.10.0.2:82"]


def test_a_port_this_machine_cannot_give_is_mapped() -> None:
    pod = running_pod("web-1", "127.10.0.2", {"app": "web"}, {"web-port": 80}).replace(
        '"labels"', '"annotations": {"minimesh.dev/port-map": "80=20080"}, "labels"'
    )
    assert addresses(registry_of(WEB, pod), WEB_HOST, 80) == ["127.10.0.2:20080"]


def test_a_registered_proxy_is_an_endpoint_unless_its_pod_is_known() -> None:
    pod = running_pod("web-1", "127.10.0.2", {"app": "web"}, {"web-port": 8080})
    same = RegisteredWorkload("web-1", "default", "127.10.0.2", {"app": "web"}, {"web-port": 1})
    other = RegisteredWorkload("web-2", "default", "172.18.0.9", {"app": "web"}, {"web-port": 8080})
    registry = registry_of(WEB, pod, registered=(same, other))
    assert addresses(registry, WEB_HOST, 80) == ["127.10.0.2:8080", "172.18.0.9:8080"]


ENTRY_OF_A_PODS_NAME = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1}
spec: {address: 127.10.0.1, labels: {app: web}, ports: {http-same: 82}}
"""


@pytest.mark.parametrize("pod_ip", ["127.10.0.0", "127.10.0.2"])  # before and after the entry in their order
def test_a_pod_that_goes_leaves_the_workload_entry_of_its_name(pod_ip: str) -> None:
    pod = running_pod("web-1", pod_ip, {"app": "web"}, {})
    both = registry_of(WEB, ENTRY_OF_A_PODS_NAME, pod)
    (gone,) = [each for each in both.workloads if each.address == pod_ip]
    left = both.with_workloads([gone], [])
    assert addresses(both, WEB_HOST, 82) == sorted([f"{pod_ip}:82", "127.10.0.1:82"])
    assert addresses(left, WEB_HOST, 82) == ["127.10.0.1:82"]
    assert left.workload("default", "web-1") == registry_of(WEB, ENTRY_OF_A_PODS_NAME).workloads[0]
    assert addresses(left.with_workloads([], [gone]), WEB_HOST, 82) == addresses(both, WEB_HOST, 82)


def test_a_change_of_one_workload_makes_few_objects_however_many_there_are() -> None:
    labels = {"app": "web"}
    many = [Workload(f"web-{number}", "default", f"127.10.{number}.1", labels) for number in range(200)]
    registry = ServiceRegistry(registry_of(WEB).services, many)
    moved = replace(many[7], address="127.11.0.1")
    gc.collect()
    gc.disable()
    try:
        kept = registry.with_workloads([many[7]], [moved])  # what is thrown away at once leaves its memory
        before = gc.get_count()[0]
        changed = registry.with_workloads([many[7]], [moved])
        made = gc.get_count()[0] - before
    finally:
        gc.enable()
    assert changed.workload("default", "web-7") == kept.workload("default", "web-7") == moved
    assert made < 20, "so many at each change of an endpoint have the garbage collector look at all there is"


def test_a_cluster_ip_is_given_once_and_stays_the_same() -> None:
    first, second = registry_of(WEB).service(WEB_HOST), registry_of(WEB).service(WEB_HOST)
    assert first is not None
    assert second is not None
    assert first.addresses == second.addresses
    assert ipaddress.ip_address(first.addresses[0]) in CLUSTER_IP_RANGE


def test_many_services_have_as_many_addresses() -> None:
    manifests = [WEB.replace("name: web}", f"name: web-{n}}}") for n in range(300)]
    services = registry_of(*manifests).services
    assert len({service.addresses for service in services}) == 300


@pytest.mark.parametrize(
    ("field", "resolution", "given"),
    [
        ("clusterIP: None", Resolution.PASSTHROUGH, ()),
        ("clusterIP: 10.96.7.7", Resolution.ENDPOINTS, ("10.96.7.7",)),
        ("type: ExternalName\n  externalName: api.example.com", Resolution.ALIAS, ()),
    ],
)
def test_a_service_keeps_the_address_it_asks_for(
    field: str, resolution: Resolution, given: tuple[str, ...]
) -> None:
    service = registry_of(WEB.replace("spec:\n", f"spec:\n  {field}\n")).service(WEB_HOST)
    assert service is not None
    assert (service.resolution, service.addresses) == (resolution, given)


def test_an_external_name_is_a_second_name_of_the_service_it_points_to() -> None:
    alias = f"""
apiVersion: v1
kind: Service
metadata: {{name: alias}}
spec: {{type: ExternalName, externalName: {WEB_HOST}}}
"""
    service = registry_of(WEB, alias).service(WEB_HOST)
    assert service is not None
    assert service.aliases == ("alias.default.svc.cluster.local",)


def test_a_service_entry_gives_a_service_for_each_host() -> None:
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: external}
spec:
  hosts: [a.example.com, b.example.com]
  resolution: STATIC
  location: MESH_INTERNAL
  ports:
  - {name: http, number: 80, protocol: HTTP, targetPort: 8080}
  endpoints:
  - {address: 127.0.0.1}
  - {address: 127.0.0.2, ports: {http: 9090}}
"""
    registry = registry_of(entry)
    assert addresses(registry, "a.example.com", 80) == ["127.0.0.1:8080", "127.0.0.2:9090"]
    assert addresses(registry, "b.example.com", 80) == ["127.0.0.1:8080", "127.0.0.2:9090"]


def test_a_workload_serves_the_ports_of_every_service_that_selects_it() -> None:
    registry = registry_of(WEB, WEB.replace("name: web}", "name: second}"))
    targets = registry.targets("default", {"app": "web"}, {"web-port": 8080})
    assert [(t.service.name, t.port.port, t.target_port) for t in targets] == [
        ("second", 80, 8080),
        ("second", 81, 8081),
        ("second", 82, 82),
        ("web", 80, 8080),
        ("web", 81, 8081),
        ("web", 82, 82),
    ]


@pytest.mark.parametrize(
    ("port", "name", "transport", "app_protocol", "expected"),
    [
        (80, "http", "TCP", "", Protocol.HTTP),
        (80, "http-web", "TCP", "", Protocol.HTTP),
        (80, "HTTP2-web", "TCP", "", Protocol.HTTP2),
        (80, "http2foo", "TCP", "", Protocol.UNSUPPORTED),
        (80, "grpc-web-x", "TCP", "", Protocol.GRPC_WEB),
        (80, "grpc-x", "TCP", "", Protocol.GRPC),
        (80, "", "TCP", "", Protocol.UNSUPPORTED),
        (3306, "", "TCP", "", Protocol.TCP),
        (27017, "db", "TCP", "", Protocol.TCP),
        (25, "", "TCP", "acme.example/smtp", Protocol.TCP),
        (53, "dns-tcp", "TCP", "", Protocol.TCP),
        (6379, "", "TCP", "", Protocol.UNSUPPORTED),
        (6379, "redis", "TCP", "", Protocol.REDIS),
        (3306, "http", "TCP", "", Protocol.HTTP),
        (80, "tcp", "TCP", "http", Protocol.HTTP),
        (80, "tcp", "TCP", "http-v2", Protocol.HTTP),
        (80, "http", "TCP", "acme.example/thing", Protocol.UNSUPPORTED),
        (80, "tcp", "TCP", "kubernetes.io/h2c", Protocol.HTTP2),
        (80, "tcp", "TCP", "kubernetes.io/ws", Protocol.HTTP),
        (80, "tcp", "TCP", "kubernetes.io/wss", Protocol.HTTPS),
        (53, "dns", "UDP", "", Protocol.UDP),
    ],
)
def test_a_port_speaks_what_its_name_says(
    port: int, name: str, transport: str, app_protocol: str, expected: Protocol
) -> None:
    assert infer_protocol(port, name, transport, app_protocol) is expected


@pytest.mark.parametrize(
    ("export_to", "owner", "namespace", "expected"),
    [
        ((), "a", "b", True),
        (("*",), "a", "b", True),
        ((".",), "a", "a", True),
        ((".",), "a", "b", False),
        (("b",), "a", "b", True),
        (("~",), "a", "a", False),
    ],
)
def test_export_to(export_to: tuple[str, ...], owner: str, namespace: str, expected: bool) -> None:
    assert is_exported(export_to, owner, namespace) is expected


def test_port_maps() -> None:
    assert port_map_text({443: 20443, 80: 20080}) == "80=20080,443=20443"
    assert parse_port_map("80=20080,443=20443") == {80: 20080, 443: 20443}
    assert parse_port_map("80=20080, 443=20443,oops,1=x") == {80: 20080, 443: 20443}


def test_of_services_with_one_name_the_callers_own_namespace_wins() -> None:
    older = Service("shared", "a", "shared", (), created="1")
    newer = Service("shared", "b", "shared", (), created="2")
    registry = ServiceRegistry([newer, older])
    assert registry.service("shared", "b") is newer
    assert registry.service("shared", "c") is older
