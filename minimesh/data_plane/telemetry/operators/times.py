"""Operators of moments and of what passed between them."""

from __future__ import annotations

import time

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators.expression import Builder, Expression, bind, nothing
from minimesh.data_plane.telemetry.time_format import DEFAULT_FORMAT, DEFAULT_LOCAL_FORMAT, TimeFormat

#: Differences of floats fall short of a whole millisecond by less than this (in milliseconds).
_ROUNDING = 1e-6
_DURATION = Expression(
    f"(int((t - i.started_at) * 1000 + {_ROUNDING}) if (t := i.completed_at) is not None else None)",
    kind="number",
)
#: Points of %COMMON_DURATION(START:END:PRECISION)%.
_TIME_POINTS = {
    "DS_RX_BEG": "started_at",
    "DS_RX_END": "last_downstream_rx_at",
    "US_CX_BEG": "upstream_connect_started_at",
    "US_CX_END": "upstream_connect_finished_at",
    "US_TX_BEG": "first_upstream_tx_at",
    "US_TX_END": "upstream_tx_done_at",
    "US_RX_BEG": "first_upstream_rx_at",
    "US_RX_BODY_BEG": "first_upstream_rx_at",
    "US_RX_END": "upstream_rx_done_at",
    "DS_TX_BEG": "downstream_tx_begun_at",
    "DS_TX_END": "downstream_tx_done_at",
}
_UNITS_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def ms_between(start: float | None, end: float | None) -> int | None:
    """Whole milliseconds from one moment to another (seconds); None when either never came."""
    return None if start is None or end is None else int((end - start) * 1000 + _ROUNDING)


def _ms_between(start: str, end: str) -> Expression:
    return Expression(f"ms_between(i.{start}, i.{end})", kind="number", bindings={"ms_between": ms_between})


def _common_duration(command: Command) -> Expression:
    words = (command.argument or "").split(":")
    if len(words) not in (2, 3):
        raise FormatError(f"Invalid common duration configuration: {command.argument}.")
    unit = words[2] if len(words) == 3 else "ms"
    scale = _UNITS_PER_SECOND.get(unit)
    if scale is None:
        raise FormatError(f"Invalid common duration precision: {unit}.")
    start, end = (_TIME_POINTS.get(word) for word in words[:2])
    if start is None or end is None:  # a point that a filter of Envoy could set, and none here does
        return nothing()
    return Expression(
        f"(int((e - s) * {scale}) if (s := i.{start}) is not None and (e := i.{end}) is not None else None)",
        kind="number",
    )


def _start_time(command: Command) -> Expression:
    return _time(command, "i.start_time", local=False)


def _start_time_local(command: Command) -> Expression:
    return _time(command, "i.start_time", local=True)


def _emit_time(command: Command) -> Expression:
    return _time(command, "now()", local=False)


def _emit_time_local(command: Command) -> Expression:
    return _time(command, "now()", local=True)


def _time(command: Command, moment: str, *, local: bool) -> Expression:
    if command.max_length is not None:
        raise FormatError(f"{command.name} does not allow length to be specified.")
    text = command.argument or (DEFAULT_LOCAL_FORMAT if local else DEFAULT_FORMAT)
    bound, bindings = bind(TimeFormat(text, local=local))
    return Expression(f"{bound}({moment})", nullable=False, bindings={**bindings, "now": time.time})


PLAIN: dict[str, Expression] = {
    "DURATION": _DURATION,
    "REQUEST_DURATION": _ms_between("started_at", "last_downstream_rx_at"),
    "REQUEST_TX_DURATION": _ms_between("started_at", "upstream_tx_done_at"),
    "RESPONSE_DURATION": _ms_between("started_at", "first_upstream_rx_at"),
    "RESPONSE_TX_DURATION": _ms_between("first_upstream_rx_at", "downstream_tx_done_at"),
    "UPSTREAM_CONNECTION_POOL_READY_DURATION": _ms_between("started_at", "upstream_connect_finished_at"),
    "DOWNSTREAM_HANDSHAKE_DURATION": nothing(),
    "ROUNDTRIP_DURATION": nothing(),
}
WITH_ARGUMENT: dict[str, Builder] = {
    "START_TIME": _start_time,
    "START_TIME_LOCAL": _start_time_local,
    "EMIT_TIME": _emit_time,
    "EMIT_TIME_LOCAL": _emit_time_local,
    "COMMON_DURATION": _common_duration,
}
