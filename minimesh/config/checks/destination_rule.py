"""Rules for DestinationRule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.connection_pool import check_connection_pool
from minimesh.config.checks.finding import Finding, Findings, check_duration, check_labels, check_port
from minimesh.config.checks.hosts import check_wildcard_host, fqdn_problem, is_dns_label
from minimesh.config.checks.load_balancer import check_load_balancer
from minimesh.config.checks.selectors import check_match_labels
from minimesh.config.diagnostics import Severity
from minimesh.config.ip_addresses import is_ip_address

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import (
        ClientTLSSettings,
        DestinationRule,
        OutlierDetection,
        PortTrafficPolicy,
        TrafficPolicy,
        TunnelSettings,
    )


def check_destination_rule(spec: DestinationRule) -> Findings:
    if not spec.host:
        yield Finding("spec.host", "missing-field", "is empty; name the service that the rule is for")
    else:
        yield from check_wildcard_host("spec.host", spec.host)
    yield from check_match_labels("spec.workloadSelector", spec.workload_selector)
    yield from _traffic_policy("spec.trafficPolicy", spec.traffic_policy)
    names: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if subset.name and not is_dns_label(subset.name):
            message = f'subset name is invalid: "{subset.name}" must be letters, digits and dashes'
            yield Finding(f"{path}.name", "bad-name", message)
        if subset.name and subset.name in names:
            yield Finding(f"{path}.name", "duplicate-name", f'another subset is called "{subset.name}" too')
        names.add(subset.name)
        yield from check_labels(f"{path}.labels", subset.labels)
        yield from _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy)


def _traffic_policy(path: str, policy: TrafficPolicy | None) -> Findings:
    if policy is None:
        return
    if not _says_something(policy):
        yield Finding(path, "missing-field", "traffic policy must have at least one field")
    if policy.tunnel is not None:
        yield from _tunnel(f"{path}.tunnel", policy.tunnel)
        if policy.proxy_protocol is not None:
            message = "tunnel and proxyProtocol must not be set together"
            yield Finding(f"{path}.tunnel", "several-matches", message)
    yield from _port_policy(path, policy)
    for index, setting in enumerate(policy.port_level_settings):
        at = f"{path}.portLevelSettings[{index}]"
        if setting.port is None:
            yield Finding(f"{at}.port", "missing-field", "is missing; say which port the settings are for")
        else:
            yield from check_port(f"{at}.port.number", setting.port.number)
        yield from _port_policy(at, setting)


def _says_something(policy: TrafficPolicy) -> bool:
    return bool(policy.port_level_settings) or any(
        getattr(policy, name) is not None
        for name in policy.__dataclass_fields__
        if name != "port_level_settings"
    )


def _port_policy(path: str, policy: TrafficPolicy | PortTrafficPolicy) -> Findings:
    """Rules for what a traffic policy and the policy of one port have in common."""
    outlier = policy.outlier_detection
    yield from check_load_balancer(f"{path}.loadBalancer", policy.load_balancer, ejects=outlier is not None)
    yield from check_connection_pool(f"{path}.connectionPool", policy.connection_pool)
    if policy.tls is not None:
        yield from _client_tls(f"{path}.tls", policy.tls)
    if outlier is not None:
        yield from _outlier_detection(f"{path}.outlierDetection", outlier)


def _outlier_detection(path: str, detection: OutlierDetection) -> Findings:
    yield from check_duration(f"{path}.interval", detection.interval)
    yield from check_duration(f"{path}.baseEjectionTime", detection.base_ejection_time)
    for name, value in (
        ("maxEjectionPercent", detection.max_ejection_percent),
        ("minHealthPercent", detection.min_health_percent),
    ):
        if not 0 <= value <= 100:
            message = f"must be a percentage from 0 to 100, not {value}"
            yield Finding(f"{path}.{name}", "bad-value", message)
    if detection.consecutive_errors:
        message = (
            "outlier detection consecutive errors is deprecated, "
            "use consecutiveGatewayErrors or consecutive5xxErrors instead"
        )
        yield Finding(f"{path}.consecutiveErrors", "deprecated", message, Severity.WARNING)
    if detection.consecutive_local_origin_failures and not detection.split_external_local_origin_errors:
        message = (
            "outlier detection consecutive local origin failures is specified, "
            "but split external local origin errors is set to false"
        )
        yield Finding(f"{path}.consecutiveLocalOriginFailures", "several-matches", message)


def _client_tls(path: str, tls: ClientTLSSettings) -> Findings:
    if tls.mode == "ISTIO_MUTUAL":
        message = "accepted, not simulated: this mesh issues no identities, and calls stay plain text"
        yield Finding(f"{path}.mode", "not-simulated", message, Severity.INFO)
    if tls.insecure_skip_verify and tls.mode in ("SIMPLE", "MUTUAL"):
        by_name = tls.mode == "SIMPLE" and tls.credential_name
        if tls.ca_certificates or tls.subject_alt_names or by_name:
            message = "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true"
            yield Finding(f"{path}.insecureSkipVerify", "several-matches", message)
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        if tls.client_certificate or tls.ca_certificates or tls.private_key or tls.ca_crl:
            message = (
                "cannot specify client certificates or CA certificate or CA CRL If credentialName is set"
            )
            yield Finding(f"{path}.credentialName", "several-matches", message)
        return
    if tls.mode != "MUTUAL":
        return
    if not tls.client_certificate:
        message = "client certificate required for mutual tls"
        yield Finding(f"{path}.clientCertificate", "missing-field", message)
    if not tls.private_key:
        yield Finding(f"{path}.privateKey", "missing-field", "private key required for mutual tls")


def _tunnel(path: str, tunnel: TunnelSettings) -> Findings:
    if tunnel.protocol not in ("", "CONNECT", "POST"):
        yield Finding(f"{path}.protocol", "bad-value", 'tunnel protocol must be "CONNECT" or "POST"')
    problem = fqdn_problem(tunnel.target_host)
    if problem is not None and not is_ip_address(tunnel.target_host):
        message = f"tunnel target host must be valid FQDN or IP address: {problem}"
        yield Finding(f"{path}.targetHost", "bad-host", message)
    yield from check_port(f"{path}.targetPort", tunnel.target_port)
