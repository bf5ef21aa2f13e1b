"""What Services promise is open while something listens behind it, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from minimesh.config.decoding import decode
from minimesh.config.resources import ObjectMeta, Resource, ResourceKey
from minimesh.config.store import Snapshot, Store
from minimesh.platform import service_proxy
from minimesh.platform.service_network import ServiceNetwork
from minimesh.platform.service_proxy import Opening, ServiceProxy, openings

LIMIT_S = 20.0
KEY = ResourceKey("Service", "default", "web")


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class World:
    """A store with a service proxy over it, and an application that says who it is."""

    def __init__(self) -> None:
        self.store = Store()
        self.events: list[str] = []
        network = ServiceNetwork("10.96.0.0/12", reachable=False)
        self.proxy = ServiceProxy(
            self.store,
            network,
            lambda namespace, pod, port: port,
            lambda about, event: self.events.append(f"{event.reason} {event.message}"),
        )
        self.servers: list[asyncio.Server] = []

    async def application(self, name: str, port: int = 0) -> int:
        """An echo that puts its name before the first bytes; returns its port."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(name.encode() + await reader.read())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def service(self, node_port: int, kind: str = "NodePort", name: str = "web", port: int = 80) -> None:
        text = f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: {kind}
  clusterIP: 10.96.0.9
  selector: {{app: web}}
  ports: [{{name: http, port: {port}, nodePort: {node_port}}}]
"""
        self.store.put(decode(text, "").resources[0])

    def endpoints(self, *ports: int, name: str = "web") -> None:
        subsets = [
            {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "http", "port": port}]} for port in ports
        ]
        metadata = ObjectMeta(name=name, namespace="default")
        content = {"subsets": subsets}
        self.store.put(Resource(api_version="v1", kind="Endpoints", metadata=metadata, spec=content))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.proxy.start()
    yield world
    await world.proxy.stop()
    for server in world.servers:
        server.close()


async def ask(port: int, data: bytes = b"!") -> bytes:
    """What comes back for these bytes and the end of them; empty when the port is closed."""
    with contextlib.suppress(ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer
    return b""


async def answers(port: int, expected: bytes) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await ask(port) == expected:
                return
            await asyncio.sleep(0.01)


async def test_a_node_port_leads_to_a_ready_endpoint(world: World) -> None:
    node_port = free_port()
    world.service(node_port)
    world.endpoints(await world.application("one"))
    await answers(node_port, b"one!")
    data = b"x" * 1_000_000
    assert await ask(node_port, data) == b"one" + data


async def test_all_ready_endpoints_get_their_share(world: World) -> None:
    node_port = free_port()
    world.service(node_port)
    world.endpoints(await world.application("one"), await world.application("two"))
    await answers(node_port, b"one!")
    await answers(node_port, b"two!")


async def test_a_port_is_closed_while_nothing_listens_behind_it(world: World) -> None:
    node_port, port = free_port(), free_port()
    world.service(node_port)
    world.endpoints(port)
    assert await ask(node_port) == b""
    await world.application("late", port)
    await answers(node_port, b"late!")
    world.servers[0].close()
    await world.servers[0].wait_closed()
    await answers(node_port, b"")


async def test_a_service_that_goes_takes_its_node_port_along(world: World) -> None:
    node_port = free_port()
    world.service(node_port)
    world.endpoints(await world.application("one"))
    await answers(node_port, b"one!")
    world.store.delete(KEY)
    await answers(node_port, b"")


async def test_a_port_that_another_process_has_is_told_and_taken_once_it_is_free(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        node_port = int(other.getsockname()[1])
        world.service(node_port)
        world.endpoints(await world.application("one"))
        await world.until(lambda: bool(world.events))
        (closed,) = world.proxy.closed_ports()
        assert closed == f"Service default/web: {world.events[0].removeprefix('PortNotOpened ')}"
    assert world.events == [
        f'PortNotOpened cannot open 127.0.0.1:{node_port}, the node port of port "http": '
        "another process has it, another mesh for one"
    ]
    await answers(node_port, b"one!")
    assert world.proxy.closed_ports() == []


async def test_what_stays_closed_is_told_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def counted(*arguments: Any) -> Iterator[Opening]:
        looks.append(None)
        return openings(*arguments)

    monkeypatch.setattr(service_proxy, "openings", counted)
    monkeypatch.setattr(service_proxy, "CHECK_INTERVAL_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        world.service(int(other.getsockname()[1]))
        await world.until(lambda: bool(world.events))
        seen = len(looks)
        await world.until(lambda: len(looks) > seen + 3)
    assert len(world.events) == 1


@pytest.mark.parametrize(
    "spec",
    [
        "{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}",
        "{type: ExternalName, externalName: example.com, ports: [{port: 80}]}",
        "{clusterIP: 127.12.0.9, selector: {app: web}, ports: [{port: 80, protocol: UDP}]}",
    ],
)
def test_there_is_nothing_to_open_for(spec: str) -> None:
    text = f"apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {spec}\n"
    snapshot = Snapshot.of(decode(text, "").resources)
    network = ServiceNetwork("127.12.0.0/16", reachable=True)
    assert list(openings(snapshot, network, lambda _namespace, _pod, port: port)) == []


async def test_a_taken_node_port_is_told_before_anything_listens_behind_it(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        world.service(int(other.getsockname()[1]))
        world.endpoints(free_port())
        await world.until(lambda: len(world.proxy.closed_ports()) == 1)
    await world.until(lambda: world.proxy.closed_ports() == [])
    assert len(world.events) == 1


async def test_a_load_balancer_says_where_it_is(world: World) -> None:
    port = free_port()
    world.service(free_port(), "LoadBalancer", port=port)
    world.endpoints(await world.application("one"))
    await answers(port, b"one!")
    stored = world.store.snapshot().get(KEY)
    assert stored is not None
    (ingress,) = stored.status.load_balancer.ingress
    assert (ingress.ip, ingress.ports) == ("127.0.0.1", ())


async def test_a_load_balancers_status_names_a_port_that_is_not_open(world: World) -> None:
    def failed() -> list[int]:
        stored = world.store.snapshot().get(KEY)
        if stored is None or stored.status is None:
            return []
        return [port.port for each in stored.status.load_balancer.ingress for port in each.ports]

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        world.service(free_port(), "LoadBalancer", port=port)
        world.endpoints(await world.application("one"))
        await world.until(lambda: failed() == [port])
    await world.until(lambda: failed() == [])


async def test_of_two_services_with_one_port_the_first_has_it(world: World) -> None:
    node_port = free_port()
    world.service(node_port)
    world.endpoints(await world.application("one"))
    await answers(node_port, b"one!")
    world.service(node_port, name="web2", port=81)
    await world.until(lambda: bool(world.events))
    assert "it is that of service web" in world.events[0]
    await answers(node_port, b"one!")


@pytest.mark.parametrize(
    ("cluster_ip", "external"),
    [("127.12.3.4", "127.13.3.4"), ("10.96.3.4", "127.0.0.1"), ("", "127.0.0.1")],
)
def test_the_address_of_a_load_balancer(cluster_ip: str, external: str) -> None:
    assert ServiceNetwork("127.12.0.0/16", reachable=True).external_address(cluster_ip) == external


@pytest.mark.parametrize("turns", range(5))
async def test_it_stops_while_something_changes(turns: int) -> None:
    """However many turns of the loop lie between the change and the end."""
    world = World()
    world.proxy.start()
    await asyncio.sleep(0.01)  # it has looked, and waits for a change: which nobody is told
    world.service(free_port())
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        await world.proxy.stop()
