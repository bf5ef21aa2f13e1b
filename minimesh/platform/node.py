"""This machine as the one node of the cluster."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from typing import Any

from minimesh.config.resources import ObjectMeta, Resource
from minimesh.config.timestamps import timestamp
from minimesh.platform.pod_events import NODE_NAME

PODS_LIMIT = 110
"""How many pods run at once; as many as a kubelet takes unless it is told otherwise."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def node(now: datetime, version: str) -> Resource:
    """The Node of this machine; `version` is what the API server calls itself."""
    metadata = ObjectMeta(
        name=NODE_NAME,
        labels={
            "kubernetes.io/arch": _architecture(),
            "kubernetes.io/hostname": NODE_NAME,
            "kubernetes.io/os": platform.system().lower(),
            "node-role.kubernetes.io/control-plane": "",
        },
    )
    # The kind is not typed: what it holds is plain data.
    return Resource(
        api_version="v1",
        kind="Node",
        metadata=metadata,
        spec={},
        status=_status(now, version),
        raw={"spec": {}},
    )


def lease() -> Resource:
    """What a kubelet would renew to show that its node lives; here one process is both, and nobody asks."""
    content = {"spec": {"holderIdentity": NODE_NAME, "leaseDurationSeconds": 40}}
    metadata = ObjectMeta(name=NODE_NAME, namespace="kube-node-lease")
    return Resource(
        api_version="coordination.k8s.io/v1", kind="Lease", metadata=metadata, spec=content, raw=content
    )


def _status(now: datetime, version: str) -> dict[str, Any]:
    written = timestamp(now)
    amounts = {"cpu": str(os.cpu_count() or 1), "memory": f"{_memory_kib()}Ki", "pods": str(PODS_LIMIT)}
    return {
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": NODE_NAME},
        ],
        "allocatable": amounts,
        "capacity": amounts,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "minimesh runs pods as processes of this machine",
                "lastHeartbeatTime": written,
                "lastTransitionTime": written,
            }
        ],
        "nodeInfo": {
            "architecture": _architecture(),
            "containerRuntimeVersion": f"minimesh://{version.removeprefix('v')}",
            "kernelVersion": platform.release(),
            "kubeletVersion": version,
            "operatingSystem": platform.system().lower(),
            "osImage": platform.system(),
        },
    }


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _memory_kib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
