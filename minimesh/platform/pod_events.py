"""What a node tells about a pod, in the words of Kubernetes' scheduler and kubelet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minimesh.config.resources import ResourceKey
from minimesh.platform.container import Container, ContainerPlan, Phase

NODE_NAME = "minimesh"
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
            elif container.reason == "CrashLoopBackOff":
                message = f"Back-off restarting failed container {name} in pod {self._pod}"
                yield PodEvent("BackOff", message, warning=True)
