"""`istioctl`: the group of all its commands."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.analyze import analyze
from minimesh.cli.istioctl.command_group import OutermostGroup, remember_namespace
from minimesh.cli.istioctl.dashboard import dashboard
from minimesh.cli.istioctl.experimental import experimental
from minimesh.cli.istioctl.install import install, uninstall
from minimesh.cli.istioctl.kube_inject import kube_inject
from minimesh.cli.istioctl.kubeconfig import use_kubeconfig
from minimesh.cli.istioctl.proxy_config import proxy_config
from minimesh.cli.istioctl.proxy_status import proxy_status
from minimesh.cli.istioctl.validate import validate
from minimesh.cli.istioctl.version import version

_ALIASES = {
    "pc": "proxy-config",
    "ps": "proxy-status",
    "x": "experimental",
    "exp": "experimental",
    "d": "dashboard",
    "dash": "dashboard",
    "v": "validate",
}
_ONE_MESH = "the mesh is one, on this machine."
_AMBIENT = "its proxies are sidecars and gateways."
_NO_INSTALLATION = "there is nothing to generate or look up; `istioctl install` starts what there is."
_ABSENT = {
    "admin": "the control plane's log levels are fixed; its log: kubectl logs -n istio-system deploy/istiod",
    "authn": "mutual TLS is not acted on.",
    "bug-report": "kubectl cluster-info dump --output-directory=DIR writes down what there is.",
    "completion": "commands are not completed.",
    "create-remote-secret": _ONE_MESH,
    "manifest": _NO_INSTALLATION,
    "operator": _NO_INSTALLATION,
    "profile": _NO_INSTALLATION,
    "remote-clusters": _ONE_MESH,
    "tag": "the control plane has one revision, default.",
    "upgrade": "install another version of minimesh.",
    "verify-install": "kubectl get pods -n istio-system shows what is installed.",
    "waypoint": _AMBIENT,
    "ztunnel-config": _AMBIENT,
}


@click.command(
    cls=OutermostGroup,
    aliases=_ALIASES,
    absent=_ABSENT,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-n", "--namespace", help="Kubernetes namespace.")
@click.option("-i", "--istioNamespace", "_", hidden=True, expose_value=False)
@click.option("-c", "--kubeconfig", help="Kubernetes configuration file.")
@click.option("--context", "context_name", help="Kubernetes configuration context.")
@click.option("--vklog", "_", hidden=True, expose_value=False)
@click.pass_context
def istioctl(
    ctx: click.Context, namespace: str | None, kubeconfig: str | None, context_name: str | None
) -> None:
    """Istio configuration command line utility, over a mesh that runs here."""
    remember_namespace(ctx, namespace)
    use_kubeconfig(kubeconfig, context_name)


@istioctl.command("help")
@click.argument("words", nargs=-1)
@click.pass_context
def show_help(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Help about any command."""
    outer = ctx.parent
    assert outer is not None
    command: click.Command = istioctl
    for word in words:
        found = command.get_command(outer, word) if isinstance(command, click.Group) else None
        if found is None:
            break
        outer, command = click.Context(found, outer, word), found
    click.echo(command.get_help(outer))


istioctl.add_command(analyze, "analyze")
istioctl.add_command(dashboard, "dashboard")
istioctl.add_command(install, "install")
istioctl.add_command(kube_inject, "kube-inject")
istioctl.add_command(experimental, "experimental")
istioctl.add_command(proxy_config, "proxy-config")
istioctl.add_command(proxy_status, "proxy-status")
istioctl.add_command(uninstall, "uninstall")
istioctl.add_command(validate, "validate")
istioctl.add_command(version, "version")
