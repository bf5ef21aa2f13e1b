"""`istioctl install` and `uninstall`: Istio's parts in the mesh that runs, started and stopped.

What is installed are the objects that every mesh begins with, so on a fresh mesh `install` finds all there
and waits until it runs. The control plane itself is the process that answers kubectl: it ends by
`minimesh down`, never by `uninstall`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from minimesh.cli.istioctl.installation import installation
from minimesh.cli.istioctl.kubernetes_api import Json, KubernetesApi
from minimesh.cli.istioctl.manifest import PROFILES, components, mesh_settings
from minimesh.config.injection import ISTIO_VERSION

_READY_LIMIT_S = 60.0
_LOOK_INTERVAL_S = 0.1


@click.command()
@click.option("-f", "--filename", "files", multiple=True, metavar="FILE", help="An IstioOperator.")
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Such as profile=demo.")
@click.option("-y", "--skip-confirmation", is_flag=True, help="Do not ask.")
def install(files: tuple[str, ...], settings: tuple[str, ...], skip_confirmation: bool) -> None:
    """Install Istio's parts in the mesh that runs, and set what holds for all of it."""
    wanted = installation(files, settings)
    api = KubernetesApi()
    profile = f'profile "{wanted.profile}"'
    question = f"This will install the Istio {ISTIO_VERSION} {profile} into the cluster. Proceed?"
    if not skip_confirmation and not click.confirm(question, default=False):
        click.echo("Cancelled.")
        return
    # First, so that what is started next begins with them.
    api.put(mesh_settings(wanted.mesh_config))
    for component in components(wanted.components):
        for each in component.objects:
            api.create(each)
        _wait_until_ready(api, component.deployments)
        click.echo(f"✔ {component.title} installed {component.sign}")
    click.echo("✔ Installation complete")


@click.command()
@click.option("--purge", is_flag=True, help="Delete all of Istio's parts.")
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="What install was given.")
@click.option("-y", "--skip-confirmation", is_flag=True, help="Do not ask.")
def uninstall(purge: bool, settings: tuple[str, ...], skip_confirmation: bool) -> None:
    """Uninstall Istio's parts from the mesh that runs."""
    if not purge and not settings:
        raise click.ClickException("say what to uninstall: minimesh knows --purge")
    api = KubernetesApi()
    click.echo("All Istio resources will be pruned from the cluster")
    if not skip_confirmation and not click.confirm("Proceed?", default=False):
        click.echo("Cancelled.")
        return
    for each in _everything():
        if api.delete(each):
            click.echo(f"  Removed {_shown(each)}.")
    click.echo("✔ Uninstall complete")
    click.echo("kubectl still answers: its process is that of the mesh, and ends by: minimesh down", err=True)


def _everything() -> Iterator[Json]:
    """Every object of every profile, the last first: what refers to others goes before them."""
    objects = [each for component in components(PROFILES["demo"]) for each in component.objects]
    yield from reversed([*objects, mesh_settings({})])


def _wait_until_ready(api: KubernetesApi, deployments: Sequence[Json]) -> None:
    deadline = time.monotonic() + _READY_LIMIT_S
    for each in deployments:
        while not _is_ready(api.get(each)):
            if time.monotonic() > deadline:
                name = each["metadata"]["name"]
                raise click.ClickException(f"deployment {name} is not ready after {_READY_LIMIT_S:.0f} s")
            time.sleep(_LOOK_INTERVAL_S)


def _is_ready(deployment: dict[str, Any] | None) -> bool:
    if deployment is None:
        return False
    wanted = deployment["spec"].get("replicas", 1)
    return bool(deployment.get("status", {}).get("readyReplicas", 0) >= wanted)


def _shown(given: Json) -> str:
    """As istioctl names what it removed: `apps/v1, Kind=Deployment/istiod.istio-system`."""
    group = given["apiVersion"] if "/" in given["apiVersion"] else f"/{given['apiVersion']}"
    metadata = given["metadata"]
    return f"{group}, Kind={given['kind']}/{metadata['name']}.{metadata.get('namespace', '')}"
