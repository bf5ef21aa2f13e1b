"""ServiceEntries, WorkloadEntries and WorkloadGroups: what can be called, and where it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.control_plane.service_registry import ServiceRegistry
from minimesh.control_plane.service_registry.services import Resolution, Service
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
from minimesh.control_plane.translation.clusters import build_clusters
from minimesh.control_plane.translation.endpoints import build_endpoints
from minimesh.control_plane.translation.proxy import Proxy
from tests.control_plane.meshes import push, running_pod, sidecar_proxy, snapshot
from tests.proofs import proves

HOST = "db.example.com"
CLUSTER = f"outbound|80||{HOST}"


def entry(**spec: Any) -> str:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return document("ServiceEntry", {"hosts": [HOST], "ports": ports, **spec})


def workload(name: str, **spec: Any) -> str:
    return document("WorkloadEntry", {"labels": {"app": "db"}, **spec}, name=name)


def document(kind: str, spec: dict[str, Any], name: str = "entry") -> str:
    version = "networking.istio.io/v1"
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})


def service(*manifests: str) -> Service:
    found = ServiceRegistry.from_snapshot(snapshot(*manifests)).service(HOST)
    assert found is not None
    return found


def addresses(*manifests: str, registered: tuple[RegisteredWorkload, ...] = ()) -> list[str]:
    registry = ServiceRegistry.from_snapshot(snapshot(*manifests), registered)
    found = registry.service(HOST)
    assert found is not None
    return [f"{e.address}:{e.port}" for e in registry.endpoints(found, found.ports[0])]


def cluster(*manifests: str, proxy: Proxy | None = None) -> Any:
    found = dict(build_clusters(proxy or sidecar_proxy({}), push(*manifests)))
    return json_format.MessageToDict(found[CLUSTER]) if CLUSTER in found else None


@pytest.mark.parametrize(
    ("resolution", "kind"),
    [
        ("STATIC", "EDS"),
        ("DNS", "STRICT_DNS"),
        ("DNS_ROUND_ROBIN", "LOGICAL_DNS"),
        ("NONE", "ORIGINAL_DST"),
        (None, "ORIGINAL_DST"),
    ],
)
def test_the_resolution_says_who_finds_the_addresses(resolution: str | None, kind: str) -> None:
    written = {"resolution": resolution} if resolution else {}
    assert cluster(entry(**written))["type"] == kind


def test_dns_asks_for_the_host_when_there_is_no_endpoint() -> None:
    found = cluster(entry(resolution="DNS"))
    [locality] = found["loadAssignment"]["endpoints"]
    [endpoint] = locality["lbEndpoints"]
    assert endpoint["endpoint"]["address"]["socketAddress"] == {"address": HOST, "portValue": 80}
    assert (found["respectDnsTtl"], found["dnsRefreshRate"]) == (True, "60s")


def test_dns_resolves_the_endpoints_where_there_are_some() -> None:
    endpoints = [{"address": "a.example.com"}, {"address": "b.example.com", "ports": {"http": 8080}}]
    assert addresses(entry(resolution="DNS", endpoints=endpoints)) == [
        "a.example.com:80",
        "b.example.com:8080",
    ]


@pytest.mark.parametrize("resolution", ["DNS", "DNS_ROUND_ROBIN"])
def test_a_name_without_any_endpoint_has_no_cluster(resolution: str) -> None:
    selector = {"labels": {"app": "db"}}
    assert cluster(entry(resolution=resolution, workloadSelector=selector)) is None
    named = workload("one", address="one.example.com")
    assert cluster(entry(resolution=resolution, workloadSelector=selector), named) is not None


def test_dns_round_robin_resolves_one_name() -> None:
    selector = {"labels": {"app": "db"}}
    names = [workload(name, address=f"{name}.example.com") for name in ("one", "two")]
    found = cluster(entry(resolution="DNS_ROUND_ROBIN", workloadSelector=selector), *names)
    [locality] = found["loadAssignment"]["endpoints"]
    assert len(locality["lbEndpoints"]) == 1


def test_endpoints_have_ports_weights_places_and_labels() -> None:
    endpoints = [
        {
            "address": "10.0.0.1",
            "ports": {"http": 8080},
            "labels": {"version": "v1"},
            "locality": "west/a/1",
            "network": "vm-net",
            "weight": 7,
        },
        {"address": "10.0.0.2"},
    ]
    ports = [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 9090}]
    found = service(entry(resolution="STATIC", endpoints=endpoints, ports=ports)).endpoints
    assert [(e.address, e.port, e.locality, e.weight) for e in found] == [
        ("10.0.0.1", 8080, "west/a/1", 7),
        ("10.0.0.2", 9090, "", 0),
    ]
    assert found[0].labels == {
        "version": "v1",
        "topology.kubernetes.io/region": "west",
        "topology.kubernetes.io/zone": "a",
        "topology.istio.io/subzone": "1",
        "topology.istio.io/network": "vm-net",
    }


def test_ranges_of_addresses_are_kept_apart() -> None:
    found = service(entry(addresses=["10.1.0.0/16", "10.2.0.1", "10.3.0.1/32"]))
    assert (found.addresses, found.address_ranges) == (("10.2.0.1", "10.3.0.1"), ("10.1.0.0/16",))


def test_names_of_certificates_are_kept() -> None:
    assert service(entry(subjectAltNames=["spiffe://db"])).subject_alt_names == ("spiffe://db",)


def test_workloads_are_selected_by_label_pods_and_entries_alike() -> None:
    selected = entry(
        resolution="STATIC", location="MESH_INTERNAL", workloadSelector={"labels": {"app": "db"}}
    )
    found = addresses(
        selected,
        workload("vm", address="10.0.0.9", ports={"http": 8080}),
        workload("other", address="10.0.0.8", labels={"app": "web"}),
        running_pod("pod", "127.10.0.2", {"app": "db"}, {}),
    )
    assert sorted(found) == ["10.0.0.9:8080", "127.10.0.2:80"]


def test_a_kubernetes_service_selects_workload_entries_too() -> None:
    manifest = document(
        "Service", {"selector": {"app": "db"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}
    ).replace("networking.istio.io/v1", "v1")
    entries = [
        workload("by-target-name", address="10.0.0.1", ports={"web": 8081}),
        workload("by-port-name", address="10.0.0.2", ports={"http": 8082}),
        workload("without", address="10.0.0.3"),
    ]
    registry = ServiceRegistry.from_snapshot(snapshot(manifest, *entries))
    found = registry.service("entry.default.svc.cluster.local")
    assert found is not None
    assert sorted(f"{e.address}:{e.port}" for e in registry.endpoints(found, found.ports[0])) == [
        "10.0.0.1:8081",
        "10.0.0.2:8082",
    ]


def test_an_entry_with_a_name_serves_dns_alone() -> None:
    selector = {"labels": {"app": "db"}}
    named = workload("named", address="vm.example.com")
    assert addresses(entry(resolution="STATIC", workloadSelector=selector), named) == []
    assert addresses(entry(resolution="DNS", workloadSelector=selector), named) == ["vm.example.com:80"]


def test_a_socket_is_an_endpoint_by_its_path() -> None:
    endpoints = [{"address": "unix:///var/run/db.sock"}]
    proxy = sidecar_proxy({})
    [assignment] = build_endpoints(
        proxy, push(entry(resolution="STATIC", endpoints=endpoints)), [CLUSTER]
    ).values()
    assert assignment.endpoints[0].lb_endpoints[0].endpoint.address.pipe.path == "/var/run/db.sock"


@proves(
    "WorkloadGroup",
    "spec.metadata.labels",
    "spec.template.ports",
    "spec.template.labels",
    "spec.template.locality",
    "spec.template.network",
    "spec.template.weight",
)
def test_a_group_completes_who_registers_with_it() -> None:
    group = document(
        "WorkloadGroup",
        {
            "metadata": {"labels": {"app": "db"}},
            "template": {
                "ports": {"http": 8080},
                "labels": {"tier": "back"},
                "locality": "west/a",
                "network": "vm-net",
                "weight": 3,
            },
        },
        name="dbs",
    )
    announced = RegisteredWorkload("vm", "default", "10.0.0.7", {"version": "v1"}, group="dbs")
    selected = entry(resolution="STATIC", workloadSelector={"labels": {"app": "db"}})
    registry = ServiceRegistry.from_snapshot(snapshot(selected, group), (announced,))
    found = registry.service(HOST)
    assert found is not None
    [endpoint] = registry.endpoints(found, found.ports[0])
    assert (endpoint.address, endpoint.port, endpoint.locality, endpoint.weight) == (
        "10.0.0.7",
        8080,
        "west/a",
        3,
    )
    assert (endpoint.labels["version"], endpoint.labels["tier"]) == ("v1", "back")
    assert endpoint.labels["topology.istio.io/network"] == "vm-net"


def test_a_proxy_names_its_group() -> None:
    proxy = sidecar_proxy({}, metadata={"MINIMESH_AUTO_REGISTER": "true", "AUTO_REGISTER_GROUP": "dbs"})
    registration = proxy.registration()
    assert registration is not None
    assert registration.group == "dbs"


def test_an_external_name_is_another_name_of_its_target() -> None:
    manifest = document("Service", {"type": "ExternalName", "externalName": HOST}).replace(
        "networking.istio.io/v1", "v1"
    )
    registry = ServiceRegistry.from_snapshot(snapshot(manifest, entry(resolution="DNS")))
    alias, target = registry.service("entry.default.svc.cluster.local"), registry.service(HOST)
    assert alias is not None
    assert target is not None
    assert (alias.resolution, target.aliases) == (Resolution.ALIAS, ("entry.default.svc.cluster.local",))


TLS_RULE = document("DestinationRule", {"host": HOST, "trafficPolicy": {"tls": {"mode": "SIMPLE"}}})


@proves("ServiceEntry", "spec.subjectAltNames")
def test_certificates_are_to_be_made_out_to_the_entrys_names_unless_the_rule_has_others() -> None:
    written = entry(resolution="DNS", subjectAltNames=["db.internal"])
    own = TLS_RULE.replace('"SIMPLE"', '"SIMPLE", "subjectAltNames": ["other.internal"]')
    assert "db.internal" in str(cluster(written, TLS_RULE))
    assert "db.internal" not in str(cluster(written, own))
    assert "other.internal" in str(cluster(written, own))


def ports_of(*manifests: str) -> dict[int, list[str]]:
    """The ports of all that stands for the host, each with its endpoints."""
    registry = ServiceRegistry.from_snapshot(snapshot(*manifests))
    return {
        port.port: [f"{each.address}:{each.port}" for each in registry.endpoints(service, port)]
        for service in registry.services_named(HOST)
        for port in service.ports
    }


ANOTHER_PORT = {"ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}


def named(name: str, manifest: str) -> str:
    return manifest.replace('"name": "entry"', f'"name": "{name}"')


def test_entries_of_one_namespace_for_one_host_add_up_their_ports() -> None:
    plain = entry(resolution="STATIC", endpoints=[{"address": "10.0.0.1"}])
    more = named("more", entry(resolution="STATIC", endpoints=[{"address": "10.0.0.2"}], **ANOTHER_PORT))
    again = named("very-last", entry(resolution="STATIC", endpoints=[{"address": "10.0.0.3"}]))
    assert ports_of(plain, more, again) == {80: ["10.0.0.1:80"], 443: ["10.0.0.2:443"]}


def test_entries_that_differ_in_more_than_ports_are_not_put_together() -> None:
    def seen(other: str) -> list[int]:
        scope = push(entry(resolution="STATIC"), named("more", other)).default_scope("default")
        return [port.port for service in scope.services for port in service.ports]

    assert seen(entry(resolution="STATIC", **ANOTHER_PORT)) == [80, 443]
    assert seen(entry(resolution="DNS", **ANOTHER_PORT)) == [80]
    assert seen(entry(resolution="STATIC", exportTo=["."], **ANOTHER_PORT)) == [80]


KUBERNETES = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-02-01T00:00:00Z"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    }
)


def test_an_older_entry_of_another_namespace_does_not_take_a_services_name() -> None:
    squatter = entry(hosts=["web.shop.svc.cluster.local"], resolution="STATIC").replace(
        '"name": "entry"', '"name": "entry", "creationTimestamp": "2026-01-01T00:00:00Z"'
    )
    context = push(squatter, KUBERNETES)
    assert [s.namespace for s in context.default_scope("client").services] == ["shop"]
    meant = context.service_for("web.shop.svc.cluster.local", "client", "client")
    assert meant is not None
    assert meant.namespace == "shop"
    assert [s.namespace for s in context.default_scope("default").services] == ["default"]  # its own wins
    hidden = squatter.replace('"hosts"', '"exportTo": ["elsewhere"], "hosts"')
    assert [s.namespace for s in push(hidden, KUBERNETES).default_scope("default").services] == ["shop"]
