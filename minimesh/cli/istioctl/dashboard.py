"""`istioctl dashboard`: the pages that exist here, and what is said of those that do not."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping

import click

from minimesh.cli.istioctl.command_group import AliasGroup, namespace_option
from minimesh.cli.istioctl.control_plane import running_mesh
from minimesh.cli.istioctl.targets import running_pod
from minimesh.config.proxy_ports import ADMIN_PORT

#: Istio's addons, which need images that do not run here -> what to look at instead.
_ADDONS: Mapping[str, str] = {
    "grafana": "Each proxy's metrics: istioctl dashboard envoy deploy/NAME, then /stats.",
    "jaeger": "Each proxy's access log has the request id: kubectl logs deploy/NAME -c istio-proxy.",
    "kiali": "The mesh at a glance: istioctl proxy-status, istioctl x describe.",
    "prometheus": "Each proxy's metrics: istioctl dashboard envoy deploy/NAME, then /stats/prometheus.",
    "skywalking": "Each proxy's access log has the request id: kubectl logs deploy/NAME -c istio-proxy.",
    "zipkin": "Each proxy's access log has the request id: kubectl logs deploy/NAME -c istio-proxy.",
}


@click.command(cls=AliasGroup, aliases={"istiod": "controlz", "proxy": "envoy"})
def dashboard() -> None:
    """Access to Istio web UIs [alias: d, dash]."""


def _open(url: str, *, browser: bool) -> None:
    click.echo(url)
    if browser:
        webbrowser.open(url)


@dashboard.command("envoy")
@click.argument("target", metavar="[TYPE/]NAME[.NAMESPACE]")
@click.option("--browser", type=bool, is_flag=False, flag_value=True, default=True, help="Open a browser.")
@namespace_option
def envoy(target: str, browser: bool, namespace: str | None) -> None:
    """Open the admin page of a pod's proxy."""
    pod = running_pod(target, namespace)
    port = pod["port_map"].get(str(ADMIN_PORT), ADMIN_PORT)
    _open(f"http://{pod['ip']}:{port}", browser=browser)


@dashboard.command("istiod-debug")
@click.option("--browser", type=bool, is_flag=False, flag_value=True, default=True, help="Open a browser.")
def istiod_debug(browser: bool) -> None:
    """Open what the control plane knows of each proxy; /debug/configz and others are beside it."""
    _open(f"http://localhost:{running_mesh().debug_port}/debug/syncz", browser=browser)


@dashboard.command("controlz")
@click.option("--browser", type=bool, is_flag=False, flag_value=True, default=True, help="Open a browser.")
def controlz(browser: bool) -> None:
    """Open the control plane's status page."""
    _open(f"http://localhost:{running_mesh().debug_port}/debug/status", browser=browser)


def _addon(name: str, instead: str) -> click.Command:
    @click.command(name, help=f"Open {name}: not part of minimesh.")
    def refuse() -> None:
        raise click.ClickException(f"no {name} pods found: the addon is not part of minimesh. {instead}")

    return refuse


for _name, _instead in _ADDONS.items():
    dashboard.add_command(_addon(_name, _instead))
