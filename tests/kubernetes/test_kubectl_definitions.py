"""CustomResourceDefinitions through the real kubectl: Istio's, and those of others."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import WIDGETS


async def test_istios_definitions_are_listed(kubectl: Kubectl) -> None:
    rows = [line.split() for line in (await kubectl("get", "crd")).splitlines()]
    assert rows[0] == ["NAME", "CREATED", "AT"]
    names = {row[0] for row in rows[1:]}
    assert {
        "destinationrules.networking.istio.io",
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
        "telemetries.telemetry.istio.io",
        "peerauthentications.security.istio.io",
        "wasmplugins.extensions.istio.io",
    } <= names
    assert len(names) == 15


async def test_istios_definitions_are_established_and_have_schemas(kubectl: Kubectl) -> None:
    name = "crd/virtualservices.networking.istio.io"
    await kubectl("wait", "--for=condition=established", name, "--timeout=20s")
    spec = json.loads(await kubectl("get", name, "-o", "json"))["spec"]
    assert [each["name"] for each in spec["versions"]] == ["v1", "v1beta1", "v1alpha3"]
    assert [each["name"] for each in spec["versions"] if each["storage"]] == ["v1"]
    schema = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert schema["properties"]["hosts"]["items"] == {"type": "string"}
    columns = [each["name"] for each in spec["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Gateways", "Hosts", "Age"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("vs.spec.http", "route\t<[]Object>"),
        ("vs.spec.http.route.destination", "host\t<string> -required-"),
        ("dr.spec.trafficPolicy.loadBalancer.simple", "ROUND_ROBIN\n"),
        ("gw.spec.servers", "port\t<Object> -required-"),
        ("authorizationpolicy.spec.rules", "from\t<[]Object>"),
    ],
)
async def test_explain_istio(kubectl: Kubectl, path: str, shown: str) -> None:
    assert shown in await kubectl("explain", path)


async def test_istios_definitions_may_be_labelled_but_not_deleted(kubectl: Kubectl) -> None:
    name = "crd/gateways.networking.istio.io"
    await kubectl("label", name, "a=b")
    assert '"type":"object"' in await kubectl("get", name, "-o", "jsonpath={.spec.versions[0].schema}")
    complaint = await kubectl.refused("delete", name)
    assert "is forbidden: the mesh serves this kind for as long as it runs" in complaint


async def test_a_definitions_objects_go_with_it(kubectl: Kubectl) -> None:
    await kubectl.apply(WIDGETS)
    await kubectl.apply("{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}")
    await kubectl("delete", "crd", "widgets.example.org")
    assert not kubectl.store.snapshot().by_kind("Widget.example.org")
