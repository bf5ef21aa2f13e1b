"""MeshConfig: settings of the whole mesh, as they stand in the ConfigMap `istio` under `mesh`.

Fields that nothing acts on are read as they come (`Json`): they are known, so that none is called unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any

from minimesh.config.istio.destination_rule import (
    H2UpgradePolicy,
    LocalityLoadBalancerSetting,
    TcpKeepalive,
)
from minimesh.config.istio.proxy_config import ProxyImage
from minimesh.config.istio.sidecar import OutboundTrafficPolicyMode
from minimesh.config.istio.virtual_service import HTTPRetry
from minimesh.config.schema import Duration, Int32, Json, Message, Range, Req, UInt32, message

PortNumber = Annotated[int, Range(0, 65535)]


class AccessLogEncoding(StrEnum):
    """How a line of the access log is written."""

    TEXT = "TEXT"
    JSON = "JSON"


class NormalizationType(StrEnum):
    """What is done to paths before they are matched."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


@message
class PathNormalization(Message):
    """How paths are made comparable."""

    normalization: NormalizationType | None = None


@message
class MeshOutboundTrafficPolicy(Message):
    """What happens to calls to hosts that nobody declared."""

    mode: OutboundTrafficPolicyMode | None = None


@message
class LogFormat(Message):
    """A line of text, or the entries of a JSON object."""

    text: str | None = None
    labels: Mapping[str, Json] | None = None


@message
class EnvoyFileAccessLog(Message):
    """An access log in a file."""

    path: str = ""
    log_format: LogFormat | None = None
    omit_empty_values: bool = False


@message
class ExtensionProvider(Message):
    """Something outside that proxies talk to, by the name that Telemetry and policies give it."""

    name: Req[str] = ""
    envoy_file_access_log: EnvoyFileAccessLog | None = None
    envoy_ext_authz_http: Json = None
    envoy_ext_authz_grpc: Json = None
    zipkin: Json = None
    lightstep: Json = None
    datadog: Json = None
    stackdriver: Json = None
    opencensus: Json = None
    skywalking: Json = None
    opentelemetry: Json = None
    prometheus: Json = None
    envoy_http_als: Json = None
    envoy_tcp_als: Json = None
    envoy_otel_als: Json = None
    sds: Json = None


@message
class DefaultProviders(Message):
    """The providers that Telemetry means when it names none."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


@message
class GatewayTopology(Message):
    """What stands before the gateways."""

    num_trusted_proxies: UInt32 = 0
    forward_client_cert: str = ""
    proxy_protocol: Json = None


@message
class DefaultProxyConfig(Message):
    """How each proxy is run."""

    config_path: str = ""
    binary_path: str = ""
    service_cluster: str = ""
    drain_duration: Duration | None = None
    discovery_address: str = ""
    discovery_refresh_delay: Duration | None = None
    zipkin_address: str = ""
    statsd_udp_address: str = ""
    proxy_admin_port: Int32 = 0
    control_plane_auth_policy: str = ""
    custom_config_file: str = ""
    stat_name_length: Int32 = 0
    concurrency: Int32 | None = None
    proxy_bootstrap_template_path: str = ""
    interception_mode: str = ""
    tracing: Json = None
    sds: Json = None
    envoy_access_log_service: Json = None
    envoy_metrics_service: Json = None
    proxy_metadata: Mapping[str, str] = field(default_factory=dict)
    runtime_values: Mapping[str, str] = field(default_factory=dict)
    status_port: Int32 = 0
    extra_stat_tags: tuple[str, ...] = ()
    gateway_topology: GatewayTopology | None = None
    termination_drain_duration: Duration | None = None
    mesh_id: str = ""
    readiness_probe: Json = None
    proxy_stats_matcher: Json = None
    hold_application_until_proxy_starts: bool | None = None
    ca_certificates_pem: tuple[str, ...] = ()
    image: ProxyImage | None = None
    private_key_provider: Json = None
    proxy_headers: Json = None
    stats_compression: bool | None = None
    file_flush_interval: Duration | None = None
    file_flush_min_size_kb: UInt32 | None = None


class IngressControllerMode(StrEnum):
    """Which Ingresses are served: none, those of the mesh's class, or those without any class as well."""

    OFF = "OFF"
    STRICT = "STRICT"
    DEFAULT = "DEFAULT"


@message
class MeshConfigFile(Message):
    """The whole of it."""

    proxy_listen_port: PortNumber = 0
    proxy_inbound_listen_port: PortNumber = 0
    proxy_http_port: PortNumber = 0
    connect_timeout: Duration | None = None
    hbone_idle_timeout: Duration | None = None
    protocol_detection_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    ingress_class: str = ""
    ingress_service: str = ""
    ingress_controller_mode: IngressControllerMode | None = None
    ingress_selector: str = ""
    enable_tracing: bool = False
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: AccessLogEncoding | None = None
    enable_envoy_access_log_service: bool = False
    disable_envoy_listener_log: bool = False
    default_config: DefaultProxyConfig | None = None
    outbound_traffic_policy: MeshOutboundTrafficPolicy | None = None
    inbound_traffic_policy: Json = None
    config_sources: Json = None
    enable_auto_mtls: bool | None = None
    trust_domain: str = ""
    trust_domain_aliases: tuple[str, ...] = ()
    ca_certificates: Json = None
    default_service_export_to: tuple[str, ...] = ()
    default_virtual_service_export_to: tuple[str, ...] = ()
    default_destination_rule_export_to: tuple[str, ...] = ()
    root_namespace: str = ""
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    dns_refresh_rate: Duration | None = None
    h2_upgrade_policy: H2UpgradePolicy | None = None
    inbound_cluster_stat_name: str = ""
    outbound_cluster_stat_name: str = ""
    enable_prometheus_merge: bool | None = None
    verify_certificate_at_client: bool | None = None
    ca: Json = None
    certificates: Json = None
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_providers: DefaultProviders | None = None
    discovery_selectors: Json = None
    service_settings: Json = None
    service_scope_configs: Json = None
    path_normalization: PathNormalization | None = None
    default_http_retry_policy: HTTPRetry | None = None
    mesh_mtls: Json = None
    tls_defaults: Json = None

    def json_access_log_format(self) -> Mapping[str, Any]:
        """`accessLogFormat` as an object; empty when it is none, and then Istio's own format counts."""
        try:
            found = json.loads(self.access_log_format or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
