"""Listeners at the addresses that stand for `0.0.0.0` and `127.0.0.1` where pods share one network namespace.

istiod's listeners bind the wildcard address, and iptables brings calls to `virtualInbound`. The asyncio proxy
puts a pod's own addresses in their place when it binds. Envoy cannot, so a proxy may ask for it: its node
metadata has `MINIMESH_ADDRESSES`, and each of its listeners that binds gets real addresses here, last of all.
Names, chains and everything else stay as they were.

The capture of inbound calls needs no listener of its own. `virtualInbound` takes the pod's address with each
port that it has a chain for as an additional address, and as nothing was redirected, a connection's own port
is its original destination, by which the chain is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minimesh.control_plane.translation.protobuf_values import address
from minimesh.xds import messages as m
from minimesh.xds import resource_names

METADATA_KEY = "MINIMESH_ADDRESSES"
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_LOCALHOSTS = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """What a proxy says about its addresses. `port_map`: configured port -> the port that can be had."""

    pod_ip: str
    app_address: str = ""
    also_bind: tuple[str, ...] = ()
    port_map: Mapping[int, int] = field(default_factory=dict)
    capture: bool = False

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> PodAddresses | None:
        """What the node metadata asks for; None when it does not. ValueError when it makes no sense."""
        told = metadata.get(METADATA_KEY)
        if told is None:
            return None
        if not isinstance(told, Mapping) or not told.get("pod_ip"):
            raise ValueError(f"{METADATA_KEY} has no pod_ip")
        return cls(
            pod_ip=str(told["pod_ip"]),
            app_address=str(told.get("app_address") or ""),
            also_bind=tuple(str(each) for each in told.get("also_bind") or ()),
            port_map={int(port): int(real) for port, real in dict(told.get("port_map") or {}).items()},
            capture=told.get("capture") is True,
        )

    def real_port(self, port: int) -> int:
        return self.port_map.get(port, port)

    def hosts(self, host: str) -> tuple[str, ...]:
        """The addresses to bind for a configured one, the pod's own first."""
        if host in _WILDCARDS:
            return tuple(dict.fromkeys((self.pod_ip, *self.also_bind)))
        if host in _LOCALHOSTS and self.app_address:
            return (self.app_address,)
        return (host,)


def at_pod_addresses(listeners: Sequence[Any], addresses: PodAddresses) -> list[Any]:
    """The listeners as this pod can bind them; those that bind nothing are as they were."""
    return [_bound(listener, addresses) if _binds(listener) else listener for listener in listeners]


def from_pod_address(clusters: Sequence[Any], addresses: PodAddresses) -> list[Any]:
    """The clusters as this pod calls them: from its own address, by which the other pod knows the caller.

    Only clusters of Services are told so, whose pods are on this machine as well: from a loopback address
    nothing else can be reached.
    """
    if not addresses.pod_ip.startswith("127."):
        return list(clusters)
    return [_from(cluster, addresses.pod_ip) if _leads_to_pods(cluster) else cluster for cluster in clusters]


def _leads_to_pods(cluster: Any) -> bool:
    name = resource_names.parse_cluster_name(cluster.name)
    is_service = name is not None and ".svc." in name.hostname
    return is_service and cluster.type == cluster.EDS and not cluster.HasField("upstream_bind_config")


def _from(cluster: Any, host: str) -> Any:
    moved = m.cluster_pb2.Cluster()
    moved.CopyFrom(cluster)
    moved.upstream_bind_config.source_address.CopyFrom(address(host, 0).socket_address)
    return moved


def _binds(listener: Any) -> bool:
    binds = not listener.HasField("bind_to_port") or listener.bind_to_port.value
    return bool(binds and listener.address.HasField("socket_address"))


def _bound(listener: Any, addresses: PodAddresses) -> Any:
    configured = listener.address.socket_address
    inbound = listener.name == resource_names.VIRTUAL_INBOUND_LISTENER
    real = addresses.real_port(configured.port_value)
    sockets = [(host, real) for host in addresses.hosts(configured.address)]
    if inbound and addresses.capture:
        sockets += [
            (addresses.pod_ip, addresses.real_port(port))
            for port in _destinations(listener)
            if port != configured.port_value
        ]
    moved = m.listener_pb2.Listener()
    moved.CopyFrom(listener)
    (host, port), *more = dict.fromkeys(sockets)
    moved.address.CopyFrom(address(host, port))
    for host, port in more:
        moved.additional_addresses.add().address.CopyFrom(address(host, port))
    if inbound:
        for chain in moved.filter_chains:
            if chain.filter_chain_match.HasField("destination_port"):
                match = chain.filter_chain_match.destination_port
                match.value = addresses.real_port(match.value)
    return moved


def _destinations(listener: Any) -> Iterator[int]:
    """The ports that the listener has chains for."""
    for chain in listener.filter_chains:
        if port := chain.filter_chain_match.destination_port.value:
            yield int(port)
