"""How far each proxy has come: what it has of each type, ACK or NACK, and how long a change took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.discovery.delivery import SyncState
from minimesh.control_plane.discovery.status import proxy_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from minimesh.control_plane.discovery.pusher import Connection
    from minimesh.control_plane.discovery.snapshot import Snapshot
    from minimesh.control_plane.server import ControlPlane


class PushTimes:
    """Milliseconds from a change of the configuration to each proxy's last ACK of it."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[Snapshot, float]] = {}

    def shown(self, control_plane: ControlPlane, now: float) -> list[dict[str, Any]]:
        """All proxies as plain data; `now` in seconds since the epoch."""
        found = []
        for name, connection in _connections(control_plane):
            assert connection.proxy is not None
            status = proxy_status(connection, connection.proxy)
            found.append(
                {
                    "name": name,
                    "engine": _engine(connection),
                    "types": status["types"],
                    "since_change_ms": self._since_change_ms(name, connection, now),
                }
            )
        return found

    def _since_change_ms(self, name: str, connection: Connection, now: float) -> float | None:
        wanted = connection.delivery.wanted
        if wanted is None:
            return None
        known = self._wanted.get(name)
        if known is None or known[0] is not wanted:
            known = self._wanted[name] = (wanted, now)
        acked = [each.acked_at for each in connection.delivery.status().values() if each.acked_at is not None]
        return round(max(0.0, max(acked, default=known[1]) - known[1]) * 1000, 1)


def is_converged(control_plane: ControlPlane) -> bool:
    """Whether every proxy has accepted or refused all that it was sent."""
    return not any(
        each.state is SyncState.STALE
        for _, connection in _connections(control_plane)
        for each in connection.delivery.status().values()
    )


def snapshots(control_plane: ControlPlane) -> Mapping[str, Snapshot]:
    """What each proxy is to have now, by `NAMESPACE/POD`."""
    return {
        name: connection.delivery.wanted
        for name, connection in _connections(control_plane)
        if connection.delivery.wanted is not None
    }


def _connections(control_plane: ControlPlane) -> Iterator[tuple[str, Connection]]:
    for connection in control_plane.connections:
        if connection.proxy is not None:
            yield f"{connection.proxy.namespace}/{connection.proxy.name}", connection


def _engine(connection: Connection) -> str:
    node = connection.delivery.stream.node
    return "asyncio" if node is None or node.user_agent_name == "minimesh" else "envoy"
