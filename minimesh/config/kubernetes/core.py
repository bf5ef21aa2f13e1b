"""The `v1` group: Service, Namespace, ServiceAccount, Secret, ConfigMap, and all of Pod by name.

Pod lives in `pod`, with its rarer parts in modules of their own that are loaded when a document first
uses them; every class can be imported from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from minimesh.config.kubernetes.meta import Condition
from minimesh.config.kubernetes.references import LocalObjectReference, ObjectReference
from minimesh.config.schema import IntOrString, Message, OneOf, Req, message

if TYPE_CHECKING:
    from minimesh.config.kubernetes.pod import ConfigMapEnvSource as ConfigMapEnvSource
    from minimesh.config.kubernetes.pod import ConfigMapKeySelector as ConfigMapKeySelector
    from minimesh.config.kubernetes.pod import Container as Container
    from minimesh.config.kubernetes.pod import ContainerPort as ContainerPort
    from minimesh.config.kubernetes.pod import ContainerResizePolicy as ContainerResizePolicy
    from minimesh.config.kubernetes.pod import ContainerRestartRule as ContainerRestartRule
    from minimesh.config.kubernetes.pod import (
        ContainerRestartRuleOnExitCodes as ContainerRestartRuleOnExitCodes,
    )
    from minimesh.config.kubernetes.pod import EnvFromSource as EnvFromSource
    from minimesh.config.kubernetes.pod import EnvVar as EnvVar
    from minimesh.config.kubernetes.pod import EnvVarSource as EnvVarSource
    from minimesh.config.kubernetes.pod import EphemeralContainer as EphemeralContainer
    from minimesh.config.kubernetes.pod import ExecAction as ExecAction
    from minimesh.config.kubernetes.pod import FileKeySelector as FileKeySelector
    from minimesh.config.kubernetes.pod import GRPCAction as GRPCAction
    from minimesh.config.kubernetes.pod import HostAlias as HostAlias
    from minimesh.config.kubernetes.pod import HTTPGetAction as HTTPGetAction
    from minimesh.config.kubernetes.pod import HTTPHeader as HTTPHeader
    from minimesh.config.kubernetes.pod import Lifecycle as Lifecycle
    from minimesh.config.kubernetes.pod import LifecycleHandler as LifecycleHandler
    from minimesh.config.kubernetes.pod import ObjectFieldSelector as ObjectFieldSelector
    from minimesh.config.kubernetes.pod import PodDNSConfig as PodDNSConfig
    from minimesh.config.kubernetes.pod import PodDNSConfigOption as PodDNSConfigOption
    from minimesh.config.kubernetes.pod import PodOS as PodOS
    from minimesh.config.kubernetes.pod import PodSpec as PodSpec
    from minimesh.config.kubernetes.pod import PodTemplateSpec as PodTemplateSpec
    from minimesh.config.kubernetes.pod import Probe as Probe
    from minimesh.config.kubernetes.pod import ResourceClaim as ResourceClaim
    from minimesh.config.kubernetes.pod import ResourceFieldSelector as ResourceFieldSelector
    from minimesh.config.kubernetes.pod import ResourceRequirements as ResourceRequirements
    from minimesh.config.kubernetes.pod import SecretEnvSource as SecretEnvSource
    from minimesh.config.kubernetes.pod import SecretKeySelector as SecretKeySelector
    from minimesh.config.kubernetes.pod import SleepAction as SleepAction
    from minimesh.config.kubernetes.pod import TCPSocketAction as TCPSocketAction
    from minimesh.config.kubernetes.pod import VolumeDevice as VolumeDevice
    from minimesh.config.kubernetes.pod import VolumeMount as VolumeMount
    from minimesh.config.kubernetes.pod_status import (
        ContainerExtendedResourceRequest as ContainerExtendedResourceRequest,
    )
    from minimesh.config.kubernetes.pod_status import ContainerState as ContainerState
    from minimesh.config.kubernetes.pod_status import ContainerStateRunning as ContainerStateRunning
    from minimesh.config.kubernetes.pod_status import ContainerStateTerminated as ContainerStateTerminated
    from minimesh.config.kubernetes.pod_status import ContainerStateWaiting as ContainerStateWaiting
    from minimesh.config.kubernetes.pod_status import ContainerStatus as ContainerStatus
    from minimesh.config.kubernetes.pod_status import ContainerUser as ContainerUser
    from minimesh.config.kubernetes.pod_status import HostIP as HostIP
    from minimesh.config.kubernetes.pod_status import ImageVolumeStatus as ImageVolumeStatus
    from minimesh.config.kubernetes.pod_status import LinuxContainerUser as LinuxContainerUser
    from minimesh.config.kubernetes.pod_status import (
        NodeAllocatableMappedResources as NodeAllocatableMappedResources,
    )
    from minimesh.config.kubernetes.pod_status import (
        NodeAllocatableOverheadResources as NodeAllocatableOverheadResources,
    )
    from minimesh.config.kubernetes.pod_status import (
        NodeAllocatableResourceClaimStatus as NodeAllocatableResourceClaimStatus,
    )
    from minimesh.config.kubernetes.pod_status import PodCondition as PodCondition
    from minimesh.config.kubernetes.pod_status import (
        PodExtendedResourceClaimStatus as PodExtendedResourceClaimStatus,
    )
    from minimesh.config.kubernetes.pod_status import PodIP as PodIP
    from minimesh.config.kubernetes.pod_status import PodResourceClaimStatus as PodResourceClaimStatus
    from minimesh.config.kubernetes.pod_status import PodStatus as PodStatus
    from minimesh.config.kubernetes.pod_status import PodVolumeHealth as PodVolumeHealth
    from minimesh.config.kubernetes.pod_status import ResourceHealth as ResourceHealth
    from minimesh.config.kubernetes.pod_status import ResourceStatus as ResourceStatus
    from minimesh.config.kubernetes.pod_status import VolumeHealthCondition as VolumeHealthCondition
    from minimesh.config.kubernetes.pod_status import VolumeMountStatus as VolumeMountStatus
    from minimesh.config.kubernetes.pod_status import VolumeStatus as VolumeStatus
    from minimesh.config.kubernetes.scheduling import Affinity as Affinity
    from minimesh.config.kubernetes.scheduling import EvictionResponder as EvictionResponder
    from minimesh.config.kubernetes.scheduling import NodeAffinity as NodeAffinity
    from minimesh.config.kubernetes.scheduling import NodeSelector as NodeSelector
    from minimesh.config.kubernetes.scheduling import NodeSelectorRequirement as NodeSelectorRequirement
    from minimesh.config.kubernetes.scheduling import NodeSelectorTerm as NodeSelectorTerm
    from minimesh.config.kubernetes.scheduling import PodAffinity as PodAffinity
    from minimesh.config.kubernetes.scheduling import PodAffinityTerm as PodAffinityTerm
    from minimesh.config.kubernetes.scheduling import PodAntiAffinity as PodAntiAffinity
    from minimesh.config.kubernetes.scheduling import PodReadinessGate as PodReadinessGate
    from minimesh.config.kubernetes.scheduling import PodResourceClaim as PodResourceClaim
    from minimesh.config.kubernetes.scheduling import PodSchedulingGate as PodSchedulingGate
    from minimesh.config.kubernetes.scheduling import PodSchedulingGroup as PodSchedulingGroup
    from minimesh.config.kubernetes.scheduling import PreferredSchedulingTerm as PreferredSchedulingTerm
    from minimesh.config.kubernetes.scheduling import Toleration as Toleration
    from minimesh.config.kubernetes.scheduling import TopologySpreadConstraint as TopologySpreadConstraint
    from minimesh.config.kubernetes.scheduling import WeightedPodAffinityTerm as WeightedPodAffinityTerm
    from minimesh.config.kubernetes.security import AppArmorProfile as AppArmorProfile
    from minimesh.config.kubernetes.security import Capabilities as Capabilities
    from minimesh.config.kubernetes.security import PodSecurityContext as PodSecurityContext
    from minimesh.config.kubernetes.security import SeccompProfile as SeccompProfile
    from minimesh.config.kubernetes.security import SecurityContext as SecurityContext
    from minimesh.config.kubernetes.security import SELinuxOptions as SELinuxOptions
    from minimesh.config.kubernetes.security import Sysctl as Sysctl
    from minimesh.config.kubernetes.security import (
        WindowsSecurityContextOptions as WindowsSecurityContextOptions,
    )
    from minimesh.config.kubernetes.volumes import (
        AWSElasticBlockStoreVolumeSource as AWSElasticBlockStoreVolumeSource,
    )
    from minimesh.config.kubernetes.volumes import AzureDiskVolumeSource as AzureDiskVolumeSource
    from minimesh.config.kubernetes.volumes import AzureFileVolumeSource as AzureFileVolumeSource
    from minimesh.config.kubernetes.volumes import CephFSVolumeSource as CephFSVolumeSource
    from minimesh.config.kubernetes.volumes import CinderVolumeSource as CinderVolumeSource
    from minimesh.config.kubernetes.volumes import (
        ClusterTrustBundleProjection as ClusterTrustBundleProjection,
    )
    from minimesh.config.kubernetes.volumes import ConfigMapProjection as ConfigMapProjection
    from minimesh.config.kubernetes.volumes import ConfigMapVolumeSource as ConfigMapVolumeSource
    from minimesh.config.kubernetes.volumes import CSIVolumeSource as CSIVolumeSource
    from minimesh.config.kubernetes.volumes import DownwardAPIProjection as DownwardAPIProjection
    from minimesh.config.kubernetes.volumes import DownwardAPIVolumeFile as DownwardAPIVolumeFile
    from minimesh.config.kubernetes.volumes import DownwardAPIVolumeSource as DownwardAPIVolumeSource
    from minimesh.config.kubernetes.volumes import EmptyDirVolumeSource as EmptyDirVolumeSource
    from minimesh.config.kubernetes.volumes import EphemeralVolumeSource as EphemeralVolumeSource
    from minimesh.config.kubernetes.volumes import FCVolumeSource as FCVolumeSource
    from minimesh.config.kubernetes.volumes import FlexVolumeSource as FlexVolumeSource
    from minimesh.config.kubernetes.volumes import FlockerVolumeSource as FlockerVolumeSource
    from minimesh.config.kubernetes.volumes import (
        GCEPersistentDiskVolumeSource as GCEPersistentDiskVolumeSource,
    )
    from minimesh.config.kubernetes.volumes import GitRepoVolumeSource as GitRepoVolumeSource
    from minimesh.config.kubernetes.volumes import GlusterfsVolumeSource as GlusterfsVolumeSource
    from minimesh.config.kubernetes.volumes import HostPathVolumeSource as HostPathVolumeSource
    from minimesh.config.kubernetes.volumes import ImageVolumeSource as ImageVolumeSource
    from minimesh.config.kubernetes.volumes import ISCSIVolumeSource as ISCSIVolumeSource
    from minimesh.config.kubernetes.volumes import KeyToPath as KeyToPath
    from minimesh.config.kubernetes.volumes import NFSVolumeSource as NFSVolumeSource
    from minimesh.config.kubernetes.volumes import PersistentVolumeClaimSpec as PersistentVolumeClaimSpec
    from minimesh.config.kubernetes.volumes import (
        PersistentVolumeClaimTemplate as PersistentVolumeClaimTemplate,
    )
    from minimesh.config.kubernetes.volumes import (
        PersistentVolumeClaimVolumeSource as PersistentVolumeClaimVolumeSource,
    )
    from minimesh.config.kubernetes.volumes import (
        PhotonPersistentDiskVolumeSource as PhotonPersistentDiskVolumeSource,
    )
    from minimesh.config.kubernetes.volumes import PodCertificateProjection as PodCertificateProjection
    from minimesh.config.kubernetes.volumes import PortworxVolumeSource as PortworxVolumeSource
    from minimesh.config.kubernetes.volumes import ProjectedVolumeSource as ProjectedVolumeSource
    from minimesh.config.kubernetes.volumes import QuobyteVolumeSource as QuobyteVolumeSource
    from minimesh.config.kubernetes.volumes import RBDVolumeSource as RBDVolumeSource
    from minimesh.config.kubernetes.volumes import ScaleIOVolumeSource as ScaleIOVolumeSource
    from minimesh.config.kubernetes.volumes import SecretProjection as SecretProjection
    from minimesh.config.kubernetes.volumes import SecretVolumeSource as SecretVolumeSource
    from minimesh.config.kubernetes.volumes import (
        ServiceAccountTokenProjection as ServiceAccountTokenProjection,
    )
    from minimesh.config.kubernetes.volumes import StorageOSVolumeSource as StorageOSVolumeSource
    from minimesh.config.kubernetes.volumes import Volume as Volume
    from minimesh.config.kubernetes.volumes import VolumeProjection as VolumeProjection
    from minimesh.config.kubernetes.volumes import VolumeResourceRequirements as VolumeResourceRequirements
    from minimesh.config.kubernetes.volumes import (
        VsphereVirtualDiskVolumeSource as VsphereVirtualDiskVolumeSource,
    )

Protocol = Annotated[str, OneOf(("TCP", "UDP", "SCTP"))]


@message
class ServiceSpec(Message):
    """Which pods a service stands for, and on which ports."""

    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str = ""
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    external_name: str = ""
    external_traffic_policy: Annotated[str, OneOf(("Cluster", "Local"))] = ""
    health_check_node_port: int | None = None
    internal_traffic_policy: Annotated[str, OneOf(("Cluster", "Local"))] = ""
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    load_balancer_class: str = ""
    load_balancer_ip: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool | None = None
    selector: Mapping[str, str] = field(default_factory=dict)
    session_affinity: Annotated[str, OneOf(("None", "ClientIP"))] = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str = ""
    type: Annotated[str, OneOf(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"))] = "ClusterIP"


@message
class ServicePort(Message):
    """One port of a service and where it leads in the pods."""

    app_protocol: str = ""
    name: str = ""
    node_port: int | None = None
    port: Req[int] = 0
    protocol: Protocol = "TCP"
    target_port: IntOrString | None = None


@message
class SessionAffinityConfig(Message):
    """Settings of session affinity."""

    client_ip: ClientIPConfig | None = None


@message
class ClientIPConfig(Message):
    """How long a client address sticks to a pod, in seconds."""

    timeout_seconds: int | None = None


@message
class ServiceStatus(Message):
    """What is known about a service."""

    conditions: tuple[Condition, ...] = ()
    load_balancer: LoadBalancerStatus | None = None


@message
class LoadBalancerStatus(Message):
    """The addresses of a service's load balancer."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


