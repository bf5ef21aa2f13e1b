"""The CORS filter: tells browsers which other origins may read a route's answers.

A preflight (OPTIONS with access-control-request-method) is answered here; other requests go through, and the
answer gets its headers on the way back. Nobody is refused: that is the browser's part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.messages import ResponseFields, ResponseHead
from minimesh.data_plane.routing.actions import ALWAYS, NEVER
from minimesh.data_plane.runtime import AnyFraction

if TYPE_CHECKING:
    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.matchers import StringTest
    from minimesh.data_plane.telemetry.stats import StatsStore

_ALLOW_CREDENTIALS: Field = ("access-control-allow-credentials", "true")


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Who may, and what.

    What is empty or None is taken from the next less specific level, and is not said where no level says it.
    """

    origins: tuple[StringTest, ...] = ()
    allow_methods: str = ""
    """An asterisk: whatever the preflight asks for; so for headers."""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: str = ""
    allow_credentials: bool | None = None
    allow_private_network_access: bool | None = None
    forward_not_matching_preflights: bool | None = None
    """False: a preflight of an origin that may not is answered here as well, without naming the origin."""
    enabled: AnyFraction = ALWAYS
    shadow_enabled: AnyFraction = NEVER
    """Where the policy is not enabled: origins are still looked at, and counted."""

    def allows(self, origin: str) -> bool:
        """An asterisk written as an exact origin stands for all."""
        return any(test("*") or test(origin) for test in self.origins)

    def over(self, outer: object) -> CorsPolicy:
        """This level's policy, completed by that of the level around it."""
        if not isinstance(outer, CorsPolicy):
            return self
        inherited = {
            name: getattr(outer, name) for name in _INHERITED if getattr(self, name) in (None, "", ())
        }
        return replace(self, **inherited)


_INHERITED = (
    "origins", "allow_methods", "allow_headers", "expose_headers", "max_age", "allow_credentials",
    "allow_private_network_access", "forward_not_matching_preflights",
)  # fmt: skip


class _Admitted(NamedTuple):
    """What is remembered of a request whose origin is allowed."""

    origin: str
    policy: CorsPolicy


class CorsFilter:
    """See the module."""

    __slots__ = ("_origin_invalid", "_origin_valid", "by_route", "name")

    def __init__(self, name: str, stats: StatsStore, stat_prefix: str) -> None:
        self.name = name
        self.by_route = True
        self._origin_valid = stats.counter(f"{stat_prefix}cors.origin_valid")
        self._origin_invalid = stats.counter(f"{stat_prefix}cors.origin_invalid")

    def on_request(self, stream: Stream) -> FilterStatus:
        policy, head = stream.filter_config(self.name), stream.head
        # Routes that redirect or answer by themselves have no part in this, as in Envoy.
        if not isinstance(policy, CorsPolicy) or stream.choice is None or head is None:
            return FilterStatus.CONTINUE
        enabled, shadow = (
            share.includes(stream.manager.random.getrandbits(63))
            for share in (policy.enabled, policy.shadow_enabled)
        )
        origin = _first_value(head, "origin")
        if not origin or not (enabled or shadow):
            return FilterStatus.CONTINUE
        allowed = policy.allows(origin)
        (self._origin_valid if allowed else self._origin_invalid).inc()
        if not enabled:
            return FilterStatus.CONTINUE
        if allowed:
            stream.filter_state = {**(stream.filter_state or {}), self.name: _Admitted(origin, policy)}
        answers = allowed or policy.forward_not_matching_preflights is False
        if answers and head.method == "OPTIONS" and _first_value(head, "access-control-request-method"):
            _answer_preflight(stream, head, policy, origin if allowed else "")
            return FilterStatus.STOP
        return FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        admitted = stream.filter_state.get(self.name) if stream.filter_state else None
        if not isinstance(admitted, _Admitted):
            return FilterStatus.CONTINUE
        response.set_header("access-control-allow-origin", admitted.origin)
        if admitted.policy.allow_credentials:
            response.set_header(*_ALLOW_CREDENTIALS)
        if admitted.policy.expose_headers:
            response.set_header("access-control-expose-headers", admitted.policy.expose_headers)
        return FilterStatus.CONTINUE


def _answer_preflight(stream: Stream, head: RequestHead, policy: CorsPolicy, origin: str) -> None:
    """The answer to a preflight; `origin` is empty for one that is not allowed."""
    private = _first_value(head, "access-control-request-private-network") == "true"
    fields = (
        ("access-control-allow-origin", origin or None),
        ("access-control-allow-credentials", "true" if policy.allow_credentials else None),
        ("access-control-allow-methods", _allowed(policy.allow_methods, head, "method")),
        ("access-control-allow-headers", _allowed(policy.allow_headers, head, "headers")),
        ("access-control-max-age", policy.max_age or None),
        (
            "access-control-allow-private-network",
            "true" if private and policy.allow_private_network_access else None,
        ),
    )
    sent = tuple((name, value) for name, value in fields if value is not None)
    stream.replied_locally = True
    stream.info.response_code_details = "cors_response"
    stream.info.last_downstream_rx_at = stream.info.started_at  # it has no body
    # No local reply: the route's changes of responses do not apply here.
    stream.send_response(ResponseHead(200, ResponseFields(sent), -1, local=True), b"", True)


def _allowed(configured: str, head: RequestHead, what: str) -> str | None:
    return _first_value(head, f"access-control-request-{what}") if configured == "*" else configured or None


def _first_value(head: RequestHead, name: str) -> str:
    values = head.header_values(name)
    return values[0] if values else ""
