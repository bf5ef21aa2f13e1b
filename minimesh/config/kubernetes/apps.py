"""The `apps/v1` group: Deployment and ReplicaSet."""

from __future__ import annotations

from typing import Annotated

from minimesh.config.kubernetes.meta import LabelSelector
from minimesh.config.kubernetes.pod import PodTemplateSpec
from minimesh.config.schema import IntOrString, Message, OneOf, Range, Req, message

_COUNT = Range(0, (1 << 31) - 1)


@message
class DeploymentSpec(Message):
    """How many pods of which template, and how they are replaced."""

    min_ready_seconds: Annotated[int | None, _COUNT] = None
    paused: bool | None = None
    progress_deadline_seconds: Annotated[int | None, _COUNT] = None
    replicas: int = 1
    revision_history_limit: Annotated[int | None, _COUNT] = None
    selector: Req[LabelSelector | None] = None
    strategy: DeploymentStrategy | None = None
    template: Req[PodTemplateSpec | None] = None


@message
class DeploymentStrategy(Message):
    """How old pods give way to new ones."""

    rolling_update: RollingUpdateDeployment | None = None
    type: Annotated[str, OneOf(("RollingUpdate", "Recreate"))] = "RollingUpdate"


@message
class RollingUpdateDeployment(Message):
    """How many pods may be missing or extra during a roll-out."""

    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


@message
class DeploymentStatus(Message):
    """How many pods of a Deployment exist, are ready, are up to date."""

    available_replicas: int | None = None
    collision_count: int | None = None
    conditions: tuple[DeploymentCondition, ...] = ()
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None
    terminating_replicas: int | None = None
    unavailable_replicas: int | None = None
    updated_replicas: int | None = None


@message
class DeploymentCondition(Message):
    """One condition of a Deployment."""

    last_transition_time: str = ""
    last_update_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


@message
class ReplicaSetSpec(Message):
    """How many pods of which template."""

    min_ready_seconds: Annotated[int | None, _COUNT] = None
    replicas: int = 1
    selector: Req[LabelSelector | None] = None
    template: PodTemplateSpec | None = None


@message
class ReplicaSetStatus(Message):
    """How many pods of a ReplicaSet exist and are ready."""

    available_replicas: int | None = None
    conditions: tuple[ReplicaSetCondition, ...] = ()
    fully_labeled_replicas: int | None = None
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: Req[int] = 0
    terminating_replicas: int | None = None


@message
class ReplicaSetCondition(Message):
    """One condition of a ReplicaSet."""

    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: Req[str] = ""
    type: Req[str] = ""
