"""HeaderMutation and HeaderMutationPerRoute -> `http.filters.header_mutation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.data_plane.http.filters.header_mutation import (
    Change,
    HeaderMutationFilter,
    HeaderRemoval,
    MatchingRemoval,
    Mutations,
    QueryChange,
    RouteMutations,
)
from minimesh.data_plane.routing.header_mutation import AppendAction, ValueFormatter
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_kind import FilterKind, FilterSite
from minimesh.data_plane.xds_client.compile.headers import compile_addition, modifiable
from minimesh.data_plane.xds_client.compile.match import compile_string_matcher
from minimesh.data_plane.xds_client.compile.route_environment import by_number, wire_text
from minimesh.xds import messages as m

_FILTER = frozenset({"mutations", "most_specific_header_mutations_wins"})


def _compile(message: Any, site: FilterSite) -> HeaderMutationFilter:
    refuse_unsupported(message, site.path, _FILTER)
    mutations = _mutations(message.mutations, join(site.path, "mutations"))
    wins = message.most_specific_header_mutations_wins
    return HeaderMutationFilter(site.name, mutations, most_specific_wins=wins)


def _compile_for_route(message: Any, path: str, context: CompileContext) -> RouteMutations:
    return RouteMutations((_mutations(message.mutations, join(path, "mutations")),))


def _mutations(message: Any, path: str) -> Mutations:
    def changes(field: str) -> tuple[Change, ...]:
        return _changes(getattr(message, field), join(path, field))

    query_path = join(path, "query_parameter_mutations")
    return Mutations(
        request=changes("request_mutations"),
        query=tuple(
            _query_change(each, f"{query_path}[{number}]")
            for number, each in enumerate(message.query_parameter_mutations)
        ),
        response=changes("response_mutations"),
        request_trailers=changes("request_trailers_mutations"),
        response_trailers=changes("response_trailers_mutations"),
    )


def _changes(messages: Sequence[Any], path: str) -> tuple[Change, ...]:
    return tuple(_change(message, f"{path}[{number}]") for number, message in enumerate(messages))


def _change(message: Any, path: str) -> Change:
    kind = message.WhichOneof("action")
    where = join(path, kind or "")
    if kind == "append":
        return compile_addition(message.append, where, value_formatter)
    if kind == "remove":
        return HeaderRemoval(modifiable(message.remove, where, "removed"))
    if kind == "remove_on_match":
        matcher = message.remove_on_match.key_matcher
        return MatchingRemoval(compile_string_matcher(matcher, join(where, "key_matcher")))
    raise CompileError(path, "no action: one of append, remove, remove_on_match")


def _query_change(message: Any, path: str) -> QueryChange:
    if not message.HasField("append"):
        if not message.remove:
            raise CompileError(path, "needs append or remove")
        return QueryChange(wire_text(message.remove), None)
    where = join(path, "append")
    refuse_unsupported(message.append, where, frozenset({"record", "action"}))
    record = message.append.record
    if record.value.WhichOneof("kind") != "string_value":
        raise CompileError(join(where, "record.value"), "only a string is supported")
    action = by_number(tuple(AppendAction), message.append.action, join(where, "action"))
    value = wire_text(record.value.string_value)
    return QueryChange(wire_text(record.key), action, value, _formatter(value, join(where, "record.value")))


def _formatter(value: str, path: str) -> ValueFormatter | None:
    if "%" not in value:
        return None
    try:
        return value_formatter(value)
    except ValueError as error:
        raise CompileError(path, str(error)) from None


_PROTOCOL = m.header_mutation_pb2
HEADER_MUTATION = FilterKind(
    _PROTOCOL.HeaderMutation, _compile, _PROTOCOL.HeaderMutationPerRoute, _compile_for_route
)
