"""Server-side apply through the real kubectl: who manages a field, and who may change it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minimesh.config.decoding import decode
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import ROUTES, WEB


async def managers(kubectl: Kubectl, *what: str) -> dict[str, Any]:
    """The fields of each manager of an object, by name and operation."""
    shown = await kubectl("get", *what, "-o", "jsonpath={.metadata.managedFields}")
    found: dict[str, Any] = {}
    for each in json.loads(shown):
        part = f" {each['subresource']}" if "subresource" in each else ""
        found[f"{each['manager']} {each['operation']}{part}"] = each["fieldsV1"]
    return found


async def test_what_is_applied_is_its_managers(kubectl: Kubectl) -> None:
    assert await kubectl.apply(WEB, "--server-side") == (
        "service/web serverside-applied\ndeployment.apps/web serverside-applied\n"
    )
    assert await managers(kubectl, "deploy", "web") == {
        "kubectl Apply": {
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"web"}': {
                                ".": {},
                                "f:image": {},
                                "f:name": {},
                                "f:ports": {
                                    'k:{"containerPort":8080,"protocol":"TCP"}': {
                                        ".": {},
                                        "f:containerPort": {},
                                    }
                                },
                            }
                        }
                    },
                },
            }
        }
    }


@pytest.mark.kubectl_of_today("it shows them always")
async def test_managed_fields_are_hidden_unless_asked_for(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side")
    assert "managedFields" not in await kubectl("get", "deploy", "web", "-o", "yaml")
    assert "managedFields" in await kubectl("get", "deploy", "web", "-o", "yaml", "--show-managed-fields")


async def test_client_side_writers_are_managers_too(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    await kubectl("label", "svc", "web", "tier=front")
    await kubectl("scale", "deploy", "web", "--replicas=3")
    service = await managers(kubectl, "svc", "web")
    assert service["kubectl-label Update"] == {"f:metadata": {"f:labels": {"f:tier": {}}}}
    created = service["kubectl-client-side-apply Update"]
    assert created["f:metadata"]["f:labels"] == {".": {}, "f:app": {}}
    assert created["f:spec"]["f:ports"] == {
        ".": {},
        'k:{"port":80,"protocol":"TCP"}': {
            ".": {},
            "f:name": {},
            "f:port": {},
            "f:protocol": {},
            "f:targetPort": {},
        },
    }
    deployment = await managers(kubectl, "deploy", "web")
    assert deployment["kubectl Update scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in deployment["kubectl-client-side-apply Update"]["f:spec"]


async def test_a_conflict_names_manager_and_field(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side")
    await kubectl("scale", "deploy", "web", "--replicas=3")
    complaint = await kubectl.refused("apply", "--server-side", "-f", "-", stdin=WEB)
    assert complaint.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using '
        "apps/v1: .spec.replicas\nPlease review the fields above--they currently have other managers."
    )
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "3"


async def test_several_conflicts_are_all_named(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side", "--field-manager=first")
    changed = WEB.replace("replicas: 2", "replicas: 5").replace("example/web:1", "example/web:2")
    complaint = await kubectl.refused(
        "apply", "--server-side", "--field-manager=second", "-f", "-", stdin=changed
    )
    assert (
        'Apply failed with 2 conflicts: conflicts with "first":\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="web"].image'
    ) in complaint


async def test_force_takes_the_fields(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side", "--field-manager=first")
    changed = WEB.replace("replicas: 2", "replicas: 5")
    await kubectl.apply(changed, "--server-side", "--field-manager=second", "--force-conflicts")
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "5"
    found = await managers(kubectl, "deploy", "web")
    assert "f:replicas" not in found["first Apply"]["f:spec"]
    assert "f:replicas" in found["second Apply"]["f:spec"]


async def test_who_says_the_same_shares_the_field(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side", "--field-manager=first")
    await kubectl.apply(WEB, "--server-side", "--field-manager=second")
    found = await managers(kubectl, "deploy", "web")
    assert found["first Apply"] == found["second Apply"]


async def test_what_is_no_longer_applied_goes_unless_another_manages_it(kubectl: Kubectl) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '1', b: '2', c: '3'}}"
    await kubectl.apply(text, "--server-side")
    await kubectl("patch", "cm", "c", "--type=merge", "-p", '{"data":{"other":"x"}}')
    shared = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: '2'}}"
    await kubectl.apply(shared, "--server-side", "--field-manager=second")
    await kubectl.apply(text.replace("b: '2', c: '3'", ""), "--server-side")
    data = json.loads(await kubectl("get", "cm", "c", "-o", "jsonpath={.data}"))
    assert data == {"a": "1", "b": "2", "other": "x"}


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_lists_are_merged_by_their_keys(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side")
    more = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: web
        env: [{name: ADDED, value: x}]
"""
    await kubectl.apply(more, "--server-side", "--field-manager=second")
    shown = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    (container,) = shown["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example/web:1"
    assert container["env"] == [{"name": "ADDED", "value": "x"}]
    await kubectl.apply(
        more.replace("[{name: ADDED, value: x}]", "[]"), "--server-side", "--field-manager=second"
    )
    shown = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    assert not shown["spec"]["template"]["spec"]["containers"][0].get("env")


async def test_istio_kinds_are_applied_with_atomic_lists(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES, "--server-side")
    assert await managers(kubectl, "vs", "web") == {
        "kubectl Apply": {"f:spec": {"f:hosts": {}, "f:http": {}}}
    }
    complaint = await kubectl.refused(
        "apply", "--server-side", "--field-manager=x", "-f", "-", stdin=ROUTES.replace("[web]", "[shop]")
    )
    assert 'conflict with "kubectl": .spec.hosts' in complaint


@pytest.mark.kubectl_of_today("it does not take over what it applied itself")
async def test_from_client_side_to_server_side_without_conflicts(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    changed = WEB.replace("replicas: 2", "replicas: 4")
    assert "deployment.apps/web serverside-applied\n" in await kubectl.apply(changed, "--server-side")
    found = await managers(kubectl, "deploy", "web")
    assert not any(each.startswith("kubectl-client-side-apply") for each in found)
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "4"


async def test_diff_and_dry_run_change_nothing(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB, "--server-side")
    changed = WEB.replace("replicas: 2", "replicas: 5")
    said = await kubectl.says("diff", "--server-side", "-f", "-", stdin=changed)
    assert said.code == 1
    assert "-  replicas: 2\n+  replicas: 5" in said.out
    assert (await kubectl.says("diff", "--server-side", "-f", "-", stdin=WEB)).code == 0
    await kubectl.apply(changed, "--server-side", "--dry-run=server")
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_an_unknown_field_is_refused(kubectl: Kubectl) -> None:
    wrong = WEB.replace("replicas:", "replica:")
    complaint = await kubectl.refused("apply", "--server-side", "-f", "-", stdin=wrong)
    assert (
        "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
        ".spec.replica: field not declared in schema"
    ) in complaint


async def test_what_was_made_without_managers_belongs_to_before_first_apply(kubectl: Kubectl) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: made}, data: {a: '1'}}"
    kubectl.store.put(decode(text, "").resources[0])
    complaint = await kubectl.refused("apply", "--server-side", "-f", "-", stdin=text.replace("'1'", "'2'"))
    assert 'conflict with "before-first-apply" using v1: .data.a' in complaint
