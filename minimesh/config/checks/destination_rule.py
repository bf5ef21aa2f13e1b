"""Rules for DestinationRule and ServiceEntry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from minimesh.config.checks.finding import (
    Finding,
    Findings,
    check_duration,
    check_host,
    check_labels,
    check_port,
    is_label_value,
)

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import DestinationRule, TrafficPolicy
    from minimesh.config.istio.service_entry import ServiceEntry


def check_destination_rule(spec: DestinationRule) -> Findings:
    if not spec.host:
        yield Finding("spec.host", "missing-field", "is empty; name the service that the rule is for")
    else:
        yield from check_host("spec.host", spec.host)
    yield from _traffic_policy("spec.trafficPolicy", spec.traffic_policy)
    names: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if subset.name and not is_label_value(subset.name):
            yield Finding(f"{path}.name", "bad-name", f'"{subset.name}" must be letters, digits, - _ . only')
        if subset.name and subset.name in names:
            yield Finding(f"{path}.name", "duplicate-name", f'another subset is called "{subset.name}" too')
        names.add(subset.name)
        yield from check_labels(f"{path}.labels", subset.labels)
        yield from _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy)


_LIMITS = {
    "tcp": ("maxConnections",),
    "http": ("http1MaxPendingRequests", "http2MaxRequests", "maxRequestsPerConnection", "maxRetries"),
}
_POOL_DURATIONS = {"tcp": ("connectTimeout", "maxConnectionDuration"), "http": ("idleTimeout",)}


def _traffic_policy(path: str, policy: TrafficPolicy | None) -> Findings:
    if policy is None:
        return
    yield from _port_policy(path, policy)
    for index, setting in enumerate(policy.port_level_settings):
        at = f"{path}.portLevelSettings[{index}]"
        if setting.port is None:
            yield Finding(f"{at}.port", "missing-field", "is missing; say which port the settings are for")
        else:
            yield from check_port(f"{at}.port.number", setting.port.number)
        yield from _port_policy(at, setting)


def _port_policy(path: str, policy: Any) -> Findings:
    """Rules for what a traffic policy and the policy of one port have in common."""
    balancer = policy.load_balancer
    if balancer is not None and balancer.simple is not None and balancer.consistent_hash is not None:
        yield Finding(
            f"{path}.loadBalancer.consistentHash", "several-matches", "does not go with simple; keep one"
        )
    pool = policy.connection_pool
    for side in ("tcp", "http"):
        settings = getattr(pool, side, None)
        if settings is None:
            continue
        for name in _LIMITS[side]:
            value = getattr(settings, _snake(name))
            if value < 0:
                yield Finding(
                    f"{path}.connectionPool.{side}.{name}",
                    "bad-value",
                    f"must not be negative, it is {value}",
                )
        for name in _POOL_DURATIONS[side]:
            yield from check_duration(f"{path}.connectionPool.{side}.{name}", getattr(settings, _snake(name)))
    detection = policy.outlier_detection
    if detection is None:
        return
    for name in ("interval", "baseEjectionTime"):
        yield from check_duration(f"{path}.outlierDetection.{name}", getattr(detection, _snake(name)))
    for name in ("maxEjectionPercent", "minHealthPercent"):
        value = getattr(detection, _snake(name))
        if not 0 <= value <= 100:
            message = f"must be a percentage from 0 to 100, not {value}"
            yield Finding(f"{path}.outlierDetection.{name}", "bad-value", message)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def check_service_entry(spec: ServiceEntry) -> Findings:
    if not spec.hosts:
        yield Finding("spec.hosts", "missing-field", "is empty; list the names of the service")
    if spec.workload_selector is not None and spec.endpoints:
        yield Finding(
            "spec.endpoints", "several-matches", "does not go with workloadSelector; keep one of them"
        )
    for index, port in enumerate(spec.ports):
        yield from check_port(f"spec.ports[{index}].number", port.number)
