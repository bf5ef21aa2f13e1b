"""The proxies of the scenarios: for each engine a gateway and a sidecar, as processes that one control plane
configures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimesh.platform.envoy_bootstrap import envoy_bootstrap
from minimesh.platform.pod_network import PodAddress
from minimesh.platform.proxy_process import envoy_node
from tests.processes import end

ENGINES = ("asyncio", "envoy")
HTTP_PROXY_PORT = 15080
_STOP_S = 10.0
_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True)
class ProxyProcess:
    """One proxy: who it is, where it listens, and where its log is."""

    engine: str
    kind: str
    name: str
    namespace: str
    labels: dict[str, str]
    address: PodAddress
    log: Path

    @property
    def node_id(self) -> str:
        domain = f"{self.namespace}.{_DOMAIN}"
        return f"{self.kind}~{self.address.pod_ip}~{self.name}.{self.namespace}~{domain}"

    @property
    def metadata(self) -> dict[str, Any]:
        return {
            "NAME": self.name,
            "NAMESPACE": self.namespace,
            "LABELS": self.labels,
            "INSTANCE_IPS": self.address.pod_ip,
            "ISTIO_VERSION": "1.27.0",
            "CLUSTER_ID": "Kubernetes",
            "APP_ADDRESS": self.address.app_address,
        }

    @property
    def admin(self) -> str:
        return f"http://{self.address.pod_ip}:15000"

    def command(self, ads_port: int) -> list[str]:
        cluster = f"{self.labels['app']}.{self.namespace}"
        if self.engine == "envoy":
            from minimesh.platform.engine import installed_envoy

            node = envoy_node(
                self.node_id, cluster, self.metadata, self.address, captures=self.kind == "sidecar"
            )
            bootstrap = json.dumps(envoy_bootstrap(node, ("127.0.0.1", ads_port)))
            return [
                *(installed_envoy(), "--config-yaml", bootstrap, "--concurrency", "1"),
                *("--disable-hot-restart", "--file-flush-interval-msec", "20", "-l", "error"),
            ]
        capture = ["--capture"] if self.kind == "sidecar" else []
        return [
            *(sys.executable, "-m", "minimesh", "proxy", "--xds", f"127.0.0.1:{ads_port}"),
            *("--node-id", self.node_id, "--node-cluster", cluster),
            *("--node-metadata", json.dumps(self.metadata)),
            *("--admin", self.admin.removeprefix("http://"), "--pod-ip", self.address.pod_ip),
            *("--app-address", self.address.app_address, *capture, "-l", "error"),
        ]

    @contextlib.asynccontextmanager
    async def running(self, ads_port: int) -> AsyncIterator[None]:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command(ads_port), stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": os.getcwd()}
            )
        try:
            yield
        finally:
            await end(process, _STOP_S)
