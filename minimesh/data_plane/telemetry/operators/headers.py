"""Operators that look up headers, trailers, paths and queries."""

from __future__ import annotations

from urllib.parse import parse_qsl

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators.expression import Builder, Expression, bind
from minimesh.data_plane.telemetry.stream_info import HeaderLookup

#: Request headers that have an attribute of their own, so that the usual formats look nothing up.
_REQUEST_ATTRIBUTES = {
    ":method": "method",
    ":path": "path",
    ":authority": "authority",
    "host": "authority",
    "user-agent": "user_agent",
    "x-forwarded-for": "x_forwarded_for",
    "x-request-id": "request_id",
    "x-envoy-original-path": "original_path",
}


def first_value(head: HeaderLookup | None, name: str) -> str | None:
    """The first value of a header (Envoy logs only that one); None when it is absent."""
    if head is None:
        return None
    values = head.header_values(name)
    return values[0] if values else None


def _header_names(command: Command) -> list[str]:
    if not command.argument:
        raise FormatError(f"{command.name} requires parameters")
    names = command.argument.lower().split("?")
    if len(names) > 2:
        raise FormatError(f"More than 1 alternative header specified in token: {command.argument}")
    return names


def _request_header(command: Command) -> Expression:
    return _first_of([_one_request_header(name) for name in _header_names(command)])


def _one_request_header(name: str) -> Expression:
    attribute = _REQUEST_ATTRIBUTES.get(name)
    return Expression(f"i.{attribute}") if attribute else _looked_up("request", name)


def _response_header(command: Command) -> Expression:
    return _first_of([_one_response_header(name) for name in _header_names(command)])


def _one_response_header(name: str) -> Expression:
    if name == "x-envoy-upstream-service-time":
        return Expression("(str(n) if (n := i.upstream_service_time_ms) is not None else None)")
    if name == ":status":
        return Expression("(str(n) if (n := i.response_code) else None)")
    return _looked_up("response_headers", name)


def _response_trailer(command: Command) -> Expression:
    return _first_of([_looked_up("response_trailers", name) for name in _header_names(command)])


def _looked_up(head: str, name: str) -> Expression:
    bound, bindings = bind(name)
    return Expression(f"first_value(i.{head}, {bound})", bindings={**bindings, "first_value": first_value})


def _first_of(choices: list[Expression]) -> Expression:
    if len(choices) == 1:
        return choices[0]
    first, second = choices
    return Expression(
        f"(h if (h := {first.source}) is not None else {second.source})",
        bindings={**first.bindings, **second.bindings},
    )


def _path(command: Command) -> Expression:
    query, _, which = (command.argument or "").partition(":")
    if query not in ("", "WQ", "NQ"):
        raise FormatError(f"Invalid PATH option: '{query}', only 'WQ'/'NQ' are allowed")
    if which not in ("", "ORIG", "PATH", "ORIG_OR_PATH"):
        raise FormatError(f"Invalid PATH option: '{which}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed")
    source = {
        "ORIG": "i.original_path",
        "PATH": "i.path",
    }.get(which, "(i.path if i.original_path is None else i.original_path)")
    if query != "NQ":
        return Expression(source)
    return Expression(f"(p.partition('?')[0] if (p := {source}) is not None else None)")


def _query_parameter(command: Command) -> Expression:
    if not command.argument:
        raise FormatError("QUERY_PARAM requires parameters")
    bound, bindings = bind(command.argument)
    return Expression(
        f"query_parameter(i.path, {bound})", bindings={**bindings, "query_parameter": query_parameter}
    )


def query_parameter(path: str | None, name: str) -> str | None:
    """The first value of a query parameter, percent-decoded; None when it is absent."""
    query = (path or "").partition("?")[2]
    for key, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        if key == name:
            return value
    return None


def _query_parameters(command: Command) -> Expression:
    if command.argument not in (None, "", "ORIG", "DECODED"):
        raise FormatError(f"Invalid QUERY_PARAMS option: '{command.argument}'")
    return Expression("(i.path or '').partition('?')[2]", empty_is_none=True)


WITH_ARGUMENT: dict[str, Builder] = {
    "REQ": _request_header,
    "REQUEST_HEADER": _request_header,
    "RESP": _response_header,
    "RESPONSE_HEADER": _response_header,
    "TRAILER": _response_trailer,
    "RESPONSE_TRAILER": _response_trailer,
    "PATH": _path,
    "QUERY_PARAM": _query_parameter,
    "QUERY_PARAMS": _query_parameters,
}
