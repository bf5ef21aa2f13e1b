"""`minimesh validate`: what a mesh would say about files, without a mesh."""

from __future__ import annotations

import sys

import click

from minimesh.cli.paths import read_texts, refuse_missing
from minimesh.cli.refusal import Refusal
from minimesh.cli.table import counted


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
def validate(paths: tuple[str, ...]) -> None:
    """Check YAML files and folders; exit status 1 when any has an error."""
    from minimesh.config.diagnostics import has_errors, render
    from minimesh.config.validate import check

    refuse_missing(paths)
    texts = read_texts(paths)
    if not texts:
        raise Refusal(f"there is no YAML or JSON file in {', '.join(paths)}", "Name another file or folder.")
    diagnostics = check(texts)
    if diagnostics:
        click.echo(render(diagnostics, texts))
    failed = has_errors(diagnostics)
    click.echo(f"{counted(len(texts), 'file')}, {'with errors' if failed else 'no errors'}.")
    sys.exit(1 if failed else 0)
