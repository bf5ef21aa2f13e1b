"""`istioctl validate`: manifests checked as istiod's webhook would, without a mesh."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from minimesh.cli.istioctl.manifest_files import manifest_files
from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.validate import validate_text


@click.command()
@click.option("-f", "--filename", "names", multiple=True, help="A file or folder of manifests, - for input.")
def validate(names: tuple[str, ...]) -> None:
    """Validate Istio policy and rules files [alias: v]."""
    if not names:
        raise click.ClickException(
            "you must specify resources by --filename. Example resource specifications include:\n"
            "   '-f rsrc.yaml'\n   '--filename=rsrc.json'"
        )
    errors: list[str] = []
    for file in manifest_files(names, recursive=True):
        found = validate_text(_read(file), file)
        wrong = [f"{_subject(each)}: {_said(each)}" for each in found if each.severity is Severity.ERROR]
        errors += wrong
        warnings = [_said(each) for each in found if each.severity is Severity.WARNING]
        if not wrong:
            click.echo(f'"{file}" has warnings: {"; ".join(warnings)}' if warnings else f'"{file}" is valid')
    if errors:
        count = f"{len(errors)} error{'s' if len(errors) > 1 else ''} occurred:"
        raise click.ClickException("\n\t* ".join([count, *errors]) + "\n")


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise click.ClickException(f"open {file}: {(error.strerror or '').lower()}") from error


def _subject(diagnostic: Diagnostic) -> str:
    return diagnostic.resource or diagnostic.file


def _said(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.field}: {diagnostic.message}" if diagnostic.field else diagnostic.message
