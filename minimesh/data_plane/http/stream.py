"""One request and its response, from the head to the log line. Does not know by which protocol it came.

The stream finds the route, runs the filters, hands over to the router, and sends what comes back. Every end
of a stream goes through `_finish`, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.block_memo import Values
from minimesh.data_plane.http.filtered_bodies import FilteredBodies, HeldResponse
from minimesh.data_plane.http.filtered_stream import FilteredStream
from minimesh.data_plane.http.header_block import HeaderBlock, Refusal
from minimesh.data_plane.http.http1.request_line import RequestLine
from minimesh.data_plane.http.interfaces import DownstreamConnection, FilterStatus, ResetReason, Upstream
from minimesh.data_plane.http.local_reply import (
    give_body,
    local_response,
    make_grpc,
    refusal_body,
    reset_details,
)
from minimesh.data_plane.http.messages import PreparedHeaders, RequestHead, ResponseHead, Trailers
from minimesh.data_plane.http.path import needs_normalizing, normalize
from minimesh.data_plane.http.request_checks import (
    allows_upgrade,
    default_host,
    expects_continue,
    upgrade_of,
)
from minimesh.data_plane.http.router.router import Router
from minimesh.data_plane.http.stream_limits import StreamLimits, limit_by_route
from minimesh.data_plane.routing.actions import (
    ClusterChoice,
    DirectResponseAction,
    RedirectAction,
    RouteAction,
    SslRedirectAction,
)
from minimesh.data_plane.routing.header_mutation import HeaderMutation
from minimesh.data_plane.routing.matchers import is_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.network.timers import Deadline
    from minimesh.data_plane.routing.route_table import Route, VirtualHost
    from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: Replies made while a router was at work, but not by it.
_NOT_THE_ROUTERS = frozenset({"stream_idle_timeout", "max_duration_timeout", "request_overall_timeout"})


class Stream(FilteredStream):
    """See the module. `head` and `route` are None until they are known."""

    __slots__ = (
        "_block", "_filter_at", "_limits", "_wait", "choice",
        "filter_state", "random_value", "replied_locally", "request_trailers", "response_complete",
        "response_started", "response_trailers", "route", "upgrade", "virtual_host",
    )  # fmt: skip

    def __init__(self, connection: DownstreamConnection, info: StreamInfo, block: HeaderBlock | None) -> None:
        self.connection = connection
        self.manager = connection.manager
        self.info = info
        self.head: RequestHead | None = None
        self.virtual_host: VirtualHost | None = None
        self.route: Route | None = None
        self.choice: ClusterChoice | None = None
        self.router: Upstream | None = None
        self.filters = self.manager.standing_filters
        #: What filters remember of this stream, by their name; None as long as there is nothing.
        self.filter_state: dict[str, object] | None = None
        self.random_value = 0
        self.upgrade = ""
        self.replied_locally = False
        self.response_started = False
        self.response_complete = False
        #: Known before the end of the body is told to anybody; filters may change them until then.
        self.request_trailers: Sequence[Field] = ()
        self.response_trailers: Sequence[Field] = ()
        self._block = block
        #: What filters do with the bodies; None as long as none does anything.
        self._bodies: FilteredBodies | None = None
        #: Bytes of the body that came while filters were at work.
        self._data: bytes | bytearray = b""
        self._end_stream = False
        self._filter_at = 0
        self._finished = False
        #: Where anything limits the stream in time.
        self._limits: StreamLimits | None = None
        self._wait: Deadline | None = None
        stats = self.manager.stats
        stats.rq_total.value += 1
        stats.rq_active.value += 1

    # --- the request comes in ---

    def on_request(
        self,
        line: RequestLine,
        prepared: PreparedHeaders,
        data: bytes,
        end_stream: bool,
        values: Values = (),
    ) -> None:
        """The head, with as much of the body as came along; `values` for the places in `prepared`."""
        self._end_stream = end_stream
        info, config = self.info, self.manager.config
        info.user_agent = prepared.user_agent
        info.method = line.method
        info.path = line.path or None
        block = self._block
        assert block is not None
        if not end_stream and not config.proxy_100_continue and expects_continue(block):
            self.send_continue()
        authority = line.authority
        if authority is None:
            authority = block.kept.get("host") or default_host(block, line.version, config)
            if authority is None:
                self._refuse(400, "missing_host_header")
                return
        info.authority = authority
        path: str | None = line.path
        if needs_normalizing(line.path):
            path = self._checked_path(line)
            if path is None:
                return
            info.path = path or None
        assert path is not None
        scheme = prepared.scheme or line.scheme
        head = self.head = RequestHead(line.method, path, authority, scheme, block, prepared, values)
        if prepared.request_id_at >= 0:
            head.request_id = self.manager.request_ids.next()
        info.request = head
        info.request_id = head.request_id
        info.x_forwarded_for = prepared.x_forwarded_for
        info.original_path = prepared.original_path
        if prepared.remote_address:
            info.downstream_remote_address = prepared.remote_address
        self._data = data
        if config.stream_idle_timeout_s > 0:
            self._limits = StreamLimits(self, config.stream_idle_timeout_s)
        self._route(head)
        if not self._finished:
            info.bytes_received = len(data)

    def on_request_data(self, data: bytes, end_stream: bool) -> None:
        """More of the body."""
        self.info.bytes_received += len(data)
        if self._bodies is not None:
            passed = self._bodies.request.pass_through(data, end_stream)
            if passed is None:
                return
            data = passed
        self._end_stream = end_stream
        if self.router is not None:
            self.router.on_request_data(data, end_stream)
        elif not self._finished:
            self._keep(data)

    def on_codec_error(self, refusal: Refusal) -> None:
        """The body broke the rules."""
        self.info.add_flag("DPE")
        if self.response_started:
            self.info.response_code_details = refusal.details
            self.break_off()
        else:
            self.send_local_reply(refusal.status, refusal_body(refusal.status), refusal.details)

    def on_request_timeout(self, heads_only: bool = False) -> None:
        """The client took too long to send its request. `heads_only`: to send its head."""
        self.manager.stats.count(f"downstream_rq_{'header_' if heads_only else ''}timeout")
        if self.response_started:
            return
        if heads_only:
            self.send_local_reply(408, b"request header timeout", "request_header_timeout")
        else:
            self.send_local_reply(408, b"request timeout", "request_overall_timeout")

    def on_disconnect(self) -> None:
        """The client is gone."""
        self.on_reset("DC", "downstream_remote_disconnect")

    def on_reset(self, flag: str, details: str) -> None:
        """Over without (the rest of) a response: the client gave it up, or broke the rules."""
        if not self._finished:
            info = self.info
            info.add_flag(flag)
            info.response_code_details = details
            info.response_is_complete = False
            self._finish()

    def on_downstream_writable(self, writable: bool) -> None:
        if self.router is not None:
            self.router.on_downstream_writable(writable)

    # --- checks and routing ---

    def _checked_path(self, line: RequestLine) -> str | None:
        """The normalised path; None when the request was answered because of it."""
        if line.path == "*":
            self.manager.stats.count("downstream_rq_non_relative_path")
            self._reply_empty(404, "absolute_path_rejected")
            return None
        path = normalize(line.path, self.manager.config)
        if isinstance(path, str):
            return path
        if path.changed_to:
            self.info.path = path.changed_to
        outcome = "redirected_with_normalized_path" if path.redirect_to else "failed_path_normalization"
        self.manager.stats.count(f"downstream_rq_{outcome}")
        if path.redirect_to:
            self._reply_empty(307, "path_normalization_failed", ("location", path.redirect_to))
        else:
            self._refuse(400, "path_normalization_failed")
        return None

    def _route(self, head: RequestHead) -> None:
        table = self.manager.config.route_config.table
        host = table.find_virtual_host(head.authority) if table is not None else None
        route = None
        if host is not None and head.path:
            self.random_value = value = self.manager.random.getrandbits(63)
            route = host.find_route(head, value)
        if host is None or route is None:
            # Filters that act on every request act on this one too; `_act` answers it.
            self.continue_request()
            return
        self.virtual_host, self.route = host, route
        info = self.info
        info.route_name = route.name or None
        info.virtual_host_name = host.name
        if route.metadata:
            info.route_metadata = dict(route.metadata)
        action = route.action
        filter_configs = route.typed_per_filter_config
        if isinstance(action, RouteAction):
            choice = self.choice = action.clusters.choose(head, self.random_value)
            filter_configs = choice.typed_per_filter_config
            if choice.handle.cluster is not None:
                info.upstream_cluster = choice.handle.cluster.name
            if action.limits_stream or self.manager.config.max_stream_duration_s:
                self._limits = limit_by_route(self, self._limits, head, action)
        if filter_configs:
            self.filters = self.manager.filters_for(filter_configs)
        if "upgrade" in head.block.kept:
            self._check_upgrade(head, action)
            if self._finished:
                return
        if self.filters:
            self.continue_request()
        else:
            self._act()

    def _check_upgrade(self, head: RequestHead, action: object) -> None:
        upgrade = self.upgrade = upgrade_of(head)
        if not upgrade:
            return
        allowed = allows_upgrade(upgrade, action, self.manager.config)
        stats = self.manager.stats
        if allowed:
            stats.count("downstream_cx_upgrades_total")
        else:
            stats.count("downstream_rq_ws_on_non_ws_route")
            self._reply_empty(403, "upgrade_failed")

    def continue_request(self) -> None:
        """Run the filters that have not yet seen the request, then act on the route."""
        filters = self.filters
        while self._filter_at < len(filters):
            current = filters[self._filter_at]
            self._filter_at += 1
            status = current.on_request(self)
            if self._finished or (status is not FilterStatus.CONTINUE and self._must_wait(status)):
                return
        self._act()

    def _act(self) -> None:
        route, head = self.route, self.head
        assert head is not None
        if route is None:
            self._count_as_routed("no_route")
            self.info.add_flag("NR")
            self._reply_empty(404, "route_not_found")
            return
        action = route.action
        if isinstance(action, RouteAction):
            if self._bodies is not None and not self._catch_up(self._bodies):
                return
            router = Router(self, route, action)
            self.router = router
            data, self._data = bytes(self._data), b""
            if len(data) > self.manager.config.buffer_limit_bytes:
                self.connection.pause_request(False)
            router.start(data, self._end_stream)
        else:
            self._answer(route, head)

    def _answer(self, route: Route, head: RequestHead) -> None:
        """A route that says itself what the response is."""
        action = route.action
        if isinstance(action, DirectResponseAction):
            self._count_as_routed("rq_direct_response")
            self._reply(local_response(action.status), action.body, "direct_response", route.response_headers)
        elif isinstance(action, RedirectAction | SslRedirectAction):
            self._count_as_routed("rq_direct_response")
            response = local_response(action.status, (("location", action.location(head)),))
            if isinstance(action, RedirectAction) and action.path_rewrite is not None:
                self.info.original_path = head.path
                self.info.path = head.path = action.path_rewrite(head.path)
            self._reply(response, b"", "direct_response", route.response_headers)
        else:
            self._reply_empty(500, "non_forwarding_action")

    def _count_as_routed(self, outcome: str) -> None:
        """A request that the route itself answers, without a router."""
        stats = self.manager.stats
        stats.count(outcome)
        stats.rq_unrouted.value -= 1

    # --- asked by filters, and by its limits ---

    def filter_config(self, name: str) -> object | None:
        """The most specific configuration of a filter for what this request matched; None: there is none."""
        if self.choice is not None:
            return self.choice.typed_per_filter_config.get(name)
        return None if self.route is None else self.route.typed_per_filter_config.get(name)

    def wait(self, delay_s: float, then: Callable[[], None]) -> None:
        """For a filter that has stopped the request: call `then` later, unless the stream ends before."""
        self._wait = self.connection.timers.call_after(delay_s, then)

    @property
    def timeout_status(self) -> int:
        """Whose fault it is that time is over: the upstream's as soon as the request is complete."""
        return 504 if self._end_stream else 408

    # --- the response goes out ---

    def send_response(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        """A head from the upstream or from here, with the first bytes of its body."""
        info = self.info
        info.response_code = response.status
        info.response_headers = response
        if self.filters:
            passed = self._filter_response(HeldResponse(response, data, end_stream, len(self.filters)))
            if passed is None:
                return
            data, end_stream = passed
        self.response_started = True
        if not self._finished:
            trailers = self.response_trailers if end_stream else ()
            self.connection.send_head(self, response, data, end_stream and not trailers)
            if info.method != "HEAD":
                info.bytes_sent += len(data)
            if end_stream:
                if trailers:
                    self._send_trailers(trailers)
                self.response_complete = True
                self._finish()

    def send_data(self, data: bytes, end_stream: bool, filtered: bool = False) -> None:
        """More of the response's body. `filtered`: it has passed the stages that filters set up."""
        if self._bodies is not None and not filtered:
            passed = self._filter_data(self._bodies, data, end_stream)
            if passed is None:
                return
            data = passed
        if self._finished:
            return
        self.info.bytes_sent += len(data)
        trailers = self.response_trailers if end_stream else ()
        if data or not trailers:
            self.connection.send_data(self, data, end_stream and not trailers)
        if end_stream:
            if trailers:
                self._send_trailers(trailers)
            self.response_complete = True
            self._finish()

    def send_trailers(self, fields: Sequence[Field]) -> None:
        """Trailers, and with them the end of the response's body."""
        self.response_trailers = fields
        self.send_data(b"", True)

    def _send_trailers(self, fields: Sequence[Field]) -> None:
        self.info.response_trailers = Trailers(fields)
        if self.manager.meters_bytes:
            self.info.response_trailers_bytes = sum(len(name) + len(value) for name, value in fields)
        self.connection.send_trailers(self, fields)

    def send_local_reply(
        self,
        status: int,
        body: bytes,
        details: str,
        first: tuple[Field, ...] = (),
        grpc_status: int | None = None,
        change: HeaderMutation | None = None,
    ) -> None:
        """Answer without an upstream. The response headers of a route to a cluster apply, then `change`.

        A gRPC call gets its own kind of answer, with `grpc_status` or what `status` amounts to.
        """
        mutation = None if self.choice is None else self.choice.response_headers
        if change:
            mutation = change if mutation is None else HeaderMutation((*mutation.steps, *change.steps))
        self._reply(local_response(status, first), body, details, mutation, grpc_status)

    def _reply(
        self,
        response: ResponseHead,
        body: bytes,
        details: str,
        mutation: HeaderMutation | None,
        grpc_status: int | None = None,
    ) -> None:
        if self._finished:
            return
        if self._bodies is not None and self._bodies.held_response is not None:
            # In place of a response that filters have already seen: they do not see this one.
            self.filters = ()
            self._bodies.forget_response()
        self.replied_locally = True
        info = self.info
        info.response_code_details = details
        block = self._block
        bodiless = block is not None and block.content_length <= 0 and not block.chunked
        if bodiless and self._end_stream and info.last_downstream_rx_at is None:
            info.last_downstream_rx_at = self.connection.loop.time()
        if response.status == 400 and not self.manager.config.stream_error_on_invalid_http_message:
            self.connection.close_after_response(self)
        if mutation:
            mutation.apply(response, self.info)
        host = self.virtual_host
        tries = info.upstream_request_attempt_count
        if (
            tries
            and host is not None
            and details not in _NOT_THE_ROUTERS
            and (host.settings.include_attempt_count_in_response)
        ):
            response.set_header("x-envoy-attempt-count", str(tries))
        if self.head is not None and is_grpc(self.head.sent_values("content-type")):
            make_grpc(response, body, grpc_status)
            body = b""
        elif body:
            give_body(response, body)
        self.send_response(response, body, True)

    def send_continue(self) -> None:
        """100 Continue, which counts as a response of its own."""
        self.manager.stats.rq_by_class[0].inc()
        self.connection.send_continue()

    def break_off(self) -> None:
        """End a response that has begun and cannot be completed."""
        self.info.response_is_complete = False
        self.connection.reset_stream(self)
        self._finish()

    def on_upstream_reset(self, reason: ResetReason, transport_reason: str) -> None:
        """The upstream failed after its response had begun."""
        self.info.add_flag(reason.flag)
        self.info.response_code_details = reset_details(reason, transport_reason, before_response=False)
        self.break_off()

    # --- within ---

    def _refuse(self, status: int, details: str) -> None:
        """A request that is not acceptable: answered, and the connection closes."""
        if not self.manager.config.stream_error_on_invalid_http_message:
            self.connection.close_after_response(self)
        self._reply_empty(status, details)

    def _reply_empty(self, status: int, details: str, *first: Field) -> None:
        self.send_local_reply(status, b"", details, first)

    def _finish(self) -> None:
        """The one end of every stream: give up the upstream, count, log, tell the connection."""
        if self._finished:
            return
        self._finished = True
        if self._limits is not None:
            self._limits.cancel()
            self._limits = None  # it knows the stream, as does the router below
        if self._wait is not None:
            self._wait.cancel()
        if self.router is not None:
            self.router.cancel()
            self.router = None  # they know each other: without this only the garbage collector frees them
        else:
            self.manager.stats.rq_unrouted.inc()
        if self._bodies is not None:
            for callback in self._bodies.at_end:
                callback()
            self._bodies = None
        info = self.info
        completed_at = info.completed_at = self.connection.loop.time()
        stats = self.manager.stats
        stats.rq_active.value -= 1
        if info.response_code:
            stats.rq_by_class[info.response_code // 100 - 1].value += 1
        stats.rq_time.record(int((completed_at - info.started_at) * 1000))
        for access_log in self.manager.config.access_logs:
            access_log.log(info)
        self.connection.stream_finished(self)
