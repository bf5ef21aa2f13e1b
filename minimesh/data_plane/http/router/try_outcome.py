"""What becomes known of a host by a try: for its own counters, and for who watches its health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.grpc_status import http_status
from minimesh.data_plane.http.interfaces import ResetReason

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.host import Host


def tell_of_response(cluster: Cluster, host: Host, response: ResponseHead) -> None:
    """For who watches: a gRPC status counts in place of the one that is always 200.

    The host's own counters are the router's to keep, which spares every good response this call.
    """
    status = response.status
    grpc_status = response.header_values("grpc-status")
    if grpc_status:
        status = http_status(grpc_status[0])
    unwelcome = bool(response.header_values("x-envoy-immediate-health-check-fail"))
    cluster.health.on_response(host, status, unwelcome=unwelcome)


def tell_of_failure(cluster: Cluster, host: Host, reason: ResetReason) -> None:
    """No response came."""
    host.requests_error += 1
    # A limit of the cluster's own says nothing of the host.
    if cluster.is_watched and reason is not ResetReason.OVERFLOW:
        cluster.health.on_failure(host)


def tell_of_timeout(cluster: Cluster, host: Host) -> None:
    """No response came in time."""
    host.requests_timeout += 1
    if cluster.is_watched:
        cluster.health.on_timeout(host)
