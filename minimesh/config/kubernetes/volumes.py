"""Volumes and what can fill them.

Known by name and type, so that published manifests load; pods here are processes that see the
machine's own files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from minimesh.config.kubernetes.meta import LabelSelector, ObjectMeta
from minimesh.config.kubernetes.pod import ObjectFieldSelector, ResourceFieldSelector
from minimesh.config.kubernetes.references import (
    LocalObjectReference,
    TypedLocalObjectReference,
    TypedObjectReference,
)
from minimesh.config.schema import Message, Quantity, Req, message


@message
class Volume(Message):
    """A named volume and the one source that fills it."""

    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = None
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    name: Req[str] = ""
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None


@message
class AWSElasticBlockStoreVolumeSource(Message):
    """An AWS disk."""

    fs_type: str = ""
    partition: int | None = None
    read_only: bool | None = None
    volume_id: Req[str] = ""


@message
class AzureDiskVolumeSource(Message):
    """An Azure data disk."""

    caching_mode: str = ""
    disk_name: Req[str] = ""
    disk_uri: Req[str] = ""
    fs_type: str = ""
    kind: str = ""
    read_only: bool | None = None


@message
class AzureFileVolumeSource(Message):
    """An Azure file share."""

    read_only: bool | None = None
    secret_name: Req[str] = ""
    share_name: Req[str] = ""


@message
class CephFSVolumeSource(Message):
    """A Ceph file system."""

    monitors: Req[tuple[str, ...]] = ()
    path: str = ""
    read_only: bool | None = None
    secret_file: str = ""
    secret_ref: LocalObjectReference | None = None
    user: str = ""


@message
class CinderVolumeSource(Message):
    """An OpenStack Cinder disk."""

    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_id: Req[str] = ""


@message
class ConfigMapVolumeSource(Message):
    """Files from a ConfigMap."""

    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


@message
class KeyToPath(Message):
    """Which key goes to which file."""

    key: Req[str] = ""
    mode: int | None = None
    path: Req[str] = ""
    user: int | None = None


@message
class CSIVolumeSource(Message):
    """A volume from a storage driver."""

    driver: Req[str] = ""
    fs_type: str = ""
    node_publish_secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    volume_attributes: Mapping[str, str] = field(default_factory=dict)


@message
class DownwardAPIVolumeSource(Message):
    """Files that tell a pod about itself."""

    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[DownwardAPIVolumeFile, ...] = ()


@message
class DownwardAPIVolumeFile(Message):
    """One file that tells a pod about itself."""

    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None
    path: Req[str] = ""
    resource_field_ref: ResourceFieldSelector | None = None
    user: int | None = None


@message
class EmptyDirVolumeSource(Message):
    """A directory that starts empty and lives as long as the pod."""

    medium: str = ""
    mode: int | None = None
    size_limit: Quantity = ""


@message
class EphemeralVolumeSource(Message):
    """A claim made for this pod alone."""

    volume_claim_template: PersistentVolumeClaimTemplate | None = None


@message
class PersistentVolumeClaimTemplate(Message):
    """What the claim made for a pod looks like."""

    metadata: ObjectMeta | None = None
    spec: Req[PersistentVolumeClaimSpec | None] = None


@message
class PersistentVolumeClaimSpec(Message):
    """What storage is asked for."""

    access_modes: tuple[str, ...] = ()
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements | None = None
    selector: LabelSelector | None = None
    storage_class_name: str = ""
    volume_attributes_class_name: str = ""
    volume_mode: str = ""
    volume_name: str = ""


@message
class VolumeResourceRequirements(Message):
    """How much storage is asked for."""

    limits: Mapping[str, Quantity] = field(default_factory=dict)
    requests: Mapping[str, Quantity] = field(default_factory=dict)


@message
class FCVolumeSource(Message):
    """A Fibre Channel disk."""

    fs_type: str = ""
    lun: int | None = None
    read_only: bool | None = None
    target_wwns: tuple[str, ...] = ()
    wwids: tuple[str, ...] = ()


@message
class FlexVolumeSource(Message):
    """A volume from a driver executable."""

    driver: Req[str] = ""
    fs_type: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


@message
class FlockerVolumeSource(Message):
    """A Flocker volume."""

    dataset_name: str = ""
    dataset_uuid: str = ""


@message
class GCEPersistentDiskVolumeSource(Message):
    """A Google Compute Engine disk."""

    fs_type: str = ""
    partition: int | None = None
    pd_name: Req[str] = ""
    read_only: bool | None = None


@message
class GitRepoVolumeSource(Message):
    """A git repository at a revision."""

    directory: str = ""
    repository: Req[str] = ""
    revision: str = ""


@message
class GlusterfsVolumeSource(Message):
    """A Gluster volume."""

    endpoints: Req[str] = ""
    path: Req[str] = ""
    read_only: bool | None = None


@message
class HostPathVolumeSource(Message):
    """A path of the node."""

    path: Req[str] = ""
    type: str = ""


@message
class ImageVolumeSource(Message):
    """The content of an image."""

    pull_policy: str = ""
    reference: str = ""


@message
class ISCSIVolumeSource(Message):
    """An iSCSI disk."""

    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str = ""
    initiator_name: str = ""
    iqn: Req[str] = ""
    iscsi_interface: str = ""
    lun: Req[int] = 0
    portals: tuple[str, ...] = ()
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    target_portal: Req[str] = ""


@message
class NFSVolumeSource(Message):
    """An NFS export."""

    path: Req[str] = ""
    read_only: bool | None = None
    server: Req[str] = ""


@message
class PersistentVolumeClaimVolumeSource(Message):
    """A claim in the same namespace."""

    claim_name: Req[str] = ""
    read_only: bool | None = None


@message
class PhotonPersistentDiskVolumeSource(Message):
    """A Photon Controller disk."""

    fs_type: str = ""
    pd_id: Req[str] = ""


@message
class PortworxVolumeSource(Message):
    """A Portworx volume."""

    fs_type: str = ""
    read_only: bool | None = None
    volume_id: Req[str] = ""


@message
class ProjectedVolumeSource(Message):
    """Several sources in one directory."""

    default_mode: int | None = None
    default_user: int | None = None
    sources: tuple[VolumeProjection, ...] = ()


@message
class VolumeProjection(Message):
    """One source of a projected volume."""

    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = None
    pod_certificate: PodCertificateProjection | None = None
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


@message
class ClusterTrustBundleProjection(Message):
    """Trust anchors as a file."""

    label_selector: LabelSelector | None = None
    name: str = ""
    optional: bool | None = None
    path: Req[str] = ""
    signer_name: str = ""
    user: int | None = None


@message
class ConfigMapProjection(Message):
    """A ConfigMap inside a projected volume."""

    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


@message
class DownwardAPIProjection(Message):
    """Facts about the pod inside a projected volume."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()


