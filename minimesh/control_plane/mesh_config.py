"""Settings of the whole mesh, with istiod's defaults. Times in seconds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from minimesh.config.istio.destination_rule import LocalityLoadBalancerSetting, TcpKeepalive
from minimesh.config.istio.mesh_config import AccessLogEncoding, IngressControllerMode
from minimesh.config.istio.mesh_config import NormalizationType as PathNormalization
from minimesh.config.istio.virtual_service import HTTPRetry
from minimesh.config.proxy_ports import HTTP_PROXY_PORT, INBOUND_PORT, OUTBOUND_PORT

__all__ = [
    "AccessLogEncoding",
    "AccessLogProvider",
    "DefaultRetryPolicy",
    "IngressControllerMode",
    "MeshConfig",
    "OutboundTrafficPolicy",
    "PathNormalization",
]


class OutboundTrafficPolicy(StrEnum):
    """What a sidecar does with calls to hosts nobody declared."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


@dataclass(frozen=True, slots=True)
class DefaultRetryPolicy:
    """Retries of a route that declares none; 0 attempts switches them off."""

    attempts: int = 2
    retry_on: str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    written: HTTPRetry | None = None
    """The mesh's own; counts as if every route that says nothing had said this."""


@dataclass(frozen=True, slots=True)
class AccessLogProvider:
    """A named access log that Telemetry may choose; without a format of its own it takes the mesh's."""

    name: str
    path: str = "/dev/stdout"
    text_format: str = ""
    json_format: Mapping[str, str] = field(default_factory=dict)
    omit_empty_values: bool = False


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Istio's MeshConfig as far as it is acted on, plus settings of our own at the end."""

    root_namespace: str = "istio-system"
    domain_suffix: str = "cluster.local"
    access_log_file: str = ""
    access_log_format: str = ""
    """Text format; empty for Istio's own. With JSON encoding `access_log_json_format` counts instead."""
    access_log_json_format: Mapping[str, str] = field(default_factory=dict)
    access_log_encoding: AccessLogEncoding = AccessLogEncoding.TEXT
    access_log_providers: tuple[AccessLogProvider, ...] = ()
    default_access_log_providers: tuple[str, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy = OutboundTrafficPolicy.ALLOW_ANY
    default_http_retry_policy: DefaultRetryPolicy = field(default_factory=DefaultRetryPolicy)
    ingress_class: str = "istio"
    ingress_controller_mode: IngressControllerMode = IngressControllerMode.STRICT
    ingress_service: str = "istio-ingressgateway"
    ingress_selector: str = "ingressgateway"
    connect_timeout_s: float = 10.0
    dns_refresh_rate_s: float = 60.0
    protocol_detection_timeout_s: float = 0.0
    """How long a client's first bytes are waited for where they tell the protocol; 0: for ever."""
    tcp_keepalive: TcpKeepalive | None = None
    upgrades_to_http2: bool = False
    """Whether services that speak HTTP are called by HTTP/2, where their rule does not say."""
    path_normalization: PathNormalization = PathNormalization.DEFAULT
    num_trusted_proxies: int = 0
    """How many proxies before a gateway are believed what they write into x-forwarded-for."""
    listener_access_log: bool = True
    """Whether connections that no filter chain wants are logged."""
    default_service_export_to: tuple[str, ...] = ("*",)
    default_virtual_service_export_to: tuple[str, ...] = ("*",)
    default_destination_rule_export_to: tuple[str, ...] = ("*",)
    locality_lb_setting: LocalityLoadBalancerSetting | None = field(
        default_factory=LocalityLoadBalancerSetting
    )
    """For rules that have none of their own; None switches preference for near hosts off."""
    proxy_listen_port: int = OUTBOUND_PORT
    proxy_inbound_listen_port: int = INBOUND_PORT
    proxy_http_port: int = HTTP_PROXY_PORT
    append_x_forwarded_host: bool = False
    inbound_source_address: str = "127.0.0.6" if sys.platform.startswith("linux") else ""
    """Address a sidecar calls its own application from; empty where loopback has a single address."""
    watches_traffic: bool = False
    """Whether proxies tell the control plane of requests while somebody looks."""
