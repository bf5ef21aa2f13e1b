"""What the real kubectl finds out: versions, resources, explanations."""

from __future__ import annotations

import aiohttp
import pytest

from tests.kubernetes.conftest import Kubectl


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_version(kubectl: Kubectl) -> None:
    assert "Server Version: v1." in await kubectl("version")


async def test_api_resources_lists_short_names_and_versions(kubectl: Kubectl) -> None:
    rows = [line.split() for line in (await kubectl("api-resources", "--no-headers")).splitlines()]
    assert ["pods", "po", "v1", "true", "Pod"] in rows
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
    assert ["namespaces", "ns", "v1", "false", "Namespace"] in rows
    assert ["virtualservices", "vs", "networking.istio.io/v1", "true", "VirtualService"] in rows
    assert ["telemetries", "telemetry", "telemetry.istio.io/v1", "true", "Telemetry"] in rows


async def test_api_versions(kubectl: Kubectl) -> None:
    versions = (await kubectl("api-versions")).split()
    assert {"v1", "apps/v1", "networking.istio.io/v1alpha3", "networking.istio.io/v1beta1"} <= set(versions)


async def test_the_older_lists_say_the_same(kubectl: Kubectl) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(kubectl.server.url + "/apis") as response:
            groups = {each["name"]: each for each in (await response.json())["groups"]}
        async with session.get(kubectl.server.url + "/apis/apps/v1") as response:
            resources = {each["name"] for each in (await response.json())["resources"]}
    assert groups["networking.istio.io"]["preferredVersion"]["version"] == "v1"
    assert {"deployments", "deployments/scale", "replicasets"} <= resources


@pytest.mark.parametrize(
    "path", ["pod.spec.containers.readinessProbe", "deploy.spec.strategy", "svc.spec.ports"]
)
async def test_explain(kubectl: Kubectl, path: str) -> None:
    text = await kubectl("explain", path)
    assert "FIELDS:" in text
    assert "DESCRIPTION:" in text


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_explain_knows_types(kubectl: Kubectl) -> None:
    assert "targetPort\t<IntOrString>" in await kubectl("explain", "service.spec.ports")


@pytest.mark.kubectl_of_today("its --raw leaves the path of the server out")
async def test_it_is_healthy(kubectl: Kubectl) -> None:
    assert await kubectl("get", "--raw", "/readyz") == "ok"


async def test_an_unknown_kind_is_said_so(kubectl: Kubectl) -> None:
    assert await kubectl.refused("get", "unicorns") == (
        'error: the server doesn\'t have a resource type "unicorns"'
    )


async def test_who_has_the_kubeconfig_may_do_everything(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "delete", "pods") == "yes\n"
