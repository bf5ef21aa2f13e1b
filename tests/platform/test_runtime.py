"""The pod runtime over a real store, real processes and real addresses; only the proxy is a stand-in."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from minimesh.config.decoding import decode
from minimesh.config.kubernetes.apps import DeploymentSpec
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Store
from minimesh.kubernetes.controllers.manager import Controllers, remove
from minimesh.platform import container as container_module
from minimesh.platform import runtime as runtime_module
from minimesh.platform.defaults import default_resources
from minimesh.platform.images import ImageTable
from minimesh.platform.logs import last_lines
from minimesh.platform.pod import Pod
from minimesh.platform.pod_events import NODE_NAME
from minimesh.platform.pod_network import choose_network
from minimesh.platform.pod_parent import PodParentHandle
from minimesh.platform.pod_processes import PodProcesses
from minimesh.platform.runtime import PodRuntime, unknown_images
from minimesh.platform.runtime_settings import RuntimeSettings
from minimesh.platform.state import StateFolder

LIMIT_S = 10


def deployment(
    name: str, *, replicas: int = 1, image: str = "kennethreitz/httpbin", more: str = "", pod_labels: str = ""
) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, {pod_labels}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: {image}
        ports: [{{containerPort: 80}}]
{more}
"""


class Cluster:
    """A store and a runtime, and ways to wait for what becomes of the pods."""

    def __init__(self, store: Store, state: StateFolder) -> None:
        self.store = store
        self.state = state
        self.changed = asyncio.Event()
        self.events: list[tuple[str, str, str]] = []
        self.reports: list[str] = []
        self.runtime: PodRuntime

    def apply(self, text: str, file: str = "test.yaml") -> None:
        assert not self.store.apply_file(file, decode(text, file).resources)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def ready(self, count: int) -> list[Pod]:
        """The pods once there are so many, all ready."""

        def all_there() -> bool:
            return len(self.runtime.pods) == count and all(pod.ready for pod in self.runtime.pods)

        await self.until(all_there)
        return list(self.runtime.pods)

    def told(self, name: str) -> list[str]:
        """The reasons of the events about a pod, each as often as it was told."""
        return [reason for about, reason, _ in self.events if about == name]

    def stored(self, pod: Pod) -> Resource | None:
        return self.store.snapshot().get(ResourceKey("Pod", *pod.key))

    def conditions(self, pod: Pod) -> dict[str, str]:
        stored = self.stored(pod)
        assert stored is not None
        return {condition.type: condition.status for condition in stored.status.conditions}


@pytest_asyncio.fixture(params=["addresses", "mapped"])
async def cluster(
    request: pytest.FixtureRequest,
    pod_parent: PodParentHandle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Cluster]:
    if request.param == "addresses" and sys.platform != "linux":
        pytest.skip("only Linux answers on all of 127.0.0.0/8")
    monkeypatch.setattr(runtime_module, "PROPAGATION_S", 0.0)
    monkeypatch.setattr(runtime_module, "PROXY_GRACE_S", 1.0)
    monkeypatch.setattr(runtime_module, "RETRY_S", 0.05)
    processes = PodProcesses(pod_parent)
    await processes.open()
    cluster = Cluster(Store(), StateFolder(tmp_path / "state"))
    cluster.state.acquire()
    for resource in default_resources():
        if resource.kind == "Namespace":
            cluster.store.put(resource)
    cluster.runtime = PodRuntime(
        cluster.store,
        processes,
        choose_network(request.param),
        ImageTable.load(),
        cluster.state,
        RuntimeSettings(xds_address="127.0.0.1:15010", inherited=dict(os.environ)),
        on_change=cluster.changed.set,
        tell=lambda about, event: cluster.events.append((about.name, event.reason, event.message)),
        report=cluster.reports.append,
    )
    controllers = Controllers(cluster.store)
    controllers.start()
    cluster.runtime.start()
    yield cluster
    controllers.stop()
    await cluster.runtime.stop()
    await processes.close()
    cluster.state.release()


