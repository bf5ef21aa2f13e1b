"""What the compile steps for routes need from outside, in one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.header_mutation import CompileFormat
from minimesh.data_plane.routing.regex import Regex, RegexError, Substitution
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RouteEnvironment:
    """Hooks. A missing one means that configuration which needs it is refused by name."""

    clusters: Callable[[str], ClusterHandle]
    """The handle for a name, made when there is none yet: the cluster may come later."""
    find_cluster: Callable[[str], ClusterHandle | None] | None = None
    """The handle for a name that a request brought; must not make new ones."""
    compile_format: CompileFormat | None = None
    """Header values with `%OPERATORS%`; an operator without a value must yield nothing, not a dash."""
    compile_filter_config: Callable[[str, Any], object] | None = None
    """(filter name, Any) -> that filter's configuration for a route; ValueError when it is refused."""
    runtime: Runtime = field(default_factory=Runtime)
    """Whose keys rule fractions."""


def wire_text(text: str) -> str:
    """Configured text (UTF-8) as heads have it: one Latin-1 character for each byte."""
    return text if text.isascii() else text.encode().decode("latin-1")


def seconds(duration: Any) -> float:
    """A protobuf Duration in seconds."""
    return float(duration.seconds + duration.nanos / 1e9)


def optional_seconds(message: Any, field: str, path: str) -> float | None:
    """A Duration field of the message at `path` in seconds, None when it is not set."""
    if not message.HasField(field):
        return None
    value_s = seconds(getattr(message, field))
    if value_s < 0:
        raise CompileError(join(path, field), "must not be negative")
    return value_s


def by_number(options: Sequence[T], number: int, path: str) -> T:
    """What an enum's value stands for; a number that this version does not know is refused."""
    if not 0 <= number < len(options):
        raise CompileError(path, f"unknown value {number}")
    return options[number]


def compile_regex(message: Any, path: str) -> Regex:
    """A RegexMatcher. (`google_re2.max_program_size` is obsolete and ignored, as in Envoy.)"""
    refuse_unsupported(message, path, frozenset({"google_re2", "regex"}))
    if not message.regex:
        raise CompileError(join(path, "regex"), "must not be empty")
    try:
        return Regex(message.regex)
    except RegexError as error:
        raise CompileError(join(path, "regex"), str(error)) from None


def compile_substitution(message: Any, path: str) -> tuple[Regex, Substitution]:
    """A RegexMatchAndSubstitute."""
    refuse_unsupported(message, path, frozenset({"pattern", "substitution"}))
    regex = compile_regex(message.pattern, join(path, "pattern"))
    try:
        return regex, Substitution(wire_text(message.substitution), regex)
    except RegexError as error:
        raise CompileError(join(path, "substitution"), str(error)) from None
