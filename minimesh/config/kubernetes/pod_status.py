"""What is reported about a running pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from minimesh.config.kubernetes.pod import ResourceRequirements
from minimesh.config.schema import Message, Quantity, Req, message


@message
class PodStatus(Message):
    """What is known about a running pod: phase, addresses, conditions, containers."""

    allocated_resources: Mapping[str, Quantity] = field(default_factory=dict)
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    host_ip: str = ""
    host_ips: tuple[HostIP, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    message: str = ""
    node_allocatable_resource_claim_statuses: tuple[NodeAllocatableResourceClaimStatus, ...] = ()
    nominated_node_name: str = ""
    observed_generation: int | None = None
    phase: str = ""
    pod_ip: str = ""
    pod_ips: tuple[PodIP, ...] = ()
    qos_class: str = ""
    reason: str = ""
    resize: str = ""
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()
    resources: ResourceRequirements | None = None
    start_time: str = ""
    volume_health: tuple[PodVolumeHealth, ...] = ()


@message
class PodCondition(Message):
    """One condition of a pod, such as Ready."""

    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: Req[str] = ""
    type: Req[str] = ""


@message
class ContainerStatus(Message):
    """What is known about one container."""

    allocated_resources: Mapping[str, Quantity] = field(default_factory=dict)
    allocated_resources_status: tuple[ResourceStatus, ...] = ()
    container_id: str = ""
    image: Req[str] = ""
    image_id: Req[str] = ""
    last_state: ContainerState | None = None
    name: Req[str] = ""
    ready: Req[bool] = False
    resources: ResourceRequirements | None = None
    restart_count: Req[int] = 0
    started: bool | None = None
    state: ContainerState | None = None
    stop_signal: str = ""
    user: ContainerUser | None = None
    volume_mounts: tuple[VolumeMountStatus, ...] = ()


@message
class ResourceStatus(Message):
    """The health of the resources given to a container."""

    name: Req[str] = ""
    resources: tuple[ResourceHealth, ...] = ()


@message
class ResourceHealth(Message):
    """The health of one resource."""

    health: str = ""
    message: str = ""
    resource_id: Req[str] = ""


@message
class ContainerState(Message):
    """Exactly one of waiting, running, terminated."""

    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


@message
class ContainerStateRunning(Message):
    """Since when a container runs."""

    started_at: str = ""


@message
class ContainerStateTerminated(Message):
    """How a container ended."""

    container_id: str = ""
    exit_code: Req[int] = 0
    finished_at: str = ""
    message: str = ""
    reason: str = ""
    signal: int | None = None
    started_at: str = ""


@message
class ContainerStateWaiting(Message):
    """Why a container does not run yet."""

    message: str = ""
    reason: str = ""


@message
class ContainerUser(Message):
    """Which user a container runs as."""

    linux: LinuxContainerUser | None = None


@message
class LinuxContainerUser(Message):
    """User and groups of a Linux container."""

    gid: Req[int] = 0
    supplemental_groups: tuple[int, ...] = ()
    uid: Req[int] = 0


@message
class VolumeMountStatus(Message):
    """How a volume came to be mounted."""

    mount_path: Req[str] = ""
    name: Req[str] = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    volume_status: VolumeStatus | None = None


@message
class VolumeStatus(Message):
    """What is known about a mounted volume."""

    image: ImageVolumeStatus | None = None


@message
class ImageVolumeStatus(Message):
    """What is known about an image volume."""

    image_ref: Req[str] = ""


@message
class PodExtendedResourceClaimStatus(Message):
    """The claim made for extended resources."""

    request_mappings: Req[tuple[ContainerExtendedResourceRequest, ...]] = ()
    resource_claim_name: Req[str] = ""


@message
class ContainerExtendedResourceRequest(Message):
    """Which container asked for which extended resource."""

    container_name: Req[str] = ""
    request_name: Req[str] = ""
    resource_name: Req[str] = ""


@message
class HostIP(Message):
    """An address of the node."""

    ip: Req[str] = ""


@message
class NodeAllocatableResourceClaimStatus(Message):
    """Node resources taken through a claim."""

    containers: tuple[str, ...] = ()
    mapping: tuple[NodeAllocatableMappedResources, ...] = ()
    overhead: tuple[NodeAllocatableOverheadResources, ...] = ()
    resource_claim_name: Req[str] = ""


@message
class NodeAllocatableMappedResources(Message):
    """Which node resources a claimed device stands for."""

    name: Req[str] = ""
    quantity: Req[str] = ""


@message
class NodeAllocatableOverheadResources(Message):
    """Node resources taken beside a claimed device."""

    name: Req[str] = ""
    per_container: str = ""
    per_pod: str = ""


@message
class PodIP(Message):
    """An address of the pod."""

    ip: Req[str] = ""


@message
class PodResourceClaimStatus(Message):
    """The claim made for a pod's claim entry."""

    name: Req[str] = ""
    resource_claim_name: str = ""


@message
class PodVolumeHealth(Message):
    """The health of a volume of the pod."""

    health_conditions: tuple[VolumeHealthCondition, ...] = ()
    last_transition_time: str = ""
    name: Req[str] = ""


@message
class VolumeHealthCondition(Message):
    """One observation about a volume's health."""

    message: str = ""
    reason: Req[str] = ""
    status: Req[str] = ""
