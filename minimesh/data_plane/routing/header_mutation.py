"""Headers added and removed on the way through, in Envoy's order, compiled at push time.

A mutation is a sequence of steps, one for each configuration level (weighted cluster, route, virtual host,
route configuration). A step removes first, then computes all its values, then overwrites, then adds: so a
value may quote a header that the same step overwrites, but not one that it removes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

ValueFormatter = Callable[[Any], str]
"""Takes the request's `StreamInfo`, gives the header's value. An operator without a value yields nothing."""

CompileFormat = Callable[[str], ValueFormatter]
"""Compiles a value with `%OPERATORS%`; raises ValueError for a format that is not understood."""


class AppendAction(Enum):
    """What to do about values that are already there."""

    APPEND_IF_EXISTS_OR_ADD = 0
    ADD_IF_ABSENT = 1
    OVERWRITE_IF_EXISTS_OR_ADD = 2
    OVERWRITE_IF_EXISTS = 3


class MutableHeaders(Protocol):
    """The headers a mutation is applied to. Names are lower case."""

    def header_values(self, name: str) -> Sequence[str]: ...

    def remove_header(self, name: str) -> None:
        """Removes all values; nothing happens when there are none."""

    def set_header(self, name: str, value: str) -> None:
        """Replaces all values by one, or adds it."""

    def add_header(self, name: str, value: str) -> None:
        """Adds a value after those present (a list-like header such as `accept` may be joined by a comma)."""


@dataclass(frozen=True, slots=True)
class HeaderToAdd:
    """One header to add: a constant value, or a formatter that is asked for each request."""

    name: str
    value: str
    formatter: ValueFormatter | None = None
    append_action: AppendAction = AppendAction.APPEND_IF_EXISTS_OR_ADD
    keep_empty_value: bool = False


@dataclass(frozen=True, slots=True)
class MutationStep:
    """What one configuration level asks for."""

    add: tuple[HeaderToAdd, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


@dataclass(frozen=True, slots=True)
class HeaderMutation:
    """All steps of one direction, in the order in which they are applied; false when there are none."""

    steps: tuple[MutationStep, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def apply(self, headers: MutableHeaders, stream_info: Any) -> None:
        """Changes `headers` in place."""
        for step in self.steps:
            _apply_step(step, headers, stream_info)


NO_MUTATION = HeaderMutation()


def combine(levels: Sequence[MutationStep], *, most_specific_wins: bool = False) -> HeaderMutation:
    """Orders the levels, given most specific first (route, virtual host, route configuration).

    Envoy evaluates the most specific level first, so that the least specific one has the last word;
    `most_specific_header_mutations_wins` turns that around.
    """
    ordered = reversed(levels) if most_specific_wins else levels
    return HeaderMutation(tuple(step for step in ordered if step))


def prepend(step: MutationStep, mutation: HeaderMutation) -> HeaderMutation:
    """The weighted cluster's own step before those of route, virtual host and route configuration."""
    return HeaderMutation((step, *mutation.steps)) if step else mutation


def _apply_step(step: MutationStep, headers: MutableHeaders, stream_info: Any) -> None:
    for name in step.remove:
        headers.remove_header(name)
    overwrite: list[tuple[str, str]] = []
    append: list[tuple[str, str]] = []
    for header in step.add:
        value = header.value if header.formatter is None else header.formatter(stream_info)
        if not value and not header.keep_empty_value:
            continue
        action = header.append_action
        if action is AppendAction.APPEND_IF_EXISTS_OR_ADD:
            append.append((header.name, value))
        elif action is AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
            overwrite.append((header.name, value))
        elif action is AppendAction.ADD_IF_ABSENT:
            if not headers.header_values(header.name):
                append.append((header.name, value))
        elif headers.header_values(header.name):
            overwrite.append((header.name, value))
    for name, value in overwrite:
        if name != "host" and name[0] != ":":
            headers.remove_header(name)  # what takes its place comes last
        headers.set_header(name, value)
    for name, value in append:
        headers.add_header(name, value)
