"""Copies of a request for other clusters. Whatever becomes of them, the request itself does not notice.

A copy goes off once the request is complete, so its body is kept until then; a body above the limit is not
mirrored. The answer is read to its end, for the connection's sake, and dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.routing.authority import without_port
from minimesh.data_plane.upstream.connection_pool import PoolFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.interfaces import ResetReason, UpstreamExchange
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.timers import Deadline, TimerWheel
    from minimesh.data_plane.routing.actions import MirrorPolicy, RouteAction
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.connection_pool import Pool
    from minimesh.data_plane.upstream.host import Host


def mirroring_of(
    stream: Stream, action: RouteAction, head: RequestHead, timeout_s: float, limit_bytes: int
) -> Mirroring | None:
    """The copies to make of a request whose headers are as they go upstream; None when there are none.

    A tunnel (an upgrade) has no end at which it could be copied.
    """
    if stream.upgrade:
        return None
    policies = [each for each in action.mirrors if each.fraction.includes(stream.random_value)]
    if not policies:
        return None
    copy = head.copy()
    own_address = (stream.info.downstream_local_address or "").rpartition(":")[0].strip("[]")
    copy.set_header("x-envoy-internal", "true")
    copy.set_header("x-forwarded-for", ",".join((*copy.header_values("x-forwarded-for"), own_address)))
    return Mirroring(policies, copy, stream.connection.timers, timeout_s, limit_bytes)


class Mirroring:
    """The copies of one request, while its body is coming in."""

    __slots__ = ("_body", "_bytes_left", "_head", "_policies", "_timeout_s", "_timers")

    def __init__(
        self,
        policies: list[MirrorPolicy],
        head: RequestHead,
        timers: TimerWheel,
        timeout_s: float,
        limit_bytes: int,
    ) -> None:
        self._policies = policies
        self._head = head
        self._timers = timers
        self._timeout_s = timeout_s
        self._bytes_left = limit_bytes
        self._body: list[bytes] = []

    def on_data(self, data: bytes, end_stream: bool) -> None:
        """Part of the body; with the last one the copies go off."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self._policies, self._body = [], []
            return
        self._body.append(data)
        if end_stream:
            self._send()

    def _send(self) -> None:
        body = b"".join(self._body)
        for policy in self._policies:
            cluster = policy.cluster.cluster
            if cluster is not None:
                copy = self._head.copy()
                copy.authority = _host_of_copy(policy, copy.authority)
                MirroredRequest(cluster, copy, body).send(self._timers, self._timeout_s)
        self._policies, self._body = [], []


def _host_of_copy(policy: MirrorPolicy, authority: str) -> str:
    """The host a copy asks for: marked as a shadow, in front of the port."""
    if policy.host_rewrite:
        return policy.host_rewrite
    if not policy.append_shadow_suffix:
        return authority
    host = without_port(authority)
    return f"{host}-shadow{authority[len(host) :]}"


class MirroredRequest:
    """One copy on its way: `Requester` of a pool, `ResponseReceiver` of a connection."""

    __slots__ = (
        "_answered", "_body", "_cluster", "_connection", "_deadline", "_head", "_host", "_waiting_on",
    )  # fmt: skip

    def __init__(self, cluster: Cluster, head: RequestHead, body: bytes) -> None:
        self._answered = False
        self._cluster = cluster
        self._head = head
        self._body = body
        self._host: Host | None = None
        self._connection: UpstreamExchange | None = None
        self._waiting_on: Pool | None = None
        self._deadline: Deadline | None = None

    def send(self, timers: TimerWheel, timeout_s: float) -> None:
        """Off it goes, if there is a host for it; given up after `timeout_s` (0: never)."""
        host = self._cluster.choose_host()
        stats = self._cluster.stats
        stats.store.counter("http.async-client.rq_total").inc()
        if host is None:
            stats.count("upstream_cx_none_healthy")
            stats.count_response(503, internal=True)
            return
        if timeout_s:
            self._deadline = timers.call_after(timeout_s, self._give_up)
        pool = self._waiting_on = self._cluster.pool_of(host)
        connection = pool.acquire(self)
        if connection is not None:
            self.on_pool_ready(connection, host)

    def on_pool_ready(self, connection: UpstreamExchange, host: Host) -> None:
        self._waiting_on = None
        self._connection, self._host = connection, host
        host.active_requests += 1
        host.requests_total += 1
        resources = self._cluster.resources
        resources.requests += 1
        resources.stats.rq_total.inc()
        resources.stats.rq_active.inc()
        connection.start(self, self._head, self._body, True, False)

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        self._waiting_on = None
        host.requests_error += 1
        if self._cluster.is_watched and failure is not PoolFailure.OVERFLOW:
            self._cluster.health.on_failure(host)
        self._cluster.stats.count_response(503, internal=True)
        self._end()

    def on_continue(self) -> None: ...

    def on_upstream_writable(self, writable: bool) -> None: ...

    def on_response_head(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        self._answered = True
        self._cluster.stats.count_response(response.status, internal=True)
        if self._host is not None:
            if response.status >= 500:
                self._host.requests_error += 1
            else:
                self._host.requests_success += 1
            if self._cluster.is_watched:
                self._cluster.health.on_response(self._host, response.status, unwelcome=False)
        if end_stream:
            self._end()

    def on_response_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._end()

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        self._end()

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        if self._host is not None:
            self._host.requests_error += 1
            if self._cluster.is_watched:
                self._cluster.health.on_failure(self._host)
        self._cluster.stats.count_response(reason.status, internal=True)
        self._end()

    def _give_up(self) -> None:
        """It takes too long."""
        self._cluster.stats.rq_timeout.inc()
        if self._cluster.is_watched and self._host is not None and not self._answered:
            self._cluster.health.on_timeout(self._host)
        connection, waiting_on = self._connection, self._waiting_on
        self._waiting_on = None
        self._end()
        if waiting_on is not None:
            waiting_on.cancel(self)
        if connection is not None:
            connection.abandon()

    def _end(self) -> None:
        """Over, however: the counts of what is under way go down."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._connection is not None:
            self._connection = None
            assert self._host is not None
            self._host.active_requests -= 1
            resources = self._cluster.resources
            resources.requests -= 1
            resources.stats.rq_active.dec()
