"""How far each proxy has come: what it has of each type, ACK or NACK, and how long the last change took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.discovery.delivery import SyncState
from minimesh.control_plane.discovery.status import proxy_status
from minimesh.xds import messages as m
from minimesh.xds.resource_names import RUNTIME_TYPE_URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from minimesh.control_plane.discovery.delivery import Delivery
    from minimesh.control_plane.discovery.pusher import Connection
    from minimesh.control_plane.discovery.snapshot import Snapshot
    from minimesh.control_plane.server import ControlPlane


def shown_proxies(control_plane: ControlPlane) -> dict[str, Any]:
    """All proxies as plain data, and when something changed last (seconds since the epoch, or None)."""
    return {
        "changed_at": control_plane.changed_at,
        "proxies": [
            {
                "name": name,
                "engine": _engine(connection),
                "types": proxy_status(connection, connection.proxy)["types"],
                "since_change_ms": _since_change_ms(connection.delivery, control_plane.changed_at),
            }
            for name, connection in _connections(control_plane)
            if connection.proxy is not None
        ],
    }


def is_converged(control_plane: ControlPlane) -> bool:
    """Whether every proxy has accepted or refused all that it was sent."""
    return not any(
        each.state is SyncState.STALE
        for _, connection in _connections(control_plane)
        for each in connection.delivery.status().values()
    )


def knows_what_to_tell(control_plane: ControlPlane) -> bool:
    """Whether every proxy that asks how many requests it is to tell of has the answer."""
    return all(_has_runtime(connection.delivery) for _, connection in _connections(control_plane))


def snapshots(control_plane: ControlPlane) -> Mapping[str, Snapshot]:
    """What each proxy is to have now, by `NAMESPACE/POD`."""
    return {
        name: connection.delivery.wanted
        for name, connection in _connections(control_plane)
        if connection.delivery.wanted is not None
    }


def endpoints_of(known: Iterable[Snapshot], cluster: str) -> list[tuple[str, int]]:
    """Address and weight of the endpoints of a cluster, from the first proxy that knows it."""
    for snapshot in known:
        found = snapshot.endpoints.resources.get(cluster)
        if found is not None:
            message = m.endpoint_pb2.ClusterLoadAssignment()
            found.any.Unpack(message)
            endpoints = (each for locality in message.endpoints for each in locality.lb_endpoints)
            return [
                (each.endpoint.address.socket_address.address, each.load_balancing_weight.value or 1)
                for each in endpoints
            ]
    return []


def _since_change_ms(delivery: Delivery, changed_at: float | None) -> float | None:
    """From the last change to the last ACK that followed it; None: it brought this proxy nothing new."""
    acked = [each.acked_at for each in delivery.status().values() if each.acked_at is not None]
    if changed_at is None or not acked or max(acked) < changed_at:
        return None
    return round((max(acked) - changed_at) * 1000, 1)


def _has_runtime(delivery: Delivery) -> bool:
    known = delivery.stream.type(RUNTIME_TYPE_URL)
    return not known.subscribed or known.acked_version == delivery.runtime.version


def _connections(control_plane: ControlPlane) -> Iterator[tuple[str, Connection]]:
    for connection in control_plane.connections:
        if connection.proxy is not None:
            yield f"{connection.proxy.namespace}/{connection.proxy.name}", connection


def _engine(connection: Connection) -> str:
    node = connection.delivery.stream.node
    return "asyncio" if node is None or node.user_agent_name == "minimesh" else "envoy"
