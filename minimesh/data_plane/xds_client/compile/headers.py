"""HeaderValueOptions and names to remove -> `routing.header_mutation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.routing.header_mutation import AppendAction, HeaderToAdd, MutationStep
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.route_environment import by_number, wire_text

if TYPE_CHECKING:
    from minimesh.data_plane.routing.header_mutation import CompileFormat

_HEADER_VALUE_OPTION = frozenset({"header", "append", "append_action", "keep_empty_value"})


def compile_mutation_step(
    message: Any, direction: str, path: str, compile_format: CompileFormat | None
) -> MutationStep:
    """One level's `DIRECTION_headers_to_add` and `..._to_remove`; `direction` is `request` or `response`."""
    add_field, remove_field = f"{direction}_headers_to_add", f"{direction}_headers_to_remove"
    add = _compile_additions(getattr(message, add_field), join(path, add_field), compile_format)
    remove = _compile_removals(getattr(message, remove_field), join(path, remove_field))
    return MutationStep(add, remove)


def _compile_additions(
    options: Sequence[Any], path: str, compile_format: CompileFormat | None
) -> tuple[HeaderToAdd, ...]:
    return tuple(
        compile_addition(option, f"{path}[{number}]", compile_format) for number, option in enumerate(options)
    )


def compile_addition(option: Any, path: str, compile_format: CompileFormat | None) -> HeaderToAdd:
    """One HeaderValueOption; CompileError names the field that is refused."""
    refuse_unsupported(option, path, _HEADER_VALUE_OPTION)
    name = modifiable(option.header.key, join(path, "header.key"), "modified")
    action = by_number(tuple(AppendAction), option.append_action, join(path, "append_action"))
    if option.HasField("append") and not option.append.value:
        action = AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    raw = option.header.raw_value
    value = raw.decode("latin-1") if raw else wire_text(option.header.value)
    literal = value.replace("%%", "")
    if "%" not in literal:
        return HeaderToAdd(name, value.replace("%%", "%"), None, action, option.keep_empty_value)
    if compile_format is None:
        raise CompileError(join(path, "header.value"), f"format operators are not supported here: {value!r}")
    try:
        formatter = compile_format(value)
    except ValueError as error:
        raise CompileError(join(path, "header.value"), str(error)) from None
    return HeaderToAdd(name, value, formatter, action, option.keep_empty_value)


def _compile_removals(names: Sequence[str], path: str) -> tuple[str, ...]:
    return tuple(modifiable(name, f"{path}[{number}]", "removed") for number, name in enumerate(names))


def modifiable(name: str, path: str, verb: str) -> str:
    """A header's name in lower case; CompileError for those that configuration may not touch."""
    lower = wire_text(name).lower()
    if not lower:
        raise CompileError(path, "must not be empty")
    if lower.startswith(":") or lower == "host":
        raise CompileError(path, f"{name!r}: headers that begin with a colon, and host, may not be {verb}")
    return lower
