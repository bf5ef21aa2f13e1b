"""Pod, its containers, and the template that workloads make pods from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from minimesh.config.kubernetes.meta import ObjectMeta
from minimesh.config.kubernetes.references import LocalObjectReference
from minimesh.config.schema import IntOrString, Message, OneOf, Quantity, Req, message

if TYPE_CHECKING:
    from minimesh.config.kubernetes.scheduling import (
        Affinity,
        EvictionResponder,
        PodReadinessGate,
        PodResourceClaim,
        PodSchedulingGate,
        PodSchedulingGroup,
        Toleration,
        TopologySpreadConstraint,
    )
    from minimesh.config.kubernetes.security import PodSecurityContext, SecurityContext
    from minimesh.config.kubernetes.volumes import Volume

Protocol = Annotated[str, OneOf(("TCP", "UDP", "SCTP"))]


@message
class PodSpec(Message):
    """What a pod runs, and how."""

    active_deadline_seconds: int | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    containers: Req[tuple[Container, ...]] = ()
    dns_config: PodDNSConfig | None = None
    dns_policy: Annotated[str, OneOf(("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"))] = (
        "ClusterFirst"
    )
    enable_service_links: bool | None = None
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    eviction_responders: tuple[EvictionResponder, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    host_ipc: bool | None = None
    host_network: bool | None = None
    host_pid: bool | None = None
    host_users: bool | None = None
    hostname: str = ""
    hostname_override: str = ""
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    os: PodOS | None = None
    overhead: Mapping[str, Quantity] = field(default_factory=dict)
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: Annotated[str, OneOf(("Always", "OnFailure", "Never"))] = "Always"
    runtime_class_name: str = ""
    scheduler_name: str = ""
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    scheduling_group: PodSchedulingGroup | None = None
    security_context: PodSecurityContext | None = None
    service_account: str = ""
    service_account_name: str = ""
    set_hostname_as_fqdn: bool | None = None
    share_process_namespace: bool | None = None
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()


@message
class Container(Message):
    """One process of a pod: image, command, ports, environment."""

    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: Annotated[str, OneOf(("Always", "IfNotPresent", "Never"))] = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: Req[str] = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: tuple[VolumeDevice, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""


@message
class EnvVar(Message):
    """One environment variable, by value or by reference."""

    name: Req[str] = ""
    value: str = ""
    value_from: EnvVarSource | None = None


@message
class EnvVarSource(Message):
    """Where the value of an environment variable comes from."""

    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


@message
class ConfigMapKeySelector(Message):
    """One key of a ConfigMap."""

    key: Req[str] = ""
    name: str = ""
    optional: bool | None = None


@message
class ObjectFieldSelector(Message):
    """A field of the pod, as a value for an environment variable or file."""

    api_version: str = ""
    field_path: Req[str] = ""


@message
class FileKeySelector(Message):
    """One key of an environment file in a volume."""

    key: Req[str] = ""
    optional: bool | None = None
    path: Req[str] = ""
    volume_name: Req[str] = ""


@message
class ResourceFieldSelector(Message):
    """A container's resource, as a value for an environment variable or file."""

    container_name: str = ""
    divisor: Quantity = ""
    resource: Req[str] = ""


@message
class SecretKeySelector(Message):
    """One key of a Secret."""

    key: Req[str] = ""
    name: str = ""
    optional: bool | None = None


@message
class EnvFromSource(Message):
    """All keys of a ConfigMap or Secret as environment variables."""

    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str = ""
    secret_ref: SecretEnvSource | None = None


@message
class ConfigMapEnvSource(Message):
    """Which ConfigMap."""

    name: str = ""
    optional: bool | None = None


@message
class SecretEnvSource(Message):
    """Which Secret."""

    name: str = ""
    optional: bool | None = None


@message
class Lifecycle(Message):
    """What to do after start and before stop."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


@message
class LifecycleHandler(Message):
    """One thing to do at a moment of a container's life."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


