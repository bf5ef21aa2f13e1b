"""Commands and forms of output that published texts use, through the real kubectl."""

from __future__ import annotations

import json

import pytest

from minimesh.kubernetes.controllers.manager import Controllers
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import POD, ROUTES, WEB

OTHER_POD = POD.replace("name: sleep\n  labels: {app: sleep}", "name: other\n  labels: {app: other}")


async def test_forms_of_output(kubectl: Kubectl) -> None:
    await kubectl.apply(POD + "---" + OTHER_POD)

    async def shown(form: str) -> str:
        return await kubectl("get", "pods", "-o", form)

    assert await shown("name") == "pod/other\npod/sleep\n"
    assert await shown("jsonpath={.items[*].metadata.name}") == "other sleep"
    assert await shown("jsonpath={range .items[*]}{.metadata.name}{'\\n'}{end}") == "other\nsleep\n"
    assert await shown("go-template={{range .items}}{{.metadata.name}} {{end}}") == "other sleep "
    assert await shown("custom-columns=NAME:.metadata.name,APP:.metadata.labels.app") == (
        "NAME    APP\nother   other\nsleep   sleep\n"
    )
    assert json.loads(await shown("json"))["kind"] == "List"
    assert (await shown("yaml")).startswith("apiVersion: v1\nitems:\n")
    sorted_rows = await kubectl("get", "pods", "--sort-by=.metadata.name", "--no-headers")
    assert [row.split()[0] for row in sorted_rows.splitlines()] == ["other", "sleep"]


async def test_all_namespaces_and_chunks(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    await kubectl("create", "ns", "shop")
    await kubectl("apply", "-n", "shop", "-f", "-", stdin=POD)
    rows = [line.split() for line in (await kubectl("get", "pods", "-A", "--chunk-size=1")).splitlines()]
    assert [row[:2] for row in rows] == [["NAMESPACE", "NAME"], ["default", "sleep"], ["shop", "sleep"]]


async def test_replace(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES)
    uid = "jsonpath={.metadata.uid}"
    before = await kubectl("get", "vs", "web", "-o", uid)
    changed = ROUTES.replace("hosts: [web]", "hosts: [shop]")
    assert await kubectl("replace", "-f", "-", stdin=changed) == (
        "virtualservice.networking.istio.io/web replaced\n"
    )
    assert await kubectl("get", "vs", "web", "-o", "jsonpath={.spec.hosts[0]}") == "shop"
    assert await kubectl("get", "vs", "web", "-o", uid) == before
    said = await kubectl("replace", "--force", "-f", "-", stdin=ROUTES)
    assert said.splitlines()[-1] == "virtualservice.networking.istio.io/web replaced"
    assert await kubectl("get", "vs", "web", "-o", uid) != before
    complaint = await kubectl.refused("replace", "-f", "-", stdin=ROUTES.replace("name: web", "name: none"))
    assert 'virtualservices.networking.istio.io "none" not found' in complaint


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"replicas":7}}'),
        ("merge", '{"spec":{"replicas":7}}'),
        ("json", '[{"op":"replace","path":"/spec/replicas","value":7}]'),
    ],
)
async def test_patches_of_each_type(kubectl: Kubectl, kind: str, patch: str) -> None:
    await kubectl.apply(WEB)
    assert await kubectl("patch", "deploy", "web", f"--type={kind}", "-p", patch) == (
        "deployment.apps/web patched\n"
    )
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "7"


async def test_delete_all_of_a_label(kubectl: Kubectl) -> None:
    controllers = Controllers(kubectl.store)
    controllers.start()
    await kubectl.apply(WEB.replace("replicas: 2", "replicas: 0") + "---" + OTHER_POD)
    await kubectl("label", "deploy", "web", "app=web")
    await kubectl("delete", "all", "-l", "app=web")
    left = (await kubectl("get", "all", "-o", "name")).split()
    assert left == ["pod/other"]
    controllers.stop()


async def test_deletion_without_grace(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    said = await kubectl.says("delete", "pod", "sleep", "--grace-period=0", "--force")
    assert said.code == 0
    assert "Immediate deletion does not wait for confirmation" in said.err
    assert await kubectl("get", "pods", "-o", "name") == ""


async def test_secrets_of_each_kind(kubectl: Kubectl) -> None:
    await kubectl("create", "secret", "generic", "g", "--from-literal=a=b")
    await kubectl("create", "secret", "docker-registry", "d", "--docker-username=u", "--docker-password=p")
    rows = [line.split()[:3] for line in (await kubectl("get", "secrets")).splitlines()]
    assert rows == [
        ["NAME", "TYPE", "DATA"],
        ["d", "kubernetes.io/dockerconfigjson", "1"],
        ["g", "Opaque", "1"],
    ]


@pytest.mark.kubectl_of_today("it shows no warnings")
async def test_deprecated_kinds_come_with_a_warning(kubectl: Kubectl) -> None:
    said = await kubectl.says("get", "endpoints")
    assert said.err.splitlines()[0] == (
        "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    )
