"""RateLimit messages of routes, virtual hosts and filters -> `routing.rate_limit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minimesh.data_plane.routing.rate_limit import (
    DescriptorAction,
    DestinationCluster,
    GenericKey,
    RateLimitRule,
    RemoteAddress,
    RequestHeader,
    SourceCluster,
    ValueMatch,
)
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.match import compile_header_matchers
from minimesh.data_plane.xds_client.compile.route_environment import wire_text

# There is no runtime layer in which a rule could be switched off under its key.
_RATE_LIMIT = frozenset({"actions", "stage", "disable_key", "hits_addend"})
_MAX_STAGE = 10


def compile_rate_limits(messages: Sequence[Any], path: str) -> tuple[RateLimitRule, ...]:
    """The rules of one level; CompileError names the field that is refused."""
    return tuple(_rule(message, f"{path}[{number}]") for number, message in enumerate(messages))


def _rule(message: Any, path: str) -> RateLimitRule:
    refuse_unsupported(message, path, _RATE_LIMIT)
    refuse_unsupported(message.hits_addend, join(path, "hits_addend"), frozenset({"number"}))
    if message.stage.value > _MAX_STAGE:
        raise CompileError(join(path, "stage"), f"{message.stage.value} is greater than {_MAX_STAGE}")
    actions = tuple(
        _action(action, f"{path}.actions[{number}]") for number, action in enumerate(message.actions)
    )
    hits = message.hits_addend.number.value if message.HasField("hits_addend") else 1
    return RateLimitRule(actions, message.stage.value, hits)


def _action(message: Any, path: str) -> DescriptorAction:
    kind = message.WhichOneof("action_specifier")
    compile_kind = _ACTIONS.get(kind)
    if compile_kind is None:
        raise CompileError(join(path, kind or ""), "not supported" if kind else "no action")
    return compile_kind(getattr(message, kind), join(path, kind))


def _generic_key(message: Any, path: str) -> DescriptorAction:
    refuse_unsupported(message, path, frozenset({"descriptor_key", "descriptor_value"}))
    if not message.descriptor_value:
        raise CompileError(join(path, "descriptor_value"), "must not be empty")
    return GenericKey(wire_text(message.descriptor_key) or "generic_key", wire_text(message.descriptor_value))


def _request_header(message: Any, path: str) -> DescriptorAction:
    for field in ("header_name", "descriptor_key"):
        if not getattr(message, field):
            raise CompileError(join(path, field), "must not be empty")
    name = wire_text(message.header_name).lower()
    return RequestHeader(name, wire_text(message.descriptor_key), message.skip_if_absent)


def _header_value_match(message: Any, path: str) -> DescriptorAction:
    if not message.descriptor_value:
        raise CompileError(join(path, "descriptor_value"), "must not be empty")
    return ValueMatch(
        wire_text(message.descriptor_key) or "header_match",
        wire_text(message.descriptor_value),
        tuple(compile_header_matchers(message.headers, join(path, "headers"))),
        message.expect_match.value if message.HasField("expect_match") else True,
    )


_ACTIONS: dict[str | None, Callable[[Any, str], DescriptorAction]] = {
    "generic_key": _generic_key,
    "request_headers": _request_header,
    "header_value_match": _header_value_match,
    "remote_address": lambda message, path: RemoteAddress(),
    "source_cluster": lambda message, path: SourceCluster(),
    "destination_cluster": lambda message, path: DestinationCluster(),
}
