"""CustomResourceDefinitions through the real kubectl: Istio's, and those of others."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import BOTH_GATEWAYS, GADGETS, WIDGETS


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
    assert len([each for each in names if each.endswith(".istio.io")]) == 15


async def test_the_gateway_apis_definitions_are_listed_too(kubectl: Kubectl) -> None:
    names = (await kubectl("get", "crd", "-o", "name")).split()
    found = {each.partition("/")[2].partition(".")[0] for each in names if each.endswith("k8s.io")}
    assert found == {
        "gatewayclasses",
        "gateways",
        "grpcroutes",
        "httproutes",
        "referencegrants",
        "tcproutes",
        "tlsroutes",
    }
    scope = await kubectl(
        "get", "crd", "gatewayclasses.gateway.networking.k8s.io", "-o", "jsonpath={.spec.scope}"
    )
    assert scope == "Cluster"


async def test_a_gateway_is_istios_or_the_gateway_apis_by_its_group(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=BOTH_GATEWAYS)
    istios = await kubectl("get", "gateways.networking.istio.io", "-o", "name")
    assert istios == "gateway.networking.istio.io/front\n"
    others = await kubectl("get", "gtw", "-o", "name")
    assert others == "gateway.gateway.networking.k8s.io/front\n"
    shown = yaml.safe_load(await kubectl("get", "gtw", "front", "-o", "yaml"))
    assert (shown["kind"], shown["spec"]["gatewayClassName"]) == ("Gateway", "istio")
    assert "rules\t" in (await kubectl("explain", "httproute.spec"))


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
        ("dr.spec.trafficPolicy.loadBalancer.simple", "Load balancing without further settings."),
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


def gadget(spec: str) -> str:
    return f"{{apiVersion: example.org/v1, kind: Gadget, metadata: {{name: g}}, spec: {spec}}}"


async def test_objects_get_their_schemas_defaults_and_columns(kubectl: Kubectl) -> None:
    await kubectl.apply(GADGETS)
    await kubectl.apply(gadget("{size: 3, free: true, anything: {a: {b: [1]}}}"))
    assert (await kubectl("get", "gadgets")).split()[:5] == ["NAME", "MODE", "AGE", "g", "slow"]
    assert (await kubectl("get", "gadgets", "-o", "wide")).split()[:7] == [
        *("NAME", "MODE", "FREE", "AGE"),
        *("g", "slow", "true"),
    ]
    assert await kubectl("get", "gadget", "g", "-o", "jsonpath={.spec.anything}") == '{"a":{"b":[1]}}'


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("{}", "spec.size: Required value"),
        ("{size: 0}", "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ("{size: 10}", "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"),
        (
            "{size: big}",
            'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
        ),
        ("{size: 1, mode: odd}", 'spec.mode: Unsupported value: "odd": supported values: "slow", "fast"'),
        ("{size: 1, name: A}", "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ("{size: 1, name: abcdefg}", "spec.name: Too long: may not be more than 5 bytes"),
        ("{size: 1, parts: [a, b, c]}", "spec.parts: Too many: 3: must have at most 2 items"),
    ],
)
async def test_objects_are_held_to_their_schema(kubectl: Kubectl, spec: str, complaint: str) -> None:
    await kubectl.apply(GADGETS)
    said = await kubectl.refused("apply", "--validate=false", "-f", "-", stdin=gadget(spec))
    assert said == f'The Gadget "g" is invalid: {complaint}'


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_fields_that_a_schema_does_not_have(kubectl: Kubectl) -> None:
    await kubectl.apply(GADGETS)
    wrong = gadget("{size: 1, sise: 2}")
    assert 'unknown field "spec.sise"' in await kubectl.refused("apply", "-f", "-", stdin=wrong)
    said = await kubectl.says("apply", "--validate=warn", "-f", "-", stdin=wrong)
    assert said.err == 'Warning: unknown field "spec.sise"\n'
    assert "sise" not in await kubectl("get", "gadget", "g", "-o", "jsonpath={.spec}")


@pytest.mark.kubectl_of_today("it shows no warnings")
async def test_rules_in_cel_are_said_to_be_left_out(kubectl: Kubectl) -> None:
    place = "type: object\n            required: [size]"
    rules = place + '\n            x-kubernetes-validations: [{rule: "self.size > 1"}]'
    await kubectl.apply(GADGETS.replace(place, rules))
    said = await kubectl.says("apply", "-f", "-", stdin=gadget("{size: 1}"))
    assert said.err == (
        "Warning: the CEL rules of gadgets.example.org (x-kubernetes-validations) are not evaluated here\n"
    )


async def test_a_definition_must_be_named_after_its_kind(kubectl: Kubectl) -> None:
    wrong = GADGETS.replace("name: gadgets.example.org", "name: gadgets")
    assert await kubectl.refused("apply", "-f", "-", stdin=wrong) == (
        'The CustomResourceDefinition "gadgets" is invalid: metadata.name: Invalid value: "gadgets": must be '
        'spec.names.plural+"."+spec.group'
    )
