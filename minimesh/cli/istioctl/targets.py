"""Which pod a word means: `POD`, `POD.NAMESPACE`, `pod/POD`, `deploy/NAME.NAMESPACE`, `svc/NAME`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from minimesh.cli.istioctl.kubeconfig import current_namespace
from minimesh.cli.pods import PROXY_CONTAINER, running_pods

Pod = dict[str, Any]
_POD_KINDS = frozenset({"pod", "pods", "po"})
_SERVICE_KINDS = frozenset({"service", "services", "svc"})
_WORKLOAD_KINDS = frozenset(
    f"{name}{suffix}"
    for name in (
        "deploy",
        "deployment",
        "deployments",
        "sts",
        "statefulset",
        "ds",
        "daemonset",
        "rs",
        "replicaset",
    )
    for suffix in ("", ".apps")
)


def split_namespace(word: str, namespace: str | None) -> tuple[str, str]:
    """`NAME.NAMESPACE` taken apart; a kind before a slash may have dots of its own."""
    kind, slash, name = word.rpartition("/")
    name, dot, given = name.rpartition(".") if "." in name else (name, "", "")
    return f"{kind}{slash}{name}", given if dot else (namespace or current_namespace())


def running_pod(word: str, namespace: str | None) -> Pod:
    """The pod of the running mesh that the word means. ClickException when there is none."""
    return choose_pod(running_pods(), *split_namespace(word, namespace))


def choose_pod(pods: Sequence[Pod], name: str, namespace: str) -> Pod:
    """The named pod, or of a workload's or service's pods a ready one. ClickException in istioctl's words."""
    kind, slash, bare = name.rpartition("/")
    here = [pod for pod in pods if pod["namespace"] == namespace]
    if not slash or kind in _POD_KINDS:
        found = [pod for pod in here if pod["name"] == bare]
        if not found:
            raise click.ClickException(f'unable to retrieve Pod: pods "{bare}" not found')
    elif kind in _WORKLOAD_KINDS:
        found = [pod for pod in here if pod["workload"] == bare]
    elif kind in _SERVICE_KINDS:
        found = [pod for pod in here if selects(_selector(bare, namespace), pod["labels"])]
    else:
        found = []
    if not found:
        raise click.ClickException(f'"{name}" does not refer to a pod')
    return max(found, key=lambda pod: bool(pod["ready"]))


def pods_with_labels(pods: Sequence[Pod], selector: str, namespace: str | None) -> list[Pod]:
    """Those that `-l key=value,...` selects, in a namespace or in all."""
    wanted = dict(pair.split("=", 1) for pair in selector.replace("==", "=").split(",") if "=" in pair)
    return [
        pod
        for pod in pods
        if (namespace is None or pod["namespace"] == namespace) and selects(wanted, pod["labels"])
    ]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a selector, which must not be empty, takes these labels."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def has_proxy(pod: Pod) -> bool:
    return any(container["name"] == PROXY_CONTAINER for container in pod["containers"])


def _selector(service: str, namespace: str) -> Mapping[str, str]:
    from minimesh.cli.istioctl.control_plane import ask_control_plane

    for each in ask_control_plane("/debug/registryz"):
        if each["namespace"] == namespace and each["hostname"].partition(".")[0] == service:
            found: Mapping[str, str] = each["selector"]
            return found
    return {}
