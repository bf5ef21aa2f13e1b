"""Turns a format, when configuration arrives, into one generated function: an f-string over a StreamInfo.

Text of the user's never becomes source code but as an escaped literal, so no format can smuggle code in.

Lines are `str` in which each character is one byte (latin-1), as heads are on the wire: the format's own text
is taken to that form here, and the file sink turns lines back into the bytes that came in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from minimesh.data_plane.telemetry.format_language import parse_format
from minimesh.data_plane.telemetry.operators import expression
from minimesh.data_plane.telemetry.operators.expression import Expression
from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: Renders one stream as text.
Formatter = Callable[[StreamInfo], str]


def compile_text_format(text: str, *, omit_empty_values: bool = False) -> Formatter:
    """The function that renders a text format; it adds no line end of its own.

    What has no value is printed as `-`, or as nothing with `omit_empty_values`. Raises FormatError.
    """
    source = _Source()
    _add_text(source, text, "" if omit_empty_values else "-")
    return source.compile()


def value_formatter(text: str) -> Formatter:
    """The function that renders a header value of a header mutation: an unknown fact is an empty text
    there.
    """
    return compile_text_format(text, omit_empty_values=True)


def compile_json_format(template: Mapping[str, Any], *, omit_empty_values: bool = False) -> Formatter:
    """The function that renders a JSON format as one line with its line end.

    A string that is nothing but one operator keeps the operator's type (`"%RESPONSE_CODE%"` gives 200) and
    is null without a value; with `omit_empty_values` such keys, and objects left empty, are not printed.
    Keys are sorted, as Envoy's are. Raises FormatError.
    """
    if omit_empty_values:
        render = _sparse_object(template)
        return lambda info: _json_of(render(info) or {}) + "\n"
    source = _Source()
    _add_json(source, template)
    source.literal("\n")
    return source.compile()


class _Source:
    """The body of an f-string under construction, and the objects its fields refer to."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._bindings: dict[str, object] = {}

    def literal(self, text: str) -> None:
        self._pieces += [_source_character(character) for character in _bytewise(text)]

    def field(self, source: str, bindings: Mapping[str, object]) -> None:
        self._pieces.append("{" + source + "}")
        self._bindings.update(bindings)

    def compile(self) -> Formatter:
        body = "".join(self._pieces)
        code = f'def render(i):\n    return f"""{body}"""\n'
        namespace: dict[str, Any] = {**self._bindings, "__builtins__": {"int": int, "str": str}}
        exec(compile(code, "<access log format>", "exec"), namespace)  # noqa: S102 - see the module docstring
        render: Formatter = namespace["render"]
        return render


def _source_character(character: str) -> str:
    if character in "{}":
        return character * 2
    if character in "\\\"'" or not (character.isascii() and character.isprintable()):
        return f"\\x{ord(character):02x}"
    return character


def _bytewise(text: str) -> str:
    """Text as UTF-8, one character a byte."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _add_text(source: _Source, text: str, empty: str) -> None:
    for part in parse_format(text):
        if isinstance(part, str):
            source.literal(part)
        else:
            found = expression(part)
            source.field(_as_text(found, empty), {**found.bindings, "plain": _plain})


def _as_text(found: Expression, empty: str) -> str:
    """Source of a text: the value, or `empty` where there is none."""
    if found.empty_is_none:
        return f"({found.source} or '{empty}')"
    if found.kind == "any":
        return f"(plain(v) if (v := {found.source}) is not None else '{empty}')"
    if found.nullable:
        return f"(v if (v := {found.source}) is not None else '{empty}')"
    return found.source


def _plain(value: Any) -> str:
    """A metadata value in a text log: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else _json_of(value)


# --- JSON -----------------------------------------------------------------------------------------


def _add_json(source: _Source, template: Any) -> None:
    if isinstance(template, Mapping):
        _add_items(source, "{}", sorted(template.items()))
    elif isinstance(template, (list, tuple)):
        _add_items(source, "[]", [(None, item) for item in template])
    elif isinstance(template, str):
        _add_json_string(source, template)
    else:
        source.literal(_json_of(_whole(template)))