@message
class LoadBalancerIngress(Message):
    """One address of a load balancer."""

    hostname: str = ""
    ip: str = ""
    ip_mode: str = ""
    ports: tuple[PortStatus, ...] = ()


@message
class PortStatus(Message):
    """What is known about a load balancer's port."""

    error: str = ""
    port: Req[int] = 0
    protocol: Req[str] = ""


@message
class NamespaceSpec(Message):
    """What holds back the removal of a namespace."""

    finalizers: tuple[str, ...] = ()


@message
class NamespaceStatus(Message):
    """Whether a namespace is in use or going away."""

    conditions: tuple[NamespaceCondition, ...] = ()
    phase: str = ""


@message
class NamespaceCondition(Message):
    """One condition of a namespace."""

    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: Req[str] = ""
    type: Req[str] = ""


@message
class ServiceAccount(Message):
    """An identity for pods."""

    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    secrets: tuple[ObjectReference, ...] = ()


@message
class Secret(Message):
    """Confidential values; `data` holds bytes, decoded from base64."""

    data: Mapping[str, bytes] = field(default_factory=dict)
    immutable: bool | None = None
    string_data: Mapping[str, str] = field(default_factory=dict)
    type: str = ""


@message
class ConfigMap(Message):
    """Plain values and files; `binary_data` holds bytes, decoded from base64."""

    binary_data: Mapping[str, bytes] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    immutable: bool | None = None


