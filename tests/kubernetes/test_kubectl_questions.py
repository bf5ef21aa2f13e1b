"""What kubectl asks about itself and the cluster: who it is, tokens, components, ingresses, absent kinds."""

from __future__ import annotations

import base64
import json

import pytest

from tests.kubernetes.conftest import Kubectl

TODAY = pytest.mark.kubectl_of_today


@TODAY("it has no auth whoami")
async def test_who_it_is(kubectl: Kubectl) -> None:
    rows = [line.split(maxsplit=1) for line in (await kubectl("auth", "whoami")).splitlines()]
    assert rows == [
        ["ATTRIBUTE", "VALUE"],
        ["Username", "minimesh"],
        ["Groups", "[system:masters system:authenticated]"],
    ]


async def test_it_may_do_everything(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "create", "virtualservices") == "yes\n"
    listed = await kubectl("auth", "can-i", "--list")
    assert ["*.*", "[]", "[]", "[*]"] in [line.split() for line in listed.splitlines()]


@TODAY("it has no create token")
async def test_a_token_says_whose_it_is(kubectl: Kubectl) -> None:
    await kubectl("create", "sa", "robot")
    token = (await kubectl("create", "token", "robot", "--duration=1h", "--audience=shop")).strip()
    _, claims, _ = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert found["sub"] == "system:serviceaccount:default:robot"
    assert found["aud"] == ["shop"]
    assert found["exp"] - found["iat"] == 3600
    complaint = await kubectl.refused("create", "token", "robot", "--duration=1m")
    assert (
        "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes"
        in complaint
    )
    assert 'serviceaccounts "nobody" not found' in await kubectl.refused("create", "token", "nobody")


async def test_a_namespace_for_the_shell(kubectl: Kubectl) -> None:
    await kubectl("create", "ns", "shop")
    await kubectl("create", "cm", "x", "-n", "shop")
    assert await kubectl("config", "set-context", "--current", "--namespace=shop") == (
        'Context "minimesh" modified.\n'
    )
    assert await kubectl("get", "cm", "-o", "name") == "configmap/x\n"


async def test_where_the_cluster_is(kubectl: Kubectl) -> None:
    assert kubectl.server.url in await kubectl("cluster-info")


async def test_the_parts_of_the_control_plane_are_healthy(kubectl: Kubectl) -> None:
    rows = [line.split() for line in (await kubectl("get", "cs")).splitlines()]
    assert rows[1:] == [[name, "Healthy", "ok"] for name in ("controller-manager", "etcd-0", "scheduler")]


async def test_the_injector_and_the_ingress_classes(kubectl: Kubectl) -> None:
    rows = [line.split() for line in (await kubectl("get", "mutatingwebhookconfigurations")).splitlines()]
    assert rows[1][:2] == ["istio-sidecar-injector", "4"]
    rows = [line.split() for line in (await kubectl("get", "validatingwebhookconfigurations")).splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["istio-validator-istio-system", "1"],
        ["istiod-default-validator", "1"],
    ]
    names = await kubectl("get", "ingressclass", "-o", "name")
    assert names.split() == [f"ingressclass.networking.k8s.io/{name}" for name in ("istio", "nginx")]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("job x --image=y", "jobs.batch"),
        ("role x --verb=get --resource=pods", "roles.rbac.authorization.k8s.io"),
        ("clusterrole x --verb=get --resource=pods", "clusterroles.rbac.authorization.k8s.io"),
        ("quota x", "resourcequotas"),
    ],
)
async def test_kinds_that_are_not_served_are_named(kubectl: Kubectl, command: str, named: str) -> None:
    complaint = await kubectl.refused("create", *command.split())
    assert f"the server could not find the requested resource: minimesh serves no {named}" in complaint


async def test_of_kinds_that_are_not_served_there_are_none(kubectl: Kubectl) -> None:
    kinds = "daemonsets,statefulsets,jobs,cronjobs,pv,pvc,rc,quota,limits,hpa,pdb,roles,clusterroles"
    assert (await kubectl.says("get", kinds)).out == ""
    complaint = await kubectl.refused("delete", "job", "x")
    assert 'jobs.batch "x" not found' in complaint


@pytest.mark.kubectl_of_today("it looks for batch/v1beta1 and extensions/v1beta1, gone since 1.25")
async def test_what_is_applied_no_more_is_pruned(kubectl: Kubectl) -> None:
    first, second = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{app: web}}}}\n---\n"
        for name in ("first", "second")
    )
    await kubectl.apply(first + second)
    out = await kubectl.apply(second, "--prune", "-l", "app=web")
    assert out.splitlines() == ["configmap/second unchanged", "configmap/first pruned"]


@pytest.mark.kubectl_of_today("with --raw it leaves out the path of the server")
async def test_a_pod_is_evicted_unless_that_is_a_dry_run(kubectl: Kubectl) -> None:
    await kubectl.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web, image: web}]}}"
    )
    eviction = '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}'
    path = "/api/v1/namespaces/default/pods/web/eviction"
    await kubectl("create", "--raw", f"{path}?dryRun=All", "-f", "-", stdin=eviction)
    assert await kubectl("get", "pods", "-o", "name") == "pod/web\n"
    said = await kubectl("create", "--raw", path, "-f", "-", stdin=eviction)
    assert json.loads(said)["status"] == "Success"
    assert await kubectl("get", "pods", "-o", "name") == ""


# -- Ingresses


async def test_an_ingress_is_made_shown_and_described(kubectl: Kubectl) -> None:
    rule = "yuya.example.com/v1*=dest-svc-v1:7777"
    assert await kubectl("create", "ingress", "web", "--class=nginx", f"--rule={rule}") == (
        "ingress.networking.k8s.io/web created\n"
    )
    rows = [line.split() for line in (await kubectl("get", "ingress")).splitlines()]
    assert rows[0] == ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"]
    assert rows[1][:4] == ["web", "nginx", "yuya.example.com", "80"]
    spec = json.loads(await kubectl("get", "ingress", "web", "-o", "jsonpath={.spec}"))
    backend = {"service": {"name": "dest-svc-v1", "port": {"number": 7777}}}
    path = {"path": "/v1", "pathType": "Prefix", "backend": backend}
    assert spec["rules"] == [{"host": "yuya.example.com", "http": {"paths": [path]}}]
    assert "/v1   dest-svc-v1:7777" in await kubectl("describe", "ingress", "web")


async def test_an_ingress_is_checked(kubectl: Kubectl) -> None:
    text = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - http:
      paths:
      - path: v1
        pathType: Prefix
        backend: {service: {name: web}}
"""
    complaint = await kubectl.refused("apply", "--validate=false", "-f", "-", stdin=text)
    assert '* spec.rules[0].http.paths[0].path: Invalid value: "v1": must be an absolute path' in complaint
    assert (
        "* spec.rules[0].http.paths[0].backend: Required value: port name or number is required" in complaint
    )
    complaint = await kubectl.refused(
        "apply", "--validate=false", "-f", "-", stdin=text.replace("        pathType: Prefix\n", "")
    )
    assert "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified" in complaint


@TODAY("it shows no warnings")
async def test_a_class_in_an_annotation_comes_with_a_warning(kubectl: Kubectl) -> None:
    options = ("--annotation=kubernetes.io/ingress.class=istio", "--rule=a.example.com/*=web:80")
    said = await kubectl.says("create", "ingress", "web", *options)
    assert said.err == (
        'Warning: annotation "kubernetes.io/ingress.class" is deprecated, please use '
        "'spec.ingressClassName' instead\n"
    )
