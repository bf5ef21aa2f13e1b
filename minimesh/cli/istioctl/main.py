"""`istioctl`: the group of all its commands."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.analyze import analyze
from minimesh.cli.istioctl.command_group import AliasGroup, remember_namespace
from minimesh.cli.istioctl.dashboard import dashboard
from minimesh.cli.istioctl.experimental import experimental
from minimesh.cli.istioctl.install import install, uninstall
from minimesh.cli.istioctl.kube_inject import kube_inject
from minimesh.cli.istioctl.proxy_config import proxy_config
from minimesh.cli.istioctl.proxy_status import proxy_status
from minimesh.cli.istioctl.version import version

_ALIASES = {
    "pc": "proxy-config",
    "ps": "proxy-status",
    "x": "experimental",
    "exp": "experimental",
    "d": "dashboard",
    "dash": "dashboard",
}


@click.command(cls=AliasGroup, aliases=_ALIASES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "--namespace", help="Kubernetes namespace.")
@click.option(
    "-i", "--istioNamespace", "istio_namespace", default="istio-system", help="Istio system namespace."
)
@click.pass_context
def istioctl(ctx: click.Context, namespace: str | None, istio_namespace: str) -> None:
    """Istio configuration command line utility, over a mesh that runs here."""
    remember_namespace(ctx, namespace)
    ctx.obj["istio_namespace"] = istio_namespace


istioctl.add_command(analyze, "analyze")
istioctl.add_command(dashboard, "dashboard")
istioctl.add_command(install, "install")
istioctl.add_command(kube_inject, "kube-inject")
istioctl.add_command(experimental, "experimental")
istioctl.add_command(proxy_config, "proxy-config")
istioctl.add_command(proxy_status, "proxy-status")
istioctl.add_command(uninstall, "uninstall")
istioctl.add_command(version, "version")