@message
class PodCertificateProjection(Message):
    """A key and certificate made for the pod."""

    certificate_chain_path: str = ""
    credential_bundle_path: str = ""
    key_path: str = ""
    key_type: Req[str] = ""
    max_expiration_seconds: int | None = None
    signer_name: Req[str] = ""
    user: int | None = None
    user_annotations: Mapping[str, str] = field(default_factory=dict)


@message
class SecretProjection(Message):
    """A Secret inside a projected volume."""

    items: tuple[KeyToPath, ...] = ()
    name: str = ""
    optional: bool | None = None


@message
class ServiceAccountTokenProjection(Message):
    """A service account token as a file."""

    audience: str = ""
    expiration_seconds: int | None = None
    path: Req[str] = ""
    user: int | None = None


@message
class QuobyteVolumeSource(Message):
    """A Quobyte volume."""

    group: str = ""
    read_only: bool | None = None
    registry: Req[str] = ""
    tenant: str = ""
    user: str = ""
    volume: Req[str] = ""


@message
class RBDVolumeSource(Message):
    """A Rados block device."""

    fs_type: str = ""
    image: Req[str] = ""
    keyring: str = ""
    monitors: Req[tuple[str, ...]] = ()
    pool: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    user: str = ""


@message
class ScaleIOVolumeSource(Message):
    """A ScaleIO volume."""

    fs_type: str = ""
    gateway: Req[str] = ""
    protection_domain: str = ""
    read_only: bool | None = None
    secret_ref: Req[LocalObjectReference | None] = None
    ssl_enabled: bool | None = None
    storage_mode: str = ""
    storage_pool: str = ""
    system: Req[str] = ""
    volume_name: str = ""


@message
class SecretVolumeSource(Message):
    """Files from a Secret."""

    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None
    secret_name: str = ""


@message
class StorageOSVolumeSource(Message):
    """A StorageOS volume."""

    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_name: str = ""
    volume_namespace: str = ""


@message
class VsphereVirtualDiskVolumeSource(Message):
    """A vSphere disk."""

    fs_type: str = ""
    storage_policy_id: str = ""
    storage_policy_name: str = ""
    volume_path: Req[str] = ""
