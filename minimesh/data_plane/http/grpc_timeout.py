"""How long a stream may last: `grpc-timeout`, and what routes and connection managers say. No clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from minimesh.data_plane.routing.matchers import is_grpc

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.routing.actions import RouteAction

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
#: Milliseconds of a unit; of the smaller ones, how many make a millisecond.
_MS = {"H": 3_600_000, "M": 60_000, "S": 1_000, "m": 1}
_IN_A_MS = {"u": 1_000, "n": 1_000_000}
_MOST = 99_999_999


def is_grpc_call(head: RequestHead) -> bool:
    """Whether the request is a gRPC call, by its content type."""
    return is_grpc(head.header_values("content-type"))


def grpc_timeout_s(head: RequestHead) -> float | None:
    """What `grpc-timeout` says, in whole milliseconds rounded up; None without a valid one."""
    values = head.header_values("grpc-timeout")
    found = _TIMEOUT.fullmatch(values[0]) if values else None
    if found is None:
        return None
    number, unit = int(found[1]), found[2]
    ms = number * _MS[unit] if unit in _MS else -(-number // _IN_A_MS[unit])
    return ms / 1000


def grpc_timeout_text(timeout_s: float) -> str:
    """The header's value: in milliseconds, or the first larger unit in which it has eight digits."""
    number, unit = round(timeout_s * 1000), "m"
    for larger, of in (("S", 1000), ("M", 60), ("H", 60)):
        if number <= _MOST:
            break
        number, unit = number // of, larger
    return f"{number}{unit}"


def stream_duration_s(head: RequestHead, action: RouteAction, fallback_s: float) -> float | None:
    """How long the whole stream may take, upstream and client included; None: as long as it likes.

    `fallback_s` is the connection manager's limit, 0 for none. A valid `grpc-timeout` counts where the route
    looks at it.
    """
    asked_s = None
    if action.grpc_timeout_header_max_s is not None and "grpc-timeout" in head.block.kept:
        asked_s = grpc_timeout_s(head)
    if asked_s is None:
        limit_s = action.max_stream_duration_s
        return (fallback_s if limit_s is None else limit_s) or None
    limit_s = action.grpc_timeout_header_max_s
    if limit_s and asked_s > limit_s:
        asked_s = limit_s
    return max(asked_s - action.grpc_timeout_header_offset_s, 0.0)


def grpc_route_timeout_s(head: RequestHead, action: RouteAction) -> float:
    """The route's timeout for a gRPC call where `max_grpc_timeout` is set; 0: none."""
    asked_s = grpc_timeout_s(head) or 0.0
    if action.grpc_timeout_offset_s < asked_s:
        asked_s -= action.grpc_timeout_offset_s
    limit_s = action.max_grpc_timeout_s
    return limit_s if limit_s and (not asked_s or asked_s > limit_s) else asked_s