def _add_items(source: _Source, brackets: str, items: list[tuple[str | None, Any]]) -> None:
    source.literal(brackets[0])
    for index, (key, item) in enumerate(items):
        source.literal("," if index else "")
        if key is not None:
            source.literal(json.dumps(key, ensure_ascii=False) + ":")
        _add_json(source, item)
    source.literal(brackets[1])


def _add_json_string(source: _Source, text: str) -> None:
    single = _only_operator(text)
    if single is None:
        _add_mixed_string(source, text, "-")
    else:
        source.field(_as_json(single), {**single.bindings, "json_text": json_text, "json_of": _json_of})


def _add_mixed_string(source: _Source, text: str, empty: str) -> None:
    """Text and operators in one JSON string; every value is escaped for itself, as Envoy does."""
    source.literal('"')
    for part in parse_format(text):
        if isinstance(part, str):
            source.literal(json.dumps(part, ensure_ascii=False)[1:-1])
        else:
            found = expression(part)
            as_text = _as_text(found, empty)
            inner = as_text if found.kind == "number" else f"json_text({as_text})[1:-1]"
            source.field(inner, {**found.bindings, "json_text": json_text, "plain": _plain})
    source.literal('"')


def _as_json(found: Expression) -> str:
    if found.kind == "any":
        return f"json_of({found.source})"
    wrapped = "json_text(v)" if found.kind == "text" else "v"
    if found.empty_is_none:
        return f"({wrapped} if (v := {found.source}) else 'null')"
    return f"({wrapped} if (v := {found.source}) is not None else 'null')"


def _only_operator(text: str) -> Expression | None:
    """The operator a string consists of, when it is nothing else."""
    parts = parse_format(text)
    if len(parts) != 1 or isinstance(parts[0], str):
        return None
    return expression(parts[0])


def json_text(value: str) -> str:
    """A JSON string of text in which each character is one byte.

    Bytes that are not UTF-8 are escaped one by one, and so are quotes and backslashes beside them.
    """
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    raw = value.encode("latin-1", "replace")
    try:
        return _bytewise(json.dumps(raw.decode(), ensure_ascii=False))
    except UnicodeDecodeError:
        return '"' + "".join(_escaped(byte) for byte in raw) + '"'


def _escaped(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\u{byte:04x}"


def _json_of(value: Any) -> str:
    """JSON of any value, on one line, keys sorted."""
    if isinstance(value, _RenderedJson):
        return value
    if isinstance(value, str):
        return json_text(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json_text(key)}:{_json_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json_of, value)) + "]"
    return json.dumps(_whole(value))


def _whole(value: Any) -> Any:
    """Numbers of a protobuf Struct are all floats; whole ones are shown without a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# --- JSON without empty values: interpreted, since the shape of the line differs from stream to stream


#: Renders a part of the template; None means: leave it out.
_Sparse = Callable[[StreamInfo], Any]


def _sparse(template: Any) -> _Sparse:
    if isinstance(template, Mapping):
        return _sparse_object(template)
    if isinstance(template, (list, tuple)):
        items = [_sparse(item) for item in template]
        return lambda info: [found for item in items if (found := item(info)) is not None]
    if isinstance(template, str):
        single = _only_operator(template)
        return _sparse_mixed_string(template) if single is None else _value(single)
    return lambda info: template


class _RenderedJson(str):
    """Text that is JSON already."""

    __slots__ = ()


def _sparse_mixed_string(text: str) -> _Sparse:
    source = _Source()
    _add_mixed_string(source, text, "")
    render = source.compile()
    return lambda info: _RenderedJson(render(info))


def _sparse_object(template: Mapping[str, Any]) -> _Sparse:
    fields = {_bytewise(key): _sparse(item) for key, item in sorted(template.items())}

    def render(info: StreamInfo) -> dict[str, Any] | None:
        found = {key: value for key, item in fields.items() if (value := item(info)) is not None}
        return found or None

    return render


def _value(found: Expression) -> Callable[[StreamInfo], Any]:
    source = f"({found.source} or None)" if found.empty_is_none else found.source
    namespace: dict[str, Any] = {**found.bindings, "__builtins__": {"int": int, "str": str}}
    value: Callable[[StreamInfo], Any] = eval(f"lambda i: {source}", namespace)
    return value
