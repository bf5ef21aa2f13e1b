"""The running mesh's Kubernetes API, for the commands that change what is installed."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import click

from minimesh.cli.istioctl.control_plane import running_mesh
from minimesh.cli.istioctl.kubeconfig import server_url

Json = dict[str, Any]
_ANSWER_LIMIT_S = 30.0
#: Kinds that these commands handle -> the path before the namespace, and the name in it.
_PLACES: Mapping[str, tuple[str, str]] = {
    "ConfigMap": ("api/v1", "configmaps"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "MutatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
    ),
    "Namespace": ("api/v1", "namespaces"),
    "Service": ("api/v1", "services"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "ValidatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
    ),
}


class KubernetesApi:
    """Asks the API by the kubeconfig of the mesh that runs; a Refusal when none does."""

    def __init__(self) -> None:
        running_mesh()
        self._url = server_url()

    def get(self, like: Json) -> Json | None:
        """The object of this kind and name, if there is one."""
        return self._ask("GET", _path(like))

    def create(self, given: Json) -> bool:
        """Store an object; False when one of that name is there. ClickException when it is refused."""
        if self.get(given) is not None:
            return False
        self._ask("POST", _path(given).rpartition("/")[0], given)
        return True

    def put(self, given: Json) -> None:
        """Store an object in place of the one of that name. ClickException when it is refused."""
        if not self.create(given):
            self._ask("PUT", _path(given), given)

    def delete(self, like: Json) -> bool:
        """Delete an object and what it owns; False when it was not there."""
        return self._ask("DELETE", _path(like), {"propagationPolicy": "Background"}) is not None

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json | None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = json.dumps(body).encode() if body is not None else None
        headers = {"content-type": "application/json", "accept": "application/json"}
        request = urllib.request.Request(f"{self._url}/{path}", data, headers, method=method)
        try:
            with opener.open(request, timeout=_ANSWER_LIMIT_S) as answer:
                found: Json = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise click.ClickException(_reason(error.read(), str(error))) from error
        except OSError as error:
            raise click.ClickException(f"the mesh does not answer: {error}") from error


def _path(given: Json) -> str:
    version, plural = _PLACES[given["kind"]]
    namespace = given["metadata"].get("namespace")
    place = f"{version}/namespaces/{namespace}" if namespace else version
    return f"{place}/{plural}/{given['metadata']['name']}"


def _reason(body: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return otherwise
