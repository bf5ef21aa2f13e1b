"""The MeshConfig that users write, as the settings that translation reads.

Users write it into the ConfigMap `istio`, or into a file that becomes that ConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.config.diagnostics import Diagnostic, has_errors
from minimesh.config.mesh_config import decode_mesh_config, mesh_config_text
from minimesh.control_plane.mesh_config import (
    AccessLogEncoding,
    AccessLogProvider,
    DefaultRetryPolicy,
    MeshConfig,
    OutboundTrafficPolicy,
    PathNormalization,
)

if TYPE_CHECKING:
    from minimesh.config.istio.mesh_config import ExtensionProvider, MeshConfigFile
    from minimesh.config.store import Snapshot

_PLACE = "ConfigMap istio-system/istio"


class MeshSettings:
    """Reads a text once. One with an error changes nothing: the last good settings stay in force."""

    def __init__(self, base: MeshConfig) -> None:
        self._base = base
        self._text = ""
        self._current = base
        self.diagnostics: tuple[Diagnostic, ...] = ()
        """What there is to say about the text that is there now; lines count within it."""

    def of(self, snapshot: Snapshot) -> MeshConfig:
        """The settings that a snapshot asks for."""
        text = mesh_config_text(snapshot)
        if text != self._text:
            self._text = text
            decoded = decode_mesh_config(text, _PLACE)
            self.diagnostics = decoded.diagnostics
            if not has_errors(decoded.diagnostics):
                self._current = with_settings(self._base, decoded.spec)
        return self._current


def with_settings(base: MeshConfig, written: MeshConfigFile) -> MeshConfig:
    """`base` with what is written put over it; what is not written stays."""
    return replace(base, **_logging(written), **_traffic(written), **_scope(written))


def _logging(written: MeshConfigFile) -> dict[str, Any]:
    providers = [provider for each in written.extension_providers if (provider := _provider(each))]
    defaults = written.default_providers
    found = {
        "access_log_file": written.access_log_file,
        "access_log_providers": tuple(providers),
        "default_access_log_providers": defaults.access_logging if defaults is not None else (),
        "listener_access_log": False if written.disable_envoy_listener_log else None,
    }
    if written.access_log_encoding is not None:
        found["access_log_encoding"] = AccessLogEncoding(str(written.access_log_encoding))
    found.update(_format(written))
    return _said(found)


def _format(written: MeshConfigFile) -> dict[str, Any]:
    """The one format field holds a line of text, or with JSON encoding a JSON object."""
    if str(written.access_log_encoding) != AccessLogEncoding.JSON:
        return {"access_log_format": written.access_log_format}
    labels = written.json_access_log_format()
    return {"access_log_json_format": labels} if labels else {}


def _provider(written: ExtensionProvider) -> AccessLogProvider | None:
    """A provider that writes access logs to a file; None for the other kinds."""
    file = written.envoy_file_access_log
    if file is None:
        return None
    shape = file.log_format
    labels: Mapping[str, Any] = (shape.labels or {}) if shape is not None else {}
    return AccessLogProvider(
        written.name,
        file.path or "/dev/stdout",
        text_format=(shape.text or "") if shape is not None else "",
        json_format=labels,
        omit_empty_values=file.omit_empty_values,
    )


def _traffic(written: MeshConfigFile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "connect_timeout_s": _seconds(written.connect_timeout),
        "dns_refresh_rate_s": _seconds(written.dns_refresh_rate),
        "protocol_detection_timeout_s": _seconds(written.protocol_detection_timeout),
        "tcp_keepalive": written.tcp_keepalive,
        "locality_lb_setting": written.locality_lb_setting,
        "upgrades_to_http2": str(written.h2_upgrade_policy) == "UPGRADE" or None,
    }
    policy = written.outbound_traffic_policy
    if policy is not None:
        # What stands there without a mode is the strict one.
        found["outbound_traffic_policy"] = OutboundTrafficPolicy(str(policy.mode or "REGISTRY_ONLY"))
    if written.default_http_retry_policy is not None:
        found["default_http_retry_policy"] = DefaultRetryPolicy(written=written.default_http_retry_policy)
    normalization = written.path_normalization
    if normalization is not None and normalization.normalization is not None:
        found["path_normalization"] = PathNormalization(str(normalization.normalization))
    topology = written.default_config.gateway_topology if written.default_config is not None else None
    if topology is not None:
        found["num_trusted_proxies"] = topology.num_trusted_proxies
    return _said(found)


def _scope(written: MeshConfigFile) -> dict[str, Any]:
    return _said(
        {
            "root_namespace": written.root_namespace,
            "ingress_class": written.ingress_class,
            "ingress_controller_mode": written.ingress_controller_mode,
            "ingress_service": written.ingress_service,
            "ingress_selector": written.ingress_selector,
            "default_service_export_to": written.default_service_export_to,
            "default_virtual_service_export_to": written.default_virtual_service_export_to,
            "default_destination_rule_export_to": written.default_destination_rule_export_to,
        }
    )


def _said(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not written."""
    return {name: value for name, value in found.items() if value is not None and value not in ("", ())}


def _seconds(duration: Any | None) -> float | None:
    return duration.total_seconds() if duration is not None else None
