"""`istioctl version`: of this command, of the control plane that runs, and of its proxies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import click
import yaml

from minimesh.cli.istioctl.proxy_status import connected_proxies
from minimesh.config.injection import ISTIO_VERSION
from minimesh.platform.state import StateFolder


@click.command()
@click.option("-s", "--short", is_flag=True, help="Only the versions, which is the default.")
@click.option("--remote", type=bool, is_flag=False, flag_value=True, default=True, help="Ask the mesh too.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Output format.")
def version(short: bool, remote: bool, output: str | None) -> None:
    """Print out build version information."""
    runs = remote and StateFolder.default().running() is not None
    proxies = [each.version for each in connected_proxies()] if runs else []
    if output:
        document = version_document(ISTIO_VERSION, proxies, runs=runs)
        text = json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document)
        click.echo(text.rstrip())
    else:
        click.echo(version_text(ISTIO_VERSION, proxies, remote=remote, runs=runs))


def version_text(own: str, proxies: Sequence[str], *, remote: bool, runs: bool) -> str:
    """As istioctl writes it: one bare line where the mesh is not asked."""
    if not remote:
        return own
    if not runs:
        return f"Istio is not present in the cluster: no mesh runs here\nclient version: {own}"
    lines = [f"client version: {own}", f"control plane version: {own}"]
    if proxies:
        counted = sorted(Counter(proxies).items())
        of_each = (f"{name} ({count} {'proxy' if count == 1 else 'proxies'})" for name, count in counted)
        lines.append(f"data plane version: {', '.join(of_each)}")
    return "\n".join(lines)


def version_document(own: str, proxies: Sequence[str], *, runs: bool) -> dict[str, object]:
    """The same for programs."""
    document: dict[str, object] = {"clientVersion": {"version": own}}
    if runs:
        document["meshVersion"] = [{"Component": "pilot", "Info": {"version": own}}]
        document["dataPlaneVersion"] = [{"IstioVersion": each} for each in proxies]
    return document
