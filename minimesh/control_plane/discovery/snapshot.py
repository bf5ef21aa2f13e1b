"""What one proxy is to have: its resources packed for the wire, a version for each type, their references.

A version is a hash of content, so that the same configuration always has the same version, whoever computed
it and whenever: an unchanged version means that there is nothing to send. Packing, hashing and the
consistency check happen once, here; delivery only compares and copies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VERSION_LENGTH = 12
"""Hexadecimal digits; a proxy compares a handful of versions, 48 bits never collide among them."""

_HTTP_CONNECTION_MANAGER = m.http_connection_manager_pb2.HttpConnectionManager
_TCP_PROXY = m.tcp_proxy_pb2.TcpProxy


class ResourceSet(Protocol):
    """What translation gives for one proxy: name -> message, for each type."""

    @property
    def clusters(self) -> Mapping[str, Any]: ...
    @property
    def endpoints(self) -> Mapping[str, Any]: ...
    @property
    def listeners(self) -> Mapping[str, Any]: ...
    @property
    def routes(self) -> Mapping[str, Any]: ...
    @property
    def secrets(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Contents:
    """All resources of one type, each packed in an Any, and the hash of them all."""

    resources: Mapping[str, Any]
    version: str

    @classmethod
    def pack(cls, messages: Mapping[str, Any]) -> Contents:
        """Pack messages by name; the order in which they come makes no difference to the version."""
        return cls.of({name: packed(message) for name, message in messages.items()})

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> Contents:
        """Contents of resources that are packed already."""
        digest = hashlib.sha256()
        for name in sorted(resources):
            value = resources[name].value
            digest.update(f"{len(name)} {name} {len(value)} ".encode())
            digest.update(value)
        return cls(resources, digest.hexdigest()[:VERSION_LENGTH])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole configuration of one proxy."""

    clusters: Contents
    endpoints: Contents
    listeners: Contents
    routes: Contents
    secrets: Contents
    cluster_references: frozenset[str]
    """Clusters that listeners and routes send traffic to."""
    route_references: frozenset[str]
    """Route configurations that listeners fetch by RDS."""
    inconsistencies: tuple[str, ...]
    """References to what is not there, in words. Traffic that meets one gets Envoy's own answer (503 NC,
    404), as in Istio, so they are told and do not hold up the rest."""

    @classmethod
    def build(cls, resources: ResourceSet) -> Snapshot:
        """Pack, hash and check. A missing load assignment is completed with an empty one: a cluster without
        any would keep the proxy waiting."""
        missing = {
            name: m.endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
            for name in eds_names(resources.clusters.values())
            if name not in resources.endpoints
        }
        managers = list(_connection_managers(resources.listeners.values()))
        cluster_references = frozenset(_cluster_references(resources, managers))
        route_references = frozenset(each.rds.route_config_name for each in managers if each.HasField("rds"))
        return cls(
            clusters=Contents.pack(resources.clusters),
            endpoints=Contents.pack({**resources.endpoints, **missing}),
            listeners=Contents.pack(resources.listeners),
            routes=Contents.pack(resources.routes),
            secrets=Contents.pack(resources.secrets),
            cluster_references=cluster_references,
            route_references=route_references,
            inconsistencies=(
                *_told("no load assignment for cluster", missing),
                *_told("traffic is sent to an absent cluster", cluster_references - set(resources.clusters)),
                *_told(
                    "a listener refers to an absent route configuration",
                    route_references - set(resources.routes),
                ),
            ),
        )


def packed(message: Any) -> Any:
    """The message in an Any, map fields in a fixed order so that equal messages are equal bytes."""
    wrapped = m.any_pb2.Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def eds_names(clusters: Iterable[Any]) -> Iterator[str]:
    """The load assignments that clusters of type EDS ask for."""
    for cluster in clusters:
        if cluster.type == m.cluster_pb2.Cluster.EDS:
            yield cluster.eds_cluster_config.service_name or cluster.name


def _told(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what}: {name}" for name in sorted(names)]


def _filters(listeners: Iterable[Any]) -> Iterator[Any]:
    for listener in listeners:
        for chain in listener.filter_chains:
            yield from chain.filters
        yield from listener.default_filter_chain.filters


def _connection_managers(listeners: Iterable[Any]) -> Iterator[Any]:
    for each in _filters(listeners):
        if each.typed_config.Is(_HTTP_CONNECTION_MANAGER.DESCRIPTOR):
            manager = _HTTP_CONNECTION_MANAGER()
            each.typed_config.Unpack(manager)
            yield manager


def _cluster_references(resources: ResourceSet, managers: Iterable[Any]) -> Iterator[str]:
    for each in _filters(resources.listeners.values()):
        if each.typed_config.Is(_TCP_PROXY.DESCRIPTOR):
            tcp_proxy = _TCP_PROXY()
            each.typed_config.Unpack(tcp_proxy)
            yield from _destinations(tcp_proxy)
    for manager in managers:
        yield from _route_destinations(manager.route_config)
    for configuration in resources.routes.values():
        yield from _route_destinations(configuration)


def _route_destinations(configuration: Any) -> Iterator[str]:
    for virtual_host in configuration.virtual_hosts:
        for route in virtual_host.routes:
            if route.HasField("route"):
                yield from _destinations(route.route)
                yield from (
                    mirror.cluster for mirror in route.route.request_mirror_policies if mirror.cluster
                )


def _destinations(action: Any) -> Iterator[str]:
    """Of a route action or a TCP proxy, which spell this alike."""
    if action.cluster:
        yield action.cluster
    yield from (weighted.name for weighted in action.weighted_clusters.clusters)
