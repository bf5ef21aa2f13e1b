"""`istioctl experimental` (x): describe."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.certificate import is_credential
from minimesh.cli.istioctl.command_group import AliasGroup, namespace_option
from minimesh.cli.istioctl.control_plane import running_mesh
from minimesh.cli.istioctl.description import describe_pod, describe_service
from minimesh.cli.istioctl.live_documents import live_documents
from minimesh.cli.istioctl.targets import running_pod, split_namespace
from minimesh.config.analysis.view import View

_ABSENT = {
    "authz": "authorization policies are not acted on.",
    "check-inject": "kubectl get ns -L istio-injection, and the pod's containers, show who is injected.",
    "config": "there are no settings of istioctl itself.",
    "injector": "kubectl get mutatingwebhookconfigurations shows the injector.",
    "internal-debug": "the control plane's pages: istioctl dashboard istiod-debug",
    "metrics": "there is no Prometheus; a proxy's own counters: pilot-agent request GET stats/prometheus",
    "precheck": "there is no cluster to check.",
    "revision": "the control plane has one revision, default.",
    "wait": "istioctl proxy-status shows which proxies are in sync; a push takes milliseconds.",
}


@click.command(cls=AliasGroup, aliases={"des": "describe"}, absent=_ABSENT)
def experimental() -> None:
    """Experimental commands that may be modified or deprecated [alias: x]."""


@experimental.group("describe", cls=AliasGroup, aliases={"po": "pod", "svc": "service"})
def describe() -> None:
    """Describe resource and related Istio configuration."""


@describe.command("pod")
@click.argument("target", metavar="POD[.NAMESPACE]")
@namespace_option
def pod(target: str, namespace: str | None) -> None:
    """Describe pods and their Istio configuration."""
    found = running_pod(target, namespace)
    view = _live_view()
    document = view.find("Pod", f"{found['namespace']}/{found['name']}", "")
    if document is None:
        raise click.ClickException(f'unable to retrieve Pod: pods "{found["name"]}" not found')
    click.echo(describe_pod(view, document, _ingress_url()), nl=False)


@describe.command("service")
@click.argument("target", metavar="SERVICE[.NAMESPACE]")
@namespace_option
def service(target: str, namespace: str | None) -> None:
    """Describe services and their Istio configuration."""
    view = _live_view()
    name, of_namespace = split_namespace(target, namespace)
    document = view.find("Service", f"{of_namespace}/{name}", "")
    if document is None:
        raise click.ClickException(f'services "{name}" not found')
    click.echo(describe_service(view, document, _ingress_url()), nl=False)


def _live_view() -> View:
    return View(live_documents(), {}, is_credential)


def _ingress_url() -> str:
    return f"http://localhost:{running_mesh().ingress_port}"
