"""The last filter: from a request with a route to an exchange with a host, and again when that fails.

        start -> CHOOSING -> WAITING for a connection -> SENT -> response: up to the stream
                    ^------- backing off <----- failed, and the retry policy says so

One router serves one request. It is the `Requester` of pools and the `ResponseReceiver` of connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.control_headers import take_retry_policy, take_timeouts
from minimesh.data_plane.http.grpc_status import http_status
from minimesh.data_plane.http.grpc_timeout import grpc_route_timeout_s, grpc_timeout_text, is_grpc_call
from minimesh.data_plane.http.host_choice import HostChoice
from minimesh.data_plane.http.interfaces import ResetReason, UpstreamExchange
from minimesh.data_plane.http.local_reply import (
    NO_HEALTHY_UPSTREAM,
    OVERLOADED,
    REQUEST_TIMEOUT,
    reset_body,
    reset_details,
)
from minimesh.data_plane.http.messages import ResponseFields, ResponseHead
from minimesh.data_plane.http.mirror import Mirroring, mirroring_of
from minimesh.data_plane.http.retry import Retry, RetryState
from minimesh.data_plane.http.try_idleness import TryIdleness
from minimesh.data_plane.routing.actions import DEFAULT_ROUTE_TIMEOUT_S, RetryPolicy, RouteAction
from minimesh.data_plane.routing.authority import without_port
from minimesh.data_plane.upstream.connection_pool import PoolFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead
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

_OF_A_BODY = frozenset({"content-length", "content-type"})


class Router:
    """See the module."""

    __slots__ = (
        "_active", "_cluster", "_deadline", "_done", "_end_stream", "_held", "_held_bytes", "_host_choice",
        "_mirroring", "_paused_downstream", "_replay_limit_bytes", "_resources", "_response_started",
        "_retries", "_retry_counted", "_timeout_s", "_tried", "_try_deadline", "_try_idleness",
        "_try_timeout_s", "action", "attempt", "connection", "host", "loop", "route", "stream", "waiting_on",
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
            self._retries = self._retries_if_wanted(policy)
        self._try_timeout_s = 0.0 if policy is None else policy.per_try_timeout_s or 0.0
        limit = route.retry_buffer_limit_bytes
        self._replay_limit_bytes = stream.manager.config.buffer_limit_bytes if limit is None else limit
        timeout_s = action.timeout_s
        self._timeout_s = DEFAULT_ROUTE_TIMEOUT_S if timeout_s is None else timeout_s
        self._cluster: Cluster
        self._resources: ClusterResources
        #: Where the request has a say in the choice of its host; else None.
        self._host_choice: HostChoice | None = None
        self._try_idleness: TryIdleness | None = None
        #: The body so far: kept until a connection is there, and longer while a retry may need it.
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._end_stream = False
        self._response_started = False
        self._done = False
        self._active = False
        self._retry_counted = False
        self._paused_downstream = False
        self._tried: list[Host] = []
        self._mirroring: Mirroring | None = None
        self._deadline: Deadline | None = None
        self._try_deadline: Deadline | None = None

    # --- the request ---

    def start(self, data: bytes, end_stream: bool) -> None:
        """Send the request on its way, or answer that it cannot be."""
        stream = self.stream
        choice = stream.choice
        assert choice is not None
        cluster = choice.handle.cluster
        if cluster is None:
            stream.manager.stats.count("no_cluster")
            stream.info.add_flag("NC")
            stream.send_local_reply(self.action.cluster_not_found_status, b"", "cluster_not_found")
            return
        self._cluster = cluster
        high = self.action.priority_high
        self._resources = cluster.high_priority_resources if high else cluster.resources
        stream.info.upstream_request_attempt_count = 1
        head = stream.head
        assert head is not None
        # Only filters and the route's own changes can have put control headers there.
        controlled = stream.filters or choice.request_headers
        if controlled:
            self._heed_timeout_headers(head)
        self._finish_headers(head)
        if controlled:
            self._heed_retry_headers(head)
        if data:
            self._hold(data)
        self._note_end(end_stream)
        if self.action.mirrors:
            self._try_and_mirror(head, data)
        else:
            self._try()

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
                self._begin_try_timeout()
        if self._mirroring is not None:
            self._mirroring.on_data(data, end_stream)

    def on_downstream_writable(self, writable: bool) -> None:
        """The client's socket is full, or has room again."""
        if self.connection is not None:
            self.connection.pause_reading(not writable)

    def cancel(self) -> None:
        """The stream is over: nothing is heard of this request any more."""
        self._done = True
        self._held = []
        if self._deadline is not None:
            self._deadline.cancel()
        if self._retry_counted:
            self._count_retry(False)
        if self._active or self.waiting_on is not None or self._try_deadline is not None:
            self._give_up_exchange()

    def _finish_headers(self, head: RequestHead) -> None:
        """What the router adds to a request, in Envoy's order, and the route's own changes."""
        stream, action = self.stream, self.action
        config, choice, host = stream.manager.config, stream.choice, stream.virtual_host
        assert choice is not None
        assert host is not None
        if action.max_grpc_timeout_s is not None:
            self._heed_grpc_timeout(head)
        if (self._timeout_s or self._try_timeout_s) and not config.suppress_envoy_headers:
            self._tell_timeout(head)
        if host.settings.include_request_attempt_count:
            head.set_header("x-envoy-attempt-count", "1")
        if choice.request_headers.steps:
            choice.request_headers.apply(head, stream.info)
        if action.path_rewrite is not None:
            original = head.path
            rewritten = action.path_rewrite(original)
            if not config.suppress_envoy_headers:
                head.set_header("x-envoy-original-path", original)
                stream.info.original_path = original
            head.path = rewritten
        if choice.host_rewrite or action.host_rewrite is not None:
            self._rewrite_host(head)
        info = stream.info
        info.path, info.authority = head.path, head.authority
        if head.fields is not None:
            self._refresh_logged_headers(head)

    def _heed_grpc_timeout(self, head: RequestHead) -> None:
        """A gRPC call says itself how long it may take; the upstream is told what has come of that."""
        if is_grpc_call(head):
            self._timeout_s = timeout_s = grpc_route_timeout_s(head, self.action)
            if timeout_s:
                head.set_header("grpc-timeout", grpc_timeout_text(timeout_s))

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
            self._retries = None if policy is None else self._retries_if_wanted(policy)

    def _retries_if_wanted(self, policy: RetryPolicy) -> RetryState | None:
        """The retries of this request, if the policy is for requests like it."""
        head, conditions = self.stream.head, policy.retriable_request_headers
        assert head is not None
        if conditions and not any(each.matches(head) for each in conditions):
            return None
        return RetryState(policy, self.stream.manager.random)

    def _rewrite_host(self, head: RequestHead) -> None:
        choice, action = self.stream.choice, self.action
        assert choice is not None
        new = choice.host_rewrite or action.rewrite_host(head)
        if new is None or new == "":
            return
        original = head.authority
        if not choice.host_rewrite and not self.stream.manager.config.suppress_envoy_headers:
            head.set_header("x-envoy-original-host", original)
        if action.append_x_forwarded_host and original != new:
            known = head.header_values("x-forwarded-host")
            head.set_header("x-forwarded-host", ",".join((*known, original)))
        head.authority = new

    def _refresh_logged_headers(self, head: RequestHead) -> None:
        info = self.stream.info
        for attribute, name in (
            ("user_agent", "user-agent"),
            ("x_forwarded_for", "x-forwarded-for"),
            ("request_id", "x-request-id"),
        ):
            values = head.header_values(name)
            setattr(info, attribute, values[0] if values else None)

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
            if self._timeout_s:
                timers = self.stream.connection.timers
                self._deadline = timers.call_after(self._timeout_s, self._on_timeout)

    # --- one try ---

    def _try(self) -> None:
        cluster, choice = self._cluster, self.stream.choice
        assert choice is not None
        if self._tried or cluster.by_request:
            if self._host_choice is None:
                self._host_choice = HostChoice(cluster, self.stream, self.action)
            host = self._host_choice.choose(self._tried)
        else:
            host = cluster.choose_host(choice.metadata_match)
        if host is None:
            cluster.stats.count("upstream_cx_none_healthy")
            cluster.stats.count_response(503)
            self.stream.info.add_flag("UH")
            self.stream.send_local_reply(503, NO_HEALTHY_UPSTREAM, "no_healthy_upstream")
            return
        self.host = host
        self.stream.info.upstream_host = host.name
        if cluster.auto_sni:
            pool: Pool = self._named_pool(host)
        elif self.action.priority_high:
            http2 = self.stream.info.protocol == "HTTP/2"
            pool = cluster.high_priority_pool_of(host, http2=http2)
        elif cluster.as_downstream and self.stream.info.protocol == "HTTP/2":
            pool = cluster.http2_pool_of(host)
        else:
            pool = cluster.pool_of(host)
        self.waiting_on = pool
        connection = pool.acquire(self)
        if connection is not None:
            self.on_pool_ready(connection, host)

    def _named_pool(self, host: Host) -> Pool:
        head = self.stream.head
        assert head is not None
        name = without_port(head.authority).lower()
        return self._cluster.named_pool_of(host, name, http2=self.stream.info.protocol == "HTTP/2")

    def on_pool_ready(self, connection: UpstreamExchange, host: Host) -> None:
        """A connection for this request."""
        self.waiting_on = None
        self.connection = connection
        info, stream = self.stream.info, self.stream
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
        if self._end_stream and self._try_timeout_s:
            self._begin_try_timeout()
        retries = self._retries
        if retries is not None and retries.policy.per_try_idle_timeout_s and self.connection is connection:
            limit_s = retries.policy.per_try_idle_timeout_s
            timers = stream.connection.timers
            self._try_idleness = TryIdleness(timers, self.loop.time, limit_s, self._on_try_idle)

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
        if self._try_deadline is not None:
            self._try_deadline.cancel()
            self._try_deadline = None
        if self._try_idleness is not None:
            self._try_idleness.cancel()
            self._try_idleness = None

    def _give_up_exchange(self) -> None:
        connection, waiting_on = self.connection, self.waiting_on
        if waiting_on is not None:
            self.waiting_on = None
            waiting_on.cancel(self)
        self._end_exchange()
        if connection is not None:
            if connection.is_multiplexed:
                self._cluster.stats.rq_tx_reset.inc()
            connection.abandon()

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
            self._tell_of_response(host, response)
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
        self._pass_on(response, data, end_stream)

    def _tell_of_response(self, host: Host, response: ResponseHead) -> None:
        """For who watches the host's health: a gRPC status counts in place of the one that is always 200."""
        status = response.status
        grpc_status = response.header_values("grpc-status")
        if grpc_status:
            status = http_status(grpc_status[0])
        unwelcome = bool(response.header_values("x-envoy-immediate-health-check-fail"))
        self._cluster.health.on_response(host, status, unwelcome=unwelcome)

    def _pass_on(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        choice, host = self.stream.choice, self.stream.virtual_host
        if choice is not None and choice.response_headers.steps:
            info = self.stream.info
            # What is added may tell of the response.
            info.response_code, info.response_headers = response.status, response
            choice.response_headers.apply(response, info)
        if host is not None and host.settings.include_attempt_count_in_response:
            response.set_header("x-envoy-attempt-count", str(self.attempt))
        if self._host_choice is not None:
            for cookie in self._host_choice.cookies:
                response.add_header("set-cookie", cookie)
        self.stream.send_response(response, data, end_stream)

    def _answer_upgrade(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """101 opens the tunnel. Anything else in the 200s would confuse a client that expects it."""
        if not 200 <= response.status < 300:
            self._cluster.stats.count_response(response.status)
            self._pass_on(response, data, end_stream)
            return
        info = self.stream.info
        info.response_code_details = "websocket_handshake_unsuccessful"
        fields = tuple(field for field in response.mutable_fields() if field[0] not in _OF_A_BODY)
        self.stream.replied_locally = True
        self.stream.send_response(ResponseHead(response.status, ResponseFields(fields), -1), b"", True)

    def on_response_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._end_exchange()
        elif self._try_idleness is not None:
            self._try_idleness.touch()
        if not self._done:
            self.stream.send_data(data, end_stream)

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        self._end_exchange()
        if not self._done:
            self.stream.send_trailers(fields)

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        """The upstream is gone before the end."""
        self._end_exchange()
        if reason is ResetReason.PROTOCOL_ERROR:
            self._cluster.stats.count("upstream_cx_protocol_error")
        if self._done:
            return
        if self._response_started:
            self.stream.on_upstream_reset(reason, transport_reason)
        else:
            self._failed(reason, transport_reason, request_sent=True)

    def on_upstream_writable(self, writable: bool) -> None:
        self.stream.connection.pause_request(not writable)

    # --- failure, time, trying again ---

    def _failed(self, reason: ResetReason, transport_reason: str, *, request_sent: bool) -> None:
        """No response will come of this try."""
        self._count_retry(False)
        host = self.host
        if host is not None:
            host.requests_error += 1
            # A limit of the cluster's own says nothing of the host.
            if self._cluster.is_watched and reason is not ResetReason.OVERFLOW:
                self._cluster.health.on_failure(host)
        if self._retries is not None:
            decision = self._retries.after_reset(reason, request_sent)
            if self._act_on(decision):
                return
        info = self.stream.info
        info.add_flag(reason.flag)
        self._cluster.stats.count_response(reason.status)
        first = (OVERLOADED,) if reason is ResetReason.OVERFLOW else ()
        body = reset_body(reason, self.attempt > 1, transport_reason)
        self.stream.send_local_reply(reason.status, body, reset_details(reason, transport_reason), first)

    def _retry_after_response(self, response: ResponseHead) -> bool:
        assert self._retries is not None
        self._count_retry(False)
        decision = self._retries.after_response(response)
        if not self._act_on(decision):
            if self.attempt > 1 and decision is Retry.NO:
                self._cluster.stats.rq_retry_success.inc()
            return False
        self._cluster.stats.count_retried_response(response.status)
        return True

    def _act_on(self, decision: Retry) -> bool:
        """Go on with another try; False when there is to be none."""
        if decision is Retry.NO:
            return False
        info, resources = self.stream.info, self._resources
        if decision is Retry.EXHAUSTED:
            info.add_flag("URX")
            resources.stats.rq_retry_limit_exceeded.inc()
            return False
        if resources.retries >= resources.max_retries:
            info.add_flag("UO")
            resources.stats.rq_retry_overflow.inc()
            return False
        self._give_up_exchange()
        self._count_retry(True)
        resources.stats.rq_retry.inc()
        if self.host is not None:
            self._tried.append(self.host)
        self.attempt += 1
        info.upstream_request_attempt_count = self.attempt
        retries = self._retries
        assert retries is not None
        kind = "exponential" if retries.told_wait_s is None else "ratelimited"
        resources.stats.count(f"upstream_rq_retry_backoff_{kind}")
        timers = self.stream.connection.timers
        self._try_deadline = timers.call_after(retries.next_wait_s(), self._try_again)
        return True

    def _try_again(self) -> None:
        self._try_deadline = None
        head, host = self.stream.head, self.stream.virtual_host
        assert head is not None
        assert host is not None
        if not self.stream.manager.config.suppress_envoy_headers:
            self._tell_timeout(head)
        if host.settings.include_request_attempt_count:
            head.set_header("x-envoy-attempt-count", str(self.attempt))
        self._try()

    def _count_retry(self, active: bool) -> None:
        if active != self._retry_counted:
            self._retry_counted = active
            self._resources.retries += 1 if active else -1

    def _tell_timeout(self, head: RequestHead) -> None:
        """x-envoy-expected-rq-timeout-ms: how long this try may take, if anything limits it."""
        limits_s = [self._try_timeout_s or self._timeout_s]
        if self._timeout_s:
            begun_at = self.stream.info.last_downstream_rx_at
            waited_s = 0.0 if begun_at is None else self.loop.time() - begun_at
            limits_s.append(max(self._timeout_s - waited_s, 0.0))
        if limits_s[0]:
            head.set_header("x-envoy-expected-rq-timeout-ms", str(int(min(limits_s) * 1000)))

    def _begin_try_timeout(self) -> None:
        limit_s = self._try_timeout_s
        if limit_s and not self._response_started and self._try_deadline is None:
            timers = self.stream.connection.timers
            self._try_deadline = timers.call_after(limit_s, self._on_try_timeout)

    def _on_try_timeout(self) -> None:
        self._try_deadline = None
        if self._response_started:
            return
        stats = self._cluster.stats
        stats.rq_per_try_timeout.inc()
        self._fail_by_timeout("upstream_per_try_timeout")

    def _on_try_idle(self) -> None:
        self._try_idleness = None
        self._cluster.stats.count("upstream_rq_per_try_idle_timeout")
        if self._response_started:
            self.stream.info.add_flag("UT")
            self.stream.info.response_code_details = "upstream_per_try_idle_timeout"
            self.stream.break_off()
            return
        self._fail_by_timeout("upstream_per_try_idle_timeout")

    def _fail_by_timeout(self, details: str) -> None:
        """A try took too long: another, or that was it."""
        self._count_timeout()
        self._give_up_exchange()
        self._count_retry(False)
        if self._retries is not None:
            decision = self._retries.after_reset(ResetReason.CONNECTION_TERMINATION, request_sent=True)
            if self._act_on(decision):
                return
        self._reply_timeout(details)

    def _count_timeout(self) -> None:
        host = self.host
        if host is not None:
            host.requests_timeout += 1
            if self._cluster.is_watched:
                self._cluster.health.on_timeout(host)

    def _on_timeout(self) -> None:
        """The route's time is over."""
        self._deadline = None
        stats, info = self._cluster.stats, self.stream.info
        stats.rq_timeout.inc()
        if self._response_started:
            if self.host is not None:
                self.host.requests_timeout += 1
            info.add_flag("UT")
            info.response_code_details = "response_timeout"
            self.stream.break_off()
            return
        self._count_timeout()
        self._give_up_exchange()
        self._reply_timeout("response_timeout")

    def _reply_timeout(self, details: str) -> None:
        self.stream.info.add_flag("UT")
        self._cluster.stats.count_response(504)
        self.stream.send_local_reply(504, REQUEST_TIMEOUT, details)
