"""`istioctl analyze`: files, folders and the running mesh against Istio's analyzers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import click
import yaml

from minimesh.cli.istioctl.certificate import is_credential
from minimesh.cli.istioctl.command_group import namespace_option
from minimesh.cli.istioctl.kubeconfig import current_namespace
from minimesh.cli.istioctl.live_documents import live_documents
from minimesh.cli.istioctl.manifest_files import manifest_files
from minimesh.config.analysis import analyze as run_analyzers
from minimesh.config.analysis import default_documents
from minimesh.config.analysis.document import Document, read_documents
from minimesh.config.analysis.message import Level, Message
from minimesh.platform.state import StateFolder

_LEVELS = {level.word: level for level in Level}
_REFERENCE = "https://istio.io/v1.27/docs/reference/config/analysis"
_FOUND_ISSUES = 79  # what istioctl exits with when a message is at or above the failure threshold
_LEVEL_NAMES = click.Choice([*_LEVELS], case_sensitive=False)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE|FOLDER]...")
@click.option("-A", "--all-namespaces", is_flag=True, help="Analyze all namespaces.")
@click.option("-R", "--recursive", is_flag=True, help="Look into folders of folders too.")
@click.option(
    "-o", "--output", type=click.Choice(["log", "json", "yaml"]), default="log", help="Output format."
)
@click.option(
    "-k", "--use-kube", type=bool, is_flag=False, flag_value=True, default=True, help="Use the mesh too."
)
@click.option("-L", "--list-analyzers", is_flag=True, help="List the analyzers.")
@click.option("-S", "--suppress", multiple=True, help="CODE=KIND NAME.NAMESPACE: messages not to report.")
@click.option("--failure-threshold", type=_LEVEL_NAMES, default="Error", help="The level that fails.")
@click.option("--output-threshold", type=_LEVEL_NAMES, default="Info", help="The level that is shown.")
@click.option("--color", type=bool, is_flag=False, flag_value=True, default=False, help="Accepted.")
@namespace_option
def analyze(
    files: tuple[str, ...],
    all_namespaces: bool,
    recursive: bool,
    output: str,
    use_kube: bool,
    list_analyzers: bool,
    suppress: tuple[str, ...],
    failure_threshold: str,
    output_threshold: str,
    color: bool,
    namespace: str | None,
) -> None:
    """Analyze Istio configuration and print validation messages."""
    if list_analyzers:
        click.echo(_analyzer_names(), nl=False)
        return
    rules = [_suppression(each) for each in suppress]
    live = live_documents() if use_kube and (not files or StateFolder.default().running()) else []
    written = [each for file in manifest_files(files, recursive=recursive) for each in _read(file, namespace)]
    scope = None if all_namespaces or not live else (namespace or current_namespace())
    found = [
        message
        for message in _analyzed(live, written)
        if _is_asked_for(message, scope) and not _is_suppressed(message, rules)
    ]
    shown = [each for each in found if each.type.level <= _LEVELS[output_threshold.title()]]
    where = f"analyzing namespace: {scope}" if scope else _what(files, all_namespaces=all_namespaces)
    _show(shown, output, where)
    if any(each.type.level <= _LEVELS[failure_threshold.title()] for each in found):
        _refuse(where)


def _refuse(where: str) -> None:
    click.echo(f"Error: Analyzers found issues when {where}.", err=True)
    click.echo(f"See {_REFERENCE} for more information about causes and resolutions.", err=True)
    sys.exit(_FOUND_ISSUES)


def _analyzed(live: Sequence[Document], written: Sequence[Document]) -> list[Message]:
    """Files stand in for what the mesh has of the same kind and name."""
    identities = {_identity(each) for each in written}
    documents = [*(each for each in live if _identity(each) not in identities), *written]
    if not live:
        documents += default_documents()
    return run_analyzers(documents, is_credential)


def _identity(document: Document) -> tuple[str, str, str]:
    return document.group, document.kind, document.full_name


def _read(file: str, namespace: str | None) -> list[Document]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return read_documents(text, file, namespace or current_namespace())
    except OSError as error:
        raise click.ClickException(f"open {file}: {(error.strerror or '').lower()}") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file}: not UTF-8: {error.reason}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{file}: {error}") from error


def _is_asked_for(message: Message, scope: str | None) -> bool:
    document = message.document
    own = document.name if document.kind == "Namespace" else document.namespace
    return scope is None or own in (scope, "") or bool(document.file)


def _suppression(rule: str) -> tuple[str, str]:
    code, separator, name = rule.partition("=")
    if not separator or "=" in name:
        raise click.ClickException(f"{rule} is not a valid suppression value. See istioctl analyze --help")
    if re.fullmatch(r"IST\d{4}", code) is None:
        told = f"Supplied message code '{code}' is an unknown message code and will not have any effect."
        click.echo(f"Warning: {told}", err=True)
    return code, name


def _is_suppressed(message: Message, rules: Iterable[tuple[str, str]]) -> bool:
    """`*` in a rule's name stands for anything."""
    document = message.document
    name = f"{document.kind} {document.name}"
    names = (name, f"{name}.{document.namespace}")
    return any(
        code == message.type.code and any(fnmatchcase(each, pattern) for each in names)
        for code, pattern in rules
    )


def _what(files: Sequence[str], *, all_namespaces: bool) -> str:
    return "analyzing all namespaces" if all_namespaces or not files else f"analyzing {' '.join(files)}"


def _show(messages: Sequence[Message], output: str, where: str) -> None:
    if output != "log":
        contents = [_as_data(each) for each in messages]
        text = json.dumps(contents, indent="\t") if output == "json" else yaml.safe_dump(contents)
        click.echo(text.rstrip())
    elif messages:
        for each in messages:
            click.echo(str(each))
    else:
        click.echo(f"\n✔ No validation issues found when {where}.")


def _as_data(message: Message) -> dict[str, str]:
    data = {
        "code": message.type.code,
        "documentationUrl": f"{_REFERENCE}/{message.type.code.lower()}/",
        "level": message.type.level.word,
        "message": message.text,
        "origin": message.resource,
    }
    if message.document.file:
        data["reference"] = f"{message.document.file}:{message.document.line(message.path)}"
    return data


def _analyzer_names() -> str:
    from minimesh.config.analysis import ANALYZERS

    return "".join(f"* {name}\n" for name in ANALYZERS)
