"""Which proxies a policy is attached to by reference (`targetRefs`), as opposed to by labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
"""By it a proxy that serves a Gateway of the Gateway API is known."""


def targets_proxy(references: Iterable[Any], labels: Mapping[str, str]) -> bool:
    """Whether one of the references is to the Gateway that a proxy of the same namespace serves."""
    gateway = labels.get(GATEWAY_NAME_LABEL)
    return gateway is not None and any(
        reference.kind == "Gateway" and reference.name == gateway for reference in references
    )
