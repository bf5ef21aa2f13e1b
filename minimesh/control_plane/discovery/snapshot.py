"""What one proxy is to have: its resources packed for the wire, a version for each type, their references.

A version is a hash of content, so that the same configuration always has the same version, whoever computed
it and whenever: an unchanged version means that there is nothing to send. Packing, hashing and the
consistency check happen once, here; delivery only compares and copies.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from minimesh.control_plane.translation.layers import Layers
from minimesh.xds import messages as m
from minimesh.xds.resource_names import parse_cluster_name
from minimesh.xds.responses import VERSION_LENGTH, Packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_HTTP_CONNECTION_MANAGER = m.http_connection_manager_pb2.HttpConnectionManager
ValueT = TypeVar("ValueT")
_TCP_PROXY = m.tcp_proxy_pb2.TcpProxy
#: How many versions there can be.
_VERSIONS = 16**VERSION_LENGTH


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


class Contents:
    """All resources of one type by name, and the hash of them all."""

    __slots__ = ("__weakref__", "_compared", "_of_hosts", "_sum", "resources", "version")

    def __init__(self, resources: Mapping[str, Packed]) -> None:
        """The order in which resources come makes no difference to the version."""
        self._set(resources, sum([each.number for each in resources.values()]))
        self._of_hosts: Mapping[str, Sequence[str]] | None = None

    def _set(self, resources: Mapping[str, Packed], total: int) -> None:
        self.resources = resources
        self._sum = total
        self.version = f"{total % _VERSIONS:0{VERSION_LENGTH}x}"
        self._compared: tuple[weakref.ref[Contents], frozenset[str]] | None = None

    @classmethod
    def pack(cls, messages: Mapping[str, Any]) -> Contents:
        """Contents of messages by name."""
        return cls({name: Packed.of(name, message) for name, message in messages.items()})

    def updated(self, changed: Mapping[str, Packed]) -> Contents:
        """The same but for these, which are there already and other. Costs less than to make it anew."""
        made = Contents.__new__(Contents)
        before = sum([self.resources[name].number for name in changed])
        total = self._sum - before + sum([each.number for each in changed.values()])
        made._set({**self.resources, **changed}, total)
        made._compared = (weakref.ref(self), frozenset(changed))
        made._of_hosts = self._of_hosts
        return made

    def over(self, shared: Contents) -> Contents:
        """These and the shared ones, of which no name is among these. Costs less than to make it anew."""
        made = Contents.__new__(Contents)
        made._set({**shared.resources, **self.resources}, shared._sum + self._sum)
        made._of_hosts = None
        return made

    def of_hosts(self, hosts: Iterable[str]) -> list[str]:
        """The names that are clusters' of these hosts."""
        if self._of_hosts is None:
            found: dict[str, list[str]] = {}
            for name in self.resources:
                cluster = parse_cluster_name(name)
                found.setdefault(cluster.hostname if cluster is not None else "", []).append(name)
            self._of_hosts = found
        return [name for host in hosts for name in self._of_hosts.get(host, ())]

    def differences(self, older: Contents) -> frozenset[str]:
        """The names that are new or other than in `older`. Many proxies ask the same, so it is remembered."""
        if self._compared is not None and self._compared[0]() is older:
            return self._compared[1]
        before = older.resources
        found = frozenset(
            name
            for name, each in self.resources.items()
            if (known := before.get(name)) is not each and (known is None or known.version != each.version)
        )
        self._compared = (weakref.ref(older), found)
        return found


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

    endpoint_names: Mapping[str, str]
    """Cluster -> its load assignment, where that has another name."""

    def endpoint_name(self, cluster: str) -> str:
        """The name under which a cluster's endpoints are asked for."""
        return self.endpoint_names.get(cluster, cluster)

    @classmethod
    def build(cls, resources: ResourceSet, packing: Packing | None = None) -> Snapshot:
        """Pack, hash and check. A missing load assignment is completed with an empty one: a cluster without
        any would keep the proxy waiting. `packing` remembers what was packed for other proxies."""
        packing = packing or Packing()
        references = packing.references(resources.listeners) | packing.references(resources.routes)
        asked = packing.references(resources.clusters)
        missing = {
            name: m.endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
            for name in asked.endpoints - resources.endpoints.keys()
        }
        endpoints = {**resources.endpoints, **missing} if missing else resources.endpoints
        clusters = packing.contents(resources.clusters)
        routes = packing.contents(resources.routes)
        return cls(
            clusters=clusters,
            endpoints=packing.contents(endpoints),
            listeners=packing.contents(resources.listeners),
            routes=routes,
            secrets=packing.contents(resources.secrets),
            cluster_references=references.clusters,
            route_references=references.routes,
            inconsistencies=(
                *_told("no load assignment for cluster", missing),
                *_told(
                    "traffic is sent to an absent cluster", references.clusters - clusters.resources.keys()
                ),
                *_told(
                    "a listener refers to an absent route configuration",
                    references.routes - routes.resources.keys(),
                ),
            ),
            endpoint_names=asked.endpoint_names,
        )


