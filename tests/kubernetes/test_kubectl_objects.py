"""Objects through the real kubectl: created, shown, changed, refused, deleted."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from minimesh.config.kubernetes.apps import DeploymentStatus
from minimesh.config.resources import ResourceKey
from minimesh.kubernetes.controllers.manager import Controllers
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import POD, ROUTES, WEB, WIDGETS


def cells(text: str) -> list[list[str]]:
    """The rows of a table, without the ages at the end of some."""
    return [line.split() for line in text.splitlines()]


# -- apply, and what is built on it


async def test_apply_creates_configures_and_leaves_alone(kubectl: Kubectl) -> None:
    assert await kubectl.apply(WEB) == "service/web created\ndeployment.apps/web created\n"
    assert await kubectl.apply(WEB) == "service/web unchanged\ndeployment.apps/web unchanged\n"
    changed = WEB.replace("example/web:1", "example/web:2")
    assert await kubectl.apply(changed) == "service/web unchanged\ndeployment.apps/web configured\n"
    deployment = kubectl.store.snapshot().get(ResourceKey("Deployment", "default", "web"))
    assert deployment is not None
    assert deployment.spec.template.spec.containers[0].image == "example/web:2"


async def test_apply_merges_lists_by_their_keys_and_takes_out_what_went(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    await kubectl("set", "env", "deploy/web", "ADDED=by-hand")
    more_ports = WEB.replace("containerPort: 8080", "containerPort: 8080\n        - containerPort: 9090")
    await kubectl.apply(more_ports)
    shown = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    (container,) = shown["spec"]["template"]["spec"]["containers"]
    assert [each["containerPort"] for each in container["ports"]] == [8080, 9090]
    assert container["env"] == [{"name": "ADDED", "value": "by-hand"}]
    await kubectl.apply(WEB)
    shown = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    assert len(shown["spec"]["template"]["spec"]["containers"][0]["ports"]) == 1


async def test_apply_merges_istio_kinds_too(kubectl: Kubectl) -> None:
    said = await kubectl.says("apply", "-f", "-", stdin=ROUTES)
    assert (said.out, said.err) == ("virtualservice.networking.istio.io/web created\n", "")
    said = await kubectl.says("apply", "-f", "-", stdin=ROUTES.replace("hosts: [web]", "hosts: [web, shop]"))
    assert (said.out, said.err) == ("virtualservice.networking.istio.io/web configured\n", "")
    assert cells(await kubectl("get", "vs"))[1][:2] == ["web", '["web","shop"]']


async def test_an_old_version_is_the_same_object(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES.replace("istio.io/v1", "istio.io/v1alpha3"))
    assert "apiVersion: networking.istio.io/v1\n" in await kubectl("get", "vs", "web", "-o", "yaml")
    old = await kubectl("get", "virtualservices.v1alpha3.networking.istio.io", "web", "-o", "yaml")
    assert "apiVersion: networking.istio.io/v1alpha3\n" in old


async def test_diff_shows_the_change_and_makes_none(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    said = await kubectl.says("diff", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 5"))
    assert said.code == 1
    assert "-  replicas: 2\n+  replicas: 5" in said.out
    assert "-  generation: 1\n+  generation: 2" in said.out
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"


async def test_dry_run_stores_nothing(kubectl: Kubectl) -> None:
    assert await kubectl("create", "ns", "x", "--dry-run=server") == (
        "namespace/x created (server dry run)\n"
    )
    assert await kubectl.refused("get", "ns", "x") == (
        'Error from server (NotFound): namespaces "x" not found'
    )


async def test_statuses_say_what_a_clusters_say_of_nothing(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    assert await kubectl("get", "svc", "web", "-o", "jsonpath={.status}") == '{"loadBalancer":{}}'
    deployment = kubectl.store.snapshot().get(ResourceKey("Deployment", "default", "web"))
    assert deployment is not None
    kubectl.store.put(replace(deployment, status=DeploymentStatus(replicas=2, ready_replicas=0)))
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.status}") == '{"replicas":2}'


# -- create


async def test_create_what_kubectl_sends_as_protobuf(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "shop")
    await kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=3", "--port=80", "-n", "shop")
    await kubectl("create", "configmap", "settings", "--from-literal=a=b", "-n", "shop")
    await kubectl("create", "secret", "generic", "key", "--from-literal=p=q", "-n", "shop")
    await kubectl("create", "service", "nodeport", "web", "--tcp=80:8080", "--node-port=30080", "-n", "shop")
    await kubectl("create", "serviceaccount", "robot", "-n", "shop")

    deployment = json.loads(await kubectl("get", "deploy", "web", "-n", "shop", "-o", "json"))["spec"]
    assert deployment["replicas"] == 3
    assert deployment["selector"] == {"matchLabels": {"app": "web"}}
    (container,) = deployment["template"]["spec"]["containers"]
    assert (container["image"], container["ports"]) == ("nginx:1", [{"containerPort": 80, "protocol": "TCP"}])
    secret = json.loads(await kubectl("get", "secret", "key", "-n", "shop", "-o", "json"))
    assert base64.b64decode(secret["data"]["p"]) == b"q"
    assert await kubectl("get", "cm", "settings", "-n", "shop", "-o", "jsonpath={.data}") == '{"a":"b"}'
    assert cells(await kubectl("get", "svc,sa", "-n", "shop", "--no-headers"))[0][:2] == [
        "service/web",
        "NodePort",
    ]
    port = await kubectl("get", "svc", "web", "-n", "shop", "-o", "jsonpath={.spec.ports[0]}")
    assert json.loads(port) == {
        "name": "80-8080",
        "port": 80,
        "targetPort": 8080,
        "nodePort": 30080,
        "protocol": "TCP",
    }


async def test_create_refuses_what_exists(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=WEB)
    complaint = await kubectl.refused("create", "-f", "-", stdin=WEB)
    assert 'services "web" already exists' in complaint
    assert 'deployments.apps "web" already exists' in complaint


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_nothing_is_made_in_a_namespace_that_is_not_there(kubectl: Kubectl) -> None:
    complaint = await kubectl.refused("create", "cm", "x", "-n", "nowhere")
    assert complaint == 'error: failed to create configmap: namespaces "nowhere" not found'


async def test_generated_names(kubectl: Kubectl) -> None:
    text = POD.replace("name: sleep\n  labels", "generateName: sleep-\n  labels")
    name = (await kubectl("create", "-f", "-", "-o", "name", stdin=text)).strip()
    assert name.startswith("pod/sleep-")
    assert len(name) == len("pod/sleep-") + 5


async def test_run_and_expose(kubectl: Kubectl) -> None:
    assert await kubectl("run", "web", "--image=example/web", "--port=80") == "pod/web created\n"
    assert await kubectl("expose", "pod", "web", "--name=front") == "service/front exposed\n"
    assert cells(await kubectl("get", "svc", "-o", "wide"))[1][-1] == "run=web"


# -- get


async def test_tables_have_the_columns_of_the_kind(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB + "---" + POD)
    assert cells(await kubectl("get", "deploy"))[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert cells(await kubectl("get", "deploy", "-o", "wide"))[1][5:] == ["web", "example/web:1", "app=web"]
    service = cells(await kubectl("get", "svc"))[1]
    assert (service[:2], service[3:5]) == (["web", "ClusterIP"], ["<none>", "80/TCP"])
    assert cells(await kubectl("get", "pod"))[1][:4] == ["sleep", "0/2", "Pending", "0"]
    assert cells(await kubectl("get", "pod", "-o", "wide"))[0][5:8] == ["IP", "NODE", "NOMINATED"]


async def test_selectors(kubectl: Kubectl) -> None:
    await kubectl.apply(POD + "---" + POD.replace("name: sleep\n  labels: {app: sleep}", "name: other"))

    async def names(*options: str) -> str:
        return (await kubectl("get", "pods", "-o", "name", *options)).replace("pod/", "").replace("\n", " ")

    assert await names("-l", "app=sleep") == "sleep "
    assert await names("-l", "app!=sleep") == "other "
    assert await names("-l", "!app") == "other "
    assert await names("-l", "app in (sleep, curl)") == "sleep "
    assert await names("--field-selector", "metadata.name=other") == "other "
    assert await names("--field-selector", "metadata.name!=other,status.phase!=Running") == "sleep "
    first = "jsonpath={.items[0].metadata.name}"
    assert await kubectl("get", "pod", "-l", "app=sleep", "-o", first) == "sleep"
    said = await kubectl.refused("get", "pods", "--field-selector", "spec.hostname=a")
    assert said.endswith("field label not supported: spec.hostname")


async def test_label_columns_and_sorting(kubectl: Kubectl) -> None:
    await kubectl("create", "ns", "zoo")
    await kubectl("label", "ns", "default", "istio-injection=enabled")
    rows = cells(await kubectl("get", "ns", "-Listio-injection", "--sort-by=.metadata.name"))
    assert rows[0] == ["NAME", "STATUS", "AGE", "ISTIO-INJECTION"]
    assert rows[1][0::3] == ["default", "enabled"]
    names = ["default", "istio-system", "kube-node-lease", "kube-public", "kube-system", "zoo"]
    assert [row[0] for row in rows[1:]] == names


async def test_nothing_found(kubectl: Kubectl) -> None:
    said = await kubectl.says("get", "pods")
    assert (said.out, said.err) == ("", "No resources found in default namespace.\n")


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_describe(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    text = await kubectl("describe", "deploy", "web")
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in text
    assert "TargetPort:               8080/TCP" in await kubectl("describe", "svc", "web")


# -- change


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_label_annotate_scale_and_set_image(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    assert await kubectl("label", "deploy", "web", "tier=front") == "deployment.apps/web labeled\n"
    assert await kubectl("annotate", "deploy", "web", "note=x") == "deployment.apps/web annotated\n"
    assert await kubectl("scale", "deploy", "web", "--replicas=4") == "deployment.apps/web scaled\n"
    assert await kubectl("set", "image", "deploy/web", "web=example/web:3") == (
        "deployment.apps/web image updated\n"
    )
    assert await kubectl("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    stored = kubectl.store.snapshot().get(ResourceKey("Deployment", "default", "web"))
    assert stored is not None
    assert stored.metadata.labels == {"tier": "front"}
    assert stored.metadata.annotations["note"] == "x"
    assert stored.spec.replicas == 4
    assert stored.spec.template.spec.containers[0].image == "example/web:3"
    assert "kubectl.kubernetes.io/restartedAt" in stored.spec.template.metadata.annotations
    assert await kubectl("label", "deploy", "web", "tier-") == "deployment.apps/web unlabeled\n"


async def test_scale_with_a_precondition(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    complaint = await kubectl.refused("scale", "deploy", "web", "--current-replicas=9", "--replicas=1")
    assert complaint == "error: Expected replicas to be 9, was 2"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("json", '[{"op":"replace","path":"/spec/replicas","value":7}]'),
        ("merge", '{"spec":{"replicas":7}}'),
        ("strategic", '{"spec":{"replicas":7}}'),
    ],
)
async def test_patches(kubectl: Kubectl, kind: str, body: str) -> None:
    await kubectl.apply(WEB)
    await kubectl("patch", "deploy", "web", f"--type={kind}", "-p", body)
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "7"


async def test_custom_kinds_know_no_strategic_merge(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES)
    complaint = await kubectl.refused("patch", "vs", "web", "--type=strategic", "-p", "{}")
    assert "the body of the request was in an unknown format" in complaint
    assert "application/json-patch+json, application/merge-patch+json" in complaint


async def test_edit(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    await kubectl.apply(ROUTES)
    editor = kubectl.folder / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/host: web/host: shop/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    assert await kubectl("edit", "vs", "web") == "virtualservice.networking.istio.io/web edited\n"
    host = "jsonpath={.spec.http[0].route[0].destination.host}"
    assert await kubectl("get", "vs", "web", "-o", host) == "shop"


async def test_replace_of_an_old_version_conflicts(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES)
    old = await kubectl("get", "vs", "web", "-o", "yaml")
    await kubectl("label", "vs", "web", "a=b")
    assert await kubectl.refused("replace", "-f", "-", stdin=old) == (
        'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on '
        'virtualservices.networking.istio.io "web": the object has been modified; please apply your changes '
        "to the latest version and try again"
    )


async def test_a_deployments_selector_is_immutable(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    complaint = await kubectl.refused("apply", "-f", "-", stdin=WEB.replace("{app: web}", "{app: other}"))
    assert 'The Deployment "web" is invalid: spec.selector: Invalid value' in complaint
    assert "field is immutable" in complaint


# -- refusals


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_unknown_fields_are_refused_with_their_paths(kubectl: Kubectl) -> None:
    wrong = WEB.replace("image:", "imag:").replace("replicas:", "replica:")
    complaint = await kubectl.refused("apply", "-f", "-", stdin=wrong)
    assert (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.replica", unknown field "spec.template.spec.containers[0].imag"'
    ) in complaint


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_unknown_fields_of_istio_kinds_are_refused(kubectl: Kubectl) -> None:
    complaint = await kubectl.refused("apply", "-f", "-", stdin=ROUTES.replace("- route:", "- rout:"))
    assert 'strict decoding error: unknown field "spec.http[0].rout"' in complaint


@pytest.mark.kubectl_of_today("it has no --validate=warn")
async def test_unknown_fields_are_dropped_with_a_warning_when_asked(kubectl: Kubectl) -> None:
    wrong = WEB.replace("replicas:", "replica:")
    said = await kubectl.says("apply", "--validate=warn", "-f", "-", stdin=wrong)
    assert 'Warning: unknown field "spec.replica"' in said.err
    assert "replica:" not in await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec}")


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_wrong_types_are_refused_in_gos_words(kubectl: Kubectl) -> None:
    complaint = await kubectl.refused("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: two"))
    assert (
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        in complaint
    )


async def test_rules_of_istio_are_its_webhooks_to_refuse(kubectl: Kubectl) -> None:
    wrong = ROUTES.replace("{host: web}", "{host: web, port: {number: 99999}}")
    complaint = await kubectl.refused("apply", "-f", "-", stdin=wrong)
    assert (
        'admission webhook "validation.istio.io" denied the request: configuration is invalid: ' in complaint
    )
    assert "spec.http[0].route[0].destination.port.number" in complaint
    assert await kubectl("get", "vs", "-o", "name") == ""


@pytest.mark.kubectl_of_today("it checks manifests itself")
async def test_all_that_is_wrong_is_said_at_once(kubectl: Kubectl) -> None:
    text = (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {template: {spec: {containers: "
    )
    complaint = await kubectl.refused("apply", "-f", "-", stdin=text + "[{name: a}]}}}}")
    assert "* spec.selector: Required value" in complaint
    assert "* spec.template.spec.containers[0].image: Required value" in complaint


# -- delete


async def test_delete_waits_until_it_is_gone(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    said = await kubectl("delete", "-f", "-", stdin=WEB)
    assert said.splitlines()[0].startswith('service "web" deleted')
    assert (await kubectl.says("get", "svc,deploy")).out == ""


async def test_delete_what_is_not_there(kubectl: Kubectl) -> None:
    assert await kubectl.refused("delete", "pod", "x") == 'Error from server (NotFound): pods "x" not found'
    assert await kubectl("delete", "pod", "x", "--ignore-not-found") == ""


async def test_delete_all_of_a_selection(kubectl: Kubectl) -> None:
    await kubectl.apply(POD + "---" + POD.replace("name: sleep\n  labels: {app: sleep}", "name: other"))
    await kubectl("delete", "pods", "-l", "app=sleep")
    assert await kubectl("get", "pods", "-o", "name") == "pod/other\n"


async def test_what_an_object_owns_goes_with_it_unless_orphaned(kubectl: Kubectl) -> None:
    controllers = Controllers(kubectl.store)
    controllers.start()
    for policy, left in (("background", ""), ("foreground", ""), ("orphan", "configmap/owned\n")):
        await kubectl.apply(WEB.replace("replicas: 2", "replicas: 0"))
        uid = await kubectl("get", "deploy", "web", "-o", "jsonpath={.metadata.uid}")
        owned = (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, ownerReferences: "
            f"[{{apiVersion: apps/v1, kind: Deployment, name: web, uid: {uid}}}]}}}}"
        )
        await kubectl("create", "-f", "-", stdin=owned)
        await kubectl("delete", "deploy", "web", f"--cascade={policy}")
        assert await kubectl("get", "cm", "owned", "-o", "name", "--ignore-not-found") == left
    controllers.stop()


async def test_an_object_with_finalizers_waits_for_them(kubectl: Kubectl) -> None:
    await kubectl("create", "cm", "x")
    await kubectl("patch", "cm", "x", "-p", '{"metadata":{"finalizers":["example.org/wait"]}}')
    await kubectl("delete", "cm", "x", "--wait=false")
    assert await kubectl("get", "cm", "x", "-o", "jsonpath={.metadata.deletionTimestamp}") != ""
    await kubectl("patch", "cm", "x", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert await kubectl("get", "cm", "x", "--ignore-not-found") == ""


# -- custom resources


async def test_a_crd_makes_its_kind(kubectl: Kubectl) -> None:
    await kubectl.apply(WIDGETS)
    await kubectl("wait", "--for=condition=established", "crd/widgets.example.org", "--timeout=5s")
    await kubectl.apply("{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}")
    rows = cells(await kubectl("get", "wd"))
    assert rows == [["NAME", "SIZE"], ["w", "3"]]
    assert "How large it is." in await kubectl("explain", "widget.spec.size")
    await kubectl("delete", "crd", "widgets.example.org")
    assert "the server could not find the requested resource" in await kubectl.refused("get", "widgets")


async def test_a_pod_keeps_its_containers(kubectl: Kubectl) -> None:
    await kubectl("run", "web", "--image=busybox")
    added = '[{"op": "add", "path": "/spec/containers/-", "value": {"name": "more", "image": "busybox"}}]'
    complaint = await kubectl.refused("patch", "pod", "web", "--type=json", "-p", added)
    assert "spec.containers: Forbidden: pod updates may not add or remove containers" in complaint


async def test_a_pod_is_injected_as_it_is_created(kubectl: Kubectl) -> None:
    await kubectl("label", "ns", "default", "istio-injection=enabled")
    names = ("-o", "jsonpath={.spec.containers[*].name}")
    assert await kubectl("run", "web", "--image=busybox", *names) == "web istio-proxy"
    without = ("--labels=sidecar.istio.io/inject=false", *names)
    assert await kubectl("run", "other", "--image=busybox", *without) == "other"