@message
class ExecAction(Message):
    """Run a command in the container."""

    command: tuple[str, ...] = ()


@message
class HTTPGetAction(Message):
    """Ask a URL of the container."""

    host: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()
    path: str = ""
    port: Req[IntOrString | None] = None
    protocol: str = ""
    scheme: Annotated[str, OneOf(("HTTP", "HTTPS"))] = "HTTP"


@message
class HTTPHeader(Message):
    """One header of a probe's request."""

    name: Req[str] = ""
    value: Req[str] = ""


@message
class SleepAction(Message):
    """Wait for some seconds."""

    seconds: Req[int] = 0


@message
class TCPSocketAction(Message):
    """Open a TCP connection."""

    host: str = ""
    port: Req[IntOrString | None] = None


@message
class Probe(Message):
    """A regular check of a container; times are in seconds."""

    exec: ExecAction | None = None
    failure_threshold: int | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int | None = None


@message
class GRPCAction(Message):
    """Ask the gRPC health service."""

    mode: str = ""
    port: Req[int] = 0
    service: str = ""


@message
class ContainerPort(Message):
    """A port that a container listens on."""

    container_port: Req[int] = 0
    host_ip: str = ""
    host_port: int | None = None
    name: str = ""
    protocol: Protocol = "TCP"


@message
class ContainerResizePolicy(Message):
    """What a change of resources means for a running container."""

    resource_name: Req[str] = ""
    restart_policy: Req[str] = ""


@message
class ResourceRequirements(Message):
    """What a container asks for at least and may use at most."""

    claims: tuple[ResourceClaim, ...] = ()
    limits: Mapping[str, Quantity] = field(default_factory=dict)
    requests: Mapping[str, Quantity] = field(default_factory=dict)


@message
class ResourceClaim(Message):
    """A pod's resource claim that a container uses."""

    name: Req[str] = ""
    request: str = ""


@message
class ContainerRestartRule(Message):
    """When a container alone is restarted."""

    action: Req[str] = ""
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


@message
class ContainerRestartRuleOnExitCodes(Message):
    """Exit codes that a restart rule is about."""

    operator: Req[str] = ""
    values: tuple[int, ...] = ()


@message
class VolumeDevice(Message):
    """A raw block device in a container."""

    device_path: Req[str] = ""
    name: Req[str] = ""


@message
class VolumeMount(Message):
    """Where a volume appears in a container."""

    bind_mount_options: tuple[str, ...] = ()
    mount_path: Req[str] = ""
    mount_propagation: str = ""
    name: Req[str] = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""


@message
class PodDNSConfig(Message):
    """Name resolution settings of a pod."""

    nameservers: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()
    searches: tuple[str, ...] = ()


@message
class PodDNSConfigOption(Message):
    """One resolver option."""

    name: str = ""
    value: str = ""


@message
class EphemeralContainer(Message):
    """A container added to a running pod to look into it."""

    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: Req[str] = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    target_container_name: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: tuple[VolumeDevice, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""


@message
class HostAlias(Message):
    """A line of the pod's hosts file."""

    hostnames: tuple[str, ...] = ()
    ip: Req[str] = ""


@message
class PodOS(Message):
    """The operating system that a pod needs."""

    name: Req[str] = ""


@message
class PodTemplateSpec(Message):
    """The pods that a workload makes: their labels and their spec."""

    metadata: ObjectMeta | None = None
    spec: PodSpec | None = None


_LOADED_ON_DEMAND = {
    "scheduling": (
        "Affinity",
        "EvictionResponder",
        "PodReadinessGate",
        "PodResourceClaim",
        "PodSchedulingGate",
        "PodSchedulingGroup",
        "Toleration",
        "TopologySpreadConstraint",
    ),
    "security": (
        "PodSecurityContext",
        "SecurityContext",
    ),
    "volumes": ("Volume",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LOADED_ON_DEMAND.items():
        if name in names:
            return getattr(import_module(f"minimesh.config.kubernetes.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
