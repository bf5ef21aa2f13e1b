"""`pilot-agent`, as `kubectl exec POD -c istio-proxy -- pilot-agent request GET stats` runs it.

Of Istio's agent here are the commands that people type into a proxy's container; the proxy itself needs no
agent in a mesh on one machine.
"""

from __future__ import annotations

import http.client
import os

import click

from minimesh.config.injection import ISTIO_VERSION

ADMIN_VARIABLE = "MINIMESH_PROXY_ADMIN"
"""`HOST:PORT` of the proxy's admin API, in the environment of its container."""
_LIMIT_S = 60


@click.group()
def pilot_agent() -> None:
    """Istio Pilot agent."""


@pilot_agent.command()
@click.argument("method")
@click.argument("path")
@click.argument("body", required=False, default="")
def request(method: str, path: str, body: str) -> None:
    """Makes an HTTP request to the Envoy admin API."""
    address = os.environ.get(ADMIN_VARIABLE, "")
    connection = http.client.HTTPConnection(address or "localhost:15000", timeout=_LIMIT_S)
    try:
        connection.request(method, f"/{path.lstrip('/')}", body or None)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except OSError as error:
        raise click.ClickException(f"failed to ask the proxy at {address}: {error}") from error
    finally:
        connection.close()
    if response.status > http.HTTPStatus.MULTIPLE_CHOICES:
        raise click.ClickException(f"received unsuccessful status code {response.status}: {text}")
    click.echo(text)


@pilot_agent.command()
def version() -> None:
    """Prints out build version information."""
    click.echo(f'version.BuildInfo{{Version:"{ISTIO_VERSION}", BuildStatus:"minimesh"}}')


if __name__ == "__main__":
    pilot_agent(prog_name="pilot-agent")
