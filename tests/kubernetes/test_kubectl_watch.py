"""Watches and logs through the real kubectl: what comes while the command runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import aiohttp
import pytest

from minimesh.config.kubernetes.apps import DeploymentStatus
from minimesh.config.resources import ResourceKey
from tests.kubernetes.conftest import Kubectl
from tests.kubernetes.manifests import POD, ROUTES, WEB

DEPLOYMENT = ResourceKey("Deployment", "default", "web")


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line that a command prints."""
    assert process.stdout is not None
    async with asyncio.timeout(10):
        return (await process.stdout.readline()).decode().rstrip("\n")


async def end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    await process.communicate()


def set_status(kubectl: Kubectl, status: DeploymentStatus) -> None:
    """What the controller of Deployments would report."""
    deployment = kubectl.store.snapshot().get(DEPLOYMENT)
    assert deployment is not None
    kubectl.store.put(dataclasses.replace(deployment, status=status))


async def test_get_watch_prints_rows_as_they_change(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    process = await kubectl.start("get", "deploy", "-w")
    assert (await line(process)).split()[0] == "NAME"
    assert (await line(process)).split()[:2] == ["web", "0/2"]
    set_status(kubectl, DeploymentStatus(ready_replicas=1))
    assert (await line(process)).split()[:2] == ["web", "1/2"]
    await end(process)


async def test_rollout_status_follows_to_the_end(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    generation = 1
    set_status(kubectl, DeploymentStatus(observed_generation=generation, replicas=2, updated_replicas=2))
    process = await kubectl.start("rollout", "status", "deploy/web", "--timeout=10s")
    assert "0 of 2 updated replicas are available" in await line(process)
    done = DeploymentStatus(
        observed_generation=generation,
        replicas=2,
        updated_replicas=2,
        ready_replicas=2,
        available_replicas=2,
    )
    set_status(kubectl, done)
    assert await line(process) == 'deployment "web" successfully rolled out'
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.kubectl_of_today("it waits for conditions only")
async def test_wait_for_a_field_and_for_deletion(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    process = await kubectl.start(
        "wait", "deploy/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=10s"
    )
    set_status(kubectl, DeploymentStatus(ready_replicas=2))
    assert await line(process) == "deployment.apps/web condition met"
    await process.communicate()
    process = await kubectl.start("wait", "deploy/web", "--for=delete", "--timeout=10s")
    kubectl.store.delete(DEPLOYMENT)
    out, err = await process.communicate()
    assert process.returncode == 0, (out, err)


@pytest.mark.kubectl_of_today("it has no events command")
async def test_events_of_an_object(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    uid = await kubectl("get", "deploy", "web", "-o", "jsonpath={.metadata.uid}")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web.1"},
        "involvedObject": {
            "kind": "Deployment",
            "name": "web",
            "namespace": "default",
            "apiVersion": "apps/v1",
            "uid": uid,
        },
        "reason": "ScalingReplicaSet",
        "message": "Scaled up replica set web-1 from 0 to 2",
        "type": "Normal",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    await kubectl("create", "-f", "-", stdin=json.dumps(event))
    rows = (await kubectl("get", "events")).splitlines()
    assert rows[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert rows[1].split()[1:4] == ["Normal", "ScalingReplicaSet", "deployment/web"]
    assert "Scaled up replica set web-1" in await kubectl("events", "--for", "deploy/web")
    assert "Scaled up replica set web-1" in await kubectl("describe", "deploy", "web")


# -- The protocol of watches


async def events(url: str, count: int) -> list[dict[str, Any]]:
    """The first events of a watch."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as session, session.get(url) as response:
        return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_a_watch_begins_after_the_version_it_names(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    url = kubectl.server.url + "/apis/apps/v1/deployments?watch=true&resourceVersion="
    before = kubectl.store.snapshot().version
    set_status(kubectl, DeploymentStatus(ready_replicas=1))
    kubectl.store.delete(DEPLOYMENT)
    modified, deleted = await events(url + str(before), 2)
    assert (modified["type"], modified["object"]["status"]["readyReplicas"]) == ("MODIFIED", 1)
    assert deleted["type"] == "DELETED"
    assert int(deleted["object"]["metadata"]["resourceVersion"]) == kubectl.store.snapshot().version


async def test_initial_events_end_in_a_bookmark(kubectl: Kubectl) -> None:
    url = kubectl.server.url + "/api/v1/namespaces?watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
    *added, bookmark = await events(url, 6)
    assert [each["object"]["metadata"]["name"] for each in added][:2] == ["default", "istio-system"]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_what_begins_to_match_is_added_and_what_ceases_to_is_deleted(kubectl: Kubectl) -> None:
    await kubectl.apply(ROUTES)
    version = kubectl.store.snapshot().version
    await kubectl("label", "vs", "web", "tier=front")
    await kubectl("label", "vs", "web", "tier-")
    path = "/apis/networking.istio.io/v1/virtualservices?watch=true&labelSelector=tier"
    found = await events(f"{kubectl.server.url}{path}&resourceVersion={version}", 2)
    assert [each["type"] for each in found] == ["ADDED", "DELETED"]


async def test_a_forgotten_version_is_gone(kubectl: Kubectl) -> None:
    await kubectl.apply(WEB)
    for number in range(1100):
        set_status(kubectl, DeploymentStatus(replicas=number + 1))
    (error,) = await events(kubectl.server.url + "/api/v1/pods?watch=true&resourceVersion=1", 1)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_watch_ends_when_its_time_is_over(kubectl: Kubectl) -> None:
    url = kubectl.server.url + "/api/v1/pods?watch=true&timeoutSeconds=1"
    async with asyncio.timeout(5), aiohttp.ClientSession() as session, session.get(url) as response:
        assert await response.read() == b""


# -- logs


async def test_logs_of_one_container(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    kubectl.logs.write("default", "sleep", "istio-proxy", "one", "two", "three")
    assert await kubectl("logs", "sleep", "-c", "istio-proxy") == "one\ntwo\nthree\n"
    assert await kubectl("logs", "sleep", "-c", "istio-proxy", "--tail=1") == "three\n"
    assert await kubectl("logs", "-l", "app=sleep", "-c", "istio-proxy", "--prefix", "--tail=1") == (
        "[pod/sleep/istio-proxy] three\n"
    )


@pytest.mark.kubectl_of_today("it names no default container")
async def test_logs_without_a_container_takes_the_first_and_says_so(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    kubectl.logs.write("default", "sleep", "sleep", "hello")
    said = await kubectl.says("logs", "sleep")
    assert said.out == "hello\n"
    assert "Defaulted container" in said.err


async def test_logs_of_a_container_that_is_not_there(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    complaint = await kubectl.refused("logs", "sleep", "-c", "nope")
    assert "container nope is not valid for pod sleep" in complaint


async def test_logs_follow(kubectl: Kubectl) -> None:
    await kubectl.apply(POD)
    kubectl.logs.write("default", "sleep", "istio-proxy", "before")
    process = await kubectl.start("logs", "--follow", "sleep", "-c", "istio-proxy")
    assert await line(process) == "before"
    kubectl.logs.write("default", "sleep", "istio-proxy", "after")
    assert await line(process) == "after"
    await end(process)
