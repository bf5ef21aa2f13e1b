"""Reads nodes against the schema of their message class: values out, findings written down.

One `FieldReader` reads one document and never stops at a finding: what cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from minimesh.config.diagnostics import Diagnostic, Severity
from minimesh.config.durations import nearest_duration, parse_duration
from minimesh.config.schema import (
    FieldType,
    IntOrString,
    Length,
    Message,
    Pattern,
    Rule,
    Schema,
    message,
    schema_of,
)
from minimesh.config.source_map import Place, join, parent
from minimesh.config.suggestions import nearest
from minimesh.config.yaml_nodes import (
    MAX_DEPTH,
    MAX_NODES,
    MERGE_TAG,
    Node,
    described,
    plain,
    scalar,
    scalar_kind,
)

SKIPPED = object()
"""Stands for a value that could not be read; its finding is already written down."""


@message
class _Nothing(Message):
    """Stands in the list of enclosing messages for a map that is being merged."""


_NO_SCHEMA = schema_of(_Nothing)


class FieldReader:
    """Reads one document's fields, and keeps the place of each.

    `crd` says whether the document is of a kind for which the API server refuses empty values; `resource` is
    what findings call the document; `refused` lists the paths that errors name.
    """

    def __init__(self, file: str, first_line: int, diagnostics: list[Diagnostic]) -> None:
        self.file = file
        self.places: dict[str, Place] = {}
        self.resource = ""
        self.crd = False
        self.refused: list[str] = []
        self._first_line = first_line
        self._diagnostics = diagnostics
        self._nodes_left = MAX_NODES
        self._too_large = False
        self._enclosing: list[tuple[str, Schema]] = []

    # -- Maps and messages

    def entries(self, node: Node, path: str) -> dict[str, Node]:
        """The entries of a map by name, `<<` merged in, duplicates reported; their places written down."""
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if key.tag == MERGE_TAG:
                merged.update(self._merged(value, path))
        entries: dict[str, Node] = {}
        for key, value in node.value:  # after what is merged, wherever that stands: its own places count
            if key.tag == MERGE_TAG:
                continue
            if key.id != "scalar":
                self.error(key, "bad-key", path, f"a field's name must be a word, not {described(key)}")
                continue
            name = str(key.value)
            child = join(path, name)
            if name in entries:
                first = self.places[child].line
                self.error(key, "duplicate-key", child, f"is given twice, first in line {first}; remove one")
                continue
            self.place(child, key, value)
            entries[name] = value
        return {**merged, **entries}

    def _merged(self, value: Node, path: str) -> dict[str, Node]:
        sources = value.value if value.id == "sequence" else [value]
        merged: dict[str, Node] = {}
        self._nodes_left -= 1
        if len(self._enclosing) > MAX_DEPTH or self._nodes_left < 0:
            return merged
        for source in reversed(sources):
            if source.id == "mapping":
                self._enclosing.append((path, _NO_SCHEMA))
                merged.update(self.entries(source, path))
                self._enclosing.pop()
            else:
                self.error(source, "bad-merge", path, f"`<<` needs a map to merge, not {described(source)}")
        return merged

    def _message(self, node: Node, cls: type[Message], path: str) -> Message | None:
        if node.id != "mapping":
            example = next(iter(schema_of(cls).fields), "name")
            self._wrong_type(node, path, f"a map with fields such as `{example}`")
            return None
        return self.message_of(node, self.entries(node, path), schema_of(cls), path)

    def message_of(self, node: Node, entries: Mapping[str, Node], schema: Schema, path: str) -> Message:
        """A message from the entries of `node`; what is missing is reported at `node`."""
        values: dict[str, Any] = {}
        self._enclosing.append((path, schema))
        for name, value_node in entries.items():
            field = schema.find(name)
            child = join(path, name)
            if field is None:
                self._unknown_field(name, child, schema)
                continue
            value = self.value(value_node, field.type, child)
            if value is not SKIPPED:
                values[field.attribute] = value
            if self.crd and field.required and value == "":
                self.error(value_node, "missing-field", child, "must not be empty")
        self._enclosing.pop()
        for field in schema.required:
            missing = join(path, field.name)
            if field.name not in entries and missing not in self.refused:
                self.error(node, "missing-field", missing, "Required value; it is missing")
        if schema.cls.schema_rules:
            self._check_rules(node, schema, values, path)
        return schema.cls(**values)

    def _check_rules(self, node: Node, schema: Schema, values: Mapping[str, Any], path: str) -> None:
        """The rules between the fields of a message, unless one of these could not be read."""
        if any(one.startswith(path) for one in self.refused):
            return
        given = {
            field.name: values[field.attribute]
            for field in schema.fields.values()
            if field.attribute in values
        }
        for rule in schema.cls.schema_rules:
            if not rule.holds(given):
                self.error(node, "broken-rule", path, f'Invalid value: "object": {rule.message}')

    def _unknown_field(self, name: str, child: str, schema: Schema) -> None:
        hint = nearest(name, schema.fields)
        for outer_path, outer in reversed(self._enclosing[:-1]):
            if hint is None and outer.find(name) is not None:
                where = outer_path or "the top level"
                message = (
                    f"unknown field here; `{name}` belongs directly under {where}, check the indentation"
                )
                self.error_at_key(child, "unknown-field", message, None)
                return
        if hint is not None:
            # What was meant is known, so rules need not report that it is missing.
            self.refused.append(join(parent(child), hint))
        self.error_at_key(child, "unknown-field", "unknown field; " + _listed(schema), hint)

    # -- Values

    def value(self, node: Node, type_: FieldType, path: str) -> Any:
        """The value of a node as `type_` wants it, or SKIPPED."""
        self._nodes_left -= 1
        if self._nodes_left < 0 or len(self._enclosing) > MAX_DEPTH:
            if not self._too_large:
                self.error(node, "too-large", path, "the document is too large or too deeply nested")
            self._too_large = True
            return SKIPPED
        if node.id == "scalar" and scalar_kind(node) == "null" and type_.python is not object:
            return self._null(node, type_, path)
        found = self._value(node, type_, path)
        if type_.limits and found is not SKIPPED:
            self._check_limits(node, found, type_, path)
        return found

    def _value(self, node: Node, type_: FieldType, path: str) -> Any:
        if type_.shape == "list":
            return self._list(node, type_, path)
        if type_.shape == "map":
            return self._map(node, type_, path)
        if type_.is_message:
            found = self._message(node, type_.python, path)
            return SKIPPED if found is None else found
        if type_.python is object:
            return plain(node)
        if node.id != "scalar":
            self._wrong_type(node, path, _wanted(type_))
            return SKIPPED
        return self._scalar(node, type_, path)

    def _check_limits(self, node: Node, value: Any, type_: FieldType, path: str) -> None:
        """The limits of a field in the API server's own words, which people search the web for."""
        for limit in type_.limits:
            if isinstance(limit, Rule):
                if not limit.holds(value):
                    message = f'Invalid value: "{_json_type(type_)}": {limit.message}'
                    self.error(node, "broken-rule", path, message)
                    return
            elif isinstance(limit, Pattern):
                if not re.search(limit.expression, value):
                    message = f"{path} in body should match '{limit.expression}', \"{value}\" does not"
                    self.error(node, "bad-value", path, message)
                    return
            elif (wanted := _out_of_bounds(limit, value, type_.shape)) is not None:
                self.error(node, "bad-length", path, f"{path} in body should {wanted}")
                return

    def _null(self, node: Node, type_: FieldType, path: str) -> Any:
        # Istio's schemas allow null for wrapped numbers and booleans only.
        allowed = type_.nullable and type_.python in (bool, int, float)
        if self.crd and not allowed:
            message = (
                f'{path} in body must be of type {_json_type(type_)}: "null"; '
                f"it is empty, give it {_wanted(type_)}, or remove the line"
            )
            self.error(node, "wrong-type", path, message)
        return SKIPPED

    def _list(self, node: Node, type_: FieldType, path: str) -> Any:
        if node.id != "sequence":
            self._wrong_type(node, path, "a list", "; begin each item with `- `")
            return SKIPPED
        assert type_.element is not None
        items = []
        for index, item in enumerate(node.value):
            child = f"{path}[{index}]"
            self.place(child, item, item)
            value = self.value(item, type_.element, child)
            if value is not SKIPPED:
                items.append(value)
        return tuple(items)

    def _map(self, node: Node, type_: FieldType, path: str) -> Any:
        if node.id != "mapping":
            self._wrong_type(node, path, "a map of names to values")
            return SKIPPED
        assert type_.element is not None
        found = {}
        for name, value_node in self.entries(node, path).items():
            value = self.value(value_node, type_.element, join(path, name))
            if value is not SKIPPED:
                found[name] = value
        return found

    def _scalar(self, node: Node, type_: FieldType, path: str) -> Any:
        python = type_.python
        if type_.is_enum or type_.one_of:
            return self._choice(node, type_, path)
        if type_.quantity:
            return self._quantity(node, path)
        if python is timedelta:
            return self._duration(node, path)
        if python is bytes:
            return self._bytes(node, path)
        value = scalar(node)
        if python is float and type(value) is int:
            value = float(value)
        if python is int and type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is python or (python is IntOrString and type(value) in (int, str)):
            return self._in_range(node, value, type_, path)
        self._wrong_type(node, path, _wanted(type_), *_quoting(node, python))
        return SKIPPED

    def _in_range(self, node: Node, value: Any, type_: FieldType, path: str) -> Any:
        limits = type_.number_range
        if limits is not None and not limits.minimum <= value <= limits.maximum:
            bounds = (
                f"greater than or equal to {limits.minimum:g}"
                if value < limits.minimum
                else f"less than or equal to {limits.maximum:.0f}"
            )
            message = f"Invalid value: {node.value}: {path} in body should be {bounds}"
            self.error(node, "out-of-range", path, message)
            return SKIPPED
        return value

    def _choice(self, node: Node, type_: FieldType, path: str) -> Any:
        words = type_.one_of or tuple(member.value for member in type_.python)
        text = str(node.value)
        if scalar_kind(node) != "str":
            self._wrong_type(node, path, f"one of {', '.join(words)}")
            return SKIPPED
        if text in words or (type_.one_of and not text):
            return text if type_.one_of else type_.python(text)
        message = f'must be one of {", ".join(words)}, not "{text}"'
        self.error(node, "bad-value", path, message, nearest(text, words))
        return SKIPPED

    def _quantity(self, node: Node, path: str) -> Any:
        text = str(node.value)
        if _QUANTITY(text) and scalar_kind(node) != "bool":
            return text
        self.error(node, "bad-value", path, f'must be an amount such as 500m, 1.5 or 64Mi, not "{text}"')
        return SKIPPED

    def _duration(self, node: Node, path: str) -> Any:
        text = str(node.value)
        found = parse_duration(text) if scalar_kind(node) == "str" else None
        if found is not None:
            return found
        message = (
            f"must be a valid duration greater than 1ms, such as 10s, 1m30s or 0.5s, not {described(node)}"
        )
        self.error(node, "bad-duration", path, message, nearest_duration(text))
        return SKIPPED

    def _bytes(self, node: Node, path: str) -> Any:
        import base64  # late, since only secrets and binary data need it

        text = str(node.value)
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError:  # which binascii's own error is, too
            hint = "; put plain text under stringData" if path.startswith("data") else ""
            self.error(node, "bad-base64", path, f"must be base64 text, not {described(node)}{hint}")
            return SKIPPED

    # -- Findings

    def place(self, path: str, key: Node, value: Node) -> None:
        """Write down where a field stands."""
        start = key.start_mark
        at = value.start_mark if value.id == "scalar" else start
        self.places[path] = Place(
            self._first_line + start.line + 1, start.column + 1, self._first_line + at.line + 1, at.column + 1
        )

    def _wrong_type(
        self, node: Node, path: str, wanted: str, remedy: str = "", hint: str | None = None
    ) -> None:
        self.error(node, "wrong-type", path, f"must be {wanted}, not {described(node)}{remedy}", hint)

    def error(self, node: Node, code: str, path: str, message: str, hint: str | None = None) -> None:
        """An error at the start of a node."""
        self.report(Severity.ERROR, node, code, path, message, hint)

    def report(
        self, severity: Severity, node: Node, code: str, path: str, message: str, hint: str | None
    ) -> None:
        """A finding at the start of a node."""
        mark = node.start_mark
        self.write(severity, code, path, message, hint, self._first_line + mark.line + 1, mark.column + 1)

    def error_at_key(self, path: str, code: str, message: str, hint: str | None) -> None:
        """An error at the name of a field that is written."""
        place = self.places[path]
        self.write(Severity.ERROR, code, path, message, hint, place.line, place.column)

    def write(
        self, severity: Severity, code: str, path: str, message: str, hint: str | None, line: int, column: int
    ) -> None:
        """A finding at a line and column, from 1."""
        if severity is Severity.ERROR and path:
            self.refused.append(path)
        self._diagnostics.append(
            Diagnostic(
                severity=severity,
                code=code,
                message=message,
                file=self.file,
                line=line,
                column=column,
                field=path,
                suggestion=hint,
                resource=self.resource,
            )
        )


