"""The class that a pod's requests and limits put it in. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from minimesh.config.kubernetes.pod import ResourceRequirements

_COUNTED = ("cpu", "memory")


def qos_class(resources: Iterable[ResourceRequirements | None]) -> str:
    """Of the containers' resources: what is limited is requested too, where nothing else is said."""
    asked = [
        (dict(each.limits), {**each.limits, **each.requests}) if each else ({}, {}) for each in resources
    ]
    amounts = [(limits.get(name), requests.get(name)) for limits, requests in asked for name in _COUNTED]
    if not any(limit or request for limit, request in amounts):
        return "BestEffort"
    return "Guaranteed" if all(limit and limit == request for limit, request in amounts) else "Burstable"
