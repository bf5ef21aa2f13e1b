"""Consistent hashing: which DestinationRule setting applies to a route, and what Envoy hashes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.protobuf_values import duration
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import (
        ConsistentHashLB,
        HTTPCookie,
        PortTrafficPolicy,
        TrafficPolicy,
    )
    from minimesh.config.istio.traffic import Destination
    from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig


def hash_of_destination(
    destination: Destination, rule: DestinationRuleConfig | None
) -> ConsistentHashLB | None:
    """The ConsistentHashLB for a route's destination.

    The narrowest wins: the subset's port, the subset, the rule's port, the rule. A port counts only when the
    destination names it.
    """
    if rule is None:
        return None
    port = destination.port.number if destination.port is not None else None
    subset = rule.subset(destination.subset) if destination.subset else None
    subset_policy = subset.traffic_policy if subset is not None else None
    return (
        _hash_of_port(subset_policy, port)
        or _hash_of_policy(subset_policy)
        or _hash_of_port(rule.traffic_policy, port)
        or _hash_of_policy(rule.traffic_policy)
    )


def hash_of_service(port: int, rule: DestinationRuleConfig | None) -> ConsistentHashLB | None:
    """The ConsistentHashLB for a service port that is called without a VirtualService."""
    if rule is None:
        return None
    return _hash_of_port(rule.traffic_policy, port) or _hash_of_policy(rule.traffic_policy)


def hash_policy(consistent_hash: ConsistentHashLB) -> Any | None:
    """What of a request is hashed; None when the setting names nothing."""
    message = m.route_components_pb2.RouteAction.HashPolicy()
    if consistent_hash.http_header_name:
        message.header.header_name = consistent_hash.http_header_name
    elif consistent_hash.http_cookie is not None:
        _set_cookie(message.cookie, consistent_hash.http_cookie)
    elif consistent_hash.use_source_ip:
        message.connection_properties.source_ip = True
    elif consistent_hash.http_query_parameter_name:
        message.query_parameter.name = consistent_hash.http_query_parameter_name
    else:
        return None
    return message


def _set_cookie(message: Any, cookie: HTTPCookie) -> None:
    message.name = cookie.name
    message.path = cookie.path
    if cookie.ttl is not None:
        message.ttl.CopyFrom(duration(cookie.ttl))
    for attribute in cookie.attributes:
        message.attributes.add(name=attribute.name, value=attribute.value)


def _hash_of_policy(policy: TrafficPolicy | PortTrafficPolicy | None) -> ConsistentHashLB | None:
    balancer = policy.load_balancer if policy is not None else None
    return balancer.consistent_hash if balancer is not None else None


def _hash_of_port(policy: TrafficPolicy | None, port: int | None) -> ConsistentHashLB | None:
    if policy is None or port is None:
        return None
    for setting in policy.port_level_settings:
        if setting.port is not None and setting.port.number == port:
            return _hash_of_policy(setting)
    return None
