"""`minimesh config-dump`: what a pod's proxy has been given, in the JSON of Envoy's /config_dump."""

from __future__ import annotations

import click

from minimesh.cli.istioctl.admin import ask_proxy
from minimesh.cli.pods import find_pod, running_pods

GATEWAY_WORDS = frozenset({"gateway", "ingressgateway"})
GATEWAY_TARGET, GATEWAY_NAMESPACE = "deploy/istio-ingressgateway", "istio-system"


@click.command(name="config-dump")
@click.argument("target", metavar="POD|deploy/NAME|gateway")
@click.option("-n", "--namespace", default="default", help="The pod's namespace.")
def config_dump(target: str, namespace: str) -> None:
    """Show the configuration of a pod's proxy, endpoints included; `gateway` is the ingress gateway's.

    The same JSON from either engine: what reads Envoy's dumps reads this one.
    """
    click.echo(ask_proxy(proxy_pod(target, namespace), "/config_dump?include_eds").rstrip("\n"))


def proxy_pod(target: str, namespace: str) -> dict[str, object]:
    """The pod that the word means, `gateway` among them."""
    if target in GATEWAY_WORDS:
        target, namespace = GATEWAY_TARGET, GATEWAY_NAMESPACE
    return find_pod(running_pods(), target, namespace)