@dataclass(frozen=True, slots=True)
class References:
    """What resources name: where they send traffic, get their routes, and get their endpoints."""

    clusters: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    endpoint_names: Mapping[str, str] = field(default_factory=dict)
    """Cluster -> its load assignment, where that has another name."""

    def __or__(self, other: References) -> References:
        return References(
            self.clusters | other.clusters,
            self.routes | other.routes,
            self.endpoints | other.endpoints,
            {**self.endpoint_names, **other.endpoint_names},
        )


class Packing:
    """Packs, hashes and reads each message once, though many proxies share it.

    Messages are known by identity: translation gives out the same object wherever it made only one, and the
    same mapping where proxies have a whole layer in common. What is not asked for between two calls of `turn`
    is forgotten.
    """

    def __init__(self) -> None:
        self._packed: _Memory[Packed] = _Memory()
        self._references: _Memory[References] = _Memory()
        self._contents: _Memory[Contents] = _Memory()

    def turn(self) -> None:
        """A push is over."""
        self._packed.turn()
        self._references.turn()
        self._contents.turn()

    def contents(self, messages: Mapping[str, Any]) -> Contents:
        """The contents of a mapping, which must not change any more."""
        if isinstance(messages, Layers):
            own = Contents.pack(messages.own)
            return own.over(self.contents(messages.shared)) if messages.shared else own
        return self._contents.get(messages, self._make_contents)

    def references(self, messages: Mapping[str, Any]) -> References:
        """Of all resources in a mapping, which must not change any more."""
        if isinstance(messages, Layers):
            return self.references(messages.shared) | _all_references(messages.own, _references)
        return self._references.get(messages, self._make_references)

    def _make_contents(self, messages: Mapping[str, Any]) -> Contents:
        packed = self._packed.get
        return Contents(
            {
                name: packed(message, lambda made, name=name: Packed.of(name, made))  # type: ignore[misc]
                for name, message in messages.items()
            }
        )

    def _make_references(self, messages: Mapping[str, Any]) -> References:
        return _all_references(messages, lambda each: self._references.get(each, _references))


class _Memory(Generic[ValueT]):
    """What was made of objects, by identity. Holds them, so that no other one gets such an identity."""

    def __init__(self) -> None:
        self._now: dict[int, tuple[Any, ValueT]] = {}
        self._before: dict[int, tuple[Any, ValueT]] = {}

    def get(self, key: Any, make: Callable[[Any], ValueT]) -> ValueT:
        number = id(key)
        found = self._now.get(number)
        if found is None:
            found = self._before.get(number) or (key, make(key))
            self._now[number] = found
        return found[1]

    def turn(self) -> None:
        self._before, self._now = self._now, {}


def _all_references(messages: Mapping[str, Any], of: Callable[[Any], References]) -> References:
    found = [of(message) for message in messages.values()]
    names = {cluster: name for each in found for cluster, name in each.endpoint_names.items()}
    return References(
        frozenset().union(*(each.clusters for each in found)),
        frozenset().union(*(each.routes for each in found)),
        frozenset().union(*(each.endpoints for each in found)),
        names,
    )


def _told(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what}: {name}" for name in sorted(names)]


def _references(message: Any) -> References:
    if message.DESCRIPTOR is m.cluster_pb2.Cluster.DESCRIPTOR:
        return _references_of_cluster(message)
    if message.DESCRIPTOR is m.route_pb2.RouteConfiguration.DESCRIPTOR:
        return References(clusters=frozenset(_route_destinations(message)))
    clusters: set[str] = set()
    routes: set[str] = set()
    for chain in (*message.filter_chains, message.default_filter_chain):
        for each in chain.filters:
            config = each.typed_config
            if config.Is(_HTTP_CONNECTION_MANAGER.DESCRIPTOR):
                manager = _HTTP_CONNECTION_MANAGER.FromString(config.value)
                clusters.update(_route_destinations(manager.route_config))
                if manager.HasField("rds"):
                    routes.add(manager.rds.route_config_name)
            elif config.Is(_TCP_PROXY.DESCRIPTOR):
                clusters.update(_destinations(_TCP_PROXY.FromString(config.value)))
    return References(frozenset(clusters), frozenset(routes))


def _references_of_cluster(cluster: Any) -> References:
    if cluster.type != m.cluster_pb2.Cluster.EDS:
        return References()
    name = cluster.eds_cluster_config.service_name or cluster.name
    return References(
        endpoints=frozenset((name,)), endpoint_names={cluster.name: name} if name != cluster.name else {}
    )


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
