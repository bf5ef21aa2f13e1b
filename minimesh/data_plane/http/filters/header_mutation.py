"""The header mutation filter: adds, replaces and removes headers, trailers and query parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.messages import MutableTrailers
from minimesh.data_plane.http.query_string import QueryString
from minimesh.data_plane.routing.header_mutation import AppendAction, HeaderToAdd
from minimesh.data_plane.routing.request import path_without_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.header_mutation import MutableHeaders, ValueFormatter
    from minimesh.data_plane.routing.matchers import StringTest
    from minimesh.data_plane.telemetry.stream_info import StreamInfo


@dataclass(frozen=True, slots=True)
class HeaderRemoval:
    """The header of this name goes (lower case)."""

    name: str


@dataclass(frozen=True, slots=True)
class MatchingRemoval:
    """All headers go whose name passes the test."""

    test: StringTest


Change = HeaderToAdd | HeaderRemoval | MatchingRemoval


@dataclass(frozen=True, slots=True)
class QueryChange:
    """What happens to one query parameter. `action` None: it is removed."""

    name: str
    action: AppendAction | None
    value: str = ""
    formatter: ValueFormatter | None = None


@dataclass(frozen=True, slots=True)
class Mutations:
    """What one level of configuration asks for, each in the order in which it is done."""

    request: tuple[Change, ...] = ()
    query: tuple[QueryChange, ...] = ()
    response: tuple[Change, ...] = ()
    request_trailers: tuple[Change, ...] = ()
    response_trailers: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteMutations:
    """What routes ask for: all their levels, the most specific first."""

    levels: tuple[Mutations, ...] = field(default=())

    def over(self, outer: object) -> RouteMutations:
        """Together with those of the level around it."""
        return RouteMutations(self.levels + outer.levels) if isinstance(outer, RouteMutations) else self


class HeaderMutationFilter:
    """See the module. Its own mutations come first, then those of the route, most specific first."""

    __slots__ = ("_most_specific_wins", "_mutations", "by_route", "name")

    def __init__(self, name: str, mutations: Mutations, *, most_specific_wins: bool) -> None:
        self.name = name
        self.by_route = mutations == Mutations()
        self._mutations = mutations
        self._most_specific_wins = most_specific_wins

    def on_request(self, stream: Stream) -> FilterStatus:
        head = stream.head
        assert head is not None
        for mutations in self._levels(stream):
            _apply(mutations.request, head, stream.info)
            if mutations.query:
                _change_query(mutations.query, head, stream.info)
            if mutations.request_trailers and stream.request_has_body:
                stream.add_request_stage(_RequestTrailers(stream, mutations.request_trailers))
        return FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        for mutations in self._levels(stream):
            _apply(mutations.response, response, stream.info)
            if mutations.response_trailers and not end_stream:
                stream.add_response_stage(_ResponseTrailers(stream, mutations.response_trailers))
        return FilterStatus.CONTINUE

    def _levels(self, stream: Stream) -> Sequence[Mutations]:
        own = stream.filter_config(self.name)
        if not isinstance(own, RouteMutations):
            return (self._mutations,)
        levels = own.levels[::-1] if self._most_specific_wins else own.levels
        return (self._mutations, *levels)


class _RequestTrailers:
    """Changes a request's trailers when they are there."""

    __slots__ = ("_changes", "_stream")

    def __init__(self, stream: Stream, changes: tuple[Change, ...]) -> None:
        self._stream = stream
        self._changes = changes

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        stream = self._stream
        if end_stream and stream.request_trailers:
            stream.request_trailers = _changed(stream.request_trailers, self._changes, stream.info)
        return data


class _ResponseTrailers(_RequestTrailers):
    """Changes a response's trailers when they are there."""

    __slots__ = ()

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        stream = self._stream
        if end_stream and stream.response_trailers:
            stream.response_trailers = _changed(stream.response_trailers, self._changes, stream.info)
        return data


def _changed(fields: Sequence[Field], changes: tuple[Change, ...], info: StreamInfo) -> Sequence[Field]:
    trailers = MutableTrailers(fields)
    _apply(changes, trailers, info)
    return tuple(trailers.mutable_fields())


def _apply(changes: tuple[Change, ...], headers: _ChangeableHeaders, info: StreamInfo) -> None:
    for change in changes:
        if isinstance(change, HeaderRemoval):
            headers.remove_header(change.name)
        elif isinstance(change, MatchingRemoval):
            _remove_matching(change.test, headers)
        else:
            _add(change, headers, info)


if TYPE_CHECKING:
    _ChangeableHeaders = RequestHead | ResponseHead | MutableTrailers


def _remove_matching(test: StringTest, headers: _ChangeableHeaders) -> None:
    for name in {name for name, _ in headers.mutable_fields() if test(name)}:
        headers.remove_header(name)


def _add(change: HeaderToAdd, headers: MutableHeaders, info: StreamInfo) -> None:
    value = change.value if change.formatter is None else change.formatter(info)
    if not value and not change.keep_empty_value:
        return
    how = _in_effect(change.append_action, bool(headers.header_values(change.name)))
    if how is AppendAction.APPEND_IF_EXISTS_OR_ADD:
        headers.add_header(change.name, value)
    elif how is AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
        headers.remove_header(change.name)  # Envoy's filter gives even well-known headers a new place
        headers.add_header(change.name, value)


def _change_query(changes: tuple[QueryChange, ...], head: RequestHead, info: StreamInfo) -> None:
    query = QueryString(head.path)
    for change in changes:
        if change.action is None:
            query.remove(change.name)
            continue
        value = change.value if change.formatter is None else change.formatter(info)
        how = _in_effect(change.action, change.name in query)
        if how is AppendAction.APPEND_IF_EXISTS_OR_ADD:
            query.add(change.name, value)
        elif how is AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
            query.replace(change.name, value)
    head.path = info.path = path_without_query(head.path) + str(query)


def _in_effect(action: AppendAction, present: bool) -> AppendAction | None:
    """The conditional actions come down to adding, to replacing, or to nothing."""
    if action is AppendAction.ADD_IF_ABSENT:
        return None if present else AppendAction.APPEND_IF_EXISTS_OR_ADD
    if action is AppendAction.OVERWRITE_IF_EXISTS:
        return AppendAction.OVERWRITE_IF_EXISTS_OR_ADD if present else None
    return action
