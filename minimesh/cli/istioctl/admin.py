"""Asks a pod's proxy, by Envoy's admin API on the pod's port 15000."""

from __future__ import annotations

import json
from typing import Any

import click

from minimesh.cli.istioctl.loopback_http import fetch
from minimesh.cli.istioctl.targets import has_proxy
from minimesh.config.proxy_ports import ADMIN_PORT


def ask_proxy(pod: dict[str, Any], path: str, method: str = "GET") -> str:
    """The text of a page such as `/logging`. ClickException when no proxy of the pod answers."""
    name = f"{pod['name']}.{pod['namespace']}"
    if not has_proxy(pod):
        raise click.ClickException(f"failed to execute command on {name} sidecar: the pod has no istio-proxy")
    port = pod["port_map"].get(str(ADMIN_PORT), ADMIN_PORT)
    url = f"http://{pod['ip']}:{port}{path}"
    return fetch(url, who=f"the proxy of {name}", method=method).decode()


def config_dump(pod: dict[str, Any], *, include_eds: bool = False) -> Any:
    """The proxy's /config_dump as JSON."""
    return json.loads(ask_proxy(pod, "/config_dump?include_eds=true" if include_eds else "/config_dump"))