_LOADED_ON_DEMAND = {
    "pod": (
        "ConfigMapEnvSource",
        "ConfigMapKeySelector",
        "Container",
        "ContainerPort",
        "ContainerResizePolicy",
        "ContainerRestartRule",
        "ContainerRestartRuleOnExitCodes",
        "EnvFromSource",
        "EnvVar",
        "EnvVarSource",
        "EphemeralContainer",
        "ExecAction",
        "FileKeySelector",
        "GRPCAction",
        "HTTPGetAction",
        "HTTPHeader",
        "HostAlias",
        "Lifecycle",
        "LifecycleHandler",
        "ObjectFieldSelector",
        "PodDNSConfig",
        "PodDNSConfigOption",
        "PodOS",
        "PodSpec",
        "PodTemplateSpec",
        "Probe",
        "ResourceClaim",
        "ResourceFieldSelector",
        "ResourceRequirements",
        "SecretEnvSource",
        "SecretKeySelector",
        "SleepAction",
        "TCPSocketAction",
        "VolumeDevice",
        "VolumeMount",
    ),
    "pod_status": (
        "ContainerExtendedResourceRequest",
        "ContainerState",
        "ContainerStateRunning",
        "ContainerStateTerminated",
        "ContainerStateWaiting",
        "ContainerStatus",
        "ContainerUser",
        "HostIP",
        "ImageVolumeStatus",
        "LinuxContainerUser",
        "NodeAllocatableMappedResources",
        "NodeAllocatableOverheadResources",
        "NodeAllocatableResourceClaimStatus",
        "PodCondition",
        "PodExtendedResourceClaimStatus",
        "PodIP",
        "PodResourceClaimStatus",
        "PodStatus",
        "PodVolumeHealth",
        "ResourceHealth",
        "ResourceStatus",
        "VolumeHealthCondition",
        "VolumeMountStatus",
        "VolumeStatus",
    ),
    "scheduling": (
        "Affinity",
        "EvictionResponder",
        "NodeAffinity",
        "NodeSelector",
        "NodeSelectorRequirement",
        "NodeSelectorTerm",
        "PodAffinity",
        "PodAffinityTerm",
        "PodAntiAffinity",
        "PodReadinessGate",
        "PodResourceClaim",
        "PodSchedulingGate",
        "PodSchedulingGroup",
        "PreferredSchedulingTerm",
        "Toleration",
        "TopologySpreadConstraint",
        "WeightedPodAffinityTerm",
    ),
    "security": (
        "AppArmorProfile",
        "Capabilities",
        "PodSecurityContext",
        "SELinuxOptions",
        "SeccompProfile",
        "SecurityContext",
        "Sysctl",
        "WindowsSecurityContextOptions",
    ),
    "volumes": (
        "AWSElasticBlockStoreVolumeSource",
        "AzureDiskVolumeSource",
        "AzureFileVolumeSource",
        "CSIVolumeSource",
        "CephFSVolumeSource",
        "CinderVolumeSource",
        "ClusterTrustBundleProjection",
        "ConfigMapProjection",
        "ConfigMapVolumeSource",
        "DownwardAPIProjection",
        "DownwardAPIVolumeFile",
        "DownwardAPIVolumeSource",
        "EmptyDirVolumeSource",
        "EphemeralVolumeSource",
        "FCVolumeSource",
        "FlexVolumeSource",
        "FlockerVolumeSource",
        "GCEPersistentDiskVolumeSource",
        "GitRepoVolumeSource",
        "GlusterfsVolumeSource",
        "HostPathVolumeSource",
        "ISCSIVolumeSource",
        "ImageVolumeSource",
        "KeyToPath",
        "NFSVolumeSource",
        "PersistentVolumeClaimSpec",
        "PersistentVolumeClaimTemplate",
        "PersistentVolumeClaimVolumeSource",
        "PhotonPersistentDiskVolumeSource",
        "PodCertificateProjection",
        "PortworxVolumeSource",
        "ProjectedVolumeSource",
        "QuobyteVolumeSource",
        "RBDVolumeSource",
        "ScaleIOVolumeSource",
        "SecretProjection",
        "SecretVolumeSource",
        "ServiceAccountTokenProjection",
        "StorageOSVolumeSource",
        "Volume",
        "VolumeProjection",
        "VolumeResourceRequirements",
        "VsphereVirtualDiskVolumeSource",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _LOADED_ON_DEMAND.items():
        if name in names:
            return getattr(import_module(f"minimesh.config.kubernetes.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
