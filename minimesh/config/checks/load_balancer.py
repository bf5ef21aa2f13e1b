"""Rules for the load balancer of a DestinationRule."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, check_duration
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import (
        ConsistentHashLB,
        LoadBalancerSettings,
        LocalityLoadBalancerSetting,
    )

_MAGLEV_TABLE_LIMIT = 5_000_011
"""The size at which Envoy refuses a table."""


def check_load_balancer(path: str, settings: LoadBalancerSettings | None, *, ejects: bool) -> Findings:
    """`ejects`: whether outlier detection says which hosts fail."""
    if settings is None:
        return
    if settings.simple is not None and settings.consistent_hash is not None:
        yield Finding(f"{path}.consistentHash", "several-matches", "does not go with simple; keep one")
    if settings.consistent_hash is not None:
        yield from _consistent_hash(f"{path}.consistentHash", settings.consistent_hash)
    if settings.locality_lb_setting is not None:
        yield from _locality(f"{path}.localityLbSetting", settings.locality_lb_setting, ejects=ejects)
        if settings.zone_aware_lb_setting is not None:
            message = "localityLbSetting and zoneAwareLbSetting must not be set together; keep one"
            yield Finding(f"{path}.zoneAwareLbSetting", "several-matches", message)
    yield from check_duration(f"{path}.warmupDurationSecs", settings.warmup_duration_secs)
    if settings.warmup is not None:
        yield from check_duration(f"{path}.warmup.duration", settings.warmup.duration)


def _consistent_hash(path: str, hashing: ConsistentHashLB) -> Findings:
    if hashing.minimum_ring_size:
        message = "consistent hash MinimumRingSize is deprecated, use ringHash.minimumRingSize instead"
        yield Finding(f"{path}.minimumRingSize", "deprecated", message, Severity.WARNING)
        if hashing.ring_hash is not None or hashing.maglev is not None:
            message = "only one of MinimumRingSize or Maglev/Ringhash can be specified"
            yield Finding(f"{path}.minimumRingSize", "several-matches", message)
    if hashing.maglev is None:
        return
    at, size = f"{path}.maglev.tableSize", hashing.maglev.table_size
    if size == 0:
        yield Finding(at, "missing-field", "tableSize must be set for maglev")
    elif size >= _MAGLEV_TABLE_LIMIT:
        yield Finding(at, "bad-value", f"tableSize must be less than {_MAGLEV_TABLE_LIMIT} for maglev")
    elif not _is_prime(size):
        yield Finding(at, "bad-value", f"tableSize must be a prime number for maglev, {size} is not")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, isqrt(number) + 1))


def _locality(path: str, setting: LocalityLoadBalancerSetting, *, ejects: bool) -> Findings:
    fails_over = bool(setting.failover or setting.failover_priority)
    if setting.distribute and fails_over:
        message = "can not simultaneously specify 'distribute' and 'failover' or 'failover_priority'"
        yield Finding(f"{path}.distribute", "several-matches", message)
    if fails_over and not ejects:
        message = "outlier detection policy must be provided for failover"
        yield Finding(path, "missing-field", message, Severity.WARNING)
    for index, one in enumerate(setting.distribute):
        total = sum(one.to.values())
        if total != 100:
            message = f"total locality weight {total} != 100"
            yield Finding(f"{path}.distribute[{index}].to", "bad-weight", message)
    for index, failover in enumerate(setting.failover):
        if failover.from_ == failover.to:
            message = f"locality lb failover settings must specify different regions, both are {failover.to}"
            yield Finding(f"{path}.failover[{index}].to", "bad-value", message)
