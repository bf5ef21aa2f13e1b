"""Which of a host's pools a request takes a connection from, where a host has more than one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.routing.authority import without_port

if TYPE_CHECKING:
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.connection_pool import Pool
    from minimesh.data_plane.upstream.host import Host


def choose_pool(cluster: Cluster, host: Host, stream: Stream, *, high_priority: bool) -> Pool:
    """By the server name the connections are for, the route's priority, the client's protocol.

    Without any of these there is one: `cluster.pool_of(host)`, which the router asks for itself.
    """
    http2 = stream.info.protocol == "HTTP/2"
    if cluster.auto_sni:
        assert stream.head is not None
        return cluster.named_pool_of(host, without_port(stream.head.authority).lower(), http2=http2)
    if high_priority:
        return cluster.high_priority_pool_of(host, http2=http2)
    if cluster.as_downstream and http2:
        return cluster.http2_pool_of(host)
    return cluster.pool_of(host)
