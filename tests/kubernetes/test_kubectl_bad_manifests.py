"""What kubectl shows of a bad manifest: fields, schemas, rules and istiod's own checks, in one answer."""

from __future__ import annotations

import pytest

from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import ROUTES, WEB

CHECKS_ITSELF = pytest.mark.kubectl_of_today("it checks manifests itself")


@CHECKS_ITSELF
@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        (
            "hosts: [web]",
            "hosts: web",
            'spec.hosts: Invalid value: "string": spec.hosts in body must be of type array: "string"',
        ),
        (
            "{host: web}",
            "{subset: v1}",
            "spec.http[0].route[0].destination.host: Required value",
        ),
        (
            "- route:",
            "- timeout: 1s\n    retries: {attempts: many}\n    route:",
            'spec.http[0].retries.attempts: Invalid value: "string": '
            'spec.http[0].retries.attempts in body must be of type integer: "string"',
        ),
    ],
)
async def test_a_schema_is_broken(kubectl: Kubectl, right: str, wrong: str, complaint: str) -> None:
    said = await kubectl.refused("apply", "-f", "-", stdin=ROUTES.replace(right, wrong))
    assert said == f'The VirtualService "web" is invalid: {complaint}'


@CHECKS_ITSELF
async def test_a_word_that_is_none_of_those_allowed(kubectl: Kubectl) -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  trafficPolicy: {loadBalancer: {simple: FAIR}}
"""
    said = await kubectl.refused("apply", "-f", "-", stdin=text)
    assert said.startswith(
        'The DestinationRule "web" is invalid: spec.trafficPolicy.loadBalancer.simple: Unsupported value: '
        '"FAIR": supported values: "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", '
        '"LEAST_REQUEST"'
    )


async def test_all_is_said_in_one_answer(kubectl: Kubectl) -> None:
    text = ROUTES.replace("{host: web}", "{port: {number: 99999}}").replace("hosts: [web]", "hosts: [w_b]")
    said = await kubectl.refused("apply", "--validate=false", "-f", "-", stdin=text)
    assert said.startswith('The VirtualService "web" is invalid: ')
    assert "* spec.http[0].route[0].destination.host: Required value" in said
    assert "* spec.http[0].route[0].destination.port.number: Invalid value: " in said
    assert "* spec.hosts[0]: Invalid value: " in said


@CHECKS_ITSELF
async def test_an_unknown_field_does_not_hide_the_rest(kubectl: Kubectl) -> None:
    text = ROUTES.replace("{host: web}", "{hots: web}")
    said = await kubectl.refused("apply", "-f", "-", stdin=text)
    assert (
        'VirtualService in version "v1" cannot be handled as a VirtualService: strict decoding error: '
        'unknown field "spec.http[0].route[0].destination.hots"'
    ) in said
    assert "spec.http[0].route[0].destination.host: Required value" in said


@CHECKS_ITSELF
async def test_a_dry_run_refuses_the_same_and_stores_nothing(kubectl: Kubectl) -> None:
    wrong = ROUTES.replace("{host: web}", "{host: web, port: {number: 99999}}")
    said = await kubectl.refused("apply", "--dry-run=server", "-f", "-", stdin=wrong)
    assert 'admission webhook "validation.istio.io" denied the request: configuration is invalid: ' in said
    assert await kubectl("apply", "--dry-run=server", "-f", "-", stdin=ROUTES) == (
        "virtualservice.networking.istio.io/web created (server dry run)\n"
    )
    assert await kubectl("get", "vs", "-o", "name") == ""


@CHECKS_ITSELF
@pytest.mark.parametrize(("validate", "warned"), [("warn", True), ("ignore", False)])
async def test_what_is_asked_of_unknown_fields(kubectl: Kubectl, validate: str, warned: bool) -> None:
    for text, field in (
        (WEB.replace("replicas:", "replica:"), "spec.replica"),
        (ROUTES.replace("- route:", "- names: x\n    route:"), "spec.http[0].names"),
    ):
        said = await kubectl.says("apply", f"--validate={validate}", "-f", "-", stdin=text)
        assert said.code == 0
        assert (f'Warning: unknown field "{field}"' in said.err) == warned
