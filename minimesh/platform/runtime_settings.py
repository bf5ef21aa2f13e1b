"""What the runtime of a mesh is told once: where the control plane is, which engine plays the proxies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from minimesh.platform.engine import Engine

GATEWAY_HTTP_PORT = 8080
"""The port of the ingress gateway's plain HTTP, in its pod and on this machine."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What the runtime is told once. `inherited` is the environment that pods take a few variables from."""

    xds_address: str
    ingress_port: int = GATEWAY_HTTP_PORT
    control_plane_ports: Mapping[int, int] = field(default_factory=dict)
    """Where istiod's ports are on this machine."""
    inherited: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    extra_metadata: Mapping[str, object] = field(default_factory=dict)
    """More node metadata for every proxy."""
    engine: Engine = field(default_factory=Engine)
    """Which proxies the real Envoy plays."""

    @property
    def is_first_mesh(self) -> bool:
        """Whether no mesh that began before has istiod's own ports.

        To that one's gateway belong the ports of localhost, also those that it does not listen on yet.
        """
        return all(port == real for port, real in self.control_plane_ports.items())
