"""`istioctl kube-inject`: manifests whose pods ask for a proxy.

Istio's writes the whole sidecar into the manifest. Here the mesh adds it when the pod starts, in any
namespace whose label does not forbid it, so what is written is the label that asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

_INJECT = "sidecar.istio.io/inject"
#: Kinds with a pod template -> where it is.
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}


@click.command()
@click.option("-f", "--filename", required=True, help="A manifest, - for standard input.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it; standard output.")
def kube_inject(filename: str, output: Path | None) -> None:
    """Mark Kubernetes pod resources for injection, for `kubectl apply -f -`."""
    try:
        text = sys.stdin.read() if filename == "-" else Path(filename).read_text(encoding="utf-8")
        injected = inject(text)
    except OSError as error:
        raise click.ClickException(f"open {filename}: {(error.strerror or '').lower()}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{filename}: {error}") from error
    if output:
        output.write_text(injected, encoding="utf-8")
    else:
        click.echo(injected, nl=False)


def inject(text: str) -> str:
    """The manifests with the label on each pod template that does not refuse it. Raises yaml.YAMLError."""
    documents = [each for each in yaml.safe_load_all(text) if each is not None]
    for document in documents:
        for each in document.get("items", [document]) if isinstance(document, dict) else ():
            _mark(each)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _mark(document: dict[str, Any]) -> None:
    path = _TEMPLATES.get(str(document.get("kind", "")))
    if path is None:
        return
    template = document
    for name in path:
        template = template.setdefault(name, {})
    metadata = template.setdefault("metadata", {})
    if (metadata.get("annotations") or {}).get(_INJECT) not in ("false", False):
        metadata["labels"] = {_INJECT: "true", **(metadata.get("labels") or {})}