async def test_a_deployment_becomes_a_ready_pod_in_the_store(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    await cluster.until(lambda: cluster.conditions(pod)["Ready"] == "True")
    stored = cluster.stored(pod)
    assert stored is not None
    assert stored.status.phase == "Running"
    assert stored.status.pod_ip == pod.address.pod_ip
    assert [status.name for status in stored.status.container_statuses] == ["app", "istio-proxy"]
    assert stored.metadata.labels["app"] == "web"
    assert pod.workload.owner == ResourceKey("Deployment", "default", "web")


async def test_the_store_names_the_real_port_where_a_port_is_mapped(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    real = pod.address.real_port(80)
    stored = cluster.stored(pod)
    assert stored is not None
    mapped = stored.metadata.annotations.get("minimesh.dev/port-map", "").split(",")
    assert (f"80={real}" in mapped) == (real != 80)


async def test_scaling_starts_and_ends_pods(cluster: Cluster) -> None:
    cluster.apply(deployment("web", replicas=3))
    await cluster.ready(3)
    cluster.apply(deployment("web", replicas=1))
    (left,) = await cluster.ready(1)
    pods = cluster.store.snapshot().by_kind("Pod")
    assert [pod.name for pod in pods] == [left.facts.name]


async def test_a_deployment_that_goes_takes_its_pods_along(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    cluster.apply("", "test.yaml")
    await cluster.until(lambda: not cluster.runtime.pods)
    assert cluster.stored(pod) is None


async def test_a_changed_template_replaces_pods_without_a_moment_with_none(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (old,) = await cluster.ready(1)
    fewest_ready = [1]
    cluster.store.watch(
        lambda changes: fewest_ready.append(
            sum(
                c.type == "Ready" and c.status == "True"
                for pod in cluster.store.snapshot().by_kind("Pod")
                if pod.status is not None
                for c in pod.status.conditions
            )
        )
    )
    cluster.apply(deployment("web", more="        env: [{name: COLOUR, value: blue}]"))
    await cluster.until(lambda: [pod for pod in cluster.runtime.pods if pod.key != old.key] != [])
    (new,) = await cluster.ready(1)
    assert new.key != old.key
    assert min(fewest_ready) == 1


async def test_a_process_that_dies_is_started_again_and_counted(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    app = next(container for container in pod.containers if container.plan.name == "app")
    assert app.pid is not None
    os.kill(app.pid, signal.SIGKILL)
    await cluster.until(lambda: app.restarts == 1 and pod.ready)
    stored = cluster.stored(pod)
    assert stored is not None
    assert stored.status.container_statuses[0].restart_count == 1


async def test_a_process_that_keeps_dying_is_shown_as_such(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_module, "BACK_OFF_S", (0.0, 60.0))
    cluster.apply(deployment("web", image="busybox", more="        command: [sh, -c, exit 3]"))
    await cluster.until(lambda: [pod.shown_state for pod in cluster.runtime.pods] == ["CrashLoopBackOff"])
    (pod,) = cluster.runtime.pods
    assert not pod.ready
    assert "exit code 3" in pod.shown()["message"]
    await cluster.until(lambda: cluster.conditions(pod)["Ready"] == "False")


async def test_a_pods_life_is_told_in_events(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    name = pod.facts.name
    assert cluster.told(name) == [
        *("Scheduled", "Pulled", "Created", "Pulled", "Created"),
        *("Started", "Started"),
    ]
    assert ("Started container app") in [message for _, _, message in cluster.events]
    cluster.store.put(dataclasses.replace(found(cluster, "web"), spec=scaled(cluster, "web", 0)))
    await cluster.until(lambda: not cluster.runtime.pods)
    assert cluster.told(name)[-2:] == ["Killing", "Killing"]


def found(cluster: Cluster, name: str) -> Resource:
    resource = cluster.store.snapshot().get(ResourceKey("Deployment", "default", name))
    assert resource is not None
    return resource


def scaled(cluster: Cluster, name: str, replicas: int) -> DeploymentSpec:
    spec: DeploymentSpec = found(cluster, name).spec
    return dataclasses.replace(spec, replicas=replicas)


async def test_a_pod_that_is_removed_is_there_until_its_processes_have_ended(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    remove(cluster.store, pod.resource_key, datetime.now(UTC))
    marked = cluster.stored(pod)
    assert marked is not None
    assert marked.metadata.deletion_timestamp
    assert marked.spec.node_name == NODE_NAME
    await cluster.until(lambda: pod not in cluster.runtime.pods)
    assert cluster.stored(pod) is None
    (other,) = await cluster.ready(1)
    assert other.key != pod.key


async def test_an_unknown_image_is_shown_and_the_sidecar_runs_all_the_same(cluster: Cluster) -> None:
    cluster.apply(deployment("web", image="nginx"))
    await cluster.until(lambda: any(c.ready for pod in cluster.runtime.pods for c in pod.containers))
    (pod,) = cluster.runtime.pods
    assert pod.shown_state == "ErrImagePull"
    assert "images.yaml" in pod.shown()["message"]
    (reason,) = unknown_images(cluster.store.snapshot(), ImageTable.load())
    assert reason.startswith("Deployment default/web: image 'nginx'")


async def test_a_pod_without_sidecar_is_reached_at_its_own_address(cluster: Cluster) -> None:
    cluster.apply(deployment("web", pod_labels="sidecar.istio.io/inject: 'false'"))
    (pod,) = await cluster.ready(1)
    assert [container.plan.name for container in pod.containers] == ["app"]
    assert pod.address.app_address == pod.address.pod_ip
    assert pod.address.real_app_port(80) == pod.address.real_port(80)
    assert "http_proxy" not in pod.environment["app"]


@pytest.mark.parametrize(("ads_port", "own_port"), [(15010, True), (45010, False)])
async def test_ports_of_localhost_belong_to_the_gateway_of_the_first_mesh(
    cluster: Cluster, ads_port: int, own_port: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens on 8443 yet; the first mesh may at any time, and a second that did too would fail."""
    settings = RuntimeSettings(
        xds_address=f"127.0.0.1:{ads_port}",
        ingress_port=18080,
        control_plane_ports={15010: ads_port},
        inherited=dict(os.environ),
    )
    monkeypatch.setattr(cluster.runtime, "_settings", settings)
    monkeypatch.setattr(runtime_module, "can_bind", lambda *_: True)
    for resource in default_resources():
        if (resource.kind, resource.name) == ("Deployment", "istio-ingressgateway"):
            cluster.store.put(resource)
    await cluster.until(lambda: len(cluster.runtime.pods) == 1)
    (pod,) = cluster.runtime.pods
    assert pod.address.real_port(8080) == 18080
    assert (pod.address.real_port(8443) == 8443) == own_port or pod.address.pod_ip == "127.0.0.1"


async def test_a_pod_of_its_own_runs_too(cluster: Cluster) -> None:
    cluster.apply(
        """
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: client, image: curlimages/curl}]
"""
    )
    (pod,) = await cluster.ready(1)
    assert pod.key == ("default", "client")
    await cluster.until(lambda: cluster.conditions(pod)["Ready"] == "True")
    cluster.apply("", "test.yaml")
    await cluster.until(lambda: not cluster.runtime.pods)


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
async def test_a_pod_is_over_when_its_application_is(cluster: Cluster, code: int, phase: str) -> None:
    cluster.apply(
        f"""
apiVersion: v1
kind: Pod
metadata: {{name: once}}
spec:
  restartPolicy: Never
  containers: [{{name: once, image: busybox, command: [sh, -c, exit {code}]}}]
"""
    )

    def is_over() -> bool:
        stored = [cluster.stored(pod) for pod in cluster.runtime.pods]
        return [pod.status.phase for pod in stored if pod is not None and pod.status is not None] == [phase]

    await cluster.until(is_over)
    (pod,) = cluster.runtime.pods
    assert [container.pid for container in pod.containers] == [None, None]
    assert [container.restarts for container in pod.containers] == [0, 0]
    cluster.apply("")
    await cluster.until(lambda: not cluster.runtime.pods)


async def test_an_application_starts_once_its_proxy_is_ready(cluster: Cluster) -> None:
    cluster.apply(deployment("web"))
    (pod,) = await cluster.ready(1)
    started = [message for about, reason, message in cluster.events if reason == "Started"]
    assert started == ["Started container istio-proxy", "Started container app"]
    assert cluster.told(pod.facts.name)[-2:] == ["Started", "Started"]


async def test_a_pod_of_its_own_is_replaced_when_its_image_changes(cluster: Cluster) -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: client, image: IMAGE}]
"""
    cluster.apply(text.replace("IMAGE", "curlimages/curl:1"))
    (old,) = await cluster.ready(1)
    cluster.apply(text.replace("IMAGE", "curlimages/curl:2"))
    await cluster.until(lambda: old not in cluster.runtime.pods)
    (new,) = await cluster.ready(1)
    assert new.key == old.key
    assert new.containers[0].plan.image == "curlimages/curl:2"


async def test_a_deployment_that_goes_while_it_starts_harms_no_other(cluster: Cluster) -> None:
    cluster.apply(deployment("other"), "other.yaml")
    (other,) = await cluster.ready(1)
    cluster.apply(deployment("web"))
    await cluster.until(lambda: len(cluster.runtime.pods) == 2)
    cluster.apply("")
    await cluster.until(lambda: list(cluster.runtime.pods) == [other])
    assert other.ready
    assert [container.restarts for container in other.containers] == [0, 0]


async def test_other_commands_find_pods_logs_and_environments_in_the_state_folder(
    cluster: Cluster,
) -> None:
    cluster.apply(deployment("web"))
    await cluster.ready(1)
    (row,) = cluster.state.read_pods()
    assert row["workload"] == "web"
    assert row["environment"]["app"]["http_proxy"].startswith("http://127.")
    proxy = next(container for container in row["containers"] if container["name"] == "istio-proxy")
    assert any("--xds 127.0.0.1:15010" in line for line in last_lines(Path(proxy["log"]), None))


async def test_on_a_full_disk_pods_wait_until_there_is_room(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/state")

    with monkeypatch.context() as disk:
        disk.setattr(cluster.state, "write_curl_home", full)
        disk.setattr(cluster.state, "write_pods", full)
        cluster.apply(deployment("web"))
        await cluster.until(lambda: len(cluster.reports) >= 2)
        assert not cluster.runtime.pods
    assert "pods cannot be started: No space left on device (/state); trying again" in cluster.reports
    await cluster.ready(1)
