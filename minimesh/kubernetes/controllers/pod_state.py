"""What controllers ask about a pod: is it active, ready, available."""

from __future__ import annotations

from datetime import datetime

from minimesh.config.resources import Resource
from minimesh.kubernetes.controllers.outcome import later


def is_active(pod: Resource) -> bool:
    """Whether the pod counts for its owner: it is not being removed and has not ended for good."""
    phase = pod.status.phase if pod.status is not None else ""
    return not pod.metadata.deletion_timestamp and phase not in ("Succeeded", "Failed")


def ready_since(pod: Resource) -> str:
    """Since when the pod is ready; empty when it is not."""
    if pod.status is None:
        return ""
    found = (c for c in pod.status.conditions if c.type == "Ready" and c.status == "True")
    return next((each.last_transition_time or pod.metadata.creation_timestamp for each in found), "")


def is_ready(pod: Resource) -> bool:
    """Whether all containers are ready."""
    return bool(ready_since(pod))


def available_at(pod: Resource, min_ready_s: float) -> datetime | None:
    """When the pod has been ready for long enough; None while it is not ready."""
    since = ready_since(pod)
    return later(since, min_ready_s) if since else None
