"""Reading the node that a proxy introduces itself with."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.translation.proxy import (
    InvalidNodeError,
    Proxy,
    application_port,
    service_targets,
)
from minimesh.xds import messages as m
from tests.control_plane.meshes import push, running_pod, sidecar_proxy

NODE_ID = "sidecar~127.10.0.5~httpbin-7d9f.default~default.svc.cluster.local"


def node(node_id: str = NODE_ID, **metadata: Any) -> Any:
    message = m.base_pb2.Node(id=node_id)
    message.metadata.update(metadata)
    return message


def test_a_sidecar_is_read_from_its_id_and_metadata() -> None:
    proxy = Proxy.from_node(node(LABELS={"app": "httpbin"}, SERVICE_ACCOUNT="sa", APP_ADDRESS="127.11.0.5"))
    assert (proxy.type, proxy.ip, proxy.name, proxy.namespace) == (
        "sidecar",
        "127.10.0.5",
        "httpbin-7d9f",
        "default",
    )
    assert proxy.dns_domain == "default.svc.cluster.local"
    assert (dict(proxy.labels), proxy.service_account) == ({"app": "httpbin"}, "sa")
    assert proxy.app_address == "127.11.0.5"


@pytest.mark.parametrize("node_id", ["", "sidecar~1.2.3.4~x.y", "waypoint~1.2.3.4~x.y~z", "a~b~c~d~e"])
def test_an_id_of_another_form_is_refused(node_id: str) -> None:
    with pytest.raises(InvalidNodeError):
        Proxy.from_node(node(node_id))


@pytest.mark.parametrize(
    "metadata",
    [
        {"LABELS": "app=web"},
        {"PORT_MAP": {"http": 80}},
        {"POD_PORTS": '[{"name": "http", "containerPort": "x"}]'},
    ],
)
def test_metadata_that_makes_no_sense_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(InvalidNodeError, match="metadata of node"):
        Proxy.from_node(node(**metadata))


@pytest.mark.parametrize("port_map", ["80=20080", {"80": 20080}])
def test_a_port_map_is_text_or_an_object(port_map: Any) -> None:
    assert Proxy.from_node(node(PORT_MAP=port_map)).port_map == {80: 20080}


@pytest.mark.parametrize(
    "ports", ['[{"name": "http", "containerPort": 80}]', [{"name": "http", "containerPort": 80}]]
)
def test_a_proxy_that_registers_itself_announces_its_ports(ports: Any) -> None:
    proxy = Proxy.from_node(
        node(MINIMESH_AUTO_REGISTER="true", POD_PORTS=ports, LABELS={"app": "httpbin"}, PORT_MAP="80=8080")
    )
    registration = proxy.registration()
    assert registration is not None
    assert registration.address == "127.10.0.5"
    assert registration.named_ports == {"http": 80}
    assert registration.port_map == {80: 8080}


def test_a_proxy_that_does_not_ask_is_not_registered() -> None:
    assert Proxy.from_node(node()).registration() is None


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 8000, targetPort: web}]}
"""


def test_named_ports_and_port_map_come_from_the_pod_when_the_proxy_tells_none() -> None:
    pod = running_pod("app-1", "127.10.0.5", {"app": "web"}, {"web": 80}).replace(
        '"labels"', '"annotations": {"minimesh.dev/port-map": "80=20080"}, "labels"'
    )
    context = push(SERVICE, pod)
    proxy = sidecar_proxy({"app": "web"})
    assert [t.target_port for t in service_targets(proxy, context)] == [80]
    assert application_port(proxy, context, 80) == 20080


@pytest.mark.parametrize(("user_agent", "is_envoy"), [("envoy", True), ("minimesh", False), ("", False)])
def test_the_real_envoy_is_known_by_its_user_agent(user_agent: str, is_envoy: bool) -> None:
    message = node()
    message.user_agent_name = user_agent
    assert Proxy.from_node(message).is_envoy is is_envoy
