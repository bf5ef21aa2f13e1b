"""The control plane whole: files in, gRPC out, and what it says about itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from minimesh.config.kubernetes.networking import IngressStatus
from minimesh.config.store import Store
from minimesh.control_plane.discovery.debounce import Debounce
from minimesh.control_plane.file_source import (
    LOOK_INTERVAL_S,
    SETTLED_AFTER_S,
    SETTLING_LOOK_INTERVAL_S,
)
from minimesh.control_plane.server import ControlPlane
from minimesh.xds.resource_names import CLUSTER_TYPE_URL as CDS
from minimesh.xds.resource_names import ENDPOINT_TYPE_URL as EDS

from .ads_peer import TIMEOUT_S, Peer, connected, node
from .meshes import decode_all, running_pod

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


def service(name: str, port: int = 80) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: {port}}}]}}
"""


@contextlib.asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[ControlPlane]:
    control_plane = ControlPlane(Store(), ads_port=0, debug_port=0, config_paths=[folder], **options)
    await control_plane.start()
    try:
        yield control_plane
    finally:
        await control_plane.stop()


async def until(control_plane: ControlPlane, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for the status to fulfil a condition."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition(status := control_plane.status()):
            await control_plane.changed()
    return status


def has_cluster(name: str) -> Callable[[Peer], bool]:
    return lambda peer: peer.last(CDS) is not None and name in str(peer.last(CDS))


def cds(status: dict[str, Any]) -> str:
    return str(status["proxies"][0]["types"]["CDS"]["state"]) if status["proxies"] else "nobody"


async def test_a_saved_file_reaches_a_connected_proxy(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(service("httpbin", 8000))
    async with running(tmp_path) as control_plane, connected(Peer(node("p")), control_plane.ads_port) as peer:
        await peer.has(has_cluster("outbound|8000||httpbin.default.svc.cluster.local"))
        file.write_text(service("httpbin", 8001))
        await peer.has(has_cluster("outbound|8001||httpbin.default.svc.cluster.local"))


def test_all_that_is_waited_for_between_a_save_and_its_push_is_less_than_a_tenth_of_a_second() -> None:
    until_taken_s = LOOK_INTERVAL_S + SETTLED_AFTER_S + SETTLING_LOOK_INTERVAL_S
    assert until_taken_s + Debounce().limit_s < 0.1


async def test_pods_are_told_at_once_where_endpoints_are_not_debounced(tmp_path: Path) -> None:
    cluster = "outbound|8000||httpbin.default.svc.cluster.local"
    (tmp_path / "services.yaml").write_text(service("httpbin", 8000))
    peer = Peer(node("p"))
    peer.client.subscribe(EDS, [cluster])
    debounce = Debounce.of_environment(
        {"PILOT_DEBOUNCE_AFTER": "1h", "PILOT_DEBOUNCE_MAX": "1h", "PILOT_ENABLE_EDS_DEBOUNCE": "false"}
    )
    async with (
        running(tmp_path, debounce=debounce) as control_plane,
        connected(peer, control_plane.ads_port),
    ):
        await peer.has(lambda peer: peer.last(EDS) is not None)
        for each in decode_all(running_pod("httpbin-1", "127.10.0.9", {"app": "httpbin"}, {})):
            control_plane.store_document(each)
        await peer.has(lambda peer: "127.10.0.9" in str(peer.last(EDS)))


async def test_status_tells_what_each_proxy_has(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a"))
    async with (
        running(tmp_path, extra_status=lambda: {"pods": ["none"]}) as control_plane,
        connected(Peer(node("p", "router")), control_plane.ads_port),
    ):
        status = await until(control_plane, lambda status: cds(status) == "SYNCED")
        [proxy] = status["proxies"]
        assert (proxy["name"], proxy["namespace"], proxy["type"]) == ("p", "default", "router")
        assert proxy["types"]["CDS"]["acked_version"] == proxy["types"]["CDS"]["version"]
        assert proxy["types"]["RDS"]["state"] == "NOT SENT"
        assert status["config"]["files"] == [{"file": str(tmp_path / "a.yaml"), "state": "APPLIED"}]
        assert status["config"]["version"] == status["config"]["last_good_version"]
        assert status["pods"] == ["none"]

        url = f"http://localhost:{control_plane.debug_port}/debug/status"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (await answer.json())["proxies"][0]["id"] == proxy["id"]


INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {kubernetes.io/ingress.class: istio}}
spec: {defaultBackend: {service: {name: httpbin, port: {number: 80}}}}
"""


async def test_a_status_that_is_written_back_is_no_news_for_proxies(tmp_path: Path) -> None:
    async with running(tmp_path) as control_plane:
        (ingress,) = decode_all(INGRESS)
        control_plane.store_document(ingress)
        assert not control_plane.is_pushed
        await until(control_plane, lambda _: control_plane.is_pushed)
        changed_at = control_plane.changed_at
        stored = control_plane.config.get(ingress.key)
        assert stored is not None
        control_plane.store_document(replace(stored, status=IngressStatus()))
        assert control_plane.is_pushed
        assert control_plane.changed_at == changed_at
        control_plane.store_document(replace(stored, spec=replace(stored.spec, ingress_class_name="istio")))
        assert not control_plane.is_pushed


async def test_a_rejection_shows_the_proxys_own_words(tmp_path: Path) -> None:
    peer = Peer(node("p"))
    peer.reject_with = "no such filter"
    async with running(tmp_path) as control_plane, connected(peer, control_plane.ads_port):
        status = await until(control_plane, lambda status: cds(status) == "ERROR")
        assert status["proxies"][0]["types"]["CDS"]["detail"] == "no such filter"


async def test_a_broken_file_is_told_with_its_place_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(service("a"))
    told: asyncio.Queue[Any] = asyncio.Queue()
    async with running(tmp_path, on_diagnostics=told.put_nowait) as control_plane:
        assert (await told.get())[str(file)] == ()
        before = control_plane.config.version
        file.write_text(service("a") + "  bogus: 1\n")
        found = (await asyncio.wait_for(told.get(), TIMEOUT_S))[str(file)]
        assert found
        status = control_plane.status()
        assert status["config"]["version"] == before
        assert status["config"]["files"] == [{"file": str(file), "state": "REJECTED"}]
        assert status["diagnostics"][0]["text"].startswith(f"{file}:")


async def test_a_fault_in_translation_is_a_diagnostic(tmp_path: Path) -> None:
    def translate(*_: object) -> Any:
        raise LookupError("subset v3")

    async with (
        running(tmp_path, translate=translate) as control_plane,
        connected(Peer(node("p")), control_plane.ads_port),
    ):
        status = await until(control_plane, lambda status: bool(status["diagnostics"]))
        [found] = status["diagnostics"]
        assert found["code"] == "internal-translation"
        assert "LookupError: subset v3" in found["message"]
        assert "~p.default~" in found["resource"]


async def test_a_workload_that_registers_itself_becomes_an_endpoint_and_leaves_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a"))
    registering = node("a-1", MINIMESH_AUTO_REGISTER="true", LABELS={"app": "a"})
    async with running(tmp_path, registration_grace_s=0.0) as control_plane:

        def addresses() -> list[str]:
            context = control_plane.push_context
            assert context is not None
            [found] = [each for each in context.registry.services if each.name == "a"]
            return [each.address for each in context.registry.endpoints(found, found.ports[0])]

        async with connected(Peer(registering), control_plane.ads_port):
            status = await until(control_plane, lambda _: addresses() == ["127.10.0.1"])
            assert [each["name"] for each in status["registered_workloads"]] == ["a-1"]
            await until(control_plane, lambda status: cds(status) == "SYNCED")
        await until(control_plane, lambda _: addresses() == [])


async def test_a_port_in_use_is_an_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        control_plane = ControlPlane(
            Store(), ads_port=0, debug_port=taken.getsockname()[1], config_paths=[tmp_path]
        )
        with pytest.raises(OSError, match="in use"):
            await control_plane.start()
        assert control_plane.ads_port == 0
    await control_plane.stop()
