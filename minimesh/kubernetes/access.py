"""Who may use the API: those who can read the kubeconfig, and no web page.

kubectl sends no token over plain HTTP, so the whole API stands under a path that cannot be guessed; the
kubeconfig, which only the user can read, holds it. A page in the user's browser can reach loopback, but it
sends Origin, or a Host of its own when its name was made to resolve to 127.0.0.1; both are refused.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import yaml

from minimesh.loopback import is_loopback_name

SECRET_BYTES = 24


def new_secret() -> str:
    """A path segment that cannot be guessed."""
    return secrets.token_urlsafe(SECRET_BYTES)


def refusal(path: str, host: str, origin: str | None, secret: str) -> str | None:
    """Why a request is refused, or None. What is wrong with the path is not told from what does not exist."""
    if origin is not None:
        return "requests from web pages are refused"
    if not is_loopback_name(host):
        return "ask for this API as localhost or 127.0.0.1"
    given = path.split("/", 2)[1] if path.startswith("/") else ""
    if not hmac.compare_digest(given.encode(), secret.encode()):
        return "not found"
    return None


def write_kubeconfig(path: Path, url: str) -> None:
    """Write the kubeconfig for `url`, at once and readable by its owner alone. Raises OSError.

    A context that the user chose (`kubectl config set-context --current --namespace=...`) is lost, as with
    every new cluster.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(kubeconfig(url))
    temporary.replace(path)


def kubeconfig(url: str) -> str:
    """The text of a kubeconfig with one cluster at `url`."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "minimesh", "cluster": {"server": url}}],
        "users": [{"name": "minimesh", "user": {}}],
        "contexts": [{"name": "minimesh", "context": {"cluster": "minimesh", "user": "minimesh"}}],
        "current-context": "minimesh",
    }
    return yaml.safe_dump(content, sort_keys=False)
