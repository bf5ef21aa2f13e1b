"""`minimesh dashboard`: the page of the mesh that runs."""

from __future__ import annotations

import webbrowser

import click

from minimesh.cli.refusal import Refusal, no_mesh
from minimesh.platform.state import StateFolder


@click.command()
@click.option("--url", "only_url", is_flag=True, help="Print the address; open no browser.")
def dashboard(only_url: bool) -> None:
    """Open the page that shows the mesh."""
    run = StateFolder.default().running()
    if run is None:
        raise no_mesh()
    if not run.dashboard_url:
        raise Refusal("this mesh has no page", "It may still be starting; try again.")
    click.echo(run.dashboard_url)
    if not only_url:
        webbrowser.open(run.dashboard_url)
