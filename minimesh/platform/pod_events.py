"""What a node tells about a pod, in the words of Kubernetes' scheduler and kubelet. Pure."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minimesh.config.resources import ResourceKey
from minimesh.platform.container import Container, ContainerPlan, Phase


def node_name(host: str) -> str:
    """A machine's name as a node's: a DNS name in lower case; `minimesh` for what leaves nothing of it."""
    return re.sub(r"[^a-z0-9.]+", "-", host.lower()).strip("-.") or "minimesh"


NODE_NAME = node_name(platform.node())
"""The one node: this machine."""


@dataclass(frozen=True, slots=True)
class PodEvent:
    """Something that happened to a pod."""

    reason: str
    message: str
    warning: bool = False
    component: str = "kubelet"


def assigned(key: ResourceKey, plans: Iterable[ContainerPlan]) -> Iterator[PodEvent]:
    """What happens to a pod before its processes start."""
    message = f"Successfully assigned {key.namespace}/{key.name} to {NODE_NAME}"
    yield PodEvent("Scheduled", message, component="default-scheduler")
    for plan in plans:
        if plan.request is None:
            yield PodEvent("Failed", f'Failed to pull image "{plan.image}": {plan.refusal}', warning=True)
            yield PodEvent("Failed", "Error: ErrImagePull", warning=True)
        else:
            yield PodEvent("Pulled", f'Container image "{plan.image}" already present on machine')
            yield PodEvent("Created", f"Created container: {plan.name}")


def ending(containers: Iterable[Container]) -> Iterator[PodEvent]:
    """What happens when a pod is ended."""
    for container in containers:
        if container.phase is Phase.RUNNING:
            yield PodEvent("Killing", f"Stopping container {container.plan.name}")


class ContainerNews:
    """Tells each start and each back-off of a pod's containers once."""

    def __init__(self, key: ResourceKey, uid: str) -> None:
        self._pod = f"{key.name}_{key.namespace}({uid})"
        self._told: dict[str, tuple[Phase, str, int]] = {}

    def since_last(self, containers: Iterable[Container]) -> Iterator[PodEvent]:
        """What happened since this was asked before."""
        for container in containers:
            name = container.plan.name
            state = (container.phase, container.reason, container.restarts)
            if self._told.get(name) == state:
                continue
            self._told[name] = state
            if container.phase is Phase.RUNNING:
                yield PodEvent("Started", f"Started container {name}")
            elif container.reason == "ImagePullBackOff":
                yield PodEvent("BackOff", f'Back-off pulling image "{container.plan.image}"')
                yield PodEvent("Failed", "Error: ImagePullBackOff", warning=True)
            elif container.reason == "CrashLoopBackOff":
                message = f"Back-off restarting failed container {name} in pod {self._pod}"
                yield PodEvent("BackOff", message, warning=True)
