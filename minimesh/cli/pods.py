"""Finds pods by the names that a user types: `POD`, `pod/POD`, `deploy/NAME`, each with `-n NAMESPACE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minimesh.cli.invocation import invocation
from minimesh.cli.refusal import Refusal, no_mesh
from minimesh.platform.state import StateFolder

PROXY_CONTAINER = "istio-proxy"
_DEPLOYMENT_WORDS = frozenset({"deploy", "deployment", "deployments", "deployment.apps"})
_POD_WORDS = frozenset({"pod", "pods", "po"})


def running_pods() -> list[dict[str, Any]]:
    """The pods of the mesh that runs; a Refusal when none does."""
    state = StateFolder.default()
    if not state.is_held():
        raise no_mesh()
    return state.read_pods()


def find_pod(pods: Sequence[dict[str, Any]], target: str, namespace: str) -> dict[str, Any]:
    """The pod that the target means; of a Deployment's pods a ready one."""
    kind, separator, name = target.rpartition("/")
    in_namespace = [pod for pod in pods if pod["namespace"] == namespace]
    if not separator or kind in _POD_WORDS:
        found = [pod for pod in in_namespace if pod["name"] == name]
    elif kind in _DEPLOYMENT_WORDS:
        found = [pod for pod in in_namespace if pod["workload"] == name]
    else:
        raise Refusal(f"{kind!r} is no kind that has pods here", "Write POD, pod/POD or deploy/NAME.")
    if found:
        return max(found, key=lambda pod: bool(pod["ready"]))
    raise Refusal(f"there is no {target!r} in namespace {namespace!r}", _hint(pods, name, namespace))


def find_container(pod: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The named container of the pod; without a name its application, or what it has."""
    containers: list[dict[str, Any]] = pod["containers"]
    if name is None:
        apps = [container for container in containers if container["name"] != PROXY_CONTAINER]
        return (apps or containers)[0]
    for container in containers:
        if container["name"] == name:
            return container
    known = ", ".join(container["name"] for container in containers)
    raise Refusal(f"pod {pod['name']} has no container {name!r}", f"It has: {known}.")


def container_log(pod: dict[str, Any], container: dict[str, Any]) -> Path:
    """Where the container's log is; a Refusal when it never ran."""
    if not container["log"]:
        reason = container["message"].splitlines()[0] if container["message"] else container["state"]
        raise Refusal(f"container {container['name']} of {pod['name']} has not started: {reason}")
    return Path(container["log"])


def _hint(pods: Sequence[dict[str, Any]], name: str, namespace: str) -> str:
    if any((pod["namespace"], pod["workload"]) == (namespace, name) for pod in pods):
        return f"That is the name of a Deployment: write deploy/{name}."
    elsewhere = sorted({pod["namespace"] for pod in pods if name in (pod["name"], pod["workload"])})
    if elsewhere:
        return f"It is in namespace {elsewhere[0]!r}: add -n {elsewhere[0]}."
    return f"This lists the pods: {invocation('status')}"
