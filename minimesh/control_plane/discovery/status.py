"""What operators see of the connected proxies: plain data for JSON, no logic."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.delivery import TypeStatus
    from minimesh.control_plane.discovery.pusher import Connection
    from minimesh.control_plane.discovery.snapshot import Contents, Snapshot
    from minimesh.control_plane.service_registry.workloads import RegisteredWorkload
    from minimesh.control_plane.translation.proxy import Proxy


def proxy_status(connection: Connection, proxy: Proxy) -> dict[str, Any]:
    """One proxy: who it is, and how far each type has come. Times are RFC 3339 in UTC."""
    wanted = connection.delivery.wanted
    return {
        "id": proxy.id,
        "name": proxy.name,
        "namespace": proxy.namespace,
        "type": proxy.type,
        "ip": proxy.ip,
        "connected_since": _time(connection.connected_since),
        "types": {short: _type_status(each) for short, each in connection.delivery.status().items()},
        "inconsistencies": list(wanted.inconsistencies) if wanted is not None else [],
    }


def _type_status(status: TypeStatus) -> dict[str, Any]:
    return {**asdict(status), "acked_at": _time(status.acked_at)}


def sync_status(connection: Connection, proxy: Proxy) -> dict[str, Any]:
    """One proxy as istiod's /debug/syncz shows it: the nonces sent and acknowledged."""
    types = connection.delivery.status()
    names = {"CDS": "cluster", "EDS": "endpoint", "LDS": "listener", "RDS": "route"}
    nonces = {}
    for short, name in names.items():
        nonces[f"{name}_sent"] = types[short].nonce
        nonces[f"{name}_acked"] = types[short].acked_nonce
    return {
        "cluster_id": str(proxy.metadata.get("CLUSTER_ID", "")),
        "proxy": f"{proxy.name}.{proxy.namespace}",
        "proxy_type": proxy.type,
        "istio_version": str(proxy.metadata.get("ISTIO_VERSION", "")),
        **nonces,
    }


def registered_workload(workload: RegisteredWorkload) -> dict[str, Any]:
    """A workload that is there because its proxy is connected."""
    return {
        "name": workload.name,
        "namespace": workload.namespace,
        "address": workload.address,
        "labels": dict(workload.labels),
        "named_ports": dict(workload.named_ports),
        "service_account": workload.service_account,
    }


def config_dump(snapshot: Snapshot) -> dict[str, Any]:
    """What a proxy is meant to have, in the JSON shape of Envoy's /config_dump?include_eds."""
    shared = m.config_dump_shared_pb2
    clusters = shared.ClustersConfigDump(version_info=snapshot.clusters.version)
    _fill(clusters.dynamic_active_clusters, "cluster", snapshot.clusters)
    endpoints = shared.EndpointsConfigDump()
    _fill(endpoints.dynamic_endpoint_configs, "endpoint_config", snapshot.endpoints)
    listeners = shared.ListenersConfigDump(version_info=snapshot.listeners.version)
    for name, each in sorted(snapshot.listeners.resources.items()):
        dynamic = listeners.dynamic_listeners.add(name=name)
        dynamic.active_state.version_info = snapshot.listeners.version
        dynamic.active_state.listener.CopyFrom(each.any)
    routes = shared.RoutesConfigDump()
    _fill(routes.dynamic_route_configs, "route_config", snapshot.routes)

    dump = m.config_dump_pb2.ConfigDump()
    for each in (clusters, endpoints, listeners, routes):
        dump.configs.add().Pack(each)
    shown: dict[str, Any] = m.json_format.MessageToDict(dump, preserving_proto_field_name=True)
    return shown


def _fill(entries: Any, field: str, contents: Contents) -> None:
    for _, each in sorted(contents.resources.items()):
        getattr(entries.add(version_info=contents.version), field).CopyFrom(each.any)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
