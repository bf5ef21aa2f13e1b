"""`minimesh pod`: one pod in this container, application and sidecar in the container's network namespace.

The same runtime that runs a whole mesh on a laptop runs here over a store that asks for a single pod. The
pod's proxy registers itself with the control plane, and is an endpoint for as long as it is connected.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minimesh.cli.control_plane import split_address
from minimesh.cli.paths import read_texts, refuse_missing
from minimesh.cli.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minimesh.config.resources import Resource, ResourceKey
    from minimesh.config.store import Store
    from minimesh.platform.images import ImageTable
    from minimesh.platform.logs import LogFollower
    from minimesh.platform.pod_parent import PodParentHandle
    from minimesh.platform.runtime import PodRuntime

METADATA_PREFIX = "ISTIO_META_"

_FIND_CONTROL_PLANE_LIMIT_S = 60.0
_LOG_INTERVAL_S = 0.1


@click.command()
@click.argument("deployment", metavar="NAMESPACE/NAME")
@click.option("--config", "paths", multiple=True, metavar="PATH", help="Where the Deployment is; repeatable.")
@click.option("--xds", default="control-plane:15010", show_default=True, metavar="HOST:PORT", help="ADS.")
@click.option("--images", type=click.Path(path_type=Path), help="More images: a file like images.yaml.")
def pod(deployment: str, paths: tuple[str, ...], xds: str, images: Path | None) -> None:
    """Run one pod of a Deployment in this container, until SIGTERM."""
    from minimesh.platform.images import ImageTable, ImageTableError

    refuse_missing(paths)
    store = store_of_one(deployment, paths)
    try:
        table = ImageTable.load(images)
    except ImageTableError as error:
        raise Refusal(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="minimesh-pod-") as folder:
        parent = _fork_pod_parent(folder)
        try:
            asyncio.run(_run(store, table, parent, xds, Path(folder)))
        finally:
            parent.channel.close()
            os.waitpid(parent.pid, 0)


def store_of_one(deployment: str, paths: tuple[str, ...]) -> Store:
    """Everything configured, but of all that asks for pods only this Deployment, and the one pod it makes."""
    from minimesh.config.decoding import decode
    from minimesh.config.resources import ResourceKey
    from minimesh.config.store import Store
    from minimesh.kubernetes.controllers.manager import Controllers
    from minimesh.platform.defaults import default_resources

    namespace, _, name = deployment.rpartition("/")
    wanted = ResourceKey("Deployment", namespace or "default", name)
    resources = list(default_resources())
    for file, text in read_texts(paths).items():
        resources += decode(text, file).resources
    store = Store()
    for resource in resources:
        if (kept := _only(wanted, resource)) is not None:
            store.put(kept)
    if store.snapshot().get(wanted) is None:
        where = f"not in {', '.join(paths)}" if paths else "name its file or folder with --config"
        raise Refusal(f"there is no Deployment {wanted.namespace}/{wanted.name}: {where}")
    Controllers(store).settle()
    return store


def _only(wanted: ResourceKey, resource: Resource) -> Resource | None:
    if resource.kind not in ("Deployment", "ReplicaSet", "Pod"):
        return resource
    if resource.key != wanted:
        return None
    return dataclasses.replace(resource, spec=dataclasses.replace(resource.spec, replicas=1))


def _fork_pod_parent(folder: str) -> PodParentHandle:
    from minimesh.cli.entry_points import entry_points, preload
    from minimesh.platform.pod_parent import fork_pod_parent

    return fork_pod_parent(entry_points(), preload=preload, log_path=f"{folder}/pod-parent.log")


async def _run(store: Store, images: ImageTable, parent: PodParentHandle, xds: str, folder: Path) -> None:
    from minimesh.platform.pod_network import ContainerNetwork
    from minimesh.platform.pod_processes import PodProcesses
    from minimesh.platform.runtime import PodRuntime
    from minimesh.platform.runtime_settings import RuntimeSettings
    from minimesh.platform.state import StateFolder

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = await _own_address(xds)
    processes = PodProcesses(parent)
    await processes.open()
    settings = RuntimeSettings(xds_address=xds, extra_metadata=node_metadata(os.environ))
    network = ContainerNetwork(address)
    runtime = PodRuntime(store, processes, network, images, StateFolder(folder), settings)
    runtime.start()
    try:
        await _show_logs(runtime, stop)
    finally:
        await runtime.stop()
        await processes.close()


def node_metadata(environment: Mapping[str, str]) -> dict[str, str]:
    """What the sidecar tells of itself: that it registers, and as Istio's agent what `ISTIO_META_NAME` says.

    `ISTIO_META_AUTO_REGISTER_GROUP` names the WorkloadGroup that it joins.
    """
    told = {
        name.removeprefix(METADATA_PREFIX): value
        for name, value in environment.items()
        if name.startswith(METADATA_PREFIX)
    }
    return {**told, "MINIMESH_AUTO_REGISTER": "true"}


async def _own_address(xds: str) -> str:
    """The address of this container on the way to the control plane. Nothing is sent."""
    host, port = split_address(xds, "--xds")
    try:
        async with asyncio.timeout(_FIND_CONTROL_PLANE_LIMIT_S):
            while True:
                try:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                        probe.connect((host, port))
                        return str(probe.getsockname()[0])
                except OSError:
                    # The control plane's container has no name until it runs.
                    await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise Refusal(f"the control plane's name {host!r} cannot be resolved") from error


async def _show_logs(runtime: PodRuntime, stop: asyncio.Event) -> None:
    """What application and proxy write becomes what this container writes, until `stop`."""
    from minimesh.platform.logs import LogFollower

    followers: dict[str, LogFollower] = {}
    while True:
        ended = stop.is_set()
        for container in (each for shown in runtime.shown() for each in shown["containers"]):
            follower = followers.setdefault(container["log"], LogFollower(Path(container["log"])))
            for line in follower.lines():
                click.echo(line)
        if ended:
            return
        try:
            async with asyncio.timeout(_LOG_INTERVAL_S):
                await stop.wait()
        except TimeoutError:
            continue
