"""Addresses and ports for pods, on this machine's real loopback interface."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from minimesh.config.proxy_ports import HTTP_PROXY_PORT
from minimesh.platform.pod_network import (
    PROXY_PORTS,
    AddressNetwork,
    ContainerNetwork,
    MappedNetwork,
    PodAddress,
    can_bind,
    choose_network,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")


@pytest.fixture
def network() -> Iterator[AddressNetwork]:
    network = AddressNetwork()
    yield network
    network.close()


@on_linux
def test_each_pod_gets_an_address_and_a_localhost_of_its_own(network: AddressNetwork) -> None:
    one, other = network.allocate([8081]), network.allocate([8081])
    assert one.pod_ip.startswith("127.10.")
    assert one.app_address == one.pod_ip.replace("127.10.", "127.11.", 1)
    assert one.pod_ip != other.pod_ip
    assert one.real_port(8081) == other.real_app_port(8081) == 8081


@on_linux
def test_two_meshes_never_share_an_address(network: AddressNetwork) -> None:
    neighbour = AddressNetwork()
    try:
        ours = {network.allocate([]).pod_ip.rsplit(".", 1)[0] for _ in range(3)}
        theirs = {neighbour.allocate([]).pod_ip.rsplit(".", 1)[0] for _ in range(3)}
        assert not ours & theirs
    finally:
        neighbour.close()


@on_linux
def test_more_pods_than_one_range_holds_take_another_range(network: AddressNetwork) -> None:
    addresses = {network.allocate([]).pod_ip for _ in range(260)}
    assert len(addresses) == 260
    assert len({address.rsplit(".", 1)[0] for address in addresses}) == 2


@on_linux
def test_an_address_comes_back_as_late_as_possible(network: AddressNetwork) -> None:
    first = network.allocate([])
    network.release(first)
    assert network.allocate([]).pod_ip != first.pod_ip


@on_linux
def test_a_port_that_another_program_holds_on_all_addresses_is_mapped(network: AddressNetwork) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        address = network.allocate([port])
        assert address.real_port(port) != port
        assert address.real_app_port(port) != port
        assert can_bind(address.pod_ip, address.real_port(port))


@on_linux
def test_a_port_without_privilege_is_mapped_to_one_that_resembles_it(
    network: AddressNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprivileged(address: str, port: int) -> bool:
        return port == 0 or port >= 1024

    monkeypatch.setattr("minimesh.platform.pod_network.can_bind", unprivileged)
    address = network.allocate([80, 8080])
    assert dict(address.port_map) == dict(address.app_port_map) == {80: 20080}


@on_linux
def test_two_ports_that_resemble_the_same_one_are_mapped_apart(
    network: AddressNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minimesh.platform.pod_network.can_bind", lambda _address, port: port >= 20000)
    mapped = network.allocate([80, 10080]).app_port_map
    assert len(set(mapped.values())) == 2
    assert 20080 in mapped.values()


@on_linux
@pytest.mark.parametrize("bindable", [True, False])
def test_a_fixed_port_stays_as_it_was_given(
    bindable: bool, network: AddressNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "minimesh.platform.pod_network.can_bind", lambda _address, port: bindable or port != 8080
    )
    assert network.allocate([8080], fixed={8080: 9999}).real_port(8080) == 9999


def test_the_pods_own_localhost_is_the_proxys_for_its_ports_and_else_the_applications() -> None:
    maps = {"port_map": {15000: 25000, 8080: 28080}, "app_port_map": {8080: 18080}}
    sidecar = PodAddress("127.10.0.2", "127.11.0.2", **maps)
    assert sidecar.local(15000) == ("127.10.0.2", 25000)
    assert sidecar.local(8080) == ("127.11.0.2", 18080)
    gateway = PodAddress("127.10.0.2", "127.11.0.2", **maps, proxy_only=True)
    assert gateway.local(8080) == ("127.10.0.2", 28080)


def test_with_one_address_every_port_of_a_pod_is_mapped_to_one_nobody_else_has() -> None:
    network = MappedNetwork()
    pods = [network.allocate([80, 8080]) for _ in range(3)]
    assert {pod.pod_ip for pod in pods} == {pod.app_address for pod in pods} == {"127.0.0.1"}
    real = [port for pod in pods for port in (*pod.port_map.values(), *pod.app_port_map.values())]
    assert len(set(real)) == len(real)
    assert set(pods[0].port_map) == {80, 8080, HTTP_PROXY_PORT, *PROXY_PORTS}
    assert set(pods[0].app_port_map) == {80, 8080}
    assert all(20000 <= port < 32000 for port in real)


def test_mapping_can_be_asked_for_anywhere() -> None:
    assert isinstance(choose_network("mapped"), MappedNetwork)


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_what_the_machine_has_decides(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("minimesh.platform.pod_network.can_bind", lambda *_: True)
    assert isinstance(choose_network(), MappedNetwork if platform == "darwin" else AddressNetwork)


def test_the_admin_api_is_at_a_containers_own_localhost() -> None:
    address = ContainerNetwork("172.18.0.2").allocate([80])
    assert address.admin_ip == "127.0.0.1"
    assert address.local(15000) == ("127.0.0.1", 15000)
    assert address.local(15021) == ("172.18.0.2", 15021)
