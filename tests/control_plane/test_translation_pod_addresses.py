"""Listeners where a pod has no network of its own: which addresses stand for `0.0.0.0` and `127.0.0.1`."""

from __future__ import annotations

import pytest

from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.pod_addresses import PodAddresses

from .meshes import push, running_pod, sidecar_proxy

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
POD = running_pod("app-1", "127.10.0.5", {"app": "web"}, {"http": 8080})
TOLD = {"pod_ip": "127.10.0.5", "app_address": "127.11.0.5", "port_map": {"15001": 25001}, "capture": True}


def sockets(listener: object) -> list[str]:
    every = [listener.address, *(each.address for each in listener.additional_addresses)]  # type: ignore[attr-defined]
    return [f"{each.socket_address.address}:{each.socket_address.port_value}" for each in every]


def test_listeners_come_at_the_pods_addresses() -> None:
    addresses = PodAddresses.from_metadata({"MINIMESH_ADDRESSES": TOLD})
    listeners = build_resources(
        sidecar_proxy({"app": "web"}, addresses=addresses), push(SERVICE, POD)
    ).listeners
    assert sockets(listeners["virtualOutbound"]) == ["127.10.0.5:25001"]
    assert sockets(listeners["127.0.0.1_15080"]) == ["127.11.0.5:15080"]
    assert sockets(listeners["0.0.0.0_80"]) == ["0.0.0.0:80"]  # binds nothing


def test_inbound_calls_are_captured_at_the_ports_of_the_application() -> None:
    addresses = PodAddresses("127.10.0.5", port_map={8080: 28080}, capture=True)
    listener = build_resources(
        sidecar_proxy({"app": "web"}, addresses=addresses), push(SERVICE, POD)
    ).listeners["virtualInbound"]
    assert sockets(listener) == ["127.10.0.5:15006", "127.10.0.5:28080"]
    assert 28080 in {chain.filter_chain_match.destination_port.value for chain in listener.filter_chains}


def test_calls_to_pods_come_from_the_pods_own_address() -> None:
    addresses = PodAddresses("127.10.0.5")
    clusters = build_resources(
        sidecar_proxy({"app": "web"}, addresses=addresses), push(SERVICE, POD)
    ).clusters
    bound = clusters["outbound|80||web.default.svc.cluster.local"].upstream_bind_config
    assert bound.source_address.address == "127.10.0.5"
    assert not clusters["BlackHoleCluster"].HasField("upstream_bind_config")


def test_a_proxy_that_says_nothing_gets_what_a_cluster_has() -> None:
    listeners = build_resources(sidecar_proxy({"app": "web"}), push(SERVICE, POD)).listeners
    assert sockets(listeners["virtualInbound"]) == ["0.0.0.0:15006"]


def test_addresses_without_a_pods_address_make_no_sense() -> None:
    with pytest.raises(ValueError, match="pod_ip"):
        PodAddresses.from_metadata({"MINIMESH_ADDRESSES": {"capture": True}})
