"""What the kubeconfig of the mesh says: where its API is, and which namespace the user has chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from minimesh.platform.state import StateFolder

_DEFAULT_NAMESPACE = "default"


def use_kubeconfig(file: str | None, context_name: str | None) -> None:
    """Take `--kubeconfig` and `--context`: they may only mean the mesh. ClickException otherwise."""
    try:
        document = _document(Path(file)) if file else _document()
    except (OSError, yaml.YAMLError) as error:
        if file:
            raise click.ClickException(f"cannot read the kubeconfig {file}: {error}") from error
        document = {}
    names = [each["name"] for each in document.get("contexts") or ()]
    if context_name and context_name not in names:
        raise click.ClickException(f'context "{context_name}" does not exist')
    if file and document.get("clusters") != _document().get("clusters"):
        raise click.ClickException(
            f"{file} is not of the mesh that runs here, the only one that this istioctl knows"
        )


def server_url() -> str:
    """The URL of the API, with the path that gives access. OSError when no mesh was ever started."""
    url: str = _document()["clusters"][0]["cluster"]["server"]
    return url


def current_namespace() -> str:
    """The one that `kubectl config set-context --current --namespace=...` has set."""
    try:
        document = _document()
    except (OSError, yaml.YAMLError):
        return _DEFAULT_NAMESPACE
    for each in document.get("contexts") or ():
        if each["name"] == document.get("current-context"):
            return str(each["context"].get("namespace") or _DEFAULT_NAMESPACE)
    return _DEFAULT_NAMESPACE


def _document(file: Path | None = None) -> dict[str, Any]:
    file = file or StateFolder.default().kubeconfig
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return document
