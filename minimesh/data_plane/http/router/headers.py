"""What the router does to headers: a request's on their way to a host, a response's on their way back.

The order is Envoy's, because later steps see what earlier ones have done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.grpc_timeout import grpc_route_timeout_s, grpc_timeout_text, is_grpc_call
from minimesh.data_plane.http.messages import ResponseFields, ResponseHead

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.http.router.host_choice import HostChoice
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.actions import RouteAction
    from minimesh.data_plane.telemetry.stream_info import StreamInfo

_OF_A_BODY = frozenset({"content-length", "content-type"})
#: Request headers that the access log may show, and the attributes of `StreamInfo` that keep them.
_LOGGED = (
    ("user_agent", "user-agent"),
    ("x_forwarded_for", "x-forwarded-for"),
    ("request_id", "x-request-id"),
)


# --- the request ---


def take_grpc_timeout_s(head: RequestHead, action: RouteAction, timeout_s: float) -> float:
    """A gRPC call says itself how long it may take; the upstream is told what has come of that.

    `timeout_s`: the route's time for any other request. Seconds; 0: without limit.
    """
    if not is_grpc_call(head):
        return timeout_s
    timeout_s = grpc_route_timeout_s(head, action)
    if timeout_s:
        head.set_header("grpc-timeout", grpc_timeout_text(timeout_s))
    return timeout_s


def finish_request(
    stream: Stream, action: RouteAction, head: RequestHead, timeout_s: float, try_timeout_s: float
) -> None:
    """Before the first try: what the router adds, and the route's own changes to headers, path and host."""
    config, choice, host = stream.manager.config, stream.choice, stream.virtual_host
    assert choice is not None
    assert host is not None
    if (timeout_s or try_timeout_s) and not config.suppress_envoy_headers:
        tell_timeout(stream, head, timeout_s, try_timeout_s)
    if host.settings.include_request_attempt_count:
        head.set_header("x-envoy-attempt-count", "1")
    if choice.request_headers.steps:
        choice.request_headers.apply(head, stream.info)
    if choice.host_rewrite or action.host_rewrite is not None:
        _rewrite_host(stream, action, head, choice.host_rewrite)
    if action.path_rewrite is not None:
        original = head.path
        rewritten = action.path_rewrite(original)
        if not config.suppress_envoy_headers:
            head.set_header("x-envoy-original-path", original)
            stream.info.original_path = original
        head.path = rewritten
    info = stream.info
    info.path, info.authority = head.path, head.authority
    if head.fields is not None:
        _refresh_logged_headers(info, head)


def renew_request(
    stream: Stream, head: RequestHead, attempt: int, timeout_s: float, try_timeout_s: float
) -> None:
    """Before a further try."""
    host = stream.virtual_host
    assert host is not None
    if not stream.manager.config.suppress_envoy_headers:
        tell_timeout(stream, head, timeout_s, try_timeout_s)
    if host.settings.include_request_attempt_count:
        head.set_header("x-envoy-attempt-count", str(attempt))


def tell_timeout(stream: Stream, head: RequestHead, timeout_s: float, try_timeout_s: float) -> None:
    """x-envoy-expected-rq-timeout-ms: how long this try may take, if anything limits it."""
    limits_s = [try_timeout_s or timeout_s]
    if timeout_s:
        begun_at = stream.info.last_downstream_rx_at
        waited_s = 0.0 if begun_at is None else stream.connection.loop.time() - begun_at
        limits_s.append(max(timeout_s - waited_s, 0.0))
    if limits_s[0]:
        head.set_header("x-envoy-expected-rq-timeout-ms", str(int(min(limits_s) * 1000)))


def _rewrite_host(stream: Stream, action: RouteAction, head: RequestHead, of_cluster: str) -> None:
    """`of_cluster`: what the chosen one of several clusters says; the route's own rewrite if empty."""
    new = of_cluster or action.rewrite_host(head)
    if new is None or new == "":
        return
    original = head.authority
    if not of_cluster and not stream.manager.config.suppress_envoy_headers:
        head.set_header("x-envoy-original-host", original)
    if action.append_x_forwarded_host and original != new:
        known = head.header_values("x-forwarded-host")
        head.set_header("x-forwarded-host", ",".join((*known, original)))
    head.authority = new


def _refresh_logged_headers(info: StreamInfo, head: RequestHead) -> None:
    for attribute, name in _LOGGED:
        values = head.header_values(name)
        setattr(info, attribute, values[0] if values else None)


# --- the response ---


def finish_response(
    stream: Stream, response: ResponseHead, attempt: int, host_choice: HostChoice | None
) -> None:
    """The route's changes, and what the router adds."""
    choice, host = stream.choice, stream.virtual_host
    if choice is not None and choice.response_headers.steps:
        info = stream.info
        # What is added may tell of the response.
        info.response_code, info.response_headers = response.status, response
        choice.response_headers.apply(response, info)
    if host is not None and host.settings.include_attempt_count_in_response:
        response.set_header("x-envoy-attempt-count", str(attempt))
    if host_choice is not None:
        for cookie in host_choice.cookies:
            response.add_header("set-cookie", cookie)


def without_body(response: ResponseHead) -> ResponseHead:
    """To an upgrade that failed with a status in the 200s: a body would be taken for a tunnel."""
    fields = tuple(field for field in response.mutable_fields() if field[0] not in _OF_A_BODY)
    return ResponseHead(response.status, ResponseFields(fields), -1)
