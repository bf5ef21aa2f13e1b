"""What the kubeconfig of the mesh says: where its API is, and which namespace the user has chosen."""

from __future__ import annotations

from typing import Any

import yaml

from minimesh.platform.state import StateFolder

_DEFAULT_NAMESPACE = "default"


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


def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(StateFolder.default().kubeconfig.read_text(encoding="utf-8"))
    return document
