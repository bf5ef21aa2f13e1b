"""Where a proxy is in its life, in Envoy's words."""

from __future__ import annotations

import time
from enum import Enum


class ServerState(Enum):
    """Envoy's ServerInfo.State; the values are those of the enum in the proto."""

    LIVE = 0
    DRAINING = 1
    PRE_INITIALIZING = 2
    INITIALIZING = 3


class StateHolder:
    """The state, whether health checks are to fail, and since when the process runs."""

    def __init__(self) -> None:
        self.value = ServerState.PRE_INITIALIZING
        self.healthy = True
        self.started_at = time.monotonic()

    def set(self, state: ServerState) -> None:
        self.value = state

    @property
    def reported(self) -> ServerState:
        """What is told to the outside: failed health checks look like draining."""
        return self.value if self.healthy or self.value is not ServerState.LIVE else ServerState.DRAINING

    @property
    def uptime_s(self) -> int:
        return int(time.monotonic() - self.started_at)
