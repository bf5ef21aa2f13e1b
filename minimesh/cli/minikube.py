"""What published labs ask of minikube, answered for the mesh that runs on this machine."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.kubernetes_api import KubernetesApi

_NODE_ADDRESS = "127.0.0.1"
#: Addon -> why there is none.
_ADDONS = {
    "ingress": "NGINX is not part of minimesh. For an Ingress, use the Istio ingress gateway: class istio.",
    "metrics-server": "There are no metrics of nodes and pods: kubectl top does not work.",
}


@click.group()
@click.option("-n", "--namespace", default="default", help="The namespace of the service.")
@click.pass_context
def minikube(ctx: click.Context, namespace: str) -> None:
    """Answer what labs ask of minikube: the cluster's address, and the URLs of Services."""
    ctx.obj = namespace


@minikube.command()
def ip() -> None:
    """Print the address at which node ports are."""
    KubernetesApi()
    click.echo(_NODE_ADDRESS)


@minikube.command()
@click.argument("name")
@click.option("-n", "--namespace", help="The namespace of the service.")
@click.option("--url", is_flag=True, help="Print the URL, and open no browser; there is nothing else here.")
@click.pass_obj
def service(outer: str, name: str, namespace: str | None, url: bool) -> None:
    """Print the URLs of a Service's node ports."""
    where = namespace or outer
    found = KubernetesApi().get({"kind": "Service", "metadata": {"name": name, "namespace": where}})
    if found is None:
        raise click.ClickException(f"Service {name!r} was not found in {where!r} namespace.")
    ports = [each["nodePort"] for each in found["spec"].get("ports", ()) if each.get("nodePort")]
    if not ports:
        raise click.ClickException(f"service {where}/{name} has no node port")
    for port in ports:
        click.echo(f"http://{_NODE_ADDRESS}:{port}")


@minikube.command()
@click.argument("action", type=click.Choice(["enable", "disable", "list"]))
@click.argument("name", required=False)
def addons(action: str, name: str | None) -> None:
    """Say of an addon why there is none."""
    if action == "list" or name is None:
        click.echo("minimesh has no addons.")
    elif action == "enable":
        raise click.ClickException(_ADDONS.get(name, f"minimesh has no addon {name!r}."))


@minikube.command()
def tunnel() -> None:
    """Say that load balancers need no tunnel."""
    click.echo("Load balancers have addresses of this machine: no tunnel is needed.")
