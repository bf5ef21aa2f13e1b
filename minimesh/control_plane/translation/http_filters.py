"""Per-route settings of HTTP filters: fault injection and CORS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.protobuf_values import (
    boolean,
    duration,
    full_percent,
    hundredths,
    millionths,
)
from minimesh.control_plane.translation.route_match import string_matcher
from minimesh.xds import messages as m
from minimesh.xds.grpc_statuses import GRPC_STATUSES

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import Abort, CorsPolicy, Delay, HTTPFaultInjection

FAULT_FILTER = "envoy.filters.http.fault"
CORS_FILTER = "envoy.filters.http.cors"


def build_fault(fault: HTTPFaultInjection) -> Any | None:
    """An HTTPFault; None when nothing in it can be acted on (an exponential delay)."""
    message = m.fault_pb2.HTTPFault()
    delay, abort = fault.delay, fault.abort
    if delay is not None and delay.fixed_delay is not None:
        message.delay.percentage.CopyFrom(_delay_percentage(delay))
        message.delay.fixed_delay.CopyFrom(duration(delay.fixed_delay))
    if abort is not None:
        _set_abort(message, abort)
    return message if message.HasField("delay") or message.HasField("abort") else None


def build_cors(policy: CorsPolicy) -> Any:
    """A CorsPolicy. `allowOrigin` is the old list of exact origins."""
    message = m.cors_pb2.CorsPolicy(
        filter_enabled=full_percent(),
        allow_methods=",".join(policy.allow_methods),
        allow_headers=",".join(policy.allow_headers),
        expose_headers=",".join(policy.expose_headers),
        forward_not_matching_preflights=boolean(str(policy.unmatched_preflights) != "IGNORE"),
    )
    if policy.allow_origins:
        message.allow_origin_string_match.extend(string_matcher(o) for o in policy.allow_origins)
    else:
        message.allow_origin_string_match.extend(
            m.string_pb2.StringMatcher(exact=origin) for origin in policy.allow_origin
        )
    if policy.max_age is not None:
        message.max_age = str(int(policy.max_age.total_seconds()))
    if policy.allow_credentials is not None:
        message.allow_credentials.CopyFrom(boolean(policy.allow_credentials))
    return message


def _delay_percentage(delay: Delay) -> Any:
    if delay.percentage is not None:
        return millionths(delay.percentage.value)
    return hundredths(delay.percent)


def _set_abort(message: Any, abort: Abort) -> None:
    if abort.http_status:
        message.abort.http_status = abort.http_status
    elif abort.grpc_status:
        message.abort.grpc_status = GRPC_STATUSES.index(abort.grpc_status.upper())
    else:
        return
    if abort.percentage is not None:
        message.abort.percentage.CopyFrom(millionths(abort.percentage.value))
