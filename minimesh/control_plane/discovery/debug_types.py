"""Istio's debug types over ADS: what a real istioctl asks a control plane for. Pure: connections -> messages.

A client asks on the stream that proxies use, by a type URL below `istio.io/debug/`, and gets one response. It
is no proxy: it is not introduced, and nothing is pushed to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m
from minimesh.xds.resource_names import SHORT_TYPE_NAMES

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.pusher import Connection

PREFIX = "istio.io/debug/"
SYNCZ = f"{PREFIX}syncz"
#: Our words are those of `istioctl proxy-status`; the message has an enum.
_STATES = {"SYNCED": "SYNCED", "STALE": "STALE", "NOT SENT": "NOT_SENT", "ERROR": "ERROR"}


def is_debug_request(request: Any) -> bool:
    """Whether a DiscoveryRequest comes from such a client."""
    return bool(request.type_url.startswith(PREFIX))


def debug_response(request: Any, connections: Iterable[Connection], version: str) -> Any:
    """The DiscoveryResponse; without resources for a debug type that is not known here."""
    identity = {"Component": "istiod", "ID": "istiod", "Info": {"version": version}}
    response = m.discovery_pb2.DiscoveryResponse(type_url=request.type_url)
    response.control_plane.identifier = json.dumps(identity)
    if request.type_url == SYNCZ:
        for connection in connections:
            response.resources.add().Pack(_client_config(connection))
    return response


def _client_config(connection: Connection) -> Any:
    config = m.csds_pb2.ClientConfig()
    if connection.delivery.stream.node is not None:
        config.node.CopyFrom(connection.delivery.stream.node)
    urls = {short: url for url, short in SHORT_TYPE_NAMES.items()}
    for short, status in connection.delivery.status().items():
        state = m.csds_pb2.ConfigStatus.Value(_STATES[status.state])
        each = config.generic_xds_configs.add(type_url=urls[short], config_status=state)
        if status.acked_at is not None:
            each.last_updated.FromMilliseconds(int(status.acked_at * 1000))
    return config
