"""Services as the API server gives and refuses addresses and ports, seen with the real kubectl."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from tests.kubernetes.conftest import Kubectl


def service(name: str = "web", spec: str = "", port: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: web}}
  ports: [{{name: http, port: 80, targetPort: 8080{port}}}]
  {spec}
"""


async def spec_of(kubectl: Kubectl, name: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await kubectl("get", "svc", name, "-o", "json"))["spec"]
    return found


async def test_a_service_gets_a_cluster_ip_and_keeps_it(kubectl: Kubectl) -> None:
    await kubectl.apply(service())
    first = await spec_of(kubectl)
    assert ipaddress.ip_address(first["clusterIP"]) in ipaddress.ip_network("10.96.0.0/12")
    assert first["clusterIPs"] == [first["clusterIP"]]
    await kubectl.apply(service(spec="sessionAffinity: ClientIP"))
    assert (await spec_of(kubectl))["clusterIP"] == first["clusterIP"]
    await kubectl("replace", "-f", "-", stdin=service())
    assert (await spec_of(kubectl))["clusterIP"] == first["clusterIP"]


async def test_a_headless_service_and_a_name_get_none(kubectl: Kubectl) -> None:
    await kubectl.apply(service(spec="clusterIP: None"))
    assert (await spec_of(kubectl))["clusterIP"] == "None"
    await kubectl("create", "service", "externalname", "other", "--external-name", "example.com")
    assert "clusterIP" not in await spec_of(kubectl, "other")


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
async def test_node_ports_are_given_and_go_with_the_type(kubectl: Kubectl, kind: str) -> None:
    await kubectl.apply(service(spec=f"type: {kind}"))
    port = (await spec_of(kubectl))["ports"][0]
    assert port["nodePort"] in range(30000, 32768)
    await kubectl.apply(service(spec="type: ClusterIP"))
    assert "nodePort" not in (await spec_of(kubectl))["ports"][0]


async def test_a_node_port_that_the_manifest_names(kubectl: Kubectl) -> None:
    await kubectl.apply(service(spec="type: NodePort", port=", nodePort: 31380"))
    assert (await spec_of(kubectl))["ports"][0]["nodePort"] == 31380
    assert "80:31380/TCP" in await kubectl("get", "svc", "web")


@pytest.mark.parametrize(
    ("spec", "port", "complaint"),
    [
        (
            "type: NodePort",
            ", nodePort: 31380",
            "spec.ports[0].nodePort: Invalid value: 31380: provided port is already allocated",
        ),
        (
            "type: NodePort",
            ", nodePort: 8080",
            "spec.ports[0].nodePort: Invalid value: 8080: provided port is not in the valid range. "
            "The range of valid ports is 30000-32767",
        ),
        (
            "type: ClusterIP",
            ", nodePort: 31000",
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            "clusterIP: 192.168.1.1",
            "",
            'spec.clusterIPs: Invalid value: ["192.168.1.1"]: failed to allocate IP 192.168.1.1: '
            "the provided IP (192.168.1.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12",
        ),
        (
            "clusterIP: 10.96.1.1",
            "",
            'spec.clusterIPs: Invalid value: ["10.96.1.1"]: failed to allocate IP 10.96.1.1: '
            "provided IP is already allocated",
        ),
    ],
)
async def test_what_is_not_to_be_had_is_refused_in_the_servers_words(
    kubectl: Kubectl, spec: str, port: str, complaint: str
) -> None:
    taken = service("taken", "{type: NodePort, clusterIP: 10.96.1.1}".strip("{}").replace(", ", "\n  "))
    await kubectl.apply(taken.replace("8080}", "8080, nodePort: 31380}"))
    said = await kubectl.refused("apply", "-f", "-", stdin=service(spec=spec, port=port))
    assert said == f'The Service "web" is invalid: {complaint}'


async def test_a_cluster_ip_does_not_change(kubectl: Kubectl) -> None:
    await kubectl.apply(service(spec="clusterIP: 10.96.7.7"))
    said = await kubectl.refused("apply", "-f", "-", stdin=service(spec="clusterIP: 10.96.7.8"))
    assert said == (
        'The Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.7.8"]: '
        "may not change once set"
    )


async def test_expose_makes_a_service_of_a_deployment(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "web", "--image=kennethreitz/httpbin", "--port=80")
    said = await kubectl("expose", "deployment", "web", "--port=8000", "--target-port=80")
    assert said == "service/web exposed\n"
    spec = await spec_of(kubectl)
    assert spec["selector"] == {"app": "web"}
    assert (spec["ports"][0]["port"], spec["ports"][0]["targetPort"]) == (8000, 80)


async def test_there_are_no_metrics(kubectl: Kubectl) -> None:
    assert await kubectl.refused("top", "pod") == "error: Metrics API not available"
