"""`minimesh status`: the mesh that runs, as its control plane tells it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import click

from minimesh.cli.invocation import invocation
from minimesh.cli.refusal import Refusal, no_mesh
from minimesh.cli.table import pod_table, table
from minimesh.platform.state import Run, StateFolder

ANSWER_LIMIT_S = 5.0
_TYPES = ("CDS", "LDS", "EDS", "RDS")


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to show it.")
def status(output: str) -> None:
    """Show pods, proxies with what they were pushed and acknowledged, and configuration errors."""
    state = StateFolder.default()
    run = state.running()
    if run is None:
        if state.is_held():
            raise Refusal("the mesh is still starting", "Ask again in a moment.")
        raise no_mesh()
    document = _ask(run)
    if output == "json":
        click.echo(json.dumps(document, indent=2))
        return
    click.echo("\n\n".join(_sections(document, run)))


def _ask(run: Run) -> dict[str, Any]:
    url = f"http://127.0.0.1:{run.debug_port}/debug/status"
    # Straight to the control plane, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_LIMIT_S) as answer:
            document: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Refusal(
            f"the control plane at {url} does not answer: {reason}",
            f"Stop the mesh and start it anew: {invocation('down')}",
        ) from error
    return document


def _sections(document: dict[str, Any], run: Run) -> list[str]:
    files = f"   Configuration: {', '.join(run.paths)}" if run.paths else ""
    sections = [f"Ingress: http://localhost:{run.ingress_port}{files}"]
    pods = document.get("pods", [])
    if pods:
        sections.append(pod_table(pods))
    sections += [f"{pod['name']}: {pod['message']}" for pod in pods if pod["message"] and not pod["ready"]]
    sections += document.get("closed_ports", [])
    sections.append(_proxy_table(document["proxies"]))
    sections += _details(document["proxies"])
    sections.append(_findings(document["diagnostics"]))
    return sections


def _proxy_table(proxies: list[dict[str, Any]]) -> str:
    if not proxies:
        return "No proxy is connected."
    rows = [
        (
            f"{proxy['name']}.{proxy['namespace']}",
            *(str(proxy["types"].get(kind, {}).get("state", "-")) for kind in _TYPES),
        )
        for proxy in proxies
    ]
    return table(("PROXY", *_TYPES), rows)


def _details(proxies: list[dict[str, Any]]) -> list[str]:
    """Why a proxy refused what it was sent."""
    return [
        f"{proxy['name']}.{proxy['namespace']} {kind}: {state['detail']}"
        for proxy in proxies
        for kind, state in proxy["types"].items()
        if state.get("detail") and state["state"] == "ERROR"
    ]


def _findings(diagnostics: list[dict[str, Any]]) -> str:
    shown = [each["text"] for each in diagnostics if each["severity"] != "info"]
    if not shown:
        return "Configuration: no errors."
    return "\n".join(["Configuration (the last good one stays in force where there are errors):", *shown])
