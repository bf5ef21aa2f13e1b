"""What the router answers where no host did: counts, response flag, status and words, as Envoy's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.local_reply import (
    NO_HEALTHY_UPSTREAM,
    OVERLOADED,
    REQUEST_TIMEOUT,
    reset_body,
    reset_details,
)

if TYPE_CHECKING:
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.upstream.cluster import Cluster


def reply_no_cluster(stream: Stream, status: int) -> None:
    """The route names a cluster that is not there; `status`: what the route says to that."""
    stream.manager.stats.count("no_cluster")
    stream.info.add_flag("NC")
    stream.send_local_reply(status, b"", "cluster_not_found")


def reply_no_host(stream: Stream, cluster: Cluster) -> None:
    """The cluster has no host to send anything to."""
    cluster.stats.count("upstream_cx_none_healthy")
    cluster.stats.count_response(503)
    stream.info.add_flag("UH")
    stream.send_local_reply(503, NO_HEALTHY_UPSTREAM, "no_healthy_upstream")


def reply_reset(
    stream: Stream, cluster: Cluster, reason: ResetReason, transport_reason: str, *, retried: bool
) -> None:
    """The last try failed before a response came."""
    stream.info.add_flag(reason.flag)
    cluster.stats.count_response(reason.status)
    first = (OVERLOADED,) if reason is ResetReason.OVERFLOW else ()
    body = reset_body(reason, retried, transport_reason)
    stream.send_local_reply(reason.status, body, reset_details(reason, transport_reason), first)


def reply_timeout(stream: Stream, cluster: Cluster, details: str) -> None:
    """No response came in time; `details` say which limit it was."""
    stream.info.add_flag("UT")
    cluster.stats.count_response(504)
    stream.send_local_reply(504, REQUEST_TIMEOUT, details)
