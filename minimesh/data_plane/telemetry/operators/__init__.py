"""What every command operator of the access log means: a Python expression over one StreamInfo, `i`.

An operator yields `str`, a number or None ("nothing to say": `-` in text, null in JSON). The expressions
are pasted into a generated function by `format_compiler`; what is not a plain expression (a header look-up,
a time format) is bound to a name there. Operators that Envoy knows and that can never have a value here
(TLS fingerprints before there is TLS, for instance) yield None; names unknown to Envoy are refused with its
words.
"""

from __future__ import annotations

import os
import platform
import uuid
from typing import Any

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators import connections, headers, metadata, outcome, sizes, times
from minimesh.data_plane.telemetry.operators.expression import Builder, Expression, bind, nothing, text_of


def expression(command: Command) -> Expression:
    """The meaning of one command. Raises FormatError, worded as Envoy's, when there is none."""
    plain = _PLAIN.get(command.name)
    if plain is not None:
        if command.argument or command.max_length is not None:
            raise FormatError(f"{command.name} does not take any parameters or length")
        return plain
    build = _WITH_ARGUMENT.get(command.name)
    if build is None:
        raise FormatError(f"Not supported field in StreamInfo: {command.name}")
    built = build(command)
    return built if command.max_length is None else _truncated(built, command.max_length)


def _truncated(inner: Expression, length: int) -> Expression:
    return Expression(f"cut({inner.source}, {length})", bindings={**inner.bindings, "cut": _cut})


def _cut(value: Any, length: int) -> str | None:
    return None if value is None else str(value)[:length]


def _environment(command: Command) -> Expression:
    if not command.argument:
        raise FormatError("ENVIRONMENT requires parameters")
    bound, bindings = bind(os.environ.get(command.argument))
    return Expression(bound, bindings=bindings)


_PLAIN: dict[str, Expression] = {
    **outcome.PLAIN,
    **sizes.PLAIN,
    **times.PLAIN,
    **connections.PLAIN,
    "PROTOCOL": text_of("protocol"),
    "ROUTE_NAME": text_of("route_name"),
    "VIRTUAL_CLUSTER_NAME": text_of("virtual_cluster_name"),
    "FILTER_CHAIN_NAME": text_of("filter_chain_name"),
    "STREAM_ID": text_of("stream_id"),
    "UNIQUE_ID": Expression("str(new_id())", nullable=False, bindings={"new_id": uuid.uuid4}),
    "HOSTNAME": Expression("hostname", bindings={"hostname": platform.node() or None}),
    "TRACE_ID": nothing(),
    "SPAN_ID": nothing(),
}
_WITH_ARGUMENT: dict[str, Builder] = {
    **headers.WITH_ARGUMENT,
    **times.WITH_ARGUMENT,
    **metadata.WITH_ARGUMENT,
    **outcome.WITH_ARGUMENT,
    **connections.WITH_ARGUMENT,
    "ENVIRONMENT": _environment,
}
