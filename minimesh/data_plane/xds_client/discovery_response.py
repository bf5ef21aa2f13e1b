"""One DiscoveryResponse, applied to a live configuration: the same in whichever process it arrives."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.xds_client.config_update import LiveConfiguration, RejectedUpdateError
from minimesh.xds import messages as m
from minimesh.xds.resource_names import (
    CLUSTER_TYPE_URL,
    ENDPOINT_TYPE_URL,
    LISTENER_TYPE_URL,
    ROUTE_TYPE_URL,
    RUNTIME_TYPE_URL,
    SECRET_TYPE_URL,
)

_MESSAGES = {
    CLUSTER_TYPE_URL: m.cluster_pb2.Cluster,
    ENDPOINT_TYPE_URL: m.endpoint_pb2.ClusterLoadAssignment,
    LISTENER_TYPE_URL: m.listener_pb2.Listener,
    ROUTE_TYPE_URL: m.route_pb2.RouteConfiguration,
    RUNTIME_TYPE_URL: m.rtds_pb2.Runtime,
    SECRET_TYPE_URL: m.tls_secret_pb2.Secret,
}


def apply_response(configuration: LiveConfiguration, response: Any) -> None:
    """Put the response's resources in force. Raises RejectedUpdateError, or DecodeError for no messages."""
    messages = resources_of(response)
    update = {
        CLUSTER_TYPE_URL: configuration.update_clusters,
        ENDPOINT_TYPE_URL: configuration.update_endpoints,
        LISTENER_TYPE_URL: configuration.update_listeners,
        ROUTE_TYPE_URL: configuration.update_routes,
        RUNTIME_TYPE_URL: configuration.update_runtime,
        SECRET_TYPE_URL: configuration.update_secrets,
    }[response.type_url]
    update(messages, response.version_info)


def resources_of(response: Any) -> list[Any]:
    """The resources as messages of their type. Raises RejectedUpdateError for a type there is no use for."""
    cls = _MESSAGES.get(response.type_url)
    if cls is None:
        raise RejectedUpdateError(f"type {response.type_url}: not supported")
    return [cls.FromString(resource.value) for resource in response.resources]