def _out_of_bounds(length: Length, value: Any, shape: str) -> str | None:
    """What a value that is too short or too long should be, else None."""
    verb, unit = {"list": ("have", "items"), "map": ("have", "properties")}.get(shape, ("be", "chars long"))
    if len(value) < length.minimum:
        return f"{verb} at least {length.minimum} {unit}"
    if length.maximum is not None and len(value) > length.maximum:
        return f"{verb} at most {length.maximum} {unit}, it has {len(value)}"
    return None


_QUANTITY = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+|[numkMGTPE]|[KMGTPE]i)?").fullmatch


def _wanted(type_: FieldType) -> str:
    """What a field wants, in words."""
    if type_.shape == "list":
        return "a list"
    if type_.shape == "map" or type_.is_message:
        return "a map"
    words = {
        str: "a string",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        bytes: "base64 text",
    }
    if type_.python is timedelta:
        return "a duration such as 10s"
    return words.get(type_.python, "a number or a string")


def _json_type(type_: FieldType) -> str:
    """What the API server calls the type of a field."""
    if type_.shape != "scalar":
        return "array" if type_.shape == "list" else "object"
    words = {bool: "boolean", int: "integer", float: "number"}
    return "object" if type_.is_message else words.get(type_.python, "string")


def _quoting(node: Node, python: Any) -> tuple[str, str | None]:
    """The remedy and the suggestion for a scalar whose quotes are missing or too many."""
    text = str(node.value)
    if python is str:
        return "; put it in quotes", f'"{text}"'
    if python in (int, float) and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return "; remove the quotes", text
    if python is bool and text.lower() in ("true", "false"):
        return "; remove the quotes", text.lower()
    return "", None


def _listed(schema: Schema) -> str:
    names = sorted(schema.fields)
    if len(names) > 12:
        return f"there are {len(names)} known fields here"
    return f"known here: {', '.join(names)}"
