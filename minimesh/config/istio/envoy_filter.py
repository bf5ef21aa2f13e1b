"""EnvoyFilter: patches to the configuration that the proxies get. Their values are Envoy's own messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from minimesh.config.istio.selection import TargetRefs
from minimesh.config.istio.traffic import PortNumber, WorkloadSelector
from minimesh.config.schema import Int32, Json, Message, Rule, UInt32, message


class ApplyTo(StrEnum):
    """What is patched."""

    INVALID = "INVALID"
    LISTENER = "LISTENER"
    FILTER_CHAIN = "FILTER_CHAIN"
    NETWORK_FILTER = "NETWORK_FILTER"
    HTTP_FILTER = "HTTP_FILTER"
    ROUTE_CONFIGURATION = "ROUTE_CONFIGURATION"
    VIRTUAL_HOST = "VIRTUAL_HOST"
    HTTP_ROUTE = "HTTP_ROUTE"
    CLUSTER = "CLUSTER"
    EXTENSION_CONFIG = "EXTENSION_CONFIG"
    BOOTSTRAP = "BOOTSTRAP"
    LISTENER_FILTER = "LISTENER_FILTER"


class PatchContext(StrEnum):
    """Where the patched configuration is used."""

    ANY = "ANY"
    SIDECAR_INBOUND = "SIDECAR_INBOUND"
    SIDECAR_OUTBOUND = "SIDECAR_OUTBOUND"
    GATEWAY = "GATEWAY"
    WAYPOINT = "WAYPOINT"


class PatchOperation(StrEnum):
    """How the value is put in."""

    INVALID = "INVALID"
    MERGE = "MERGE"
    ADD = "ADD"
    REMOVE = "REMOVE"
    INSERT_BEFORE = "INSERT_BEFORE"
    INSERT_AFTER = "INSERT_AFTER"
    INSERT_FIRST = "INSERT_FIRST"
    REPLACE = "REPLACE"
    MERGE_AND_REPLACE_LIST = "MERGE_AND_REPLACE_LIST"


class FilterClass(StrEnum):
    """Where in the chain a new filter goes."""

    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class RouteAction(StrEnum):
    """What a route does."""

    ANY = "ANY"
    ROUTE = "ROUTE"
    REDIRECT = "REDIRECT"
    DIRECT_RESPONSE = "DIRECT_RESPONSE"


@message
class ProxyMatch(Message):
    """Proxies by their version and metadata."""

    proxy_version: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@message
class SubFilterMatch(Message):
    """A filter within the HTTP connection manager."""

    name: str = ""


@message
class FilterMatch(Message):
    """A network filter."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


@message
class FilterChainMatch(Message):
    """A filter chain."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    transport_socket: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: UInt32 = 0


@message
class ListenerMatch(Message):
    """A listener."""

    port_number: UInt32 = 0
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


@message
class RouteMatch(Message):
    """A route of a virtual host."""

    name: str = ""
    action: RouteAction | None = None


@message
class VirtualHostMatch(Message):
    """A virtual host."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


@message
class RouteConfigurationMatch(Message):
    """A route configuration."""

    port_number: UInt32 = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


@message
class ClusterMatch(Message):
    """A cluster."""

    port_number: UInt32 = 0
    service: str = ""
    subset: str = ""
    name: str = ""


@message
class WaypointRouteMatch(Message):
    """A route of a waypoint."""

    name: str = ""


@message
class WaypointMatch(Message):
    """What is patched in a waypoint."""

    port_number: PortNumber = 0
    filter: FilterMatch | None = None
    route: WaypointRouteMatch | None = None


def _waypoint_in_waypoints(given: Mapping[str, Any]) -> bool:
    return ("waypoint" in given) == (given.get("context") is PatchContext.WAYPOINT)


def _one_object(given: Mapping[str, Any]) -> bool:
    return len({"listener", "routeConfiguration", "cluster", "waypoint"} & given.keys()) <= 1


@message
class EnvoyConfigObjectMatch(Message):
    """Which configuration of which proxies is patched."""

    schema_rules = (
        Rule("only support waypointMatch when context is WAYPOINT", _waypoint_in_waypoints),
        Rule("at most one of listener, routeConfiguration, cluster, waypoint can be set", _one_object),
    )

    context: PatchContext | None = None
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None


@message
class Patch(Message):
    """What is put in, and how."""

    operation: PatchOperation | None = None
    value: Json = None
    filter_class: FilterClass | None = None


@message
class EnvoyConfigObjectPatch(Message):
    """One patch."""

    apply_to: ApplyTo | None = None
    match: EnvoyConfigObjectMatch | None = None
    patch: Patch | None = None


def _at_most_one_target(given: Mapping[str, Any]) -> bool:
    return not ("workloadSelector" in given and "targetRefs" in given)


@message
class EnvoyFilter(Message):
    """Patches to the configuration of the selected proxies."""

    schema_rules = (Rule("only one of targetRefs or workloadSelector can be set", _at_most_one_target),)

    workload_selector: WorkloadSelector | None = None
    target_refs: TargetRefs = ()
    config_patches: tuple[EnvoyConfigObjectPatch, ...] = ()
    priority: Int32 = 0
