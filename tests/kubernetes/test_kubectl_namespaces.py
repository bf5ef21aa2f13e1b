"""Namespaces through the real kubectl: those there are, what each has, and how one goes."""

from __future__ import annotations

import pytest

from minimesh.config.resources import ResourceKey
from minimesh.kubernetes.controllers.manager import Controllers
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import POD


async def test_the_namespaces_of_a_cluster_with_istio(kubectl: Kubectl) -> None:
    found = (await kubectl("get", "ns", "-o", "name")).split()
    assert found == [
        f"namespace/{name}"
        for name in ("default", "istio-system", "kube-node-lease", "kube-public", "kube-system")
    ]


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_a_label_is_new_to_a_fresh_namespace(kubectl: Kubectl) -> None:
    asked = ("label", "ns", "default", "istio-injection=enabled")
    assert await kubectl(*asked) == "namespace/default labeled\n"
    assert await kubectl(*asked) == "namespace/default not labeled\n"


async def test_each_has_an_account_and_a_root_certificate(kubectl: Kubectl) -> None:
    controllers = Controllers(kubectl.store)
    controllers.start()
    await kubectl("create", "ns", "shop")
    found = (await kubectl("get", "sa,cm", "-n", "shop", "-o", "name")).split()
    assert found == ["serviceaccount/default", "configmap/kube-root-ca.crt"]
    controllers.stop()


async def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    await kubectl("create", "ns", "shop")
    await kubectl("create", "cm", "a", "-n", "shop")
    await kubectl("apply", "-n", "shop", "-f", "-", stdin=POD)
    assert await kubectl("delete", "ns", "shop") == 'namespace "shop" deleted\n'
    assert not [each for each in kubectl.store.snapshot().resources if each.namespace == "shop"]


@pytest.mark.kubectl_of_today("it says so in other words")
async def test_a_namespace_is_terminating_until_its_content_is_gone(kubectl: Kubectl) -> None:
    controllers = Controllers(kubectl.store)
    controllers.start()
    await kubectl("create", "ns", "shop")
    await kubectl("create", "cm", "a", "-n", "shop")
    await kubectl("patch", "cm", "a", "-n", "shop", "-p", '{"metadata":{"finalizers":["example.org/wait"]}}')
    await kubectl("delete", "ns", "shop", "--wait=false")
    assert (await kubectl("get", "ns", "shop", "--no-headers")).split()[:2] == ["shop", "Terminating"]
    assert await kubectl.refused("create", "cm", "b", "-n", "shop") == (
        'error: failed to create configmap: configmaps "b" is forbidden: unable to create new content in '
        "namespace shop because it is being terminated"
    )
    gone = await kubectl.start("wait", "--for=delete", "ns/shop", "--timeout=20s")
    await kubectl("patch", "cm", "a", "-n", "shop", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    out, err = await gone.communicate()
    assert gone.returncode == 0, (out, err)
    assert kubectl.store.snapshot().get(ResourceKey("Namespace", "", "shop")) is None
    controllers.stop()


async def test_what_the_cluster_needs_may_not_be_deleted(kubectl: Kubectl) -> None:
    assert await kubectl.refused("delete", "ns", "default") == (
        'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted'
    )
