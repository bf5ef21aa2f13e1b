"""The last filter: from a request with a route to an exchange with a host, and again when that fails.

        start -> CHOOSING -> WAITING for a connection -> SENT -> response: up to the stream
                    ^------- backing off <----- failed, and the retry policy says so

One router serves one request. It is the `Requester` of pools and the `ResponseReceiver` of connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import ResetReason, UpstreamExchange
from minimesh.data_plane.http.router.control_headers import take_retry_policy, take_timeouts
from minimesh.data_plane.http.router.headers import (
    finish_request,
    finish_response,
    renew_request,
    take_grpc_timeout_s,
    without_body,
)
from minimesh.data_plane.http.router.host_choice import HostChoice
from minimesh.data_plane.http.router.mirror import Mirroring, mirroring_of
from minimesh.data_plane.http.router.pool_choice import choose_pool
from minimesh.data_plane.http.router.replies import (
    reply_no_cluster,
    reply_no_host,
    reply_reset,
    reply_timeout,
)
from minimesh.data_plane.http.router.retry import Retry, RetryState, is_admitted, retries_of
from minimesh.data_plane.http.router.retrying import Retrying
from minimesh.data_plane.http.router.try_limits import TRY_IDLE, TryLimits
from minimesh.data_plane.http.router.try_outcome import tell_of_failure, tell_of_response, tell_of_timeout
from minimesh.data_plane.routing.actions import DEFAULT_ROUTE_TIMEOUT_S, RouteAction
from minimesh.data_plane.routing.matchers import is_grpc
from minimesh.data_plane.upstream.connection_pool import PoolFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.timers import Deadline
    from minimesh.data_plane.routing.route_table import Route
    from minimesh.data_plane.upstream.circuit_breakers import ClusterResources
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.connection_pool import Pool
    from minimesh.data_plane.upstream.host import Host

_RESET_OF_FAILURE = {
    PoolFailure.OVERFLOW: ResetReason.OVERFLOW,
    PoolFailure.CONNECT_FAILURE: ResetReason.REMOTE_CONNECTION_FAILURE,
    PoolFailure.CONNECT_TIMEOUT: ResetReason.CONNECTION_TIMEOUT,
}


class Router:
    """See the module."""

    __slots__ = (
        "_active", "_cluster", "_deadline", "_done", "_end_stream", "_held", "_held_bytes", "_host_choice",
        "_mirroring", "_paused_downstream", "_replay_limit_bytes", "_resources", "_response_started",
        "_retries", "_retrying", "_timeout_s", "_try_limits", "_try_timeout_s", "action", "attempt",
        "connection", "host", "loop", "route", "stream", "waiting_on",
    )  # fmt: skip

    def __init__(self, stream: Stream, route: Route, action: RouteAction) -> None:
        self.stream = stream
        self.route = route
        self.action = action
        self.loop = stream.connection.loop
        self.attempt = 1
        self.host: Host | None = None
        self.connection: UpstreamExchange | None = None
        #: The pool in which the request waits for a connection.
        self.waiting_on: Pool | None = None
        policy = action.retry_policy
        self._retries = None if policy is None else RetryState(policy, stream.manager.random)
        if policy is not None and policy.retriable_request_headers:
            self._retries = retries_of(policy, stream)
        self._try_timeout_s = 0.0 if policy is None else policy.per_try_timeout_s or 0.0
        limit = route.retry_buffer_limit_bytes
        self._replay_limit_bytes = stream.manager.config.buffer_limit_bytes if limit is None else limit
        timeout_s = action.timeout_s
        self._timeout_s = DEFAULT_ROUTE_TIMEOUT_S if timeout_s is None else timeout_s
        self._cluster: Cluster
        self._resources: ClusterResources
        #: Where the request has a say in the choice of its host; else None.
        self._host_choice: HostChoice | None = None
        #: The body so far: kept until a connection is there, and longer while a retry may need it.
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._end_stream = False
        self._response_started = False
        self._done = False
        self._active = False
        self._paused_downstream = False
        #: None until a try has failed.
        self._retrying: Retrying | None = None
        self._mirroring: Mirroring | None = None
        self._deadline: Deadline | None = None
        #: Where the policy limits a try, while one is with its host.
        self._try_limits: TryLimits | None = None

    # --- the request ---

    def start(self, data: bytes, end_stream: bool) -> None:
        """Send the request on its way, or answer that it cannot be."""
        stream = self.stream
        choice = stream.choice
        assert choice is not None
        cluster, action = choice.handle.cluster, self.action
        if cluster is None:
            reply_no_cluster(stream, action.cluster_not_found_status)
            return
        self._cluster = cluster
        self._resources = cluster.high_priority_resources if action.priority_high else cluster.resources
        stream.info.upstream_request_attempt_count = 1
        head = stream.head
        assert head is not None
        # Only filters and the route's own changes can have put control headers there.
        controlled = stream.filters or choice.request_headers.steps
        if controlled:
            self._heed_timeout_headers(head)
        if action.max_grpc_timeout_s is not None:
            self._timeout_s = take_grpc_timeout_s(head, action, self._timeout_s)
        finish_request(stream, action, head, self._timeout_s, self._try_timeout_s)
        if controlled:
            self._heed_retry_headers(head)
        if data:
            self._hold(data)
        self._note_end(end_stream)
        if action.mirrors:
            self._try_and_mirror(head, data)
        else:
            self._try()

    def _heed_timeout_headers(self, head: RequestHead) -> None:
        timeout_s, try_timeout_s = take_timeouts(head)
        if timeout_s is not None:
            self._timeout_s = timeout_s
        if try_timeout_s is not None:
            self._try_timeout_s = try_timeout_s

    def _heed_retry_headers(self, head: RequestHead) -> None:
        old = self.action.retry_policy
        policy = take_retry_policy(head, old)
        if policy is not old:
            self._retries = None if policy is None else retries_of(policy, self.stream)

    def _try_and_mirror(self, head: RequestHead, data: bytes) -> None:
        # Copied first, because a try may still change the host; sent second, so that nothing waits for it.
        mirroring = mirroring_of(self.stream, self.action, head, self._timeout_s, self._replay_limit_bytes)
        self._try()
        if mirroring is not None and not self._done:
            self._mirroring = mirroring
            mirroring.on_data(data, self._end_stream)

    def on_request_data(self, data: bytes, end_stream: bool) -> None:
        """More of the request's body."""
        if self._done:
            return
        connection = self.connection
        if connection is None or self._retries is not None:
            self._hold(data)
        self._note_end(end_stream)
        if connection is not None:
            trailers = self.stream.request_trailers if end_stream else ()
            if data or not trailers:
                connection.send_data(data, end_stream and not trailers)
            if trailers:
                connection.send_trailers(trailers)
            if end_stream:
                self.stream.info.last_upstream_tx_at = self.loop.time()
                if self._try_limits is not None and not self._response_started:
                    self._try_limits.request_complete()
        if self._mirroring is not None:
            self._mirroring.on_data(data, end_stream)

    def _hold(self, data: bytes) -> None:
        """Keep a piece of the body. Too much to keep: no retry any more, or the client has to wait."""
        self._held_bytes += len(data)
        if self._held_bytes > self._replay_limit_bytes:
            if self._retries is not None:
                self._cluster.stats.count("retry_or_shadow_abandoned")
                self._retries = None
            if self.connection is not None:
                self._held = []
                return
            if not self._paused_downstream:
                self._paused_downstream = True
                self.stream.connection.pause_request(True)
        self._held.append(data)

    def _note_end(self, end_stream: bool) -> None:
        self._end_stream = end_stream
        info = self.stream.info
        if end_stream and info.last_downstream_rx_at is None:
            info.last_downstream_rx_at = self.loop.time()
        elif end_stream or not self.stream.upgrade or self._response_started:
            return
        # A request to change protocols is complete but for what goes through the tunnel.
        if self._timeout_s and self._deadline is None:
            timers = self.stream.connection.timers
            self._deadline = timers.call_after(self._timeout_s, self._on_timeout)

    # --- one try ---

    def _try(self) -> None:
        cluster, choice = self._cluster, self.stream.choice
        assert choice is not None
        retrying = self._retrying
        if retrying is not None or cluster.by_request:
            if self._host_choice is None:
                self._host_choice = HostChoice(cluster, self.stream, self.action)
            host = self._host_choice.choose(() if retrying is None else retrying.hosts)
        else:
            host = cluster.choose_host(choice.metadata_match)
        if host is None:
            reply_no_host(self.stream, cluster)
            return
        self.host = host
        self.stream.info.upstream_host = host.name
        high = self.action.priority_high
        if high or cluster.auto_sni or cluster.as_downstream:
            pool = choose_pool(cluster, host, self.stream, high_priority=high)
        else:
            pool = cluster.pool_of(host)
        self.waiting_on = pool
        connection = pool.acquire(self)
        if connection is not None:
            self.on_pool_ready(connection, host)

    def on_pool_ready(self, connection: UpstreamExchange, host: Host) -> None:
        """A connection for this request."""
        self.waiting_on = None
        info, stream = self.stream.info, self.stream
        if stream.manager.meters_bytes:
            assert stream.head is not None
            info.request_headers_bytes = stream.head.byte_size()
            connection = connection.metered(info)
        self.connection = connection
        info.upstream_local_address = connection.local_address
        info.upstream_connection_id = connection.connection_id
        info.upstream_protocol = connection.protocol
        info.upstream_transport_failure_reason = None
        if host.metadata:
            info.upstream_host_metadata = dict(host.metadata)
        if self.action.auto_host_rewrite and host.spec.hostname and stream.head is not None:
            stream.head.authority = info.authority = host.spec.hostname
        self._count_active(host)
        if self._cluster.is_watched:
            self._cluster.health.on_connected(host)
        now = self.loop.time()
        if info.first_upstream_tx_at is None:
            info.first_upstream_tx_at = now
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        if self._retries is None:
            self._held = []
        assert stream.head is not None
        trailers = stream.request_trailers
        connection.start(self, stream.head, data, self._end_stream and not trailers, bool(stream.upgrade))
        if trailers and self._end_stream and self.connection is connection:
            connection.send_trailers(trailers)
        if self._paused_downstream:
            self._paused_downstream = False
            stream.connection.pause_request(False)
        retries = self._retries
        idle_limit_s = 0.0 if retries is None else retries.policy.per_try_idle_timeout_s or 0.0
        if (idle_limit_s or self._try_timeout_s) and self.connection is connection:
            self._limit_try(idle_limit_s)

    def _limit_try(self, idle_limit_s: float) -> None:
        limits = self._try_limits = TryLimits(
            self.stream.connection.timers,
            self.loop.time,
            self._try_timeout_s,
            idle_limit_s,
            self._on_try_over,
        )
        if self._end_stream and not self._response_started:
            limits.request_complete()

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        """No connection to this host could be had."""
        self.waiting_on = None
        info = self.stream.info
        if failure is PoolFailure.OVERFLOW:
            info.upstream_host = None
        else:
            info.upstream_transport_failure_reason = transport_reason or None
        self._failed(_RESET_OF_FAILURE[failure], transport_reason, request_sent=False)

    def _count_active(self, host: Host) -> None:
        self._active = True
        host.active_requests += 1
        host.requests_total += 1
        resources = self._resources
        resources.requests += 1
        resources.stats.rq_total.value += 1
        resources.stats.rq_active.value += 1

    # --- the response ---

    def on_continue(self) -> None:
        if self.stream.manager.config.proxy_100_continue and not self._response_started:
            self.stream.send_continue()

    def on_response_head(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """An answer. Perhaps not the one to pass on."""
        stream, info = self.stream, self.stream.info
        now = self.loop.time()
        if end_stream:
            self._end_exchange()
        host = self.host
        assert host is not None
        if response.status >= 500:
            host.requests_error += 1
        else:
            host.requests_success += 1
        if self._cluster.is_watched:
            tell_of_response(self._cluster, host, response)
        retries = self._retries
        if retries is not None and retries.concerns(response) and self._retry_after_response(response):
            return
        self._response_started = True
        self._retries = None
        self._held = []
        if info.first_upstream_rx_at is None or self.attempt > 1:
            info.first_upstream_rx_at = now
        info.response_code_details = "via_upstream"
        if stream.upgrade:
            self._answer_upgrade(response, data, end_stream)
            return
        self._cluster.stats.count_response(response.status)
        complete_at = info.last_downstream_rx_at
        if complete_at is not None and not stream.manager.config.suppress_envoy_headers:
            elapsed_ms = int((now - complete_at) * 1000)
            info.upstream_service_time_ms = elapsed_ms
            response.set_service_time(str(elapsed_ms))
        finish_response(stream, response, self.attempt, self._host_choice)
        stream.send_response(response, data, end_stream)

    def _answer_upgrade(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """101 opens the tunnel. Anything else in the 200s would confuse a client that expects it."""
        stream = self.stream
        if response.status == 101 and self._deadline is not None:
            self._deadline.cancel()  # a tunnel lasts as long as its ends want
            self._deadline = None
        if not 200 <= response.status < 300:
            self._cluster.stats.count_response(response.status)
            finish_response(stream, response, self.attempt, self._host_choice)
            stream.send_response(response, data, end_stream)
            return
        stream.info.response_code_details = "websocket_handshake_unsuccessful"
        stream.replied_locally = True
        stream.send_response(without_body(response), b"", True)

    def on_response_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._end_exchange()
        elif self._try_limits is not None:
            self._try_limits.touch()
        if not self._done:
            self.stream.send_data(data, end_stream)

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        self._end_exchange()
        if not self._done:
            self.stream.send_trailers(fields)

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        """The upstream is gone before the end."""
        shared = self.connection is not None and self.connection.is_multiplexed
        self._end_exchange()
        if reason is ResetReason.PROTOCOL_ERROR and not shared:  # else the connection counts
            self._cluster.stats.count("upstream_cx_protocol_error")
        if self._done:
            return
        if self._response_started:
            stream = self.stream
            if stream.head is not None and is_grpc(stream.head.sent_values("content-type")):
                # Envoy does so where it has put off counting a call as a success until the trailers.
                stream.manager.stats.count("rq_reset_after_downstream_response_started")
            stream.on_upstream_reset(reason, transport_reason)
        else:
            self._failed(reason, transport_reason, request_sent=True)

    # --- backpressure, both ways ---

    def on_downstream_writable(self, writable: bool) -> None:
        """The client's socket is full, or has room again."""
        if self.connection is not None:
            self.connection.pause_reading(not writable)

    def on_upstream_writable(self, writable: bool) -> None:
        self.stream.connection.pause_request(not writable)

    # --- failure, and again ---

    def _failed(self, reason: ResetReason, transport_reason: str, *, request_sent: bool) -> None:
        """No response will come of this try."""
        self._end_retry()
        if self.host is not None:
            tell_of_failure(self._cluster, self.host, reason)
        retries = self._retries
        if retries is not None and self._act_on(retries.after_reset(reason, request_sent)):
            return
        reply_reset(self.stream, self._cluster, reason, transport_reason, retried=self.attempt > 1)

    def _on_try_over(self, details: str) -> None:
        """A limit of this try is reached; `details` say which."""
        stats = self._cluster.stats
        if details == TRY_IDLE:
            stats.count("upstream_rq_per_try_idle_timeout")
            if self._response_started:
                self._break_off(details)
                return
        elif self._response_started:
            return
        else:
            stats.rq_per_try_timeout.inc()
        if self.host is not None:
            tell_of_timeout(self._cluster, self.host)
        self._give_up_exchange()
        self._end_retry()
        retries = self._retries
        reason = ResetReason.CONNECTION_TERMINATION
        if retries is not None and self._act_on(retries.after_reset(reason, request_sent=True)):
            return
        reply_timeout(self.stream, self._cluster, details)

    def _retry_after_response(self, response: ResponseHead) -> bool:
        assert self._retries is not None
        self._end_retry()
        decision = self._retries.after_response(response)
        if not self._act_on(decision):
            if self.attempt > 1 and decision is Retry.NO:
                self._cluster.stats.rq_retry_success.inc()
            return False
        self._cluster.stats.count_retried_response(response.status)
        return True

    def _act_on(self, decision: Retry) -> bool:
        """Go on with another try; False when there is to be none."""
        info, retries = self.stream.info, self._retries
        if not is_admitted(decision, self._resources, info):
            return False
        assert retries is not None
        self._give_up_exchange()
        if self._retrying is None:
            self._retrying = Retrying(self._resources)
        self._retrying.begin(retries, self.host, self.stream.connection.timers, self._try_again)
        self.attempt += 1
        info.upstream_request_attempt_count = self.attempt
        return True

    def _try_again(self) -> None:
        head, retrying = self.stream.head, self._retrying
        assert head is not None
        assert retrying is not None
        retrying.wait_no_more()
        renew_request(self.stream, head, self.attempt, self._timeout_s, self._try_timeout_s)
        self._try()

    def _end_retry(self) -> None:
        if self._retrying is not None:
            self._retrying.end()

    # --- the end ---

    def _on_timeout(self) -> None:
        """The route's time is over."""
        self._deadline = None
        self._cluster.stats.rq_timeout.inc()
        if self._response_started:
            if self.host is not None:
                self.host.requests_timeout += 1
            self._break_off("response_timeout")
            return
        if self.host is not None:
            tell_of_timeout(self._cluster, self.host)
        self._give_up_exchange()
        reply_timeout(self.stream, self._cluster, "response_timeout")

    def _break_off(self, details: str) -> None:
        """Time is over in the middle of the response."""
        self.stream.info.add_flag("UT")
        self.stream.info.response_code_details = details
        self.stream.break_off()

    def cancel(self) -> None:
        """The stream is over: nothing is heard of this request any more."""
        self._done = True
        self._held = []
        if self._deadline is not None:
            self._deadline.cancel()
        if self._retrying is not None:
            self._retrying.end()
        if self._active or self.waiting_on is not None or self._retrying is not None:
            self._give_up_exchange()

    def _end_exchange(self) -> None:
        """The exchange is over, however: the counts of what is under way go down."""
        self.connection = None
        if self._active:
            self._active = False
            assert self.host is not None
            self.host.active_requests -= 1
            resources = self._resources
            resources.requests -= 1
            resources.stats.rq_active.value -= 1
        if self._try_limits is not None:
            self._try_limits.cancel()
            self._try_limits = None

    def _give_up_exchange(self) -> None:
        connection, waiting_on = self.connection, self.waiting_on
        if waiting_on is not None:
            self.waiting_on = None
            waiting_on.cancel(self)
        if self._retrying is not None:
            self._retrying.wait_no_more()
        self._end_exchange()
        if connection is not None:
            if connection.is_multiplexed:
                self._cluster.stats.rq_tx_reset.inc()
            connection.abandon()
