"""Envoy's own bootstrap file, YAML or JSON, as a Bootstrap message, with the place of every field.

Field names may be as in the protos (`static_resources`) or as in JSON (`staticResources`); a `typed_config`
says by `@type` which message it is. Every field is checked against the message definitions before anything
is built, so a mistake is reported with file, line, column and field, and all mistakes are reported at once.
What Envoy knows and this proxy does not is refused too, by name.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minimesh.xds import messages as m


@dataclass(frozen=True, slots=True)
class BootstrapProblem:
    """One mistake in a bootstrap file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    #: Path of the field in proto names, as in `static_resources.listeners[0].name`; "" for the whole file.
    field: str
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        field = f" {self.field}:" if self.field else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}:{field} {self.message}"


class BootstrapError(ValueError):
    """A bootstrap file that cannot be run; `str()` has one line for each problem."""

    def __init__(self, problems: list[BootstrapProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class BootstrapFile:
    """A bootstrap that can be acted on, and where its fields were written."""

    message: Any
    file: str
    places: dict[str, tuple[int, int]]
    #: Accepted parts that have no effect here.
    notices: tuple[BootstrapProblem, ...] = ()

    def problem(self, field: str, message: str) -> BootstrapProblem:
        """A problem located at `field`, or at the nearest enclosing field that was written."""
        line, column = self._place(field)
        return BootstrapProblem(self.file, line, column, field, message)

    def _place(self, field: str) -> tuple[int, int]:
        while field and field not in self.places:
            field = re.sub(r"(\[[^\[\]]*\]|\.?[^.\[\]]+)$", "", field)
        return self.places.get(field, (1, 1))


def read_bootstrap(path: str) -> BootstrapFile:
    """Read and check a bootstrap file. Raises BootstrapError, also when the file cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BootstrapError(
            [BootstrapProblem(path, 1, 1, "", f"cannot be read: {error.strerror}")]
        ) from None
    except UnicodeDecodeError as error:
        raise BootstrapError([BootstrapProblem(path, 1, 1, "", f"is not UTF-8: {error.reason}")]) from None
    return parse_bootstrap(text, path)


def parse_bootstrap(text: str, file: str) -> BootstrapFile:
    """Check the text of a bootstrap file; `file` is the name for messages. Raises BootstrapError."""
    reader = _Reader(file)
    root = reader.compose(text)
    message = m.bootstrap_pb2.Bootstrap()
    data = reader.message(root, message.DESCRIPTOR, "") if root is not None else {}
    if not reader.problems:
        reader.check_top_level(data)
    if reader.problems:
        raise BootstrapError(reader.problems)
    try:
        m.json_format.ParseDict(data, message)
    except m.json_format.ParseError as error:
        raise BootstrapError([BootstrapProblem(file, 1, 1, "", str(error))]) from None
    return BootstrapFile(message, file, reader.places, tuple(reader.notices))


def parse_message(text: str, file: str, message: Any) -> Any:
    """Fill in another message from YAML or JSON that is checked the same way. Raises BootstrapError."""
    reader = _Reader(file)
    root = reader.compose(text)
    data = reader.message(root, message.DESCRIPTOR, "") if root is not None else {}
    if reader.problems:
        raise BootstrapError(reader.problems)
    try:
        return m.json_format.ParseDict(data, message)
    except m.json_format.ParseError as error:
        raise BootstrapError([BootstrapProblem(file, 1, 1, "", str(error))]) from None


#: Parts of a bootstrap that are acted on.
_SUPPORTED = {"node", "static_resources", "dynamic_resources", "layered_runtime", "admin"}
#: ... and of `cluster_manager`; whatever else it says has no effect.
_CLUSTER_MANAGER = {"outlier_detection"}
#: Parts that tune what a single small process does not have; they are taken and reported as without effect.
_WITHOUT_EFFECT = {
    "cluster_manager",
    "deferred_stat_options",
    "enable_dispatcher_stats",
    "flags_path",
    "overload_manager",
    "stats_config",
    "stats_flush_interval",
    "stats_flush_on_admin",
    "stats_server_version_override",
    "watchdog",
    "watchdogs",
}


class _Loader(yaml.SafeLoader):
    """YAML scalars as Envoy's loader reads them: no dates, no base-60 numbers, octals or bare yes/no."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.?[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class _Reader:
    """Walks YAML nodes beside message descriptors, noting places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[str, tuple[int, int]] = {}
        self.problems: list[BootstrapProblem] = []
        self.notices: list[BootstrapProblem] = []

    def compose(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            reason = error.problem or error.context or "is not YAML"
            self.problems.append(BootstrapProblem(self.file, line, column, "", f"is not YAML: {reason}"))
        except yaml.YAMLError as error:
            self.problems.append(BootstrapProblem(self.file, 1, 1, "", f"is not YAML: {error}"))
        raise BootstrapError(self.problems)

    def check_top_level(self, data: dict[str, Any]) -> None:
        """Refuse what is not supported, note what has no effect."""
        for field in data:
            if field == "cluster_manager" and set(data[field] or ()) <= _CLUSTER_MANAGER:
                continue
            if field in _WITHOUT_EFFECT:
                line, column = self.places[field]
                self.notices.append(
                    BootstrapProblem(self.file, line, column, field, "accepted, without effect here", "info")
                )
            elif field not in _SUPPORTED:
                self._problem_at(field, "not supported")

    # --- the walk: every method returns plain data for json_format, or None after a problem ---

    def message(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        """A message written as a mapping; well-known types have spellings of their own."""
        special = _WELL_KNOWN.get(descriptor.full_name)
        if special is not None:
            return special(self, node, descriptor, path)
        if not isinstance(node, yaml.MappingNode):
            return self._problem(node, path, f"expected a mapping ({descriptor.name}), found {_kind(node)}")
        data: dict[str, Any] = {}
        for key, value in self._items(node, path):
            self._field(data, key, value, descriptor, path)
        return data

    def _field(
        self, data: dict[str, Any], key: yaml.Node, value: yaml.Node, descriptor: Any, path: str
    ) -> None:
        name = str(key.value)
        field = _find_field(descriptor, name)
        if field is None:
            known = [each.name for each in descriptor.fields]
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            self._problem(key, _join(path, name), f"unknown field of {descriptor.full_name}{hint}")
            return
        where = _join(path, field.name)
        if field.name in data:
            self._problem(key, where, "is there twice")
            return
        self._place(where, key)
        if not _is_null(value) or field.message_type is _VALUE:
            data[field.name] = self._value(value, field, where)

    def _value(self, node: yaml.Node, field: Any, path: str) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(node, field.message_type, path)
        if not _is_repeated(field):
            return self._single(node, field, path)
        if not isinstance(node, yaml.SequenceNode):
            return self._problem(node, path, f"expected a list, found {_kind(node)}")
        items = []
        for index, item in enumerate(node.value):
            where = f"{path}[{index}]"
            self._place(where, item)
            items.append(self._single(item, field, where))
        return items

    def _map(self, node: yaml.Node, entry: Any, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._problem(node, path, f"expected a mapping, found {_kind(node)}")
        value_field = entry.fields_by_name["value"]
        data = {}
        for key, value in self._items(node, path):
            where = f"{path}[{key.value}]"
            self._place(where, key)
            data[str(key.value)] = self._single(value, value_field, where)
        return data

    def _single(self, node: yaml.Node, field: Any, path: str) -> Any:
        if field.message_type is not None:
            return self.message(node, field.message_type, path)
        if not isinstance(node, yaml.ScalarNode):
            return self._problem(node, path, f"expected {_type_name(field)}, found {_kind(node)}")
        value = _scalar(node)
        if field.enum_type is not None:
            return self._enum(node, value, field, path)
        wrong = _mismatch(value, field)
        return self._problem(node, path, wrong) if wrong else value

    def _enum(self, node: yaml.Node, value: Any, field: Any, path: str) -> Any:
        names = [each.name for each in field.enum_type.values]
        if value in names or (isinstance(value, int) and value in field.enum_type.values_by_number):
            return value
        near = difflib.get_close_matches(str(value), names, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(names)}"
        return self._problem(node, path, f"unknown value {node.value!r} ({hint})")

    # --- well-known types ---

    def any(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._problem(node, path, f"expected a mapping with '@type', found {_kind(node)}")
        if not node.value:
            return {}  # an Any that holds nothing: how a route switches a filter on
        type_url = next((value.value for key, value in self._items(node, path) if key.value == "@type"), None)
        if type_url is None:
            return self._problem(node, path, "has no '@type'")
        inner = _message_named(str(type_url).rpartition("/")[2])
        if inner is None:
            return self._problem(node, _join(path, "@type"), f"{type_url}: not supported")
        if inner.full_name in _WELL_KNOWN:
            values = [value for key, value in self._items(node, path) if key.value == "value"]
            inside = self.message(values[0], inner, _join(path, "value")) if values else {}
            return {"@type": type_url, "value": inside}
        data: dict[str, Any] = {"@type": type_url}
        for key, value in self._items(node, path):
            if key.value != "@type":
                self._field(data, key, value, inner, path)
        return data

    def plain(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        """A Struct or Value: any YAML at all."""
        if isinstance(node, yaml.MappingNode):
            return {
                str(key.value): self.plain(value, descriptor, f"{path}[{key.value}]")
                for key, value in self._items(node, path)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, descriptor, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return _scalar(node)

    def struct(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._problem(node, path, f"expected a mapping, found {_kind(node)}")
        return self.plain(node, descriptor, path)

    def duration(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):  # {seconds: 5, nanos: 0}, which Envoy's loader does not refuse
            parts = {key.value: _scalar(value) for key, value in self._items(node, path)}
            if parts.keys() <= {"seconds", "nanos"} and all(isinstance(part, int) for part in parts.values()):
                return f"{parts.get('seconds', 0)}.{parts.get('nanos', 0):09d}s"
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]{1,9})?s", text):
            found = repr(text) if text else _kind(node)
            return self._problem(node, path, f"expected a duration such as '5s' or '0.25s', found {found}")
        return text

    def wrapper(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):  # {value: 5}
            inner = {key.value: value for key, value in self._items(node, path)}
            if inner.keys() == {"value"}:
                return self.wrapper(inner["value"], descriptor, path)
        return self._single(node, descriptor.fields_by_name["value"], path)

    def timestamp(self, node: yaml.Node, descriptor: Any, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._problem(node, path, f"expected a time, found {_kind(node)}")
        return node.value

    # --- small change ---

    def _items(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key, value
            else:
                self._problem(key, path, "keys must be plain text")

    def _place(self, path: str, node: yaml.Node) -> None:
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, node: yaml.Node, path: str, message: str) -> None:
        mark = node.start_mark
        problem = BootstrapProblem(self.file, mark.line + 1, mark.column + 1, path, message)
        if problem not in self.problems:  # a value read twice (an alias) is one mistake
            self.problems.append(problem)

    def _problem_at(self, path: str, message: str) -> None:
        line, column = self.places[path]
        self.problems.append(BootstrapProblem(self.file, line, column, path, message))


_WELL_KNOWN = {
    "google.protobuf.Any": _Reader.any,
    "google.protobuf.Struct": _Reader.struct,
    "google.protobuf.Value": _Reader.plain,
    "google.protobuf.Duration": _Reader.duration,
    "google.protobuf.Timestamp": _Reader.timestamp,
    **{
        f"google.protobuf.{name}Value": _Reader.wrapper
        for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
    },
}
_VALUE = m.struct_pb2.Value.DESCRIPTOR


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _find_field(descriptor: Any, name: str) -> Any:
    found = descriptor.fields_by_name.get(name)
    if found is not None:
        return found
    return next((field for field in descriptor.fields if field.json_name == name), None)


def _is_repeated(field: Any) -> bool:
    # Newer protobuf has a property and warns about `label`; older has only `label`.
    repeated = getattr(field, "is_repeated", None)
    return bool(repeated) if repeated is not None else field.label == field.LABEL_REPEATED


def _message_named(full_name: str) -> Any:
    try:
        return m.bootstrap_pb2.DESCRIPTOR.pool.FindMessageTypeByName(full_name)
    except KeyError:
        return None


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"{node.value!r}" if node.value else "nothing"


def _scalar(node: yaml.Node) -> Any:
    match node.tag.rpartition(":")[2]:
        case "bool":
            return node.value.lower() == "true"
        case "int":
            return int(node.value, 16) if node.value.startswith("0x") else int(node.value)
        case "float":
            return float(node.value)
        case "null":
            return None
        case _:
            return node.value


_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def _type_name(field: Any) -> str:
    """The proto's word for the type of a scalar field."""
    names = {
        field.TYPE_BOOL: "bool",
        field.TYPE_STRING: "string",
        field.TYPE_BYTES: "bytes",
        field.TYPE_DOUBLE: "double",
        field.TYPE_FLOAT: "float",
        field.TYPE_INT32: "int32",
        field.TYPE_SINT32: "int32",
        field.TYPE_UINT32: "uint32",
        field.TYPE_INT64: "int64",
        field.TYPE_UINT64: "uint64",
        field.TYPE_ENUM: "enum",
    }
    return names.get(field.type, "scalar")


def _mismatch(value: Any, field: Any) -> str | None:
    """Why a scalar does not fit its field; None when it does."""
    kind = _type_name(field)
    if kind in _INTEGER_RANGES:
        return _integer_mismatch(value, kind)
    fits = {
        "bool": isinstance(value, bool),
        "string": isinstance(value, str),
        "bytes": isinstance(value, str) and _is_base64(value),
        "double": isinstance(value, int | float) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }
    return None if fits.get(kind, True) else f"expected {kind}, found {value!r}"


def _integer_mismatch(value: Any, kind: str) -> str | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):  # JSON spells 64-bit numbers as text
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return f"expected {kind}, found {value!r}"
    low, high = _INTEGER_RANGES[kind]
    return None if low <= value <= high else f"{value} is out of range for {kind}"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
