"""`istioctl kube-inject`: manifests with the sidecar written in, for namespaces that are not labelled.

What is added is what the injector adds (`config.injection`); all else stays as it was written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from minimesh.config.encoding import encoded
from minimesh.config.injection import PROXY_CONTAINER, injected
from minimesh.config.json_nodes import read_json

_POD = {"apiVersion": "v1", "kind": "Pod"}
_LABELLED = {"istio-injection": "enabled"}
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
    """Inject Istio's sidecar into Kubernetes pod resources, for `kubectl apply -f -`."""
    try:
        text = sys.stdin.read() if filename == "-" else Path(filename).read_text(encoding="utf-8")
        written = inject(text)
    except OSError as error:
        raise click.ClickException(f"open {filename}: {(error.strerror or '').lower()}") from error
    except yaml.YAMLError as error:
        raise click.ClickException(f"{filename}: {error}") from error
    if output:
        output.write_text(written, encoding="utf-8")
    else:
        click.echo(written, nl=False)


def inject(text: str) -> str:
    """The manifests with a proxy in each pod template that does not refuse it. Raises yaml.YAMLError."""
    documents = [each for each in yaml.safe_load_all(text) if each is not None]
    for document in documents:
        for each in document.get("items", [document]) if isinstance(document, dict) else ():
            _inject_template(each)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _inject_template(document: dict[str, Any]) -> None:
    path = _TEMPLATES.get(str(document.get("kind", "")))
    if path is None:
        return
    template = document
    for name in path:
        template = template.setdefault(name, {})
    own = template.get("metadata") or {}
    name = str((document.get("metadata") or {}).get("name", ""))
    spec: dict[str, Any] = template.get("spec") or {}
    resources, _ = read_json({**_POD, "metadata": {**own, "name": own.get("name") or name}, "spec": spec}, "")
    if not resources:
        return  # no pod at all: kubectl will tell
    after = injected(resources[0], _LABELLED)
    if after is resources[0]:
        return
    proxy = next(each for each in after.spec.containers if each.name == PROXY_CONTAINER)
    marks = {"labels": dict(after.metadata.labels), "annotations": dict(after.metadata.annotations)}
    template["metadata"] = {**own, **marks}
    others = [each for each in spec.get("containers") or () if each.get("name") != PROXY_CONTAINER]
    template["spec"] = {**spec, "containers": [*others, encoded(proxy)]}
