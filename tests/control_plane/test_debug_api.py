"""Who may ask the debug API, and what it answers about proxies."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from minimesh.config.decoding import decode
from minimesh.config.store import Snapshot
from minimesh.control_plane.debug_api import DebugApi
from minimesh.control_plane.discovery.delivery import SyncState
from minimesh.control_plane.history import Pushed, told
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.loopback import is_loopback_name

from .ads_peer import Peer, connected, node, serving
from .xds_resources import one_route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from minimesh.control_plane.discovery.pusher import Connection

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: default}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 80}]}
"""


class View:
    """As much of a control plane as the API asks for."""

    def __init__(self) -> None:
        self.connections: Sequence[Connection] = ()
        self.config = Snapshot.of(decode(SERVICE, "httpbin.yaml").resources)
        self.push_context: PushContext | None = PushContext.build(self.config)

    def told_at(self, moment: float | None) -> dict[str, Any]:
        return told(Pushed(0.0, self.config, ()), (), MeshConfig(), ())

    def status(self) -> dict[str, Any]:
        return {"proxies": []}


@contextlib.asynccontextmanager
async def asking(view: View, secret: str = "") -> AsyncIterator[aiohttp.ClientSession]:
    api = DebugApi(view, secret)
    await api.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{api.port}") as session:
            yield session
    finally:
        await api.stop()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:15014", "127.0.0.1", "127.0.0.1:15014", "127.1.2.3:80", "[::1]:15014"]
)
def test_loopback_names_may_ask(host: str) -> None:
    assert is_loopback_name(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:15014", "localhost.evil.example", "10.0.0.1:80", "[2001:db8::1]"],
)
def test_other_names_may_not(host: str) -> None:
    assert not is_loopback_name(host)


async def test_a_request_by_another_name_is_refused() -> None:
    async with asking(View()) as session, session.get("/ready", headers={"host": "evil.example"}) as answer:
        assert answer.status == 403


async def test_ready_once_there_is_something_to_translate_from() -> None:
    view = View()
    async with asking(view) as session:
        async with session.get("/ready") as answer:
            assert answer.status == 200
        view.push_context = None
        async with session.get("/ready") as answer:
            assert answer.status == 503


async def test_services_endpoints_and_configuration_are_shown() -> None:
    async with asking(View()) as session:
        async with session.get("/debug/registryz") as answer:
            [service] = await answer.json()
            assert service["hostname"] == "httpbin.default.svc.cluster.local"
            assert service["ports"] == [{"name": "http", "port": 8000, "protocol": "HTTP", "target_port": 80}]
        async with session.get("/debug/endpointz") as answer:
            [endpoints] = await answer.json()
            assert (endpoints["port"], endpoints["endpoints"]) == (8000, [])
        async with session.get("/debug/configz") as answer:
            [document] = await answer.json()
            assert document["metadata"]["name"] == "httpbin"


SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: pw
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"data": {"password": "aHVudGVyMg=="}}'}
data: {password: aHVudGVyMg==}
"""


@pytest.mark.parametrize("bearer", ["", "Bearer wrong", "Bearer "])
@pytest.mark.parametrize("page", ["/debug/configz", "/debug/snapshot"])
async def test_what_secrets_hold_is_not_told(page: str, bearer: str) -> None:
    view = View()
    view.config = Snapshot.of(decode(SECRET, "pw.yaml").resources)
    headers = {"Authorization": bearer}
    for secret in ("", "right"):
        async with asking(view, secret) as session, session.get(page, headers=headers) as answer:
            text = await answer.text()
            assert "password" in text
            assert "aHVudGVyMg" not in text


async def test_who_knows_the_secret_of_the_run_is_told_all() -> None:
    view = View()
    view.config = Snapshot.of(decode(SECRET, "pw.yaml").resources)
    headers = {"Authorization": "Bearer right"}
    async with asking(view, "right") as session, session.get("/debug/snapshot", headers=headers) as answer:
        [resource] = (await answer.json())["resources"]
        assert resource["written"]["data"] == {"password": "aHVudGVyMg=="}


async def test_a_proxys_configuration_has_the_shape_of_envoys_own_dump() -> None:
    view = View()
    async with serving() as discovery:
        discovery.default = one_route("a")
        async with connected(Peer(node("p")), discovery.server.port), asking(view) as session:
            await discovery.until(
                lambda: any(
                    each.delivery.status()["CDS"].state is SyncState.SYNCED
                    for each in discovery.pusher.connections
                )
            )
            view.connections = discovery.pusher.connections
            async with session.get("/debug/config_dump", params={"proxy": "p.default"}) as answer:
                dump = {each["@type"].rsplit(".")[-1]: each for each in (await answer.json())["configs"]}
            cluster = dump["ClustersConfigDump"]["dynamic_active_clusters"][0]["cluster"]
            assert (cluster["name"], cluster["eds_cluster_config"]["eds_config"]["ads"]) == ("a", {})
            assert dump["ListenersConfigDump"]["dynamic_listeners"][0]["name"] == "front"
            route = dump["RoutesConfigDump"]["dynamic_route_configs"][0]["route_config"]
            assert route["virtual_hosts"][0]["domains"] == ["*"]
            endpoint = dump["EndpointsConfigDump"]["dynamic_endpoint_configs"][0]["endpoint_config"]
            assert endpoint["cluster_name"] == "a"

            async with session.get("/debug/syncz") as answer:
                [shown] = await answer.json()
                assert (shown["proxy"], shown["cluster_sent"]) == ("p.default", shown["cluster_acked"])


async def test_a_proxy_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    async with asking(View()) as session, session.get("/debug/config_dump", params={"proxy": "x"}) as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": "no proxy 'x' is connected", "proxies": []}
